"""Adapt a denoiser to the noisy images at hand: what it makes of them teaches it once more, under noise like theirs.

    noisy images ──▶ the denoiser as it is ──▶ its results, taken for clean ──▶ noise as strong as the images'
                                                           ▲                              │
                                                           └──────────── learn ◀──────────┘

It learns what these images are made of, and their noise alone, where before it had to know all kinds (Vaksman 2020,
arXiv 1911.07167, where the noise is Gaussian and its level given). What its results lack, it cannot learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from unveil.config.normalization import FixedNormalization, PercentileNormalization
from unveil.config.options import DenoisingOptions
from unveil.config.training import DenoisingTraining, NoiseConfig
from unveil.data.examples import finite_pixels
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import Monitor, Notice
from unveil.image import Frame, Image, frames, n_frames, whole
from unveil.model.model import Model
from unveil.operators.noise_estimation import estimate_noise
from unveil.operators.normalization import fit_array
from unveil.tasks.denoise import denoise
from unveil.training.synthetic_noise import UNIT_RANGE

_MOST_FRAMES = 8
"""Of an image, evenly spread, whose noise is measured."""
_BURIED = 0.5
"""Noise of this part of the range and more is that of a plane that shows nothing."""
_OPTIONS = DenoisingOptions(accurate=True, skip_assessment=True, skip_check=True)

Levels = tuple[float, float]
"""Poisson and Gaussian, as in `NoiseConfig`."""


def adaptation(
    images: Sequence[Image], start: Model | None, config: DenoisingTraining, monitor: Monitor
) -> tuple[list[Image], DenoisingTraining]:
    """Return what is taken for clean, and the settings to learn from it.

    The network and its normalization are those of `start`, the levels of noise are those of `images`, and nothing is
    held out: what is learnt is for these images.

    Raises
    ------
    ConfigError
        If there is nothing to start from.
    MismatchError
        If `start` is no denoiser that can learn.
    ImageError
        If the images show no noise, or hold pixels that are not finite.
    """
    if start is None:
        raise ConfigError(
            "Adapting begins with a trained denoiser, and none is given. Choose one to start from, such as "
            "'fluorescence-denoiser', or learn by blind spots."
        )
    card = start.card
    if card.task != "denoising" or card.is_filter:
        raise MismatchError(
            f"Adapting begins with a trained denoiser, and '{card.name}' is a {card.architecture.kind} for "
            f"{card.task}. Choose one such as 'fluorescence-denoiser'."
        )
    for image in images:
        for frame in frames(image, card.n_dims, tuple(range(image.size("C")))):
            finite_pixels(frame)
    options = _OPTIONS.model_copy(update={"device": config.device})
    clean = [denoise(image, start, options=options, monitor=monitor).image for image in images]
    noise = _noise_of(images, clean, start, config.noise)
    monitor(Notice(_told(card.name, noise)))
    changes = {
        "architecture": card.architecture,
        "normalization": card.normalization,
        "noise": noise,
        "validation_fraction": 0.0,
    }
    return clean, config.model_copy(update=changes)


def _noise_of(noisy: Sequence[Image], clean: Sequence[Image], start: Model, given: NoiseConfig) -> NoiseConfig:
    """Return `given` with the levels that the images show, on intensities from 0 to 1 as the training takes them."""
    levels = [found for pair in zip(noisy, clean, strict=True) for found in _levels(*pair, start)]
    poisson, gaussian = zip(*([level for level in levels if level[1] < _BURIED] or levels), strict=True)
    if not any(poisson + gaussian):
        raise ImageError("The images show no noise, so there is nothing to adapt to. Use the denoiser as it is.")
    return given.model_copy(
        update={"poisson": (min(poisson), max(poisson)), "gaussian": (min(gaussian), max(gaussian))}
    )


def _levels(noisy: Image, clean: Image, start: Model) -> Iterator[Levels]:
    """Measure planes of each channel; the one in the middle stands for a volume."""
    normalization, n_dims = start.card.normalization, start.card.n_dims
    known = isinstance(normalization, FixedNormalization | PercentileNormalization)
    step = math.ceil(n_frames(noisy, n_dims) / _MOST_FRAMES)
    for channel in range(noisy.size("C")):
        both = zip(frames(noisy, n_dims, (channel,)), frames(clean, n_dims, (channel,)), strict=True)
        for with_noise, without in islice(both, step // 2, None, step):
            noise = estimate_noise(_middle(with_noise))
            intensities = fit_array(normalization if known else UNIT_RANGE, _middle(without)[np.newaxis])
            dark, bright = map(float, intensities.invert(np.array([[0.0, 1.0]], np.float32))[0])
            yield noise.gain / (bright - dark), math.sqrt(noise.variance(np.array(dark))) / (bright - dark)


def _told(name: str, noise: NoiseConfig) -> str:
    dark, growth = noise.gaussian[1], noise.poisson[1]
    return (
        f"'{name}' is adapted to these images: what it makes of them teaches it, under noise like theirs (up to "
        f"{dark:.1%} of their range where they are dark, {math.sqrt(dark**2 + growth):.1%} where they are bright)."
    )


def _middle(frame: Frame) -> NDArray[np.float32]:
    plane: NDArray[np.float32] = frame.read_plane(*whole(frame.shape[-2:]))[0].astype(np.float32)
    return plane
