"""What tells the pixels of a layer from others, so that a run that was ended is gone on with on the same ones only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from unveil.events import Monitor, Progress
from unveil.image import Image
from unveil.widgets.layers import Source

_N_SAMPLES = 5
_SAMPLE_PX = 128


def layer_traits(source: Source, cut: str, monitor: Monitor) -> dict[str, JsonValue]:
    """Return the traits of what is computed of a layer: its file, if it has one, and a digest of pixels.

    Pixels in memory are all looked at; of others, some blocks are.

    Parameters
    ----------
    cut
        Axes along which only the plane shown is meant.
    monitor
        Called at least once per plane.
    """
    from unveil.tasks.growing import file_traits

    image = source.image(cut)
    digest = hashlib.blake2b(digest_size=16)
    for block in _planes(image) if _is_in_memory(image) else _samples(image):
        monitor(Progress(0, 0))
        digest.update(np.ascontiguousarray(block).data)
    file = source.file
    return {
        **(file_traits(file) if file is not None and file.exists() else {"layer": source.name}),
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": str(image.data.dtype),
        "plane": {axis: source.position[axis] for axis in cut},
        "pixel_size_um": dict(image.pixel_size_um),
        "origin_um": dict(image.origin_um),
        "pixels": digest.hexdigest(),
    }


def _is_in_memory(image: Image) -> bool:
    return isinstance(image.data, np.ndarray) and not isinstance(image.data, np.memmap)


def _planes(image: Image) -> Iterator[NDArray[Any]]:
    for outer in np.ndindex(*image.shape[:-2]):
        yield np.asarray(image.data[outer])


def _samples(image: Image) -> Iterator[NDArray[Any]]:
    """Yield blocks along both diagonals of the image, through all its other axes."""
    for n in range(_N_SAMPLES):
        part = n / (_N_SAMPLES - 1)
        outer = tuple(round(part * (size - 1)) for size in image.shape[:-2])
        height, width = image.shape[-2:]
        for along_x in (part, 1 - part):
            yield np.asarray(image.data[(*outer, _span(part, height), _span(along_x, width))])


def _span(part: float, length: int) -> slice:
    start = round(part * max(length - _SAMPLE_PX, 0))
    return slice(start, start + _SAMPLE_PX)
