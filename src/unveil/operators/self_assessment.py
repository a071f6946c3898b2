"""How good a denoised image is, without the clean one: from what was removed, and from how the denoiser answers.

For noise of variance σ² that is independent from pixel to pixel, a residual r = noisy − denoised and a denoiser whose
output changes by d where its input does (∂ denoised / ∂ noisy at the same pixel)::

    SURE           error = r² − σ² (1 − 2 d)       whatever the denoiser (Stein 1981, Ann. Statist. 9, 1135)
    best estimate  error = σ² d,  r² = σ² (1 − d)  if it is the best for such images (Robbins 1956; Efron 2011,
                                                   JASA 106, 1602), and so error = r² d / (1 − d)

The first is right but uncertain, since it is a small difference of large numbers; the second is certain but right only
where the denoiser suits the image. So the second is taken where the first does not contradict it, or makes no sense.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter, uniform_filter

from unveil.operators.noise_estimation import NoiseModel

_NEAR_PX = 3.0
"""Of the Gaussian over which answer and residual are averaged for the best estimate."""
_AROUND_PX = 80
"""Edge of the square over which SURE is averaged, which needs more pixels."""
_DOUBT = 2.0
"""Standard errors of SURE by which it contradicts."""
_LARGEST_ANSWER = 0.9
_LEVEL_DOUBT = 0.01
"""Relative uncertainty of the noise's variance, by which SURE is wrong everywhere alike."""


def expected_error(
    noisy: NDArray[np.float64], denoised: NDArray[np.float64], answer: NDArray[np.float64], noise: NoiseModel
) -> float:
    """Return the mean squared error of `denoised` that is to be expected, in squared grey values.

    Parameters
    ----------
    noisy, denoised
        One plane ``(Y, X)``.
    answer
        A sample of d at each pixel, ``(Y, X)``: ``s · (f(noisy + ε s) − f(noisy)) / ε`` with signs s drawn at random
        (Ramani 2008, IEEE TIP 17, 1540).
    """
    residual = (noisy - denoised) ** 2
    variance = noise.variance(denoised)
    near = np.clip(gaussian_filter(answer, _NEAR_PX), 0, _LARGEST_ANSWER)
    best = uniform_filter(gaussian_filter(residual, _NEAR_PX) * near / (1 - near), _AROUND_PX)
    sure = uniform_filter(residual - variance * (1 - 2 * answer), _AROUND_PX)
    uncertainty = uniform_filter(variance, _AROUND_PX) * math.hypot(math.sqrt(2) / _AROUND_PX, _LEVEL_DOUBT)
    contradicts = (sure > 0) & (np.abs(sure - best) > _DOUBT * uncertainty)
    error = float(np.where(contradicts, sure, best).mean())
    return max(error, 0.0)


def autocorrelation(residual: NDArray[np.float64], lags_px: int) -> NDArray[np.float64]:
    """Return how a plane ``(Y, X)`` correlates with itself shifted by up to `lags_px` pixels, ``(2 L + 1, 2 L + 1)``.

    1 in the middle, which is no shift; 0 around it where nothing but white noise was removed. All 0 of a constant.
    """
    centred = residual - residual.mean()
    lags = np.arange(-lags_px, lags_px + 1)
    apart = [next_fast_len(length + lags_px, real=True) for length in centred.shape]  # zeros, so that nothing wraps
    products = irfft2(np.abs(rfft2(centred, apart)) ** 2, apart)[np.ix_(lags, lags)]
    overlap = [np.maximum(length - np.abs(lags), 0) for length in centred.shape]
    means = products / np.maximum(np.outer(*overlap), 1)
    middle = means[lags_px, lags_px]
    correlation: NDArray[np.float64] = means / middle if middle > 0 else np.zeros_like(means)
    return correlation
