"""One region of a frame, and how far a network's output moves there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from unveil.config.options import StabilityOptions
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile, Window, round_up
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.operators.noise_estimation import relative_noise
from unveil.operators.perturbation import Aim, random_perturbations, sensitivity, worst_found
from unveil.operators.reflection import reflected
from unveil.operators.stretching import steepest_direction
from unveil.tasks.stability_report import Change, Shift

_N_RANDOM, _N_PROBES, _N_POWER = 8, 16, 6


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A perturbation, and how far it moved the output."""

    perturbation: Tensor
    change: Change


class Region:
    """One tile of a frame, and the network's output on its inner region.

    Perturbations have the shape of the inner region, ``(1, C, *inner)``, in normalized units. All are of the part of
    the range that `strength` says.
    """

    def __init__(self, frame: NormalizedFrame, tile: Tile, model: Model) -> None:
        self._frame, self._tile, self._card = frame, tile, model.card
        self._module = model.inference_module()
        self._window = torch.from_numpy(frame.read(tile.window))[None]
        self._at = _cut(self._window, tile.crop)
        low, high = np.percentile(self._at.numpy(), (1, 99.8))
        self._range = max(float(high - low), 1e-6)
        with torch.no_grad():
            self._before = self._moved(torch.zeros_like(self._at))
        self._classes = _classes(self._before, self._card) if self._card.task == "segmentation" else None

    @property
    def has_gradient(self) -> bool:
        """Whether the output can be differentiated: not that of SciPy's filters."""
        return not self._card.is_filter

    def n_steps(self, options: StabilityOptions) -> int:
        """Count the steps of all that is done at most."""
        n_aims = 2 if self._card.task == "segmentation" else 1
        search = (_N_PROBES + n_aims * 2 * (options.n_steps + 1)) if self.has_gradient else 0
        return _N_RANDOM + search + max(self._card.size_step)

    def noise(self) -> float:
        """Estimate the noise of the region as a part of its range, in normalized values: the planes' mean."""
        planes = self._at.numpy().reshape(-1, *self._at.shape[-2:])
        return float(np.sqrt(np.mean([relative_noise(plane) ** 2 for plane in planes])))

    def in_grey(self, strength: float) -> float:
        """Return the root mean square of a perturbation in grey values."""
        signs = next(random_perturbations(self._at, self._norm(strength), 1))
        return self._grey_change(self._at, self._at + signs)[0]

    def moved_by_chance(self, strength: float, seed: int, tick: Callable[[], None]) -> list[Tried]:
        """Try some random perturbations."""
        tried = []
        for perturbation in random_perturbations(self._at, self._norm(strength), _N_RANDOM, seed=seed):
            tried.append(Tried(perturbation, self._change(perturbation)))
            tick()
        return tried

    def moved_at_worst(
        self, strength: float, tried: Sequence[Tried], options: StabilityOptions, tick: Callable[[], None]
    ) -> list[Tried]:
        """Search for the perturbations that move the output farthest and, segmenting, change most classes."""
        norm = self._norm(strength)

        def search(aim: Aim, *starts: Tensor) -> Tried:
            found = worst_found(self._moved, aim, starts, norm, n_steps=options.n_steps, tick=tick)
            return Tried(found, self._change(found))

        steepest = norm * steepest_direction(self._moved, torch.zeros_like(self._at), n_iterations=_N_POWER)
        far = max(tried, key=lambda one: one.change.stretch)
        found = [search(self._distance(), far.perturbation, steepest)]
        if self._classes is not None:
            unlike = max(tried, key=lambda one: one.change.flipped or 0.0)
            found.append(search(self._flips(), unlike.perturbation, found[0].perturbation))
        return found

    @torch.no_grad()
    def shifted(self, tick: Callable[[], None]) -> tuple[Shift, ...]:
        """Compare results of shifted windows with shifted results, where no border is seen."""
        steps, halo = self._card.size_step, self._card.halo
        most, axes = max(steps), list(zip(self._tile.inner, halo, steps, strict=True))
        lengths = [round_up(part.stop - part.start + most + 2 * h, step) for part, h, step in axes]
        starts = [part.start - h for part, h, _ in axes]
        whole = self._mirrored([slice(at, at + n + most) for at, n in zip(starts, lengths, strict=True)])
        found, unshifted = [], self._result(_cut(whole, [slice(0, n) for n in lengths]))
        for px in range(1, most + 1):
            result = self._result(_cut(whole, [slice(px, px + n) for n in lengths]))
            inside = [slice(h, n - h - px) for h, n in zip(halo, lengths, strict=True)]
            there = [slice(part.start + px, part.stop + px) for part in inside]
            rms, largest = self._grey_change(_cut(result, inside), _cut(unshifted, there), is_output=True)
            found.append(Shift(px, rms, largest))
            tick()
        return tuple(found)

    def sensitivity(self, strength: float, seed: int, tick: Callable[[], None]) -> NDArray[np.float32]:
        """Return how far the whole output moves with each pixel, ``(*inner)``: of channels the root of squares."""
        zero = torch.zeros_like(self._at)
        found = sensitivity(self._outputs, zero, n_probes=_N_PROBES, seed=seed, tick=tick)
        per_pixel: NDArray[np.float32] = found[0].square().sum(dim=0).sqrt().numpy()
        return per_pixel * np.float32(strength * self._range) if self._card.task == "segmentation" else per_pixel

    def is_vacuous(self, bound: float, strength: float) -> bool:
        """Say whether `bound` lets the output of every pixel move from one end of its range to the other."""
        across = 1.0 if self._card.task == "segmentation" else self._range
        return bound * self._norm(strength) >= across * sqrt(self._before.numel())

    def _norm(self, strength: float) -> float:
        return strength * self._range * sqrt(self._at.numel())

    def _outputs(self, perturbation: Tensor) -> Tensor:
        """Return the output on the whole window: probabilities of the foreground classes, or what was denoised."""
        shape = self._window.shape[2:]
        margins = [(part.start, size - part.stop) for part, size in zip(self._tile.crop, shape, strict=True)]
        return self._result(self._window + pad(perturbation, [side for both in margins[::-1] for side in both]))

    def _moved(self, perturbation: Tensor) -> Tensor:
        return _cut(self._outputs(perturbation), self._tile.crop)

    def _result(self, window: Tensor) -> Tensor:
        maps: Tensor = self._module(window.contiguous())
        return maps if self._card.task == "denoising" else maps[:, 1 : len(self._card.classes)]

    @torch.no_grad()
    def _change(self, perturbation: Tensor) -> Change:
        after = self._moved(perturbation)
        stretch = float((after - self._before).double().norm() / perturbation.double().norm())
        flipped = None if self._classes is None else _share_changed(self._classes, _classes(after, self._card))
        return Change(*self._grey_change(self._before, after, is_output=True), stretch, flipped)

    def _grey_change(self, one: Tensor, other: Tensor, *, is_output: bool = False) -> tuple[float, float]:
        """Return RMS and largest difference in grey values, or in probability."""
        both = [values.detach()[0].numpy() for values in (one, other)]
        if not is_output or self._card.task == "denoising":
            both = [self._frame.intensities.invert(values) for values in both]
        difference = np.abs(both[0].astype(np.float64) - both[1])
        return float(np.sqrt(np.mean(difference**2))), float(difference.max())

    def _distance(self) -> Aim:
        def distance(after: Tensor) -> Tensor:
            moved: Tensor = (after - self._before).norm()
            return moved

        return Aim(distance, lambda after: distance(after).item())

    def _flips(self) -> Aim:
        """Aim at classes that change: along the probability that is taken from the present ones."""
        present = self._classes
        assert present is not None

        def taken(after: Tensor) -> Tensor:
            everything = torch.cat([1 - after.sum(dim=1, keepdim=True), after], dim=1)
            left: Tensor = everything.gather(1, present[:, None]).sum()
            return -left

        return Aim(taken, lambda after: _share_changed(present, _classes(after, self._card)))

    def _mirrored(self, window: Sequence[slice]) -> Tensor:
        """Read `window` of the frame, which may reach beyond it on all sides."""
        positions = [
            reflected(np.arange(part.start, part.stop), size)
            for part, size in zip(window, self._frame.shape[1:], strict=True)
        ]
        box: Window = tuple(slice(int(seen.min()), int(seen.max()) + 1) for seen in positions)
        read = self._frame.read(box)
        for axis, (seen, part) in enumerate(zip(positions, box, strict=True), 1):
            read = np.take(read, seen - part.start, axis=axis)
        return torch.from_numpy(read)[None]


def _classes(foreground: Tensor, card: ModelCard) -> Tensor:
    """Return the class of each pixel, ``(1, *inner)``, from the foreground's probabilities ``(1, K - 1, *inner)``."""
    if len(card.classes) > 2:
        return torch.cat([1 - foreground.sum(dim=1, keepdim=True), foreground], dim=1).argmax(dim=1)
    threshold = card.threshold if card.objects is None else card.objects.threshold
    return (foreground[:, 0] > threshold).long()


def _share_changed(before: Tensor, after: Tensor) -> float:
    return float((before != after).float().mean())


def _cut(tensor: Tensor, window: Sequence[slice]) -> Tensor:
    """Return `window` of a tensor ``(N, C, *spatial)``."""
    key: tuple[Any, ...] = (slice(None), slice(None), *window)
    return tensor[key]
