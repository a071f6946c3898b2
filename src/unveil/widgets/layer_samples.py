"""A few pixels of layers, read quickly even where the whole is larger than memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from unveil.errors import ImageError
from unveil.image import ArrayLike, side_around
from unveil.widgets.layers import pixels
from unveil.widgets.pixel_grid import labels_axes, place_labels

_WINDOW_PX = 256
"""Edge of what is read of a plane of an image: always the same, so that it is read once."""
_LAZY_LABELS_PX = 512
"""Edge of what is read of labels that are no NumPy array."""
_GREEN = 1
"""The colour that is looked at."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """Parts of an array by their index, as text: slices are no keys before Python 3.12."""

    array: ArrayLike
    parts: dict[str, NDArray[Any]] = field(default_factory=dict)


_remembered: WeakKeyDictionary[ImageLayer | Labels, _Remembered] = WeakKeyDictionary()


def central_window(image: ImageLayer, axes: str, edge_px: int, **index: int) -> NDArray[np.float32]:
    """Read the middle of one plane, the first channel, as ``(Y, X)`` of at most `edge_px` and 256 pixels each.

    Parameters
    ----------
    index
        Which plane, per axis; the middle along those that are not named.
    """
    data = pixels(image)
    at = {letter: n // 2 for letter, n in zip(axes, data.shape, strict=False)} | {"C": 0} | index
    key: list[Any] = [
        _middle(n, _WINDOW_PX) if letter in "YX" else at[letter] for letter, n in zip(axes, data.shape, strict=False)
    ]
    read = _read(image, (*key, _GREEN) if image.rgb else tuple(key))
    window = np.nan_to_num(_cut(read, edge_px).astype(np.float32), posinf=0, neginf=0)
    return window if axes.index("Y") < axes.index("X") else window.T


def painted_windows(
    labels: Labels, image: ImageLayer, axes: str, budget_px: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read the neighbourhood of what is painted in one plane, ``(Y, X)``, and the same pixels of the image.

    Labels in memory are looked through for the plane with the most; a lazy array would be read whole for that, and
    there it is the middle one. The image's pixels are those of one channel.

    Returns
    -------
    labels, image
        Both empty where nothing was found; None for the image where the labels do not lie on it.
    """
    data = pixels(labels)
    edge_px = math.isqrt(budget_px)
    key = _painted_part(data, edge_px)
    if key is None:
        return np.zeros((0, 0), data.dtype), np.zeros((0, 0), np.float32)
    window = _cut(_read(labels, key), edge_px)
    try:
        start = place_labels(labels, image, axes)
    except ImageError:
        return window, None
    at = dict(zip(labels_axes(labels, axes), key, strict=True))
    beside = [part if isinstance(part := at.get(letter, 0), slice) else part + start.get(letter, 0) for letter in axes]
    return window, _cut(_read(image, (*beside, _GREEN) if image.rgb else tuple(beside)), edge_px)


def _painted_part(data: ArrayLike, edge_px: int) -> tuple[int | slice, ...] | None:
    if not isinstance(data, np.ndarray):
        return (*(n // 2 for n in data.shape[:-2]), *(_middle(n, _LAZY_LABELS_PX) for n in data.shape[-2:]))
    step = max(1, math.ceil(math.sqrt(data.size) / edge_px))
    coarse = data[..., ::step, ::step] != 0
    counts = coarse.sum(axis=(-2, -1))
    plane = np.unravel_index(int(counts.argmax()), counts.shape) if counts.ndim else ()
    y, x = (at * step for at in np.nonzero(coarse[plane]))
    if not len(y):
        return None
    return (*map(int, plane), _around(y, data.shape[-2], edge_px), _around(x, data.shape[-1], edge_px))


def _read(layer: ImageLayer | Labels, key: tuple[int | slice, ...]) -> NDArray[Any]:
    """Read a part of a layer's array; of one that is not in memory, once for as long as the layer holds it."""
    data = pixels(layer)
    if isinstance(data, np.ndarray):
        return data[key]
    known = _remembered.get(layer)
    if known is None or known.array is not data:
        known = _remembered[layer] = _Remembered(data)
        if isinstance(layer, Labels):
            for emitter in (layer.events.paint, layer.events.set_data):  # a stroke, and one that is undone
                emitter.connect(_forget)
    name = str(key)
    if name not in known.parts:
        known.parts[name] = np.asarray(data[key])
    return known.parts[name]


def _forget(event: Any) -> None:
    """Read anew what somebody has painted on."""
    _remembered.pop(event.source, None)


def _cut(plane: NDArray[Any], edge_px: int) -> NDArray[Any]:
    """Return the middle of ``(Y, X)``, at most `edge_px` each."""
    return plane[tuple(_middle(n, edge_px) for n in plane.shape)]


def _middle(length: int, edge_px: int) -> slice:
    start = max(0, (length - edge_px) // 2)
    return slice(start, start + edge_px)


def _around(positions: NDArray[np.intp], length: int, edge_px: int) -> slice:
    start = side_around(positions, edge_px, length).start
    start -= start % max(1, edge_px // 8)  # it moves with the brush seldom, and a lazy image is read seldom
    return slice(start, min(start + edge_px, length))
