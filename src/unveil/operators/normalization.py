"""Bring intensities to the range a network was trained for, and back.

Statistics are streamed strip by strip, so that a frame larger than memory is normalized like a small one, and once
per frame, so that every tile is normalized alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from unveil.config.normalization import (
    FixedNormalization,
    NoiseNormalization,
    Normalization,
    PercentileNormalization,
    StabilizedNormalization,
    StandardNormalization,
)
from unveil.operators.noise_estimation import estimate_noise
from unveil.operators.stabilization import Stabilization

_EXACT = 2.0**53
"""Integers below are floats too."""
_N_BINS = 65536
_TINY = 1e-12
_NO_NOISE = 1e-4
"""Noise of less than this part of an image's standard deviation is not worth removing."""

DARK_END = 2.3
"""Standard deviations below black at which a noisy image's percentile 1 lies."""
_UP_TO_BLACK = 1.8
"""Standard deviations above percentile 1 at which black lies for stabilized noise: fewer than where much is dark, since
what networks saw least lies below black."""

Strips = Callable[[], Iterable[NDArray[Any]]]
"""Gives, at each call, the frame once, in pieces ``(C, …)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``normalized = (grey − offset) / scale``, per channel.

    Attributes
    ----------
    offset, scale
        float64, shape ``(C,)``, in grey values; scale is positive.
    """

    offset: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, grey: NDArray[Any]) -> NDArray[np.float32]:
        """Normalize ``(C, *spatial)`` of any real dtype to float32."""
        offset, scale = (a.astype(np.float32).reshape(-1, *[1] * (grey.ndim - 1)) for a in (self.offset, self.scale))
        normalized: NDArray[np.float32] = (grey.astype(np.float32) - offset) / scale
        return normalized

    def invert(self, normalized: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalized ``(C, *spatial)`` to grey values, float32."""
        offset, scale = (
            a.astype(np.float32).reshape(-1, *[1] * (normalized.ndim - 1)) for a in (self.offset, self.scale)
        )
        grey: NDArray[np.float32] = normalized * scale + offset
        return grey

    def expect(self, clean: NDArray[Any]) -> NDArray[np.float32]:
        """Normalize a clean image to what the mean of noisy ones becomes."""
        return self.apply(clean)

    def restore(self, denoised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what was denoised to grey values, float32."""
        return self.invert(denoised)


@dataclass(frozen=True, slots=True, eq=False)
class Stabilized:
    """Normalized values are grey values on a scale on which noise is equally strong everywhere.

    Attributes
    ----------
    black
        float64, shape ``(C,)``, the grey values that become 0.
    gain, variance, least
        The noise of each channel, ``(C,)``: its variance per grey value, at black, and at least.
    """

    black: NDArray[np.float64]
    gain: NDArray[np.float64]
    variance: NDArray[np.float64]
    least: NDArray[np.float64]

    @property
    def scale(self) -> NDArray[np.float64]:
        """Grey values per normalized unit, at black."""
        return np.sqrt(self.variance)

    def apply(self, grey: NDArray[Any]) -> NDArray[np.float32]:
        """Normalize ``(C, *spatial)`` of any real dtype to float32."""
        black, stabilization = self._broadcast(grey.ndim)
        return stabilization.apply(grey.astype(np.float32) - black)

    def invert(self, normalized: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalized ``(C, *spatial)`` to grey values, float32."""
        black, stabilization = self._broadcast(normalized.ndim)
        grey: NDArray[np.float32] = stabilization.invert(normalized) + black
        return grey

    def expect(self, clean: NDArray[Any]) -> NDArray[np.float32]:
        """Normalize a clean image to what the mean of noisy ones becomes, which lies lower where few photons are."""
        black, stabilization = self._broadcast(clean.ndim)
        return stabilization.expect(clean.astype(np.float32) - black)

    def restore(self, denoised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what was denoised to grey values, float32, without the bias of the scale."""
        black, stabilization = self._broadcast(denoised.ndim)
        grey: NDArray[np.float32] = stabilization.restore(denoised) + black
        return grey

    def _broadcast(self, n_axes: int) -> tuple[NDArray[np.float32], Stabilization[NDArray[np.float32]]]:
        shape = (-1, *[1] * (n_axes - 1))
        black, *noise = (
            a.astype(np.float32).reshape(shape) for a in (self.black, self.gain, self.variance, self.least)
        )
        return black, Stabilization(*noise)


IntensityMap = Affine | Stabilized
"""From grey values to normalized ones, and back."""


def fit(normalization: Normalization, strips: Strips) -> IntensityMap:
    """Find offset and scale of each channel of a frame, or its noise where that is to be stabilized.

    A constant channel gets scale 1, so that it becomes 0 everywhere; one whose percentiles coincide is scaled by its
    maximum. Pixels that are not finite count nowhere.

    Parameters
    ----------
    strips
        The frame in pieces ``(C, …)`` of any real dtype; called once per pass (integers and moments one pass, float
        percentiles two).
    """
    match normalization:
        case FixedNormalization():
            return Affine(np.asarray(normalization.mean, float), np.asarray(normalization.std, float))
        case StandardNormalization():
            mean, std = _moments(strips)
            return Affine(mean, np.where(std > _TINY, std, 1.0))
        case PercentileNormalization():
            low, high, top = _percentiles(strips, (normalization.low, normalization.high, 100))
            range_ = np.where(high - low > _TINY, high - low, top - low)  # a few bright pixels on a black ground
            return Affine(low, np.where(range_ > _TINY, range_, 1.0))
        case NoiseNormalization():
            return _by_noise(strips)
        case StabilizedNormalization():
            return _stabilized(strips)
        case _:
            assert_never(normalization)


def fit_array(normalization: Normalization, frame: NDArray[Any]) -> IntensityMap:
    """Find offset and scale of a frame ``(C, *spatial)`` that is in memory."""
    return fit(normalization, lambda: [frame])


def _moments(strips: Strips) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per channel, combined strip by strip (Chan 1979)."""
    count = mean = sum_of_squares = np.zeros(1)
    for strip in strips():
        values = np.where(np.isfinite(flat := strip.reshape(len(strip), -1).astype(float)), flat, np.nan)
        n = np.isfinite(values).sum(axis=1)
        strip_mean = np.nansum(values, axis=1) / np.maximum(n, 1)
        strip_squares = np.nansum((values - strip_mean[:, None]) ** 2, axis=1)
        total = count + n
        delta = strip_mean - mean
        sum_of_squares = sum_of_squares + strip_squares + delta**2 * count * n / np.maximum(total, 1)
        mean = mean + delta * n / np.maximum(total, 1)
        count = total
    return mean, np.sqrt(sum_of_squares / np.maximum(count, 1))


def _by_noise(strips: Strips) -> Affine:
    """Scale by the noise; a channel that shows none by so little that it counts as nothing but signal."""
    mean, std = _moments(strips)
    count, total = np.zeros(len(mean)), np.zeros(len(mean))
    for channel, plane in _finite_planes(strips, mean):
        count[channel] += plane.size
        total[channel] += estimate_noise(plane).variance(plane).sum()
    scale = np.maximum(np.sqrt(total / np.maximum(count, 1)), _NO_NOISE * std)
    return Affine(mean, np.where(std > _TINY, scale, 1.0))


def _stabilized(strips: Strips) -> Stabilized:
    """Average the noise over all planes; black lies above the darkest pixels by as much as noise reaches down."""
    mean, std = _moments(strips)
    count, total = np.zeros(len(mean)), np.zeros((3, len(mean)))
    for channel, plane in _finite_planes(strips, mean):
        noise = estimate_noise(plane)
        count[channel] += plane.size
        total[:, channel] += plane.size * np.array([noise.gain, noise.offset, noise.least])
    gain, offset, least = total / np.maximum(count, 1)
    least = np.where(std > _TINY, np.maximum(least, np.square(_NO_NOISE * std)), 1.0)
    (dark,) = _percentiles(strips, (1.0,))
    black = np.minimum(dark + _UP_TO_BLACK * np.sqrt(np.maximum(gain * dark + offset, least)), mean)
    return Stabilized(black, gain, np.maximum(gain * black + offset, least), least)


def _finite_planes(strips: Strips, mean: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield every channel's planes ``(Y, X)``, pixels that are not finite filled with the channel's mean."""
    for strip in strips():
        for channel, values in enumerate(strip):
            finite = np.where(np.isfinite(values), values, mean[channel])
            for plane in finite.reshape(-1, *finite.shape[-2:]):
                yield channel, plane


def _percentiles(strips: Strips, percents: tuple[float, ...]) -> list[NDArray[np.float64]]:
    """Percentiles per channel from histograms: exact for integers of up to 16 bits, to 1/65,536 of the range else."""
    low, high, is_integer = _range(strips)
    is_exact = is_integer and bool(np.all((high - low < _N_BINS) & (np.maximum(high, -low) < _EXACT)))
    width = np.ones_like(low) if is_exact else np.maximum(high - low, _TINY) / (_N_BINS - 1)
    counts = np.zeros((len(low), _N_BINS), np.int64)
    for strip in strips():
        for channel, values in enumerate(strip.reshape(len(strip), -1)):
            if is_exact:
                bins = values.astype(np.int64) - int(low[channel])
            else:
                finite = values[np.isfinite(values)].astype(float)
                bins = np.rint((finite - low[channel]) / width[channel]).astype(np.int64)
            counts[channel] += np.bincount(bins, minlength=_N_BINS)
    return [low + width * _bin_at(counts, percent) for percent in percents]


def _bin_at(counts: NDArray[np.int64], percent: float) -> NDArray[np.float64]:
    """First bin per channel at which the cumulative count reaches `percent` of all."""
    cumulative = np.cumsum(counts, axis=1)
    rank = np.maximum(np.ceil(cumulative[:, -1:] * (percent / 100)), 1)
    bins: NDArray[np.float64] = np.argmax(cumulative >= rank, axis=1).astype(float)
    return bins


def _range(strips: Strips) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Smallest and largest finite value per channel (0 where there is none), and whether all are integers."""
    lows, highs, is_integer = [], [], True
    for strip in strips():
        values = strip.reshape(len(strip), -1)
        if np.issubdtype(strip.dtype, np.integer):
            lows.append(values.min(axis=1).astype(float))
            highs.append(values.max(axis=1).astype(float))
            continue
        is_integer, finite = False, np.isfinite(values)
        lows.append(np.where(finite, values, np.inf).min(axis=1).astype(float))
        highs.append(np.where(finite, values, -np.inf).max(axis=1).astype(float))
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    return np.where(low <= high, low, 0.0), np.where(low <= high, high, 0.0), is_integer
