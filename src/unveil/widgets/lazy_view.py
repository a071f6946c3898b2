"""A view of an array in a file that is read only when it becomes a NumPy array.

napari cuts the region in view out of all planes first and takes the plane afterwards: a zarr array would read them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.image import ArrayLike


class LazyView:
    """Part of an array, its axes in any order.

    Every slicing gives a view again; ``numpy.asarray`` reads what is left, from `source` in one piece.

    Parameters
    ----------
    source
        Array with shape, dtype and slicing by integers and slices: zarr, dask, and others.
    """

    def __init__(
        self,
        source: ArrayLike,
        picks: Sequence[int | range] | None = None,
        axes: Sequence[int | None] | None = None,
    ) -> None:
        self._source = source
        self._picks = tuple(range(int(n)) for n in source.shape) if picks is None else tuple(picks)
        self._axes = tuple(range(len(self._picks))) if axes is None else tuple(axes)
        self.shape: tuple[int, ...] = tuple(1 if axis is None else len(self._range(axis)) for axis in self._axes)
        self.dtype = np.dtype(source.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    def __getitem__(self, key: Any) -> LazyView:
        """Return the part at `key`: integers, slices with positive steps, None and an ellipsis."""
        picks, axes = list(self._picks), list[int | None]()
        left = iter(self._axes)
        for part in _expanded(key, self.ndim):
            if part is None:
                axes.append(None)
                continue
            axis = next(left)
            if axis is None:
                axes += [None] if isinstance(part, slice) else []
                continue
            picked = self._range(axis)[part]
            picks[axis] = picked
            axes += [axis] if isinstance(picked, range) else []
        return LazyView(self._source, picks, axes)

    def transpose(self, order: Sequence[int]) -> LazyView:
        """Return the view with its axes in another order."""
        return LazyView(self._source, self._picks, [self._axes[axis] for axis in order])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read what is in view."""
        key = tuple(slice(p.start, p.stop, p.step) if isinstance(p, range) else p for p in self._picks)
        block = np.asarray(self._source[key])
        read = [axis for axis, pick in enumerate(self._picks) if isinstance(pick, range)]
        ordered = block.transpose([read.index(axis) for axis in self._axes if axis is not None])
        whole = ordered[tuple(None if axis is None else slice(None) for axis in self._axes)]
        return np.asarray(whole, dtype=dtype)

    def _range(self, axis: int) -> range:
        pick = self._picks[axis]
        assert isinstance(pick, range), "an axis of the view is no chosen plane"
        return pick


def _expanded(key: Any, n_dims: int) -> list[Any]:
    """Return one part of `key` for each axis, and None where an axis is to be new."""
    parts = list(key) if isinstance(key, tuple) else [key]
    n_missing = n_dims - sum(part is not None and part is not Ellipsis for part in parts)
    at = next((n for n, part in enumerate(parts) if part is Ellipsis), len(parts))
    if n_missing < 0:
        raise IndexError(f"{n_dims - n_missing} indices for {n_dims} dimensions")
    return parts[:at] + [slice(None)] * n_missing + parts[at + 1 :]
