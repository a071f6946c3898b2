"""How far a model's output moves on an image: the values found, and what they mean in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

from unveil.image import Image
from unveil.operators.lipschitz import at_most

Level: TypeAlias = Literal["steady", "steady to noise", "sensitive"]

FEW_PIXELS = 0.01
"""Share of the pixels below which it hardly matters that their class changes."""


@dataclass(frozen=True, slots=True)
class Change:
    """How far an output moved, over the region that was looked at."""

    rms: float
    """Root mean square over pixels, in probability or in the image's grey values."""
    largest: float
    """At a single pixel, in the same unit."""
    stretch: float
    """Euclidean norm of the change over that of the perturbation, output per normalized input."""
    flipped: float | None = None
    """Segmentation: share of the pixels whose class changed."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the result of a shifted image is from the shifted result, inside the region, away from the borders."""

    px: int
    """Along every axis."""
    rms: float
    """Root mean square over pixels, in probability or in the image's grey values."""
    largest: float


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """How far the output of a model moves on an image, if the image changes a little."""

    model: str
    model_sha256: str
    task: Literal["segmentation", "denoising"]
    image: str
    frame: Mapping[str, int]
    """Which plane or volume was looked at, by axis, from 0."""
    region: tuple[tuple[float, float], ...]
    """First pixel and first pixel beyond of the region looked at, per spatial axis, in pixels of the image: fractions
    where it was resized."""
    scale: tuple[float, ...]
    """Factors by which the frame was resized before the network, per spatial axis; empty where it was not."""
    strength: float
    """Root mean square of the perturbations per pixel, as a part of the image's range (percentiles 1 to 99.8)."""
    strength_grey: float
    """The same in grey values."""
    strength_from: Literal["noise", "choice", "default"]
    """Whether it is the noise of this image, was chosen, or is 0.01 since the image shows no noise."""
    random: Change
    """The largest values of several random perturbations."""
    found: Change | None
    """The largest values that a search found; at least those of `random`. None for classical filters, which have no
    gradient to search along."""
    bound: float | None
    """Certified: no `stretch` is larger, whatever the perturbation. None for classical filters."""
    bound_says_nothing: bool
    """Whether the bound allows perturbations of this strength to move the output across its whole range."""
    shifts: tuple[Shift, ...]
    sensitivity: Image | None
    """One value per pixel of the region, as the network saw it: how far the whole output moves (Euclidean norm over its
    pixels), to first order, if this pixel alone changes. Segmentation: in probability, for a change by `strength_grey`;
    denoising: as a multiple of the change. None for classical filters."""
    n_steps: int
    """Gradient steps of each search."""
    seconds: float
    versions: Mapping[str, str]
    notices: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        """Steady where even the worst found hardly matters, steady to noise where random perturbations do not."""
        worst = self.found or self.random
        if self.task == "segmentation":
            assert worst.flipped is not None
            assert self.random.flipped is not None
            values, limit = (worst.flipped, self.random.flipped), FEW_PIXELS
        else:
            values, limit = (worst.stretch, self.random.stretch), 1.0
        return "steady" if values[0] <= limit else "steady to noise" if values[1] <= limit else "sensitive"

    @property
    def sentence(self) -> str:
        """What was found, in one sentence for who wants to use the result."""
        advice = _ADVICE[self.task, self.level] if self.found or self.level == "sensitive" else "nothing else was tried"
        return f"{self._moves()}: {advice}."

    @property
    def details(self) -> dict[str, str]:
        """All figures, in words, by what they are."""
        unit = "probability" if self.task == "segmentation" else "grey values"
        rows = {
            "perturbations": f"{self.strength_grey:.3g} grey values per pixel (RMS), {self._strength_words()}",
            "random": _changed(self.random, unit),
        }
        if self.found is not None:
            rows["worst that was found"] = _changed(self.found, unit)
        rows["certified bound"] = self._bound_words()
        rows["shifted image"] = self._shift_words(unit)
        region = " × ".join(f"{start:.0f} to {stop:.0f}" for start, stop in self.region)
        place = "".join(f", {axis} {index}" for axis, index in self.frame.items())
        rows["looked at"] = f"pixels {region}{place}"
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return all but the map as plain values that JSON can hold."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sensitivity"}
        changes = {name: None if values[name] is None else asdict(values[name]) for name in ("random", "found")}
        return {
            **values,
            **changes,
            "shifts": [asdict(shift) for shift in self.shifts],
            "frame": dict(self.frame),
            "versions": dict(self.versions),
            "level": self.level,
            "sentence": self.sentence,
        }

    def _moves(self) -> str:
        strength = _percent(self.strength)
        what = {
            "noise": f"Random noise as strong as this image's own ({strength} of its range)",
            "choice": f"Random noise of {strength} of the image's range",
            "default": f"No noise was found in this image; random noise of {strength} of its range",
        }[self.strength_from]
        random, worst = self._amount(self.random), ""
        if self.found is not None:
            worst = f" (the worst disturbance of that strength that was found: {self._amount(self.found)})"
        if self.task == "segmentation":
            return f"{what} changes the class of {random} of the pixels{worst}"
        return f"{what} moves the denoised image by {random} of its own strength{worst}"

    def _amount(self, change: Change) -> str:
        share = change.stretch if change.flipped is None else change.flipped
        return _percent(share)

    def _strength_words(self) -> str:
        of_range = f"{self.strength:.2%} of the range"
        source = {"noise": "as strong as this image's noise", "choice": "as chosen", "default": "no noise was found"}
        return f"{of_range}, {source[self.strength_from]}"

    def _bound_words(self) -> str:
        if self.bound is None:
            return "none is known for classical filters"
        words = f"at most {at_most(self.bound):g} times the perturbation"
        return f"{words}: it says nothing here" if self.bound_says_nothing else words

    def _shift_words(self, unit: str) -> str:
        worst = max(self.shifts, key=lambda shift: shift.rms)
        step = self.shifts[-1]
        words = f"moves with the image but for {worst.rms:.2g} RMS, {worst.largest:.2g} at most ({unit})"
        if worst.px != step.px:
            words += f", shifted by {worst.px} pixels; {step.rms:.2g} and {step.largest:.2g} by {step.px}"
        return words


def first_centre(start: float, stop: float, n: int) -> float:
    """Return where the centre of the first of `n` pixels lies that cover an axis from pixel `start` to `stop`."""
    return start + ((stop - start) / n - 1) / 2


_ADVICE: dict[tuple[str, Level], str] = {
    ("segmentation", "steady"): "the result can be counted on",
    ("segmentation", "steady to noise"): (
        "noise hardly matters to the result, but a disturbance with a structure (stripes, stray light) may, even one "
        "as weak as noise, so look twice at images that have one"
    ),
    ("segmentation", "sensitive"): (
        "do not rely on what depends on so many pixels; an image with less noise, or another model, may help"
    ),
    ("denoising", "steady"): "no disturbance was found that grows, and the result can be counted on",
    ("denoising", "steady to noise"): (
        "noise shrinks, but a disturbance with a structure may grow, so compare faint details with the noisy image"
    ),
    ("denoising", "sensitive"): "noise grows here, and this model is not the one for this image",
}


def _changed(change: Change, unit: str) -> str:
    words = f"{change.rms:.3g} RMS, {change.largest:.3g} at most ({unit}), {change.stretch:.3g} times the perturbation"
    return words if change.flipped is None else f"{words}; {_percent(change.flipped)} of the pixels change class"


def _percent(share: float) -> str:
    return (
        "none" if share == 0 else f"{share:.2%}" if share < 0.01 else f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
    )
