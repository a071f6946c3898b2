"""How strong the noise of an image is, from the image alone.

Blocks of 8 × 8 pixels are brought to their cosine components. Where the image is flat, and towards high frequencies,
there is next to nothing of the image left, but as much of white noise as everywhere::

    components of a block          0 ─────────────▶ 7  half-waves along X
                                 0 ┼ image · · · · ·
                                 │ │ · · · · · noise        the corner is noise; the next diagonals are taken to it
                                 7 ▼ · · · noise noise      as long as they are no stronger

Detectors count photons, so that noise grows with the grey value (Foi 2008, IEEE TIP 17, 1737)::

    variance = gain · grey value + offset
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

BLOCK_PX = 8
_STRIDE_PX = 4
_MOST_BLOCKS = 1 << 16
_FLAT_PX = 3.0
"""Of the Gaussian whose slope says where the image is flat."""
_FLAT_SHARE = 0.5
_FLAT_SHARE_OF_DENOISED = 0.25
"""With a smaller one, blocks are chosen whose noise happens to be weak: a denoiser leaves a little of it."""
_CORNER = 12
"""Half-waves along both axes together from which a component is always taken for noise."""
_HIGHEST = 10
"""The same where the image is bright, and so has more to show."""
_N_LEVELS = 20
"""Groups of grey values, of as many blocks each."""
_LEAST_OF_LEVEL = 20
_ROUNDING, _TINY = 1e-6, 1e-300
_LEAST_GROWTH = 1.5
"""By less than this times the variance, from the darkest to the brightest, noise does not grow: an image whose details
are brighter than its ground looks so too."""
_DIAGONAL = np.add.outer(np.arange(BLOCK_PX), np.arange(BLOCK_PX)).ravel()


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """The variance of the noise at each grey value: ``gain · grey + offset``, and not below `least`."""

    gain: float
    """Squared grey values per grey value; 0 where noise is equally strong everywhere."""
    offset: float
    least: float

    @classmethod
    def even(cls, variance: float) -> Self:
        """Return noise that is equally strong everywhere."""
        return cls(0.0, variance, 0.0)

    def variance(self, grey: NDArray[Any]) -> NDArray[np.float64]:
        """Return the variance of the noise at each of the grey values `grey` without noise."""
        variance: NDArray[np.float64] = np.maximum(self.gain * grey.astype(np.float64) + self.offset, self.least)
        return variance


def estimate_noise(plane: NDArray[Any], denoised: NDArray[Any] | None = None) -> NoiseModel:
    """Estimate the noise of a plane ``(Y, X)`` of finite grey values; none where it is a line.

    Noise is taken to be independent from pixel to pixel. A plane smaller than a block goes on as its mirror image.

    Parameters
    ----------
    denoised
        `plane` with less noise, which tells better where the image is flat.
    """
    if min(plane.shape) < 2:
        return NoiseModel.even(0.0)
    grey = _at_least_a_block(plane)
    steepness = _means(_slope(grey)) if denoised is None else _powers(_at_least_a_block(denoised)).sum(axis=1)
    powers, levels = _powers(grey), _means(grey)
    seen = powers.sum(axis=1) > 0  # a block of one value was cut off
    if not seen.any():
        return NoiseModel.even(0.0)
    powers, levels, steepness = powers[seen], levels[seen], steepness[seen]
    share = _FLAT_SHARE if denoised is None else _FLAT_SHARE_OF_DENOISED
    flat = steepness <= np.quantile(steepness, share)
    variance = float(powers[flat].mean(axis=0) @ component_shares(powers[flat]))
    highest = powers[:, _DIAGONAL >= _HIGHEST].mean(axis=1)
    return _growing(highest, levels, steepness, share, variance) or NoiseModel.even(variance)


def _at_least_a_block(plane: NDArray[Any]) -> NDArray[np.float64]:
    return np.pad(plane.astype(np.float64), [(0, max(BLOCK_PX - length, 0)) for length in plane.shape], mode="reflect")


def relative_noise(plane: NDArray[Any]) -> float:
    """Return the noise of a plane ``(Y, X)`` of finite grey values as a part of their range.

    The root of its mean variance, over the distance of the percentiles 1 and 99.8; 0 where these coincide.
    """
    low, high = np.percentile(plane, (1, 99.8))
    if high <= low:
        return 0.0
    return math.sqrt(float(estimate_noise(plane).variance(plane).mean())) / float(high - low)


def component_shares(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each component counts, ``(64,)``, given those of flat blocks, ``(n, 64)``.

    From the corner inwards: a diagonal is taken with the probability that it is no stronger than those before it, one
    error granted, and without it none behind it. Were it taken or not, the last digits of an image could decide.
    """
    means, n_blocks = powers.mean(axis=0), len(powers) * (_STRIDE_PX / BLOCK_PX) ** 2
    taken, probability, shares = _DIAGONAL >= _CORNER, 1.0, np.zeros(len(_DIAGONAL))
    for diagonal in range(_CORNER - 1, 0, -1):
        next_ = diagonal == _DIAGONAL
        error = math.sqrt(2 / n_blocks * (1 / np.count_nonzero(next_) + 1 / np.count_nonzero(taken)))
        usual = float(means[taken].mean())
        excess = (float(means[next_].mean()) - usual) / max(error * usual, _TINY)
        is_noise = math.erfc((excess - 1) / math.sqrt(2)) / 2
        shares += probability * (1 - is_noise) * taken / np.count_nonzero(taken)
        probability *= is_noise
        taken = taken | next_
    shares += probability * taken / np.count_nonzero(taken)
    return shares


def _growing(
    variances: NDArray[np.float64],
    levels: NDArray[np.float64],
    steepness: NDArray[np.float64],
    share: float,
    variance: float,
) -> NoiseModel | None:
    """Fit a line through the variances of the flattest `share` of each group of grey values.

    None where it hardly rises, or where there are too few blocks to say so.
    """
    if len(levels) < _N_LEVELS * _LEAST_OF_LEVEL:
        return None
    group = np.searchsorted(np.quantile(levels, np.linspace(0, 1, _N_LEVELS + 1)[1:-1]), levels)
    x, y = [], []
    for number in np.unique(group):
        of_group = group == number
        flat = of_group & (steepness <= np.quantile(steepness[of_group], share))
        x.append(levels[of_group].mean())
        y.append(variances[flat].mean())
    grey, found = np.array(x), np.array(y)
    least = max(found.min() / 2, found.max() * _ROUNDING)
    if least == 0 or len(grey) < 2:
        return None
    weights = 1 / np.maximum(found, least)
    for _ in range(5):  # relative errors count alike, whatever the variance
        gain, offset = np.polyfit(grey, found, 1, w=weights)
        weights = 1 / np.maximum(gain * grey + offset, least)
    grows = gain * (grey[-1] - grey[0]) > _LEAST_GROWTH * variance
    return NoiseModel(float(gain), float(offset), float(least)) if grows else None


def _slope(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    along = [gaussian_filter(grey, _FLAT_PX, order=order) for order in ((0, 1), (1, 0))]
    slope: NDArray[np.float64] = np.hypot(*along)
    return slope


def _blocks(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return overlapping blocks ``(n, 8, 8)`` of `plane`, fewer of a large one."""
    stride = max(_STRIDE_PX, math.isqrt(plane.size // _MOST_BLOCKS))
    windows = np.lib.stride_tricks.sliding_window_view(plane, (BLOCK_PX, BLOCK_PX))
    return windows[::stride, ::stride].reshape(-1, BLOCK_PX, BLOCK_PX)


def _means(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = _blocks(plane).mean(axis=(1, 2))
    return means


def _powers(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared cosine components of each block but the mean's, which is 0: ``(n, 64)``."""
    components = dctn(_blocks(plane), axes=(1, 2), norm="ortho").reshape(-1, BLOCK_PX**2)
    powers: NDArray[np.float64] = np.square(components)
    powers[:, 0] = 0
    return powers
