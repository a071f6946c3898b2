"""The door `stability`: how far a model's output moves on an image, if the image changes a little."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import SegmentationOptions, StabilityOptions
from unveil.errors import ConfigError, InputError
from unveil.events import Monitor, Notice, Progress, ignore, warn_only
from unveil.image import Frame, Image
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile, Tiling, fit_tiling
from unveil.model.card import ModelCard
from unveil.model.lipschitz import model_bound
from unveil.model.model import Model
from unveil.tasks.denoising_first import decide
from unveil.tasks.matching import card_of
from unveil.tasks.rescaling import scale_factors
from unveil.tasks.running import versions
from unveil.tasks.seen_frame import frame_for, normalized
from unveil.tasks.stability_region import Region, Tried
from unveil.tasks.stability_report import Change, Stability, first_centre

_DEFAULTS = StabilityOptions()
_WINDOW_PIXELS = 1 << 16
"""So many are looked at, the halo included: what it costs does not depend on the image's size."""
_CANDIDATES = 25
"""Regions all over the image, of which the one with most structure is looked at."""
_LEAST_NOISE = 1e-4
"""Of the range; less is rounding."""
_DEFAULT_STRENGTH = 0.01


def stability(
    image: Image,
    model: Model,
    *,
    options: StabilityOptions | Mapping[str, Any] = _DEFAULTS,
    monitor: Monitor = warn_only,
) -> Stability:
    """Find out how far the output of `model` moves for perturbations of a given strength, and for shifts.

    One region is looked at, of 256² pixels with its halo (more only where the model's halo asks for it), of the plane
    or volume in the middle: of 25 regions all over it the one with the most structure. It is normalized, resized and
    cut as in a run, so that what is said of it holds for a run of the model alone, without denoising beforehand.
    PyTorch computes, in float32 on the processor.

    Parameters
    ----------
    image
        Intensities of any integer or float dtype, ``([T,] [C,] [Z,] Y, X)``.
    options
        How strong the perturbations are, and how long the worst one is searched for.
    monitor
        Called after each step; it may raise `Cancelled`, which ends the work.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image is constant or does not fit the model, or the model gives features of texture.
    """
    options = StabilityOptions.from_values(options)
    card, started = card_of(model), time.monotonic()
    if card.gives_features:
        raise ConfigError(f"'{card.name}' gives features of texture, which have no unit. Choose another model.")
    frame = frame_for(image, card, options.channel)
    scale = scale_factors(image, card, options.rescale)
    seen = normalized(frame, card, scale, name=image.name)
    tile = _most_structured(seen, fit_tiling(seen.shape[1:], card.size_step, card.halo, _WINDOW_PIXELS))
    region = Region(seen, tile, model)
    notices = _notices(image, frame, card, monitor)
    steps = _Steps(monitor, region.n_steps(options))
    strength, source = _strength(region, options)
    tried = region.moved_by_chance(strength, options.seed, steps.tick)
    found = region.moved_at_worst(strength, tried, options, steps.tick) if region.has_gradient else []
    shifts = region.shifted(steps.tick)
    sensitive = region.sensitivity(strength, options.seed, steps.tick) if region.has_gradient else None
    bound = _certified(model)
    steps.end()
    place = tuple(map(_in_image, tile.inner, frame.shape[1:], seen.shape[1:]))
    return Stability(
        model=card.name,
        model_sha256=card.weights_sha256,
        task=card.task,
        image=image.name,
        frame=dict(frame.index),
        region=place,
        scale=scale,
        strength=strength,
        strength_grey=region.in_grey(strength),
        strength_from=source,
        random=_largest(tried),
        found=_largest([*tried, *found]) if found else None,
        bound=bound,
        bound_says_nothing=bound is not None and region.is_vacuous(bound, strength),
        shifts=shifts,
        sensitivity=None if sensitive is None else _as_image(sensitive, image, place),
        n_steps=options.n_steps,
        seconds=time.monotonic() - started,
        versions=versions("torch"),
        notices=notices,
    )


class _Steps:
    """Tells the monitor how far the work is."""

    def __init__(self, monitor: Monitor, total: int) -> None:
        self._monitor, self._total, self._done = monitor, total, 0
        self._monitor(Progress(0, total, "steps"))

    def tick(self) -> None:
        """Count a step."""
        self._done = min(self._done + 1, self._total)
        self._monitor(Progress(self._done, self._total, "steps"))

    def end(self) -> None:
        """Say that all is done, where a search ended before its time."""
        self._monitor(Progress(self._total, self._total, "steps"))


def _most_structured(frame: NormalizedFrame, tiling: Tiling) -> Tile:
    """Return the tile whose inner region holds most variance, of some all over the frame."""

    def structure(tile: Tile) -> float:
        grey = frame.read(tile.inner).astype(np.float64)
        return float(np.square(grey - grey.mean()).sum())

    return max(tiling.spread(_CANDIDATES), key=structure)


def _strength(region: Region, options: StabilityOptions) -> tuple[float, Literal["noise", "choice", "default"]]:
    if options.strength is not None:
        return options.strength, "choice"
    noise = region.noise()
    return (noise, "noise") if noise > _LEAST_NOISE else (_DEFAULT_STRENGTH, "default")


def _largest(tried: Sequence[Tried]) -> Change:
    """Return the largest of each value, whichever perturbation has it."""
    changes = [one.change for one in tried]
    flipped = [change.flipped for change in changes if change.flipped is not None]
    return Change(
        rms=max(change.rms for change in changes),
        largest=max(change.largest for change in changes),
        stretch=max(change.stretch for change in changes),
        flipped=max(flipped, default=None),
    )


def _notices(image: Image, frame: Frame, card: ModelCard, monitor: Monitor) -> tuple[str, ...]:
    """Tell what the report does not cover."""
    notices = []
    if card.is_filter:
        notices.append(f"'{card.name}' is a classical filter without a gradient: only random perturbations are tried.")
    elif card.task == "segmentation" and _is_denoised_first(image, frame, card):
        notices.append("This image is so noisy that a run denoises it first; the report is of the model without.")
    for notice in notices:
        monitor(Notice(notice))
    return tuple(notices)


def _is_denoised_first(image: Image, frame: Frame, card: ModelCard) -> bool:
    return decide(image, card, frame.channels, SegmentationOptions(), ignore).denoise_first == "on"


@lru_cache(maxsize=2)
def _certified(model: Model) -> float | None:
    """Return the certified bound of `model`, which takes some seconds; None where there is none."""
    try:
        return model_bound(model)
    except InputError:
        return None


def _in_image(part: slice, size: int, seen: int) -> tuple[float, float]:
    """Return where a part of an axis of `seen` pixels begins and ends in the image, where it has `size`."""
    return (part.start, part.stop) if size == seen else (part.start * size / seen, part.stop * size / seen)


def _as_image(values: NDArray[np.float32], image: Image, place: tuple[tuple[float, float], ...]) -> Image:
    """Lay `values` over the image, whose pixels from and to `place` they cover."""
    sizes, origins = {}, {}
    for axis, n, (start, stop) in zip("ZYX"[-values.ndim :], values.shape, place, strict=True):
        if um := image.pixel_size_um.get(axis):
            sizes[axis] = um * (stop - start) / n
            origins[axis] = image.origin_um.get(axis, 0.0) + um * first_centre(start, stop, n)
    return Image(
        values, "ZYX"[-values.ndim :], pixel_size_um=sizes, name=f"{image.name} sensitivity", origin_um=origins
    )
