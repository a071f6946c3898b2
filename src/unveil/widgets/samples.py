"""File ▸ Open Sample: small images with labels, made by the project's own simulation."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any, TypeAlias

from unveil.image import Image
from unveil.io.images import read_image, read_labels

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Return fluorescent nuclei, some touching, and their labels."""
    return [_image("nuclei.tif", "nuclei"), _labels("nuclei_labels.tif", "nuclei, true labels")]


def noise_pair() -> list[LayerData]:
    """Return a noisy image and, below it, the same without noise."""
    return [_image("clean.tif", "clean"), _image("noisy.tif", "noisy")]


def volume() -> list[LayerData]:
    """Return a stack of nuclei and its labels."""
    return [_image("volume.tif", "volume"), _labels("volume_labels.tif", "volume, true labels")]


def _image(file: str, name: str) -> LayerData:
    with as_file(files("unveil") / "sample_data" / file) as path:
        image = read_image(path)
    return image.data[...], {"name": name, "colormap": "gray", **_space(image)}, "image"


def _labels(file: str, name: str) -> LayerData:
    with as_file(files("unveil") / "sample_data" / file) as path:
        labels = read_labels(path)
    return labels.data[...], {"name": name, "visible": False, **_space(labels)}, "labels"


def _space(image: Image) -> dict[str, Any]:
    """Return scale, units and axis labels of `image`; all its sizes are known."""
    return {
        "scale": [image.pixel_size_um.get(axis, 1.0) for axis in image.axes],
        "units": ["um" if axis in image.pixel_size_um else "pixel" for axis in image.axes],
        "axis_labels": [axis.lower() for axis in image.axes],
    }
