"""All examples of a training in the memory of a device, and the windows that are cut from them there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.data.examples import Example
from unveil.data.patches import Place


class HeldExamples:
    """Examples of any sizes, pixel after pixel, on `device`.

    A graphics card cuts a batch of windows in less than a millisecond, where a processor takes longer than the card for
    the whole step.
    """

    def __init__(self, examples: Sequence[Example], device: torch.device) -> None:
        shapes = torch.tensor([example.spatial_shape for example in examples])
        sizes = shapes.prod(dim=1)
        ends = sizes.cumsum(dim=0)
        self._shapes, self._offsets = shapes.to(device), (ends - sizes).to(device)

        def flat(arrays: Sequence[NDArray[np.float32]]) -> Tensor:
            held = torch.empty(len(arrays[0]), int(ends[-1]), device=device)
            for array, part in zip(arrays, held.split(sizes.tolist(), dim=1), strict=True):
                part.copy_(torch.from_numpy(array).flatten(1))
            return held

        self._parts = [flat([getattr(example, name) for example in examples]) for name in ("image", "target", "weight")]

    @staticmethod
    def n_bytes(examples: Sequence[Example]) -> int:
        """Return what `examples` take."""
        return sum(array.nbytes for one in examples for array in (one.image, one.target, one.weight))

    def cut(self, places: Sequence[Place], size: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return image, target and weight ``(N, channels, *size)`` of the windows at `places`.

        They are those that `unveil.data.patches.draw_windows` cuts.
        """
        device = self._offsets.device
        numbers = torch.tensor([(place.example, *place.start) for place in places])
        if device.type == "cuda":
            numbers = numbers.pin_memory()
        numbers = numbers.to(device, non_blocking=True)
        which, starts = numbers[:, 0], numbers[:, 1:]
        lengths = self._shapes[which]
        pixel = torch.zeros((), dtype=torch.long, device=device)
        for axis, edge in enumerate(size):
            along = [1] * len(size)
            along[axis] = edge
            at = starts[:, axis, None] + torch.arange(edge, device=device)
            length = lengths[:, axis, None]
            pixel = pixel * length.view(-1, *[1] * len(size)) + _reflected(at, length).view(-1, *along)
        pixel = pixel + self._offsets[which].view(-1, *[1] * len(size))
        image, target, weight = (part[:, pixel].transpose(0, 1) for part in self._parts)
        return image, target, weight


def _reflected(at: Tensor, length: Tensor) -> Tensor:
    """Return what `unveil.operators.reflection.reflected` does, of each row with a length of its own."""
    period = (2 * (length - 1)).clamp(min=1)
    folded = at % period
    return torch.minimum(folded, period - folded).where(length > 1, 0)
