"""What an image looks like, in a few numbers: intensities, noise, sharpness, the scale and polarity of its structures.

All are taken from windows that are normalized as for the network, so that gain and offset do not matter where the
normalization takes them away::

    window ──▶ quantiles, skewness                               intensities
           ──▶ noise (from flat blocks of 8 × 8 pixels)          noise
           ──▶ power per third of an octave, 1/64 … 1/2 per px   sharpness, scale
           ──▶ octaves: differences of blurred images ──▶
               skewness and kurtosis of each                     bright or dark, crowded or sparse structures
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2
from scipy.ndimage import gaussian_filter

from unveil.operators.noise_estimation import estimate_noise

LEAST_PX = 16
"""Edge of the smallest window that says anything."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95)
_FREQUENCIES = 2.0 ** np.linspace(-6, -1, 16)
"""Borders of the bands of the spectrum, per pixel; what lies above 1/2, along diagonals, is one band more."""
_N_OCTAVES = 5
_TINY = 1e-6
_LEAST_POWER = 1e-7
"""Of the variance, in one band: less counts as this much."""

STATISTICS: tuple[str, ...] = (
    *(f"quantile {share:g}" for share in _QUANTILES),
    "contrast",
    "skewness",
    "noise",
    *(f"power {number}" for number in range(len(_FREQUENCIES))),
    *(f"polarity {number}" for number in range(_N_OCTAVES)),
    *(f"sparsity {number}" for number in range(_N_OCTAVES)),
)
"""What `describe` returns, in order. Powers go from coarse to fine, octaves from fine to coarse."""


def describe(windows: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the `STATISTICS` of some windows ``(Y, X)`` of one image, normalized and finite.

    Quantiles are in normalized units. Contrast (the standard deviation), noise (over the standard deviation) and powers
    (over the variance) are decimal logarithms; skewness is an inverse hyperbolic sine, kurtosis a logarithm, since
    both grow without bounds.
    """
    values = np.concatenate([window.ravel() for window in windows])
    std = max(float(values.std(dtype=np.float64)), _TINY)
    noise = math.sqrt(np.mean([estimate_noise(window).variance(window).mean() for window in windows]))
    octaves = [_skewness_and_kurtosis(band) for band in _octaves(windows)]
    return np.array(
        [
            *np.quantile(values, _QUANTILES),
            math.log10(std),
            _skewness_and_kurtosis(values)[0],
            math.log10(max(noise / std, 1e-4)),
            *_powers(windows),
            *(skewness for skewness, _ in octaves),
            *(kurtosis for _, kurtosis in octaves),
        ]
    )


def _skewness_and_kurtosis(values: NDArray[Any]) -> tuple[float, float]:
    standard = (values - values.mean(dtype=np.float64)) / max(float(values.std(dtype=np.float64)), _TINY)
    square = standard * standard
    skewness, kurtosis = (float(np.vdot(square, other)) / square.size for other in (standard, square))
    return math.asinh(skewness), math.log10(max(kurtosis, 1.0))


def _octaves(windows: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return what each blurring by one more octave takes away, the windows one after the other."""
    bands = []
    for _ in range(_N_OCTAVES):
        blurred = [gaussian_filter(window, 1.0) for window in windows]
        bands.append(np.concatenate([(a - b).ravel() for a, b in zip(windows, blurred, strict=True)]))
        windows = [window[::2, ::2] if min(window.shape) >= LEAST_PX else window for window in blurred]
    return bands


def _powers(windows: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the logarithm of the power in each band of frequencies over the whole; a band of none has its neighbour's.

    Per frequency, so that white noise has equal powers.
    """
    n_bands = len(_FREQUENCIES)
    power, count = np.zeros(n_bands + 1), np.zeros(n_bands + 1)
    for window in windows:
        tapered = (window - window.mean()) * np.outer(*(np.hanning(length) for length in window.shape))
        spectrum = np.square(np.abs(rfft2(tapered))) / window.size
        along_y, along_x = np.fft.fftfreq(window.shape[0]), np.fft.rfftfreq(window.shape[1])
        band = np.searchsorted(_FREQUENCIES, np.hypot(*np.meshgrid(along_y, along_x, indexing="ij"))).ravel()
        power += np.bincount(band, spectrum.ravel(), n_bands + 1)
        count += np.bincount(band, minlength=n_bands + 1)
    density = power / np.maximum(count, 1)
    seen = count[1:] > 0
    relative = density[1:][seen] / max(power.sum() / count.sum(), _TINY**2)
    logarithms = np.log10(np.maximum(relative, _LEAST_POWER))
    everywhere: NDArray[np.float64] = np.interp(np.arange(n_bands), np.flatnonzero(seen), logarithms)
    return everywhere
