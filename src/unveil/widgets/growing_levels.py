"""An array that a job writes tile by tile, and coarser levels of it that a viewer can show meanwhile: no Qt here.

::

    level 0        the array on the disk
    levels 1 …     every second, fourth … pixel of it, cut out when a region is asked for
    the coarsest   the same in memory, filled as tiles are written

The coarser levels on the disk, means of 2×2 pixels, are only built when everything is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unveil.events import Monitor, Progress
from unveil.image import ArrayLike, Image
from unveil.widgets.lazy_view import LazyView

if TYPE_CHECKING:
    import zarr

MEMORY_BYTES = 64 * 2**20
"""What the levels in memory may take together."""
_LONGEST_PX = 4096
"""No level in memory is longer along Y or X: reading less of the disk for it would save nothing."""
_BLOCK_CHUNKS = 4
"""Chunks along Y and X that are read at once."""


class GrowingArray:
    """An array on the disk that is written piece by piece, and its coarser levels.

    One thread writes while others read the levels.

    Attributes
    ----------
    levels
        The finest first: what napari takes as multiscale data.
    n_written
        How often something was written.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        from unveil.io.pyramid import level_shapes  # brings zarr, which is slow to import

        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype = array.dtype
        self.chunks = array.chunks
        self.n_written = 0
        shapes = level_shapes(self.shape)
        self._kept = {2**n: np.zeros(shapes[n], self.dtype) for n in _levels_in_memory(shapes, self.dtype.itemsize)}
        whole = LazyView(array)
        self.levels: tuple[ArrayLike, ...] = tuple(
            self._kept.get(step, whole[..., ::step, ::step]) for step in (2**n for n in range(len(shapes)))
        )

    def __getitem__(self, key: Any) -> Any:
        return self._array[key]

    def __setitem__(self, key: tuple[int | slice, ...], values: NDArray[Any]) -> None:
        """Write `values` at `key`, one index or slice without step per axis, slices along Y and X."""
        self._array[key] = values
        self._keep(key, values)

    def fill(self, monitor: Monitor) -> None:
        """Fill the levels in memory with what the disk has, where a run is gone on with."""
        height, width = (_BLOCK_CHUNKS * chunk for chunk in self.chunks[-2:])
        for outer in np.ndindex(*self.shape[:-2]):
            for y in range(0, self.shape[-2], height):
                for x in range(0, self.shape[-1], width):
                    monitor(Progress(0, 0))
                    key = (*outer, slice(y, y + height), slice(x, x + width))
                    self._keep(key, np.asarray(self._array[key]))

    def _keep(self, key: tuple[int | slice, ...], values: NDArray[Any]) -> None:
        *outer, rows, columns = key
        for step, level in self._kept.items():
            (row, first_row), (column, first_column) = _every(rows, step), _every(columns, step)
            level[(*outer, row, column)] = values[..., first_row::step, first_column::step]
        self.n_written += 1


class Growth:
    """What a job has to show before it ends: set by its thread, looked at by the main thread.

    Attributes
    ----------
    array
        What is being written, from the moment at which it can be shown.
    image
        The same as an image: axes, names of the channels.
    model
        Name of the model.
    goes_on
        Whether the next run goes on with what this one has left on the disk.
    is_whole
        Whether the result stands.
    """

    def __init__(self) -> None:
        self.goes_on = self.is_whole = False
        self.array: GrowingArray | None = None
        self.image: Image | None = None
        self.model = ""

    def begin(self, array: GrowingArray, image: Image, model: str) -> None:
        """Let `array` be shown."""
        self.model, self.image, self.array = model, image, array

    @property
    def levels(self) -> tuple[Image, ...]:
        """All levels as images; none while there is nothing to show."""
        if self.array is None or self.image is None:
            return ()
        image = self.image
        return tuple(image.like(each, image.axes, channel_names=image.channel_names) for each in self.array.levels)


def _levels_in_memory(shapes: Sequence[tuple[int, ...]], itemsize: int) -> list[int]:
    """Return which levels of `shapes` memory has room for: the coarsest, and as many before it as fit; never 0."""
    chosen: list[int] = []
    left = MEMORY_BYTES
    for n in range(len(shapes) - 1, 0, -1):
        left -= math.prod(shapes[n]) * itemsize
        if left < 0 or max(shapes[n][-2:]) > _LONGEST_PX:
            break
        chosen.append(n)
    return chosen


def _every(span: int | slice, step: int) -> tuple[slice, int]:
    """Return where every `step`-th pixel of `span` lies in the coarser level, and the first of them in `span`."""
    assert isinstance(span, slice), "pieces have an extent along Y and X"
    start = span.start or 0
    first = -start % step
    return slice((start + first) // step, None if span.stop is None else -(-span.stop // step)), first
