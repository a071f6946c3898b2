"""Write into a model's card what its training images looked like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.config.training import NoiseConfig
from unveil.events import Monitor, Progress, ignore
from unveil.image import Frame, Image, frames
from unveil.model.appearance import Appearance, CloudRecord, MagnificationRecord, ResizedRecord, diameters, rounded
from unveil.model.model import Model
from unveil.operators.likeness import Floats, fit_cloud, fit_trimmed_cloud, left_out_distances
from unveil.operators.noise import correlate_along_x, log_uniform, poisson_gaussian
from unveil.tasks.looking import Windows, looks_of, statistics_of, windows_of
from unveil.training.magnification import fit_magnification

_N_DIRECTIONS, _N_DIRECTIONS_RESIZED = 24, 12
_MOST_FRAMES, _MOST_SCALED = 40, 8
"""Spread over all images: so many are looked at, and so many of them at other sizes too; a tenth of a second a look."""
_FACTORS = (0.25, 1 / 3, 0.5, 2.0, 3.0, 4.0)
"""Whole factors, by which cameras and programs resize; as many others are drawn between them."""
_OCTAVES = 2.2
"""Images are magnified and reduced by up to two to this power."""
_N_GROUPS = 10
"""Frames are left out in so many groups, each of images that follow each other."""
_N_GROUPS_RESIZED = 5
"""The same for what tells the factor, which takes a few seconds to teach."""
_USUAL, _USUAL_RESIZED = 0.9875, 0.95
"""Share of the training images that are like the others, and that seem of their size; and of resized ones that are
like the others at some size."""
_FEWEST = 4
"""Frames, below which nothing can be said of what is usual."""

_NOISE = NoiseConfig(poisson=(0.001, 0.02), gaussian=(0.002, 0.03))
"""Added to some of the images of other sizes: what is noisier has fine detail, yet is not smaller."""

_Scaled: TypeAlias = tuple[int, float, bool, Floats]
"""The image, by how many octaves it was magnified, whether noise was added, and what it then looks like."""


def with_appearance(
    model: Model,
    images: Sequence[Image],
    *,
    object_sizes: Sequence[int] = (),
    noise: NoiseConfig | None = None,
    thorough: bool = False,
    monitor: Monitor = ignore,
) -> Model:
    """Return `model` with a card that says what its training images look like; the weights stay.

    Parameters
    ----------
    images
        Those that taught, and those held out of them; too few (under four planes or volumes), and classical filters,
        leave the card as it is.
    object_sizes
        Pixels of each training object; empty where there are none, or unknown.
    noise
        Added to each image before it is looked at: a denoiser that was taught from clean images meets noisy ones.
    thorough
        Look at all images and at all sizes, which takes seconds for each; else at some, ten seconds in all.
    """
    if model.card.is_filter:
        return model
    chosen = _frames(images, model, None if thorough else _MOST_FRAMES)
    if len(chosen) < _FEWEST:
        return model
    every = 1 if thorough else -(-len(chosen) // _MOST_SCALED)
    rng = np.random.default_rng(0)
    plain: list[Floats] = []
    groups: list[int] = []
    scaled: list[_Scaled] = []
    for number, (group, frame) in enumerate(chosen):
        looks = looks_of(_noisy(windows_of(frame), noise, rng), model)
        if looks is not None:
            plain.append(looks)
            groups.append(group)
            if model.card.task == "segmentation" and number % every == 0:
                scaled += [(group, 0.0, False, looks), *((group, *each) for each in _at_scales(frame, model, rng))]
        monitor(Progress(number + 1, len(chosen), "images for the record of likeness"))
    if len(plain) < _FEWEST:
        return model
    appearance = _appearance(model, np.array(plain), groups, scaled, object_sizes, monitor)
    return replace(model, card=model.card.model_copy(update={"appearance": appearance}))


def _appearance(
    model: Model,
    samples: Floats,
    groups: Sequence[int],
    scaled: Sequence[_Scaled],
    object_sizes: Sequence[int],
    monitor: Monitor,
) -> Appearance:
    left_out = left_out_distances(samples, _folds(groups), _N_DIRECTIONS)
    return Appearance(
        n_images=len(set(groups)),
        statistics=statistics_of(model),
        looks=CloudRecord.of(fit_cloud(samples, _N_DIRECTIONS)),
        threshold=rounded(np.quantile(left_out, [_USUAL]))[0],
        resized=_resized(samples, groups, scaled, monitor) if scaled else None,
        object_px=_diameters(object_sizes, model.card.n_dims),
        object_dims=model.card.n_dims,
    )


def _resized(samples: Floats, groups: Sequence[int], scaled: Sequence[_Scaled], monitor: Monitor) -> ResizedRecord:
    origin, octaves, noisy, seen = (np.array(part) for part in zip(*scaled, strict=True))
    as_taken = seen[~noisy]
    cloud = fit_trimmed_cloud(as_taken, _N_DIRECTIONS_RESIZED)  # magnified, a window may show next to nothing
    return ResizedRecord(
        looks=CloudRecord.of(cloud),
        threshold=rounded(np.quantile(cloud.distances(as_taken), [_USUAL_RESIZED]))[0],
        magnification=MagnificationRecord.of(fit_magnification(seen, octaves)),
        usual_octaves=_usual_octaves(samples, np.array(groups), origin, octaves, seen, monitor),
    )


def _usual_octaves(
    samples: Floats,
    groups: NDArray[np.intp],
    origin: NDArray[np.intp],
    octaves: Floats,
    seen: Floats,
    monitor: Monitor,
) -> float | None:
    """Return by how many octaves training images seem magnified, or reduced, to one taught by those of other groups."""
    if len(np.unique(origin)) < _FEWEST:
        return None
    folds = _folds(groups.tolist(), _N_GROUPS_RESIZED)
    apparent = np.zeros(len(samples))
    for number, fold in enumerate(left_out := np.unique(folds)):
        monitor(Progress(number, len(left_out), "groups of images for the record of likeness"))
        others = ~np.isin(origin, groups[folds == fold])
        function = fit_magnification(seen[others], octaves[others])
        apparent[folds == fold] = function.octaves(samples[folds == fold])
    return rounded(np.quantile(np.abs(apparent), [_USUAL]))[0]


def _frames(images: Sequence[Image], model: Model, most: int | None) -> list[tuple[int, Frame]]:
    """Return frames and the number of the image of each, at most so many, evenly spread over all."""
    n_dims, n_channels = model.card.n_dims, model.card.in_channels
    found = [
        (number, frame)
        for number, image in enumerate(images)
        for channels in ([tuple(range(n_channels))] if n_channels > 1 else [(c,) for c in range(image.size("C"))])
        for frame in frames(image, n_dims, channels)
    ]
    places = np.unique(np.linspace(0, len(found) - 1, min(len(found), most or len(found))).round().astype(int))
    return [found[place] for place in places]


def _at_scales(frame: Frame, model: Model, rng: np.random.Generator) -> Iterator[tuple[float, bool, Floats]]:
    """Yield by how many octaves a frame was magnified, whether noise was added, and what it then looks like."""
    whole, drawn = np.log2(_FACTORS).tolist(), rng.uniform(-_OCTAVES, _OCTAVES, len(_FACTORS)).tolist()
    for noise, octaves in ((None, [*whole, *drawn]), (_NOISE, [0.0, *drawn])):
        for octave in octaves:
            looks = looks_of(_noisy(windows_of(frame, 2**octave, single=True), noise, rng), model)
            if looks is not None:
                yield octave, noise is not None, looks


def _folds(groups: Sequence[int], n_folds: int = _N_GROUPS) -> NDArray[np.intp]:
    """Put images that follow each other, and all frames of one, into one of few groups: they may show one scene."""
    _, places = np.unique(groups, return_inverse=True)
    if not places.any():  # one image: its frames must do
        places = np.arange(len(groups))
    n = int(places.max()) + 1
    return (places * min(n, n_folds) // n).astype(np.intp)


def _diameters(sizes: Sequence[int], n_dims: int) -> tuple[float, float, float] | None:
    if not sizes:
        return None
    few, half, most = diameters(np.percentile(sizes, (5, 50, 95)), n_dims)
    return few, half, most


def _noisy(windows: Windows, noise: NoiseConfig | None, rng: np.random.Generator) -> Windows:
    """Add noise of levels drawn from `noise`, as a training does, where darkest and brightest are 0 and 1."""
    if noise is None or not windows:
        return windows
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    poisson, gaussian = (log_uniform((1,), *levels, generator) for levels in (noise.poisson, noise.gaussian))
    low, high = np.percentile(np.concatenate([window.ravel() for window in windows]), (0.5, 99.9))
    gain_spread, correlation = (_drawn(levels, generator) for levels in (noise.gain_spread, noise.correlation))
    noisy = []
    for window in windows:
        clean = torch.from_numpy((window - low) / max(high - low, 1e-6)).float()
        taken = poisson_gaussian(clean, poisson, gaussian, generator, gain_spread=gain_spread)
        if correlation is not None:
            taken = clean + correlate_along_x(taken - clean, correlation)
        noisy.append(taken.numpy())
    return noisy


def _drawn(bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor | None:
    """Draw a number between `bounds`; None where there is nothing to draw."""
    low, high = bounds
    return low + (high - low) * torch.rand((1,), generator=generator) if high > 0 else None
