"""Noise added to clean images from which a denoiser learns, in the normalization that noisy images get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from unveil.config.normalization import PercentileNormalization
from unveil.config.training import NoiseConfig
from unveil.data.examples import Example
from unveil.operators.noise import correlate_along_x, log_uniform, poisson_gaussian
from unveil.operators.normalization import DARK_END, fit
from unveil.operators.stabilization import Stabilization

NoiseScale: TypeAlias = Literal["range", "noise", "stabilized"]
"""What synthetic noise is measured by: the image's range, or itself, in which case it may also be made even."""

UNIT_RANGE = PercentileNormalization(low=0.5, high=99.9)
"""Intensities 0 and 1 when noise is added."""
_BRIGHT_END = 1.5
"""Standard deviations above the brightest structures at which the high percentile lies: few are that bright."""
_LEAST_STD = 1e-6
"""Of noise, as a part of the intensity range, where images are normalized by it."""


@dataclass(frozen=True, slots=True)
class SyntheticNoise:
    """Poisson–Gaussian noise, its levels drawn anew for each image.

    Attributes
    ----------
    levels
        On intensities from 0 to 1.
    scale
        noise divides images by the standard deviation of each one's noise and needs a fixed range; stabilized makes
        noise equally strong everywhere and needs none.
    fixed_range
        Darkest and brightest normalized intensity where noise does not change the normalization; None where the
        images lie from 0 to 1 and it does.
    """

    levels: NoiseConfig
    scale: NoiseScale = "range"
    fixed_range: tuple[float, float] | None = None

    def added(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Add noise to normalized images ``(N, C, *spatial)``.

        A noisy image is normalized by its own darkest and brightest pixels, which lie beyond the clean one's: without
        that shift a network would learn on a background darker than it meets. The noise's own percentiles stand for
        the image's.

        Returns
        -------
        noisy, clean
            Both in the normalization that the noisy image gets.
        importance
            How much a squared error there counts as one of intensity, on average 1; broadcast over them.
        """
        if self.scale == "stabilized":
            noisy, poisson, gaussian = self._noisy(clean, generator)
            dark_variance = gaussian.square().clamp(min=_LEAST_STD**2)
            even = Stabilization(poisson, dark_variance, dark_variance / 2)
            variance = even.variance_of(clean)
            mean = variance.mean(dim=tuple(range(1, clean.dim())), keepdim=True)
            return even.apply(noisy), even.expect(clean), variance / mean
        alike = torch.ones((1,) * clean.dim(), device=clean.device)
        if self.fixed_range is not None:
            dark, bright = self.fixed_range
            intensity = (clean - dark) / (bright - dark)
            noisy, poisson, gaussian = self._noisy(intensity, generator)
            noisy = dark + (bright - dark) * noisy
            if self.scale == "range":
                return noisy, clean, alike
            photons = intensity.clamp(min=0).mean(dim=tuple(range(1, clean.dim())), keepdim=True)
            std = (bright - dark) * (poisson * photons + gaussian**2).sqrt().clamp(min=_LEAST_STD)
            return noisy / std, clean / std, alike
        noisy, poisson, gaussian = self._noisy(clean, generator)
        low = -DARK_END * gaussian
        range_ = 1 + _BRIGHT_END * (poisson + gaussian**2).sqrt() - low
        return (noisy - low) / range_, (clean - low) / range_, alike

    def added_to(self, example: Example, generator: torch.Generator) -> Example:
        """Return the clean `example` as a noisy one."""
        noisy, clean, importance = self.added(torch.from_numpy(example.target)[None], generator)
        weight = example.weight * importance[0].numpy()
        return replace(example, image=noisy[0].numpy(), target=clean[0].numpy(), weight=weight)

    def _noisy(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw levels and noise for images from 0 to 1; return the noisy images and both levels of each."""
        levels, per_image = self.levels, (len(clean), *[1] * (clean.dim() - 1))
        poisson = log_uniform(per_image, *levels.poisson, generator)
        gaussian = log_uniform(per_image, *levels.gaussian, generator)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(per_image, generator=generator, device=clean.device)

        gain_spread = uniform(*levels.gain_spread) if levels.gain_spread[1] > 0 else None
        noisy = poisson_gaussian(clean, poisson, gaussian, generator, gain_spread=gain_spread)
        if levels.correlation[1] > 0:
            noisy = clean + correlate_along_x(noisy - clean, uniform(*levels.correlation))
        return noisy, poisson, gaussian


def intensity_range(examples: Sequence[Example]) -> tuple[float, float]:
    """Return the normalized intensities of clean `examples` that count as 0 and 1 when noise is added."""
    intensities = fit(UNIT_RANGE, lambda: (example.target.reshape(1, -1) for example in examples))
    dark, bright = intensities.invert(np.array([[0.0, 1.0]], np.float32))[0]
    return float(dark), float(bright)
