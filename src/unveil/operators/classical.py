"""Handcrafted operators that stand where a network's layers stand now: filters, clipping, features of texture.

The lecture's two examples::

    denoising   image ──low-pass──▶ ⊖ ──▶ high-pass ──soft clip──▶ noise ──▶ ⊖ ──▶ denoised      (a residual network's
                  └────────────────▲└───────────────────────────────────────▲                      ancestor)
    texture     image ──DCT filters 3 × 3──▶ 9 maps ──magnitude──▶ ──local mean──▶ 9 features ──▶ one of two textures
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.fft import dct

from unveil.operators.receptive_field import GAUSSIAN_REACH

_MOST_SAMPLES = 1 << 16
_ROUNDING = 1e-6
"""What is smaller than this part of the values is their rounding."""
TEXTURE_FEATURES = tuple(f"DCT {row},{column}" for row in range(3) for column in range(3))[1:]
"""Names of the features: how many half-waves the filter has along Y and along X."""


def gaussian(image: NDArray[Any], sigma_px: float) -> NDArray[np.float32]:
    """Blur ``(Y, X)`` or ``(Z, Y, X)`` with a Gaussian of standard deviation `sigma_px`, in pixels."""
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(
        image.astype(np.float32), sigma_px, mode="reflect", truncate=GAUSSIAN_REACH
    )
    return blurred


def median(image: NDArray[Any], radius_px: float) -> NDArray[np.float32]:
    """Take the median over the disc or ball of `radius_px` pixels around each pixel of ``(Y, X)`` or ``(Z, Y, X)``."""
    reach = int(radius_px)
    offsets = np.indices((2 * reach + 1,) * image.ndim) - reach
    disc = (offsets**2).sum(axis=0) <= radius_px**2
    filtered: NDArray[np.float32] = ndimage.median_filter(image.astype(np.float32), footprint=disc, mode="reflect")
    return filtered


def soft_clip(values: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """Limit `values` smoothly to −limit … limit: ``limit · tanh(values / limit)``; 0 gives 0."""
    clipped: NDArray[np.float32] = np.float32(limit) * np.tanh(values / np.float32(limit))
    return clipped


def clipped_high_pass(image: NDArray[Any], sigma_px: float, limit: float) -> NDArray[np.float32]:
    """Denoise by subtracting the small part of the high-pass: ``x − clip(x − low-pass(x))``.

    What is small at high frequencies is noise, what is large an edge, of which no more than the limit is taken away.

    Parameters
    ----------
    image
        ``(Y, X)`` or ``(Z, Y, X)``, any grey values.
    sigma_px
        Standard deviation of the low-pass, in pixels.
    limit
        Of the clipping, in grey values: some three standard deviations of the noise.
    """
    grey = image.astype(np.float32)
    denoised: NDArray[np.float32] = grey - soft_clip(_high_pass(grey, sigma_px), limit)
    return denoised


def dct_filters() -> NDArray[np.float64]:
    """Return the nine orthonormal 3 × 3 filters of the discrete cosine transform, ``(9, 3, 3)``, the mean first."""
    basis = dct(np.eye(3), norm="ortho", axis=0)
    filters: NDArray[np.float64] = np.einsum("ay,bx->abyx", basis, basis).reshape(9, 3, 3)
    return filters


def texture_features(image: NDArray[Any], window_px: float) -> NDArray[np.float32]:
    """Return how strongly each DCT filter answers around each pixel, ``(8, Y, X)``: all but the mean.

    Parameters
    ----------
    image
        ``(Y, X)``.
    window_px
        Standard deviation of the Gaussian over which magnitudes are averaged, in pixels.
    """
    grey = image.astype(np.float32)
    answers = [ndimage.correlate(grey, filter_.astype(np.float32), mode="reflect") for filter_ in dct_filters()[1:]]
    return np.stack([gaussian(np.abs(answer), window_px) for answer in answers])


def two_textures(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Say of each pixel how much nearer its features ``(K, Y, X)`` are to the stronger of two textures, ``(Y, X)``.

    Two means (Lloyd 1982) of the features over their standard deviations, begun where these are weakest and strongest
    together, on a regular sample of the pixels. With distances d₀ and d₁ to them a pixel gets ``d₀² / (d₀² + d₁²)``: 0
    at the weaker mean, 1 at the stronger, ½ half-way. It is 0 everywhere where no feature varies.
    """
    every = max(1, math.isqrt(features[0].size // _MOST_SAMPLES))
    sample = features[:, ::every, ::every].reshape(len(features), -1)
    spread = sample.std(axis=1, dtype=np.float64)
    used = spread > _ROUNDING * np.abs(sample).max(initial=0)
    if not used.any():
        return np.zeros(features.shape[1:], np.float32)
    from scipy.cluster.vq import kmeans2  # slow to import, and networks need nothing of it

    points = (sample[used] / spread[used, np.newaxis]).T
    strength = points.sum(axis=1)
    means, _ = kmeans2(points, points[[strength.argmin(), strength.argmax()]], minit="matrix")
    weaker, stronger = means[np.argsort(means.sum(axis=1))]
    to_weaker, to_stronger = np.zeros((2, *features.shape[1:]), np.float32)
    for feature, scale, low, high in zip(features[used], spread[used], weaker, stronger, strict=True):
        scaled = feature / np.float32(scale)
        to_weaker += (scaled - np.float32(low)) ** 2
        to_stronger += (scaled - np.float32(high)) ** 2
    nearness: NDArray[np.float32] = to_weaker / np.maximum(to_weaker + to_stronger, np.finfo(np.float32).tiny)
    return nearness


def _high_pass(grey: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    high_pass: NDArray[np.float32] = grey - gaussian(grey, sigma_px)
    return high_pass
