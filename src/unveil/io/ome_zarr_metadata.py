"""What OME-Zarr 0.4 says of an image, as the plain dictionaries that Zarr stores.

Version 0.4 in Zarr 2, not 0.5 in Zarr 3: in 2026 it is still the one that most programs read; ome-zarr-py took up 0.5
in 2025, and the converters of Bio-Formats stay with 0.4. Our reader reads both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from unveil.image import Image

VERSION = "0.4"
_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_COLOURS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def multiscale(image: Image, n_levels: int, *, as_labels: bool, folder: str = "") -> dict[str, JsonValue]:
    """Describe the `n_levels` levels of `image` in `folder`: axes, steps along them, and where they begin.

    The first pixel of level 0 lies at the origin of `image`. A pixel that is a mean has its centre between those of the
    pixels it is made of, ``(2**level - 1) / 2`` pixels of level 0 further; labels keep every second pixel where it is.
    """
    levels: list[JsonValue] = []
    for level in range(n_levels):
        transformations: list[JsonValue] = [{"type": "scale", "scale": _scale(image, level)}]
        translation = _translation(image, 0 if as_labels else level)
        if any(translation):
            transformations.append({"type": "translation", "translation": translation})
        levels.append({"path": f"{folder}{level}", "coordinateTransformations": transformations})
    how = "every second pixel along Y and X" if as_labels else "mean of 2 by 2 pixels along Y and X"
    return {
        "version": VERSION,
        "name": image.name,
        "type": "nearest" if as_labels else "mean",
        "metadata": {"description": how},
        "axes": [_axis(letter, image) for letter in image.axes],
        "datasets": levels,
    }


def omero(image: Image, coarsest: NDArray[Any]) -> dict[str, JsonValue]:
    """Name the channels of `image`, with a colour and a contrast from its coarsest level ``(..., Y, X)``."""
    is_single = len(image.channel_names) == 1
    channels: list[JsonValue] = []
    for index, name in enumerate(image.channel_names):
        pixels = coarsest.take(index, axis=image.axes.index("C")) if "C" in image.axes else coarsest
        colour = "FFFFFF" if is_single else _COLOURS[index % len(_COLOURS)]
        channels.append({"label": name, "color": colour, "active": True, "window": _contrast(pixels)})
    return {"version": VERSION, "channels": channels}


def _contrast(pixels: NDArray[Any]) -> JsonValue:
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    high = high if high > low else low + 1
    return {"min": low, "max": high, "start": low, "end": high}


def image_label(*, has_image: bool) -> dict[str, JsonValue]:
    """Mark a group as labels; of the image two groups above, where there is one."""
    return {"version": VERSION} | ({"source": {"image": "../../"}} if has_image else {})


def _axis(letter: str, image: Image) -> JsonValue:
    unit = {"unit": "micrometer"} if letter in image.pixel_size_um else {}
    if letter == "T" and image.frame_interval_s is not None:
        unit = {"unit": "second"}
    return {"name": letter.lower(), "type": _TYPES[letter], **unit}


def _scale(image: Image, level: int) -> list[JsonValue]:
    steps = {**image.pixel_size_um, "T": image.frame_interval_s or 1.0}
    return [steps.get(axis, 1.0) * (2**level if axis in "YX" else 1) for axis in image.axes]


def _translation(image: Image, level: int) -> list[JsonValue]:
    shift = (2**level - 1) / 2
    return [
        image.origin_um.get(axis, 0.0) + (image.pixel_size_um.get(axis, 1.0) * shift if axis in "YX" else 0.0)
        for axis in image.axes
    ]
