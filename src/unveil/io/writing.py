"""Write results: labels and images as TIFF, tables as CSV, never a broken file.

Everything is written to a hidden file beside its place first and moved there when it is complete.
"""

from __future__ import annotations

import csv
import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.axes import without
from unveil.errors import FileError, ImageError
from unveil.image import Image

_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_OME_DTYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
_IMAGEJ_LIMIT_BYTES = 2**30
"""ImageJ stacks are one uncompressed block; larger results go to OME-TIFF."""
_BIGTIFF_FROM_BYTES = 3 * 2**30


def write_labels(path: Path, image: Image) -> None:
    """Write labels as TIFF of the smaller of uint16 and uint32 that holds their ids, with axes and pixel size.

    Raises
    ------
    ImageError
        If the pixels are no labels: fractions, or negative numbers.
    FileError
        If the file cannot be written; nothing is left behind.
    """
    if np.dtype(image.data.dtype).kind not in "ui":
        raise ImageError(
            f"'{image.name}' holds {image.data.dtype} pixels; labels are whole numbers from 0. Round them."
        )
    low, high = _extremes(image)
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise ImageError(f"'{image.name}' holds labels from {low} to {high}; they must lie between 0 and 2³²−1.")
    _write_tiff(path, image, "uint16" if high <= np.iinfo(np.uint16).max else "uint32", compress=True)


def write_image(path: Path, image: Image) -> None:
    """Write intensities, probabilities or distances as TIFF, with axes, pixel size and channel names.

    The format is that of ImageJ where it holds the image (8- and 16-bit unsigned, float32, up to 1 GiB), since Fiji
    opens it with axes and pixel size by itself, and OME-TIFF otherwise. Half floats become float32; 64-bit integers
    become 32-bit ones where they fit.

    Raises
    ------
    ImageError
        If 64-bit integers do not fit into 32 bits.
    FileError
        If the file cannot be written; nothing is left behind.
    """
    _write_tiff(path, image, _file_dtype(image), compress=False)


def write_table(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write `columns`, one-dimensional and of one length, as CSV with a heading.

    Raises
    ------
    FileError
        If the file cannot be written; nothing is left behind.
    """
    with atomically(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; move it to `path` on success, remove it on any exception.

    The folder is made where it is missing. A link at `path` stays one: its target is replaced.

    Raises
    ------
    FileError
        If the disk is full, the folder cannot be written to, or `path` is a folder.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix}")  # no longer where the name is long
    try:
        _refuse_folder(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        flush(part)
        part.replace(target)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {reason(error)}") from error
    finally:
        # After success nothing is there; after a failure the folder may be gone or never have been one.
        try:
            part.unlink(missing_ok=True)
        except OSError:
            if os.path.exists(part):  # noqa: PTH110 (that of pathlib raises in a folder that may not be entered)
                raise


def check_output_folder(path: Path) -> Path:
    """Make the folder `path` where it is missing, and try to write there: cheap, before long work.

    Raises
    ------
    FileError
        If it cannot be made or written to.
    """
    path = Path(path)
    trial = path / f".unveil-{secrets.token_hex(4)}.part"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise FileError(f"Results cannot be written to the folder {path}: {reason(error)}") from error
    return path


def check_output_file(path: Path) -> None:
    """Check that the file `path` may be written or replaced, and make its folder: cheap, before long work.

    Raises
    ------
    FileError
        If its folder cannot be made or written to, or what stands there is a folder or write-protected.
    """
    check_output_folder(folder_of(path))
    _refuse_folder(path)
    refuse_protected(path)


def folder_of(path: Path) -> Path:
    """Return the folder that a result written to `path` will lie in: where that is a link, its target is replaced."""
    is_link = os.path.islink(path)  # noqa: PTH114 (that of pathlib raises in a folder that may not be entered)
    return (Path(os.path.realpath(path)) if is_link else path).parent


def refuse_protected(path: Path) -> None:
    """Refuse to replace what a user protected: moving another file to its place would not ask the system.

    Raises
    ------
    FileError
        If the file or folder `path` is there, and may not be written to.
    """
    if path.exists() and not os.access(path, os.W_OK):
        raise FileError(
            f"{path} is write-protected and would be replaced. Choose another folder, or allow to write to it."
        )


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise FileError(f"{path} is a folder, not a file. Give the name of a file.")


def reason(error: OSError) -> str:
    """Say why something cannot be written, and what to do: the end of a message."""
    if error.errno == errno.ENAMETOOLONG:
        return "its name is too long. Give a shorter one."
    found = error.strerror or f"the disk has no room ({error})"  # NumPy's error has no number of the system
    if isinstance(error, FileExistsError | NotADirectoryError):
        found = "a file stands where a folder is needed"
    return f"{found}. Choose a folder that can be written to and has enough free space."


def flush(path: Path) -> None:
    """Wait until the disk has `path`, so that a power cut cannot leave an empty file under the final name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _file_dtype(image: Image) -> str:
    dtype = np.dtype(image.data.dtype).newbyteorder("=")
    if dtype.name in _OME_DTYPES:
        return str(dtype.name)
    if dtype.kind == "f":
        return "float32" if dtype.itemsize < 4 else "float64"
    low, high = _extremes(image)
    for name in ("int32", "uint32"):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return name
    raise ImageError(
        f"'{image.name}' holds {dtype} values from {low} to {high}, too large for a TIFF of 32-bit integers. "
        f"Convert it to float32."
    )


def _extremes(image: Image) -> tuple[int, int]:
    """Return the lowest and the highest pixel of an image of integers."""
    lows, highs = zip(*((int(plane.min()), int(plane.max())) for plane in _planes(image, image.axes)), strict=True)
    return min(lows), max(highs)


def _write_tiff(path: Path, image: Image, dtype: str, *, compress: bool) -> None:
    import tifffile  # slow to import, and the panel asks this room only for models

    n_bytes = int(np.prod(image.shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    known = {axis for axis in "YX" if axis in image.pixel_size_um}
    as_imagej = (
        dtype in _IMAGEJ_DTYPES and n_bytes <= _IMAGEJ_LIMIT_BYTES and (len(known) == 2 or not image.pixel_size_um)
    )
    axes = "".join(a for a in ("TZCYX" if as_imagej else "TCZYX") if a in image.axes)
    options = _imagej_options(image, axes) if as_imagej else _ome_options(image, axes)
    # ImageJ reads a stack as one block and would take compressed planes for pixels.
    compression = "zlib" if compress and (not as_imagej or axes == "YX") else None
    planes = (plane.astype(dtype, copy=False) for plane in _planes(image, axes))
    with atomically(path) as part:
        tifffile.imwrite(
            part,
            planes,
            shape=tuple(image.size(axis) for axis in axes),
            dtype=dtype,
            bigtiff=n_bytes >= _BIGTIFF_FROM_BYTES,
            photometric="minisblack",
            compression=compression,
            **options,
        )


def _imagej_options(image: Image, axes: str) -> dict[str, Any]:
    size = image.pixel_size_um
    metadata: dict[str, Any] = {"axes": axes}
    if image.channel_names and "C" in axes:
        n_planes = int(np.prod([image.size(axis) for axis in without(axes, "CYX")], dtype=int))
        metadata["Labels"] = list(image.channel_names) * n_planes
        metadata["mode"] = "composite" if image.size("C") <= 7 else "grayscale"
    if image.frame_interval_s is not None:
        metadata["finterval"] = image.frame_interval_s
    if not size:
        return {"imagej": True, "metadata": metadata}
    metadata["unit"] = "um"
    if "Z" in size:
        metadata["spacing"] = size["Z"]
    return {"imagej": True, "metadata": metadata, "resolution": (1 / size["X"], 1 / size["Y"])}


def _ome_options(image: Image, axes: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes, "Name": image.name}
    for axis, um in image.pixel_size_um.items():
        metadata |= {f"PhysicalSize{axis}": um, f"PhysicalSize{axis}Unit": "µm"}
    if image.frame_interval_s is not None:
        metadata |= {"TimeIncrement": image.frame_interval_s, "TimeIncrementUnit": "s"}
    if image.channel_names and "C" in axes:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    return {"ome": True, "metadata": metadata}


def _planes(image: Image, axes: str) -> Iterator[NDArray[Any]]:
    """Yield the planes ``(Y, X)`` of `image` in the order of the outer letters of `axes`, each read once."""
    outer = without(axes, "YX")
    for position in np.ndindex(*(image.size(axis) for axis in outer)):
        index = dict(zip(outer, position, strict=True))
        yield np.asarray(image.data[tuple(index.get(axis, slice(None)) for axis in image.axes)])
