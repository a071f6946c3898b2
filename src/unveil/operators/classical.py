"""Handcrafted operators that stand where a network's layers stand now: filters, clipping, features of texture.

The lecture's two examples::

    denoising   image ──low-pass──▶ ⊖ ──▶ high-pass ──soft clip──▶ noise ──▶ ⊖ ──▶ denoised      (a residual network's
                  └────────────────▲└───────────────────────────────────────▲                      ancestor)
    texture     image ──DCT filters 3 × 3──▶ 9 maps ──magnitude──▶ ──local mean──▶ 9 features ──▶ one of two textures
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from scipy.fft import dct

_MAD_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""


def gaussian(image: NDArray[Any], sigma_px: float) -> NDArray[np.float32]:
    """Blur ``(Y, X)`` or ``(Z, Y, X)`` with a Gaussian of standard deviation `sigma_px`, in pixels."""
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(image.astype(np.float32), sigma_px, mode="reflect")
    return blurred


def median(image: NDArray[Any], radius_px: int) -> NDArray[np.float32]:
    """Take the median over the disc or ball of `radius_px` pixels around each pixel of ``(Y, X)`` or ``(Z, Y, X)``."""
    offsets = np.indices((2 * radius_px + 1,) * image.ndim) - radius_px
    disc = (offsets**2).sum(axis=0) <= radius_px**2
    filtered: NDArray[np.float32] = ndimage.median_filter(image.astype(np.float32), footprint=disc, mode="reflect")
    return filtered


def noise_level(high_pass: NDArray[np.float32], sigma_px: float) -> float:
    """Estimate the standard deviation of white noise in an image from its high-pass, robust against its edges.

    From the median absolute deviation (Donoho 1994, Biometrika 81, 425), divided by what the filter leaves of white
    noise: the norm of its impulse response.

    Parameters
    ----------
    sigma_px
        Of the Gaussian that was subtracted.
    """
    impulse = np.zeros((8 * max(1, round(sigma_px)) + 9,) * high_pass.ndim, np.float32)
    impulse[tuple(length // 2 for length in impulse.shape)] = 1
    left = float(np.linalg.norm(impulse - gaussian(impulse, sigma_px)))
    deviation = float(np.median(np.abs(high_pass - np.median(high_pass))))
    return _MAD_TO_SIGMA * deviation / left


def soft_clip(values: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """Limit `values` smoothly to −limit … limit: ``limit · tanh(values / limit)``; 0 gives 0."""
    if limit < np.finfo(np.float32).tiny:
        return np.zeros_like(values)
    clipped: NDArray[np.float32] = np.float32(limit) * np.tanh(values / np.float32(limit))
    return clipped


def clipped_high_pass(image: NDArray[Any], sigma_px: float, strength: float) -> NDArray[np.float32]:
    """Denoise by subtracting the small part of the high-pass: ``x − clip(x − low-pass(x))``.

    What is small at high frequencies is noise, what is large an edge, of which no more than the limit is taken away.

    Parameters
    ----------
    image
        ``(Y, X)`` or ``(Z, Y, X)``, any grey values.
    sigma_px
        Standard deviation of the low-pass, in pixels.
    strength
        Limit of the clipping, in standard deviations of the noise, which is estimated from the image.
    """
    grey = image.astype(np.float32)
    high_pass = grey - gaussian(grey, sigma_px)
    denoised: NDArray[np.float32] = grey - soft_clip(high_pass, strength * noise_level(high_pass, sigma_px))
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


def two_textures(features: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Divide the pixels in two by their features ``(K, Y, X)``; True is the stronger texture.

    Two means, of the features over their standard deviations, from the pixels where these are weakest and strongest
    together.
    """
    spread = features.std(axis=(1, 2), dtype=np.float64)
    if not spread.any():
        return np.zeros(features.shape[1:], bool)
    points = (features[spread > 0] / spread[spread > 0, None, None]).reshape(np.count_nonzero(spread), -1).T
    strength = points.sum(axis=1)
    means, nearest = kmeans2(points, points[[strength.argmin(), strength.argmax()]], minit="matrix")
    divided: NDArray[np.bool_] = (nearest == int(means.sum(axis=1).argmax())).reshape(features.shape[1:])
    return divided
