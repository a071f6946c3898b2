"""Where to cut: an endless stream of windows from examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unveil.data.examples import Example


@dataclass(frozen=True, slots=True)
class Place:
    """Where a window lies: in which example, and at which pixel it begins, before the first one where it is larger."""

    example: int
    start: tuple[int, ...]


def draw_places(
    examples: Sequence[Example], size: tuple[int, ...], batch_size: int, seed: int
) -> Iterator[list[Place]]:
    """Yield where the windows of each batch lie, without end.

    Examples are drawn in proportion to their judged pixels, and each window is placed around a random judged pixel,
    shifted inside its image where it fits there.
    """
    rng = np.random.default_rng(seed)
    judged = [_JudgedPixels(example) for example in examples]
    n_judged = np.array([pixels.count for pixels in judged], float)
    share = n_judged / n_judged.sum()
    while True:
        drawn = rng.choice(len(examples), batch_size, p=share)
        yield [Place(int(i), _start(examples[i].spatial_shape, judged[i].draw(rng), size, rng)) for i in drawn]


def draw_windows(
    examples: Sequence[Example], size: tuple[int, ...], batch_size: int, seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
    """Yield batches of (image, target, weight), each ``(N, channels, *size)``, without end.

    They lie where `draw_places` says; beyond an image they are filled by reflection.
    """
    for places in draw_places(examples, size, batch_size, seed):
        batch = [_cut(examples[place.example], place.start, size) for place in places]
        image, target, weight = (np.stack(parts) for parts in zip(*batch, strict=True))
        yield image, target, weight


class _JudgedPixels:
    """Draws judged pixels of one example; keeps no list of them where all are judged."""

    def __init__(self, example: Example) -> None:
        weight = example.weight[0]
        self._shape = weight.shape
        self._flat = None if weight.all() else np.flatnonzero(weight)
        self.count = weight.size if self._flat is None else len(self._flat)

    def draw(self, rng: np.random.Generator) -> tuple[int, ...]:
        at = int(rng.integers(self.count))
        return tuple(int(i) for i in np.unravel_index(at if self._flat is None else self._flat[at], self._shape))


def _start(
    shape: tuple[int, ...], pixel: tuple[int, ...], size: tuple[int, ...], rng: np.random.Generator
) -> tuple[int, ...]:
    """Place a window around `pixel`, in the middle of an axis that is shorter."""
    starts = []
    for at, length, edge in zip(pixel, shape, size, strict=True):
        start = at - int(rng.integers(edge))
        starts.append(min(max(start, 0), length - edge) if edge <= length else -((edge - length) // 2))
    return tuple(starts)


def _cut(example: Example, starts: tuple[int, ...], size: tuple[int, ...]) -> tuple[NDArray[np.float32], ...]:
    """Cut the window that begins at `starts`."""
    inside = tuple(
        slice(max(start, 0), min(start + edge, length))
        for start, edge, length in zip(starts, size, example.spatial_shape, strict=True)
    )
    cut = [array[(slice(None), *inside)] for array in (example.image, example.target, example.weight)]
    if min(starts) >= 0:
        return tuple(cut)
    beyond = [
        (max(-start, 0), max(start + edge - length, 0))
        for start, edge, length in zip(starts, size, example.spatial_shape, strict=True)
    ]
    return tuple(np.pad(array, [(0, 0), *beyond], mode="reflect") for array in cut)
