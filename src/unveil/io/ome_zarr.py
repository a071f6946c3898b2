"""Read OME-Zarr (0.1 to 0.4 in Zarr 2, 0.5 in Zarr 3): the finest level, pixels when they are sliced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr

from unveil.errors import FileError, UnveilError
from unveil.io.finding import natural_key
from unveil.io.raster import Raster
from unveil.io.tiff_metadata import plausible, seconds, um_per_unit

PIECE_LIMIT_BYTES = 2**31
"""Largest chunk that is decoded in one piece."""


def read_ome_zarr(path: Path, *, axes: str | None, as_labels: bool) -> Raster:
    """Open the OME-Zarr image at `path`; as labels, open its labels where it has exactly one set of them.

    A plain Zarr array is read where `axes` says what its dimensions are.

    Raises
    ------
    FileError
        If the metadata are damaged, or this is a plate, a well or a collection: the message says which path to give.
    """
    try:
        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Array):
            return _plain(node, path, axes)
        return _image(_labels_group(node, path) if as_labels else node, path)
    except UnveilError:
        raise
    except Exception as error:  # metadata written by others can be wrong in any way
        raise FileError(
            f"{path} is no OME-Zarr image that can be read: its metadata are damaged or incomplete "
            f"({type(error).__name__}: {str(error)[:160]}). Copy or export it again."
        ) from error


def _plain(array: zarr.Array[Any], path: Path, axes: str | None) -> Raster:
    if axes is None:
        raise FileError(
            f"{path} is a plain Zarr array that does not say what its {array.ndim} dimensions are. "
            f"Give the axes, such as ZYX, or choose the OME-Zarr image it belongs to."
        )
    return Raster(_checked(array, path), "Q" * (array.ndim - 2) + "YX")


def _image(group: zarr.Group, path: Path) -> Raster:
    attributes = _attributes(group)
    multiscales = attributes.get("multiscales")
    if not multiscales:
        raise FileError(_no_image(group, attributes, path))
    multiscale = multiscales[0]
    level = multiscale["datasets"][0]
    array = group[level["path"]]
    if not isinstance(array, zarr.Array):
        raise FileError(f"{path} names {level['path']} as its pixels, which is no array. Export it again.")
    described = multiscale.get("axes") or [*"tczyx"]
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in described]
    letters = "".join(_letter(str(axis["name"])) for axis in named)
    if len(letters) != array.ndim:
        raise FileError(f"{path} names {len(letters)} axes for pixels of {array.ndim} dimensions. Export it again.")
    scale, translation = _transformation(multiscale, level, len(letters))
    size, origin = _space_um(named, letters, scale, translation)
    intervals = [
        seconds(step, axis.get("unit"))
        for letter, axis, step in zip(letters, named, scale, strict=True)
        if letter == "T"
    ]
    channels = (attributes.get("omero") or {}).get("channels") or []
    return Raster(
        _checked(array, path),
        letters,
        pixel_size_um=size,
        channel_names=_names([channel.get("label") for channel in channels]),
        origin_um=origin,
        frame_interval_s=intervals[0] if intervals else None,
    )


def _attributes(group: zarr.Group) -> Mapping[str, Any]:
    """Return the OME metadata: at the top in Zarr 2, under ``ome`` in Zarr 3."""
    attributes = dict(group.attrs)
    nested = attributes.get("ome")
    return nested if isinstance(nested, dict) else attributes


def _labels_group(group: zarr.Group, path: Path) -> zarr.Group:
    """Return the labels of an image; a group without further labels is taken as labels itself."""
    if "labels" not in group:
        return group
    labels = group["labels"]
    names = list(_attributes(labels).get("labels") or []) if isinstance(labels, zarr.Group) else []
    if len(names) != 1:
        given = ", ".join(str(path / "labels" / name) for name in names)
        raise FileError(f"{path} has {len(names)} sets of labels. Give the path of one{': ' if given else ''}{given}.")
    chosen = group[f"labels/{names[0]}"]
    if not isinstance(chosen, zarr.Group):
        raise FileError(f"{path} has labels '{names[0]}' that are no OME-Zarr image. Export it again.")
    return chosen


def _no_image(group: zarr.Group, attributes: Mapping[str, Any], path: Path) -> str:
    if "plate" in attributes:
        wells = [well["path"] for well in attributes["plate"].get("wells", [])]
        example = path / (wells[0] if wells else "A/1") / "0"
        return f"{path} is a plate of {len(wells)} wells, not one image. Give one field of it, such as {example}."
    if "well" in attributes:
        fields = [image["path"] for image in attributes["well"].get("images", [])]
        return (
            f"{path} is a well of {len(fields)} fields, not one image. Give one, such as {path / (fields or ['0'])[0]}."
        )
    members = [name for name in sorted(group.group_keys(), key=natural_key) if name != "OME"]
    if members:
        named = ", ".join(str(path / name) for name in members[:5])
        return f"{path} is a Zarr group without an image of its own. Give one of its members: {named}."
    return f"{path} is a Zarr group without OME metadata (multiscales). Choose an OME-Zarr image."


def _letter(name: str) -> str:
    """Return the axis letter for a name of OME-Zarr; what it does not know stays unknown."""
    letter = name.upper()
    return letter if letter in {"T", "C", "Z", "Y", "X"} else letter[:1] if letter[:1] not in "TCZYXIQS" else "Q"


def _space_um(
    named: list[dict[str, Any]], letters: str, scale: list[float], translation: list[float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return pixel size and origin in micrometres, per spatial axis of known pixel size."""
    sizes, origins = {}, {}
    for letter, axis, size, start in zip(letters, named, scale, translation, strict=True):
        factor = um_per_unit(axis.get("unit"))
        if letter in "ZYX" and factor is not None:
            sizes[letter], origins[letter] = size * factor, start * factor
    sizes = plausible(sizes)
    return sizes, {axis: um for axis, um in origins.items() if axis in sizes and um != 0 and math.isfinite(um)}


def _transformation(
    multiscale: Mapping[str, Any], level: Mapping[str, Any], n_axes: int
) -> tuple[list[float], list[float]]:
    """Return scale and translation per axis: what is said of the level, then what is said of all levels."""
    scale, translation = [1.0] * n_axes, [0.0] * n_axes
    for one in [*level.get("coordinateTransformations", []), *multiscale.get("coordinateTransformations", [])]:
        kind = one.get("type")
        values = one.get(kind) if kind in ("scale", "translation") else None
        if not isinstance(values, list) or len(values) != n_axes:
            continue
        values = [float(value) for value in values]
        if kind == "scale":
            scale = [old * factor for old, factor in zip(scale, values, strict=True)]
            translation = [old * factor for old, factor in zip(translation, values, strict=True)]
        else:
            translation = [old + shift for old, shift in zip(translation, values, strict=True)]
    return scale, translation


def _names(labels: list[Any]) -> tuple[str, ...]:
    names = ["" if label is None else str(label).strip() for label in labels]
    return tuple(names) if all(names) and len(set(names)) == len(names) else ()


def _checked(array: zarr.Array[Any], path: Path) -> zarr.Array[Any]:
    n_piece = math.prod(array.chunks) * array.dtype.itemsize
    if n_piece > PIECE_LIMIT_BYTES:
        raise FileError(
            f"{path} is stored in chunks of {n_piece / 2**30:.1f} GiB; up to {PIECE_LIMIT_BYTES / 2**30:.0f} GiB are "
            f"decoded at once. Store it in smaller chunks."
        )
    return array
