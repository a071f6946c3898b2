"""Measure objects: size, place and mean intensity, one row per object."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unveil.axes import without
from unveil.errors import ImageError
from unveil.image import Frame, Image, frames

Columns = dict[str, NDArray[Any]]


def measure_objects(labels: Image, image: Image | None, *, n_dims: Literal[2, 3] | None = None) -> Columns:
    """Measure every object of every plane, or of every volume, into columns of equal length.

    Parameters
    ----------
    labels
        Integers, 0 is background, no channels. Lazy data are read frame by frame.
    image
        Intensities with the axes of `labels`, and channels if it has them; None measures shapes alone.
    n_dims
        2 measures areas plane by plane, 3 volumes; by default volumes where an object lies in more than one plane.

    Returns
    -------
    columns
        ``index`` (the object's number), ``t`` and ``z`` (the frame, where there are several axes), ``area_px`` or
        ``volume_px``, ``area_um2`` or ``volume_um3`` where the pixel size is known, ``centroid_y`` … in pixels and
        ``centroid_y_um`` … where the pixel size is known, ``mean_intensity`` or one ``mean_intensity_<channel>`` each.

    Raises
    ------
    ImageError
        If the labels are no integers, or the image does not lie over them.
    """
    _check(labels, image)
    if n_dims is None:
        n_dims = 3 if _spans_planes(labels) else 2
    channels = range(image.size("C")) if image is not None else range(0)
    over = frames(image, n_dims, tuple(channels)) if image is not None else None
    rows = [
        _measure_frame(frame, next(over) if over is not None else None)
        for frame in frames(labels, n_dims, channels=(0,))
    ]
    pixels = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return _named(pixels, labels, image, n_dims)


def _measure_frame(labels: Frame, image: Frame | None) -> Columns:
    """Measure one frame by counting pixels and summing their coordinates and intensities per object."""
    window = tuple(slice(0, size) for size in labels.shape[1:])
    ids = labels.read(window)[0]
    where = np.nonzero(ids)
    index, row = np.unique(ids[where], return_inverse=True)
    size = np.bincount(row, minlength=index.size)
    columns: Columns = {"index": index.astype(np.int64)}
    columns |= {axis: np.full(index.size, position) for axis, position in labels.index.items()}
    columns["size"] = size
    for axis, coordinates in zip("ZYX"[-labels.n_dims :], where, strict=True):
        columns[f"centroid {axis}"] = _means(coordinates, row, size)
    for channel, values in enumerate(image.read(window) if image is not None else ()):
        columns[f"mean {channel}"] = _means(values[where], row, size)
    return columns


def _means(values: NDArray[Any], row: NDArray[np.intp], size: NDArray[np.intp]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.bincount(row, values.astype(np.float64), minlength=size.size) / size
    return means


def _named(pixels: Columns, labels: Image, image: Image | None, n_dims: int) -> Columns:
    """Give the columns their public names and add those in micrometres."""
    spatial = "ZYX"[-n_dims:]
    size_um = labels.pixel_size_um or (image.pixel_size_um if image is not None else {})
    columns: Columns = {"index": pixels["index"]}
    columns |= {axis.lower(): pixels[axis] for axis in "TZ" if axis in pixels}
    columns["area_px" if n_dims == 2 else "volume_px"] = pixels["size"]
    if all(axis in size_um for axis in spatial):
        um = float(np.prod([size_um[axis] for axis in spatial]))
        columns["area_um2" if n_dims == 2 else "volume_um3"] = pixels["size"] * um
    for axis in spatial:
        columns[f"centroid_{axis.lower()}"] = pixels[f"centroid {axis}"]
    for axis in spatial:
        if axis in size_um:
            columns[f"centroid_{axis.lower()}_um"] = pixels[f"centroid {axis}"] * size_um[axis]
    for channel, name in enumerate(_channel_suffixes(image)):
        columns[f"mean_intensity{name}"] = pixels[f"mean {channel}"]
    return columns


def _channel_suffixes(image: Image | None) -> list[str]:
    if image is None:
        return []
    if "C" not in image.axes:
        return [""]
    are_distinct = len(set(image.channel_names)) == image.size("C")
    return [f"_{name}" for name in (image.channel_names if are_distinct else range(image.size("C")))]


def _spans_planes(labels: Image) -> bool:
    """Say whether an object of any time point lies in more than one plane."""
    if labels.size("Z") == 1:
        return False
    n_planes, seen = labels.size("Z"), set[int]()
    for number, plane in enumerate(frames(labels, 2, (0,))):
        if number % n_planes == 0:
            seen = set()
        ids = set(np.unique(plane.read(tuple(slice(0, size) for size in plane.shape[1:]))).tolist()) - {0}
        if ids & seen:
            return True
        seen |= ids
    return False


def _check(labels: Image, image: Image | None) -> None:
    problems = []
    if np.dtype(labels.data.dtype).kind not in "ui":
        problems.append(f"labels must be integers, not {labels.data.dtype}: convert them")
    if "C" in labels.axes:
        problems.append(f"labels have no channels, but these have axes {labels.axes}: choose one")
    if image is not None and without(labels.axes, "C") != without(image.axes, "C"):
        problems.append(f"labels have axes {labels.axes} and image '{image.name}' has {image.axes}: give equal axes")
    elif image is not None and any(labels.size(axis) != image.size(axis) for axis in without(image.axes, "C")):
        problems.append(
            f"labels have shape {labels.shape} ({labels.axes}) and image '{image.name}' has {image.shape} "
            f"({image.axes}): give the image that the labels were made from"
        )
    if problems:
        raise ImageError(f"Labels '{labels.name}' cannot be measured: {'; '.join(problems)}.")
