"""How good a denoised image is to be expected, from itself, the noisy one, and the denoiser's answer to a probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log10, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.image import Image
from unveil.operators.noise_estimation import BLOCK_PX, estimate_noise
from unveil.operators.self_assessment import autocorrelation, expected_error

MOST_FRAMES = 4
"""So many frames of a stack, and planes of a volume, speak for all."""
LAGS_PX = 10
"""How far what was removed is compared with itself."""
_MOST_PX = 512
"""So many pixels along Y and X are enough."""
_EIGHT_BIT_PEAK = 255.0


def spread_over(count: int) -> set[int]:
    """Choose at most `MOST_FRAMES` of `count` numbers from 0, evenly spread."""
    return {round(number) for number in np.linspace(0, count - 1, min(count, MOST_FRAMES))}


@dataclass(slots=True)
class Assessment:
    """Collects what some planes of an image tell.

    ``noise_level`` is the root mean square of the noise, in grey values; ``expected_psnr`` in dB, its peak 255 for
    8-bit images and the range of the denoised image for others; ``residual_correlation`` between neighbours of what
    was removed, 0 for white noise.
    """

    low: float = np.inf
    high: float = -np.inf
    variances: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    correlations: list[NDArray[np.float64]] = field(default_factory=list)

    def see(self, denoised: NDArray[np.float32]) -> None:
        """Take part of the denoised image into its range."""
        self.low, self.high = min(self.low, float(denoised.min())), max(self.high, float(denoised.max()))

    def add(self, noisy: NDArray[Any], denoised: NDArray[Any], answer: NDArray[Any]) -> None:
        """Assess some of the planes of a frame, each of the three ``(C, [Z,] Y, X)``."""
        if min(noisy.shape[-2:]) < BLOCK_PX:
            return
        y, x = (slice(max(0, (size - _MOST_PX) // 2), (size + _MOST_PX) // 2) for size in noisy.shape[-2:])
        middles = [values[..., y, x] for values in (noisy, denoised, answer)]
        planes = [values.reshape(-1, *values.shape[-2:]) for values in middles]
        for number in spread_over(len(planes[0])):
            noisy_plane, clean_plane, answers = (values[number].astype(np.float64) for values in planes)
            noise = estimate_noise(noisy_plane, clean_plane)
            self.variances.append(float(noise.variance(clean_plane).mean()))
            self.errors.append(expected_error(noisy_plane, clean_plane, answers, noise))
            self.correlations.append(autocorrelation(noisy_plane - clean_plane, LAGS_PX))

    @property
    def autocorrelation(self) -> NDArray[np.float64] | None:
        """The mean autocorrelation of what was removed, ``(21, 21)``."""
        return np.mean(self.correlations, axis=0) if self.correlations else None

    def results(self, image: Image) -> dict[str, float | None]:
        """Return the three numbers by name; none where no plane was large enough to tell."""
        between = self.autocorrelation
        if between is None:
            return {}
        error, peak = float(np.mean(self.errors)), self.high - self.low
        if image.data.dtype == np.uint8:
            peak = _EIGHT_BIT_PEAK
        return {
            "noise_level": sqrt(np.mean(self.variances)),
            "expected_psnr": 20 * log10(peak) - 10 * log10(error) if error > 0 and peak > 0 else None,
            "residual_correlation": float(between[LAGS_PX, LAGS_PX + 1] + between[LAGS_PX + 1, LAGS_PX]) / 2,
        }
