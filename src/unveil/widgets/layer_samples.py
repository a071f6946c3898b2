"""A few pixels of layers, read quickly even where the whole is larger than memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from unveil.widgets.training_layers import pixels


def central_window(image: ImageLayer, axes: str, edge_px: int, **index: int) -> NDArray[np.float32]:
    """Read the middle of one plane, the first channel, as ``(Y, X)`` of at most `edge_px` each.

    Parameters
    ----------
    index
        Which plane, per axis; the middle along those that are not named.
    """
    data = pixels(image)
    at = {letter: n // 2 for letter, n in zip(axes, data.shape, strict=False)} | {"C": 0} | index
    key: list[Any] = [
        _middle(n, edge_px) if letter in "YX" else at[letter] for letter, n in zip(axes, data.shape, strict=False)
    ]
    window = np.asarray(data[(*key, 1) if image.rgb else tuple(key)], np.float32)  # of colours, green
    window = np.nan_to_num(window, posinf=0, neginf=0)
    return window if axes.index("Y") < axes.index("X") else window.T


def painted_window(labels: Labels, budget_px: int) -> NDArray[Any]:
    """Read the neighbourhood of what is painted in one plane, ``(Y, X)``; empty where nothing was found.

    In memory that is the plane with the most labels. A lazy array would be read whole for that; there it is the middle
    one.
    """
    data = pixels(labels)
    edge_px = math.isqrt(budget_px)
    if not isinstance(data, np.ndarray):
        plane: Any = tuple(n // 2 for n in data.shape[:-2])
        return np.asarray(data[(*plane, *(_middle(n, edge_px) for n in data.shape[-2:]))])
    step = max(1, math.ceil(math.sqrt(data.size / budget_px)))
    coarse = data[..., ::step, ::step] != 0
    counts = coarse.sum(axis=(-2, -1))
    plane = np.unravel_index(int(counts.argmax()), counts.shape) if counts.ndim else ()
    y, x = (at * step for at in np.nonzero(coarse[plane]))
    if not len(y):
        return np.zeros((0, 0), data.dtype)
    window: NDArray[Any] = data[(*plane, _around(y, data.shape[-2], edge_px), _around(x, data.shape[-1], edge_px))]
    return window


def _middle(length: int, edge_px: int) -> slice:
    start = max(0, (length - edge_px) // 2)
    return slice(start, start + edge_px)


def _around(positions: NDArray[np.intp], length: int, edge_px: int) -> slice:
    start = int(np.clip(int(np.median(positions)) - edge_px // 2, 0, max(0, length - edge_px)))
    return slice(start, start + edge_px)
