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
from unveil.operators.noise_estimation import NoiseModel, estimate_noise
from unveil.operators.stabilization import Stabilization

_EXACT = 2.0**53
"""Integers below are floats too."""
_N_BINS = 65536
_FEW_BINS = 256
"""Percentiles that lie nearer together are looked for with narrower bins: a bright pixel has widened these."""
_MOST_PASSES = 3
_LEAST = float(np.finfo(np.float32).tiny)
_SAME = 1e-12
"""Values that differ by less than this part of their mean are alike, but for rounding."""
_NO_NOISE = 1e-4
"""Noise of less than this part of an image's contrast is not worth removing."""
_CONTRAST = (1.0, 99.8)
"""Percentiles of a plane between which its contrast lies, whatever a few pixels hold."""
_MOST_PIXELS = 1 << 16
"""Of a plane, evenly spread, in which these are looked for."""
_WEIGHT_OF_LINE = 1e-3
"""The last line of a frame that comes in blocks shows no noise."""

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
        offset, scale = _broadcast(grey.ndim, self.offset, self.scale)
        normalized: NDArray[np.float32] = (grey.astype(np.float32) - offset) / scale
        return normalized

    def invert(self, normalized: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalized ``(C, *spatial)`` to grey values, float32."""
        offset, scale = _broadcast(normalized.ndim, self.offset, self.scale)
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
        black, unit, stabilization = self._broadcast(grey.ndim)
        return stabilization.apply((grey.astype(np.float32) - black) / unit)

    def invert(self, normalized: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalized ``(C, *spatial)`` to grey values, float32."""
        black, unit, stabilization = self._broadcast(normalized.ndim)
        grey: NDArray[np.float32] = stabilization.invert(normalized) * unit + black
        return grey

    def expect(self, clean: NDArray[Any]) -> NDArray[np.float32]:
        """Normalize a clean image to what the mean of noisy ones becomes, which lies lower where few photons are."""
        black, unit, stabilization = self._broadcast(clean.ndim)
        return stabilization.expect((clean.astype(np.float32) - black) / unit)

    def restore(self, denoised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what was denoised to grey values, float32, without the bias of the scale."""
        black, unit, stabilization = self._broadcast(denoised.ndim)
        grey: NDArray[np.float32] = stabilization.restore(denoised) * unit + black
        return grey

    def _broadcast(
        self, n_axes: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Stabilization[NDArray[np.float32]]]:
        """Return black, the unit, and the scale in this unit: no square of a grey value could leave float32 then."""
        unit = self.scale
        terms = (self.black, unit, self.gain / unit, np.ones_like(unit), self.least / self.variance)
        black, scale, *noise = _broadcast(n_axes, *terms)
        return black, scale, Stabilization(*noise)


def _broadcast(n_axes: int, *per_channel: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """Return numbers ``(C,)`` as float32 that meet arrays ``(C, …)`` of `n_axes` axes."""
    return [numbers.astype(np.float32).reshape(-1, *[1] * (n_axes - 1)) for numbers in per_channel]


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
        percentiles two, and up to four more where those that are asked for lie near together, as where a few pixels are
        far brighter or darker than all others).
    """
    match normalization:
        case FixedNormalization():
            return Affine(np.asarray(normalization.mean, float), np.asarray(normalization.std, float))
        case StandardNormalization():
            mean, std = _moments(strips)
            return Affine(mean, np.where(_differs(std, mean), std, 1.0))
        case PercentileNormalization():
            low, high, top = _percentiles(strips, (normalization.low, normalization.high, 100))
            range_ = np.where(high - low > _LEAST, high - low, top - low)  # a few bright pixels on a black ground
            return Affine(low, np.where(range_ > _LEAST, range_, 1.0))
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
    seen = _Planes(strips, lambda plane, noise: [noise.variance(plane).mean()])
    (variance,) = seen.means
    scale = np.maximum(np.sqrt(variance), _NO_NOISE * seen.contrast)
    return Affine(seen.centre, np.where(seen.differs, scale, 1.0))


def _stabilized(strips: Strips) -> Stabilized:
    """Average the noise over all planes; black lies above the darkest pixels by as much as noise reaches down."""
    seen = _Planes(strips, lambda _, noise: [noise.gain, noise.offset, noise.least])
    gain, offset, least = seen.means
    least = np.where(seen.differs, np.maximum(least, np.square(_NO_NOISE * seen.contrast)), 1.0)
    dark, _ = _percentiles(strips, _CONTRAST)
    black = np.minimum(dark + _UP_TO_BLACK * np.sqrt(np.maximum(gain * dark + offset, least)), seen.centre)
    return Stabilized(black, gain, np.maximum(gain * black + offset, least), least)


class _Planes:
    """What the planes of each channel show.

    Attributes
    ----------
    means
        Of what `found` returns for a plane and its noise, by the planes' pixels: ``(values, C)``.
    centre, contrast
        Mean and standard deviation; where single pixels outdo all others, those of the range that the others take.
    differs
        Which channels are not constant.
    """

    def __init__(self, strips: Strips, found: Callable[[NDArray[Any], NoiseModel], list[float]]) -> None:
        mean, std = _moments(strips)
        self.differs = _differs(std, mean)
        sums: list[list[NDArray[np.float64]]] = [[] for _ in mean]
        for channel, plane in _finite_planes(strips, mean):
            weight = plane.size if min(plane.shape) > 1 else _WEIGHT_OF_LINE
            low, high = np.percentile(plane.ravel()[:: 1 + plane.size // _MOST_PIXELS], _CONTRAST)
            usual = float(plane.clip(low, high).mean(dtype=float))
            sums[channel].append(np.array([weight, low, high, usual, *found(plane, estimate_noise(plane))]))
        table = [np.array(rows) for rows in sums]
        weighted = [np.average(rows[:, 3:], axis=0, weights=rows[:, 0]) for rows in table]
        usual, *means = np.transpose(weighted)
        self.means = means
        range_ = np.array([rows[:, 2].max() - rows[:, 1].min() for rows in table])
        is_outdone = (range_ > 0) & (std > range_)
        self.centre, self.contrast = np.where(is_outdone, usual, mean), np.where(is_outdone, range_, std)


def _differs(std: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which channels are not constant."""
    differs: NDArray[np.bool_] = std > np.maximum(_SAME * np.abs(mean), _LEAST)
    return differs


def _finite_planes(strips: Strips, mean: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield every channel's planes ``(Y, X)``, pixels that are not finite filled with the channel's mean."""
    for strip in strips():
        for channel, values in enumerate(strip):
            finite = np.where(np.isfinite(values), values, mean[channel])
            for plane in finite.reshape(-1, *finite.shape[-2:]):
                yield channel, plane


def _percentiles(strips: Strips, percents: tuple[float, ...]) -> list[NDArray[np.float64]]:
    """Percentiles per channel from histograms: exact for integers of up to 16 bits, to 1/256 of their distance else."""
    low, largest, is_integer = _range(strips)
    if is_integer and bool(np.all((largest - low < _N_BINS) & (np.maximum(largest, -low) < _EXACT))):
        return _from_bins(strips, low, None, percents)
    high, inner = largest, tuple(percent for percent in percents if percent < 100)
    for n_left in reversed(range(_MOST_PASSES)):
        width = np.maximum(high - low, _LEAST) / (_N_BINS - 1)
        found = _from_bins(strips, low, width, inner)
        first, last = np.min(found, axis=0), np.max(found, axis=0)
        is_coarse = (last - first < _FEW_BINS * width) & (low < high)
        if not n_left or len(inner) < 2 or not is_coarse.any():
            break
        least, most, _ = _range(strips, first - width, last + width)
        low, high = np.where(is_coarse, least, low), np.where(is_coarse, most, high)
    values = dict(zip(inner, found, strict=True))
    return [values.get(percent, largest) for percent in percents]


def _from_bins(
    strips: Strips, low: NDArray[np.float64], width: NDArray[np.float64] | None, percents: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    """Percentiles per channel to `width`; what lies below the first of the bins, or above the last, counts there.

    Without a width every integer has a bin of its own.
    """
    counts = np.zeros((len(low), _N_BINS), np.int64)
    for strip in strips():
        for channel, values in enumerate(strip.reshape(len(strip), -1)):
            if width is None:
                bins = values.astype(np.int64) - int(low[channel])
            else:
                finite = values[np.isfinite(values)].astype(float)
                bins = np.rint((finite - low[channel]) / width[channel]).clip(0, _N_BINS - 1).astype(np.int64)
            counts[channel] += np.bincount(bins, minlength=_N_BINS)
    return [low + (1 if width is None else width) * _bin_at(counts, percent) for percent in percents]


def _bin_at(counts: NDArray[np.int64], percent: float) -> NDArray[np.float64]:
    """First bin per channel at which the cumulative count reaches `percent` of all."""
    cumulative = np.cumsum(counts, axis=1)
    rank = np.maximum(np.ceil(cumulative[:, -1:] * (percent / 100)), 1)
    bins: NDArray[np.float64] = np.argmax(cumulative >= rank, axis=1).astype(float)
    return bins


def _range(
    strips: Strips, least: NDArray[np.float64] | float = -np.inf, most: NDArray[np.float64] | float = np.inf
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Smallest and largest finite value per channel from `least` to `most`, and whether all are integers.

    Both are 0 where there is none.
    """
    lows, highs, is_integer = [], [], True
    for strip in strips():
        values = strip.reshape(len(strip), -1)
        if np.issubdtype(strip.dtype, np.integer) and np.ndim(least) == 0:
            lows.append(values.min(axis=1).astype(float))
            highs.append(values.max(axis=1).astype(float))
            continue
        is_integer, values = False, values.astype(float)
        counts = np.isfinite(values) & (values >= np.reshape(least, (-1, 1))) & (values <= np.reshape(most, (-1, 1)))
        lows.append(np.where(counts, values, np.inf).min(axis=1))
        highs.append(np.where(counts, values, -np.inf).max(axis=1))
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    return np.where(low <= high, low, 0.0), np.where(low <= high, high, 0.0), is_integer
