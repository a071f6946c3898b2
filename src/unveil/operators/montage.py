"""Many small images as one."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray


def montage(tiles: NDArray[Any], *, gap_px: int = 1) -> NDArray[np.float32]:
    """Lay `tiles` ``(rows, columns, *outer, h, w)`` out as one image ``(*outer, height, width)``, NaN between them.

    A single row or column is folded to about a square, row by row.
    """
    if 1 in tiles.shape[:2]:
        tiles = _folded(tiles.reshape(-1, *tiles.shape[2:]))
    rows, columns, *outer, height, width = tiles.shape
    framed = np.full((rows, columns, *outer, height + gap_px, width + gap_px), np.nan, np.float32)
    framed[..., :height, :width] = tiles
    n = len(outer)
    order = [*range(2, 2 + n), 0, 2 + n, 1, 3 + n]
    image = framed.transpose(order).reshape(*outer, rows * (height + gap_px), columns * (width + gap_px))
    return image[..., :-gap_px, :-gap_px] if gap_px else image


def _folded(tiles: NDArray[Any]) -> NDArray[np.float32]:
    columns = ceil(sqrt(len(tiles)))
    rows = ceil(len(tiles) / columns)
    grid = np.full((rows * columns, *tiles.shape[1:]), np.nan, np.float32)
    grid[: len(tiles)] = tiles
    return grid.reshape(rows, columns, *tiles.shape[1:])
