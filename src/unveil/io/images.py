"""Read images and labels from files, and find them: the one door of this room for pixels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.errors import FileError, ImageError
from unveil.image import Image
from unveil.io.finding import READABLE, find_images, is_folder, is_ome_zarr, stem
from unveil.io.pairs import pair_files
from unveil.io.raster import to_image

__all__ = ["find_images", "pair_files", "read_image", "read_labels"]

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES = {
    b"ZISRAWFILE": "a Zeiss CZI file",
    b"\xda\xce\xbe\n": "a Nikon ND2 file",
    b"p\0\0\0": "a Leica LIF file",
    b"\xd0\xcf\x11\xe0": "an Olympus OIB, Zeiss ZVI or Office file",
    b"\x89HDF": "an HDF5 or Imaris file",
    b"\x89PNG": "a PNG file",
    b"\xff\xd8\xff": "a JPEG file",
    b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"DCIM": "a DeltaVision file",
}
_EXPORT = "Open it in Fiji (Bio-Formats) or in the microscope's software and export it as OME-TIFF."


def read_image(path: Path, *, axes: str | None = None) -> Image:
    """Read an image from a TIFF file or an OME-Zarr folder; large ones are read when they are sliced.

    A dimension that the file does not name is read as depth (Z); colours become channels, transparency is left out;
    palettes that grow from dark to bright are taken for intensities, others are refused.

    Parameters
    ----------
    axes
        What the dimensions of the file are, where it says nothing or something wrong: one letter of TCZYX each.

    Raises
    ------
    FileError
        If there is no such file, or it cannot be read.
    ImageError
        If the pixels are no intensities, or the axes are not known.
    """
    return _read(Path(path), axes, as_labels=False)


def read_labels(path: Path, *, axes: str | None = None) -> Image:
    """Read labels: whole numbers from 0, as they are in the file; true and false become 1 and 0.

    Floats that are whole numbers become int32. Of an OME-Zarr image its only labels are read.

    Parameters
    ----------
    axes
        Those of the labels or of their image, whose channels are left out; see `read_image`.

    Raises
    ------
    FileError
        If there is no such file, or it cannot be read.
    ImageError
        If the pixels are no labels (colours, fractions, or negative numbers), or the axes do not describe them.
    """
    image = _read(Path(path), axes, as_labels=True)
    if image.size("C") > 1:
        raise ImageError(
            f"'{image.name}' has {image.size('C')} channels; labels have one number per pixel. "
            f"Save the label image itself, not a coloured picture of it."
        )
    for block in _blocks(image):
        problem = _label_problem(block)
        if problem:
            raise ImageError(
                f"'{image.name}' holds {problem}; labels are whole numbers from 0. Choose a label image, or convert it."
            )
    if np.dtype(image.data.dtype).kind != "f":
        return image
    return image.like(np.asarray(image.data[...]).astype(np.int32), image.axes)


def _read(path: Path, axes: str | None, *, as_labels: bool) -> Image:
    if is_ome_zarr(path):
        from unveil.io.ome_zarr import read_ome_zarr  # zarr is slow to import, and most files are TIFF

        raster = read_ome_zarr(path, axes=axes, as_labels=as_labels)
    else:
        _check_is_tiff(path)
        from unveil.io.tiff import read_tiff  # slow to import

        raster = read_tiff(path, as_labels=as_labels)
    again = partial(_read, path.absolute(), axes, as_labels=as_labels)
    return to_image(raster, path, axes=axes, name=stem(path) or path.name, as_labels=as_labels, open_again=again)


def _check_is_tiff(path: Path) -> None:
    if is_folder(path):
        raise FileError(f"{path} is a folder and no OME-Zarr image. Choose an image. {READABLE}.")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise FileError(f"{path} cannot be opened: {error.strerror or error}. Choose an image file.") from error
    if start.startswith(_TIFF_SIGNATURES):
        return
    if not start:
        raise FileError(f"{path} is empty. Copy the file again.")
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            raise FileError(f"{path} is {kind}; {READABLE}. {_EXPORT}")
    raise FileError(f"{path} is no TIFF file, whatever its ending; {READABLE}. {_EXPORT}")


def _blocks(image: Image) -> Iterator[NDArray[Any]]:
    """Yield the image along its first axis, so that labels larger than memory can be looked through."""
    if isinstance(image.data, np.ndarray) or len(image.axes) == 2:
        yield np.asarray(image.data[...])
        return
    for index in range(image.shape[0]):
        yield np.asarray(image.data[index])


def _label_problem(block: NDArray[Any]) -> str:
    kind = block.dtype.kind
    if kind == "f":
        if not np.isfinite(block).all() or np.any(block != np.floor(block)):
            return "fractions (probabilities or intensities?)"
        if block.max(initial=0) > np.iinfo(np.int32).max:
            return "numbers beyond 2³¹"
    if kind in "if" and block.min(initial=0) < 0:
        return "negative numbers"
    return ""
