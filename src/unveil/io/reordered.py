"""A lazy array with its axes in another order: pixels are read when they are sliced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.errors import FileError
from unveil.image import ArrayLike, Image


def native(block: NDArray[Any]) -> NDArray[Any]:
    """Return `block` in the byte order of this machine, which torch wants."""
    return block.astype(block.dtype.newbyteorder("="), copy=False)


class Reordered:
    """View of `source` with some axes fixed and the others moved, converted when read.

    Pickled, it is how to open the file: no pixel travels to another process.

    Parameters
    ----------
    source
        Array with shape, dtype and slicing by integers and slices.
    order
        For each axis of the view, the axis of `source`; source axes that are left out are fixed at index 0.
    path
        File that errors name.
    open_again
        Gives an image of the same pixels in another process; it can be pickled.
    convert
        Applied to every block that is read; keeps its shape.
    first
        Axis of the view, and how many of its first elements to keep.
    """

    def __init__(
        self,
        source: ArrayLike,
        order: Sequence[int],
        path: Path,
        *,
        open_again: Callable[[], Image] | None = None,
        convert: Callable[[NDArray[Any]], NDArray[Any]] = native,
        first: tuple[int, int] | None = None,
    ) -> None:
        self._source, self._order, self._path, self._convert = source, tuple(order), path, convert
        self._open_again = open_again
        shape = [int(source.shape[axis]) for axis in order]
        if first is not None:
            shape[first[0]] = min(shape[first[0]], first[1])
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype = convert(np.empty(0, source.dtype)).dtype

    def __reduce__(self) -> tuple[Callable[..., ArrayLike], tuple[Callable[[], Image]]]:
        if self._open_again is None:
            raise TypeError("a view that does not know how its file is opened cannot travel")
        return _opened, (self._open_again,)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read the pixels at `key`: integers, slices with positive steps, and an ellipsis."""
        keys = [_bounded(k, size) for k, size in zip(expanded(key, self.ndim), self.shape, strict=True)]
        source_key: list[int | slice] = [0] * len(self._source.shape)
        for axis, k in zip(self._order, keys, strict=True):
            source_key[axis] = k
        try:
            block = np.asarray(self._source[tuple(source_key)])
        except Exception as error:  # decoders raise whatever they like on damaged data
            raise FileError(
                f"{self._path} cannot be read: its pixels are damaged or too large ({_short(error)}). "
                f"Copy the file again, or export it anew as OME-TIFF."
            ) from error
        left = [axis for axis, k in enumerate(source_key) if isinstance(k, slice)]
        wanted = [axis for axis, k in zip(self._order, keys, strict=True) if isinstance(k, slice)]
        return self._convert(block.transpose([left.index(axis) for axis in wanted]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything."""
        if copy is False:
            raise ValueError("pixels in a file cannot be had without a copy")
        return np.asarray(self[...], dtype=dtype)


def _opened(open_again: Callable[[], Image]) -> ArrayLike:
    return open_again().data


def expanded(key: Any, n_dims: int) -> list[Any]:
    """Return one index per dimension: those of `key`, and whole slices for its ellipsis and for what it leaves out."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (n_dims - len(keys) + 1)
    if len(keys) > n_dims:
        raise IndexError(f"{len(keys)} indices for {n_dims} dimensions")
    return keys + [slice(None)] * (n_dims - len(keys))


def _bounded(key: Any, size: int) -> int | slice:
    if isinstance(key, slice):
        start, stop, step = key.indices(size)
        if step < 1:
            raise IndexError("slices need positive steps")
        return slice(start, max(start, stop), step)
    index = int(key)
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for an axis of {size}")
    return index % size


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]
