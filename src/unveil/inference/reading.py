"""Read a frame as a network wants it: finite, normalized, and extended beyond its far sides.

Windows are read one by one, so that a frame may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from unveil.image import whole
from unveil.inference.tiling import Tiling, Window
from unveil.operators.finite import usable
from unveil.operators.normalization import IntensityMap
from unveil.operators.reflection import reflected

_BLOCK_PIXELS = 1 << 20
_KEPT_PIXELS = 1 << 24


class Readable(Protocol):
    """A frame: `unveil.image.Frame`, or one of those below."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, *spatial)``."""

    def read(self, window: Window) -> NDArray[Any]:
        """Return `window`, inside the frame, as ``(C, *window)``."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayFrame:
    """A frame that is in memory."""

    array: NDArray[Any]
    """``(C, *spatial)``, any real dtype."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, *spatial)``."""
        return self.array.shape

    def read(self, window: Window) -> NDArray[Any]:
        """Return `window` as ``(C, *window)``."""
        return self.array[(slice(None), *window)]


def kept(frame: Readable) -> Readable:
    """Read `frame` into memory where it is small, since it is passed over several times."""
    if isinstance(frame, ArrayFrame) or prod(frame.shape) > _KEPT_PIXELS:
        return frame
    return ArrayFrame(frame.read(whole(frame.shape[1:])))


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What one pass over a frame finds."""

    mean: NDArray[np.float64]
    """Mean of the finite pixels of each channel, shape ``(C,)``; 0 where there is none."""
    n_filled: int
    """Pixels of any channel that are not finite."""
    is_constant: bool
    """Whether each channel has one value only, or none."""
    is_blank: bool
    """Whether no pixel is finite."""


def blocks(frame: Readable) -> Iterator[NDArray[Any]]:
    """Cut `frame` into blocks of about a million pixels ``(C, …)``: integers as they are, floats as float32.

    Pixels that are not finite, or too large for float32, are NaN. The blocks are the same whatever the tile is, and so
    are all statistics of them.
    """
    sizes = frame.shape[1:]
    side = round(_BLOCK_PIXELS ** (1 / len(sizes)))
    for tile in Tiling.of(sizes, side, (1,) * len(sizes), (0,) * len(sizes)):
        yield usable(frame.read(tile.inner))


def survey(blocks: Iterable[NDArray[Any]]) -> Survey:
    """Look once at every pixel of a frame, given in the pieces that `blocks` cuts it into."""
    lows, highs, sums, counts, n_pixels = [], [], [], [], 0
    for block in blocks:
        values = block.reshape(len(block), -1)
        finite = np.isfinite(values)
        if np.issubdtype(values.dtype, np.integer):
            lows.append(values.min(axis=1).astype(np.float64))
            highs.append(values.max(axis=1).astype(np.float64))
        else:
            lows.append(values.min(axis=1, where=finite, initial=np.inf).astype(np.float64))
            highs.append(values.max(axis=1, where=finite, initial=-np.inf).astype(np.float64))
        sums.append(values.sum(axis=1, where=finite, dtype=np.float64))
        counts.append(finite.sum(axis=1))
        n_pixels += values.size
    low, high, total, count = np.min(lows, axis=0), np.max(highs, axis=0), np.sum(sums, axis=0), np.sum(counts, axis=0)
    return Survey(
        mean=total / np.maximum(count, 1),
        n_filled=int(n_pixels - count.sum()),
        is_constant=bool((low >= high).all()),
        is_blank=not count.any(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class FilledFrame:
    """A frame whose pixels are all finite: the others got the mean of their channel."""

    frame: Readable
    survey: Survey

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, *spatial)``."""
        return self.frame.shape

    def read(self, window: Window) -> NDArray[Any]:
        """Return `window` as ``(C, *window)``; floats as float32, integers as they are."""
        grey = usable(self.frame.read(window))
        if not self.survey.n_filled:
            return grey
        mean = self.survey.mean.astype(np.float32).reshape(-1, *[1] * (grey.ndim - 1))
        return np.where(np.isnan(grey), mean, grey)


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedFrame:
    """A frame in the range that a network was trained for, without end along its far sides."""

    frame: FilledFrame
    intensities: IntensityMap
    extension: Literal["reflect", "constant"]
    """What lies beyond: its mirror image, or zeros."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, *spatial)``."""
        return self.frame.shape

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return `window`, which may reach beyond the frame, as ``(C, *window)``, float32."""
        sizes = self.shape[1:]
        seen = _seen if self.extension == "reflect" else _inside
        inside = tuple(seen(w, size) for w, size in zip(window, sizes, strict=True))
        normalized = self.intensities.apply(self.frame.read(inside))
        for axis, (w, box, size) in enumerate(zip(window, inside, sizes, strict=True), start=1):
            if w.stop > size and self.extension == "constant":
                beyond = [(0, 0)] * normalized.ndim
                beyond[axis] = (0, w.stop - max(size, w.start))
                normalized = np.pad(normalized, beyond)
            elif w.stop > size:
                normalized = np.take(normalized, reflected(_positions(w), size) - box.start, axis=axis)
        return normalized


def _inside(window: slice, size: int) -> slice:
    """Return the part of `window` that lies in an axis."""
    return slice(window.start, min(window.stop, size))


def _seen(window: slice, size: int) -> slice:
    """Return the part of an axis that holds all pixels of `window`."""
    if window.stop <= size:
        return window
    indices = reflected(_positions(window), size)
    return slice(int(indices.min()), int(indices.max()) + 1)


def _positions(window: slice) -> NDArray[np.intp]:
    return np.arange(window.start, window.stop)
