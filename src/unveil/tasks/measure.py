"""Measure objects: size, place and mean intensity, one row per object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unveil.axes import without
from unveil.errors import ImageError
from unveil.image import Frame, Image, frames, whole
from unveil.inference.tiling import Tiling, Window
from unveil.operators.objects import numbered
from unveil.operators.uncertainty import NAMES
from unveil.tasks.results import Segmentation

Columns = dict[str, NDArray[Any]]

_BLOCK_PIXELS = 1 << 20
"""So many are read at once, so that labels and image may be larger than memory."""


def measure_objects(labels: Image, image: Image | None, *, n_dims: Literal[2, 3] | None = None) -> Columns:
    """Measure every object of every plane, or of every volume, into columns of equal length.

    Parameters
    ----------
    labels
        Integers, 0 is background, no channels. Lazy data are read block by block.
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


def measure_segmentation(segmentation: Segmentation, image: Image) -> Columns:
    """Measure every object of a segmentation of `image`, as `measure_objects` does.

    Where the uncertainty was computed there are two columns more, means over the object's pixels: ``mean_entropy_bits``
    and ``mean_disagreement_bits``. An object whose views contradict each other would look other in a turned image.
    """
    labels, n_dims = segmentation.labels, segmentation.card.architecture.n_dims
    columns = measure_objects(labels, image, n_dims=n_dims)
    if segmentation.uncertainty is not None:
        unsure = measure_objects(labels, segmentation.uncertainty, n_dims=n_dims)
        columns |= {f"mean_{name}_bits": unsure[f"mean_intensity_{name}"] for name in NAMES}
    return columns


def _measure_frame(labels: Frame, image: Frame | None) -> Columns:
    """Measure one frame from what its blocks add to each object."""
    side = int(_BLOCK_PIXELS ** (1 / labels.n_dims))
    blocks = Tiling.of(labels.shape[1:], side, (1,) * labels.n_dims, (0,) * labels.n_dims)
    parts = [_sums(labels.read(b.inner)[0], b.inner, image.read(b.inner) if image else ()) for b in blocks]
    index, row = numbered(np.concatenate([ids for ids, _ in parts]))
    sums = [np.bincount(row, s, minlength=index.size) for s in np.concatenate([s for _, s in parts], axis=1)]
    size, means = sums[0].astype(np.int64), [total / sums[0] for total in sums[1:]]
    columns: Columns = {"index": index}
    columns |= {axis: np.full(index.size, position) for axis, position in labels.index.items()}
    columns["size"] = size
    columns |= {f"centroid {axis}": mean for axis, mean in zip("ZYX"[-labels.n_dims :], means, strict=False)}
    return columns | {f"mean {channel}": mean for channel, mean in enumerate(means[labels.n_dims :])}


def _sums(
    labels: NDArray[Any], window: Window, channels: Iterable[NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the objects in a block ``(*window)`` and, per object, its pixels there and the sums over them.

    Returns
    -------
    index
        Their numbers ``(n,)``.
    sums
        Shape ``(1 + n_dims + C, n)``: how many pixels, the sum of each coordinate in the frame, of each intensity.
    """
    where = np.nonzero(labels)
    index, row = numbered(labels[where].astype(np.int64))
    if index.size and index[0] < 0:
        raise ImageError(
            f"The labels hold {labels[where][row == 0][0]}; objects are numbers from 1 to 2⁶³−1. Number them anew."
        )
    values = [along + part.start for along, part in zip(where, window, strict=True)]
    values += [channel[where].astype(np.float64) for channel in channels]
    size = np.bincount(row, minlength=index.size)
    return index, np.stack([size, *(np.bincount(row, each, minlength=index.size) for each in values)])


def _named(pixels: Columns, labels: Image, image: Image | None, n_dims: int) -> Columns:
    """Give the columns their public names and add those in micrometres."""
    spatial = "ZYX"[-n_dims:]
    size_um = {**(image.pixel_size_um if image is not None else {}), **labels.pixel_size_um}
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
        ids = set(np.unique(plane.read(whole(plane.shape[1:]))).tolist()) - {0}
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
