"""The coarser levels of an OME-Zarr image, block by block, so that images larger than memory have them too.

Each level halves Y and X of the one before, rounded up; T, C and Z stay, since stacks are mostly coarser in depth
already::

    level 0   0 1 2 3 4      an image: the mean of 2×2 pixels, so a pixel's centre lies between those of its four
    level 1   └┬┘ └┬┘ │      labels: every second pixel, since a mean of ids is no id; the centre stays
               0   1  2
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

CHUNK_2D = (1, 512, 512)
"""Pixels per chunk along Z, Y, X where planes are computed one by one: 1 MiB of float32."""
CHUNK_3D = (16, 256, 256)
"""Pixels per chunk along Z, Y, X where volumes are: 4 MiB of float32."""
_COMPRESSOR: dict[str, Any] = {"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 1}
COARSEST = 256
"""Levels are added until Y and X are no longer than this."""


def chunk_shape(shape: tuple[int, ...], n_dims: int) -> tuple[int, ...]:
    """Return the chunks of an array whose last axes are Y, X (`n_dims` 2) or Z, Y, X (3); 1 along the axes before."""
    spatial = (CHUNK_2D if n_dims == 2 else CHUNK_3D)[-n_dims:]
    wanted = (1,) * (len(shape) - n_dims) + spatial
    return tuple(min(chunk, n) for chunk, n in zip(wanted, shape, strict=True))


def level_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of all levels of an image ``(..., Y, X)`` of `shape`, the finest, which is `shape`, first."""
    shapes = [shape]
    while max(shapes[-1][-2:]) > COARSEST:
        *outer, height, width = shapes[-1]
        shapes.append((*outer, math.ceil(height / 2), math.ceil(width / 2)))
    return shapes


def read_levels(folder: Path) -> list[zarr.Array[Any]]:
    """Open all levels of the finished image, or labels, in `folder`, the finest first."""
    group = zarr.open_group(folder, mode="r")
    arrays = [group[str(level)] for level in range(len(level_shapes(_finest(group).shape)))]
    return [array for array in arrays if isinstance(array, zarr.Array)]


def n_steps(group: zarr.Group) -> int:
    """Count the steps of `build_levels`."""
    finest = _finest(group)
    return sum(1 for shape in level_shapes(finest.shape)[1:] for _ in _windows(shape, finest.chunks))


def build_levels(group: zarr.Group, *, as_labels: bool) -> Iterator[None]:
    """Write the levels ``1``, ``2``, … of `group` from its level ``0``, one block per step; older ones are replaced.

    A step holds no more than the pixels of 16 chunks.
    """
    source = _finest(group)
    reduced = _every_second if as_labels else _means
    for level, shape in enumerate(level_shapes(source.shape)[1:], 1):
        target = create_level(group, str(level), shape, source.dtype, source.chunks)
        for window in _windows(shape, target.chunks):
            target[window] = reduced(np.asarray(source[_finer(window)]))
            yield
        source = target


def create_level(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...]
) -> zarr.Array[Any]:
    """Create one array in `group`, in place of an older one.

    Chunks are compressed by Blosc with LZ4 and shuffled bytes, of the codecs tried the fastest on probabilities;
    Zstandard makes files smaller, labels most of all, but writes probabilities at half the speed or less.
    """
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=tuple(min(chunk, n) for chunk, n in zip(chunks, shape, strict=True)),
        compressors=_COMPRESSOR,
        chunk_key_encoding={"name": "v2", "separator": "/"},
        fill_value=0,
        overwrite=True,
    )


def _finest(group: zarr.Group) -> zarr.Array[Any]:
    array = group["0"]
    assert isinstance(array, zarr.Array)
    return array


def _windows(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield windows that together cover `shape` once, each of whole chunks: two by two along Y and X."""
    steps = (*chunks[:-2], 2 * chunks[-2], 2 * chunks[-1])
    ranges = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
    for start in itertools.product(*ranges):
        yield tuple(slice(first, min(first + step, n)) for first, step, n in zip(start, steps, shape, strict=True))


def _finer(window: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return where the pixels of `window` come from, one level below; slices may end beyond the edge."""
    return (*window[:-2], *(slice(2 * along.start, 2 * along.stop) for along in window[-2:]))


def _means(block: NDArray[Any]) -> NDArray[Any]:
    """Return means of 2×2 pixels of `block` ``(..., Y, X)`` in its dtype; an odd last row or column counts twice."""
    height, width = block.shape[-2:]
    padding = [(0, 0)] * (block.ndim - 2) + [(0, height % 2), (0, width % 2)]
    even = np.pad(block, padding, mode="edge")
    quarters = [even[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
    mean = np.mean(quarters, axis=0, dtype=np.result_type(block.dtype, np.float32))
    rounded: NDArray[Any] = mean if block.dtype.kind == "f" else np.rint(mean)
    return rounded.astype(block.dtype)


def _every_second(block: NDArray[Any]) -> NDArray[Any]:
    return block[..., ::2, ::2]
