"""Images in OME-TIFF that are split over several files, each of which tells of all: one image, not one per file."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable
from pathlib import Path
from xml.etree.ElementTree import ParseError, fromstring

from unveil.errors import UnveilWarning
from unveil.words import count, listed

_ENDINGS = (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")
_MOST_NAMED = 3


def without_parts(files: Iterable[Path]) -> list[Path]:
    """Return `files` less those whose image an earlier one gives whole; a warning names them."""
    files = list(files)
    if sum(path.name.lower().endswith(_ENDINGS) for path in files) < 2:
        return files
    images: dict[Hashable, list[Path]] = {}
    for path in files:
        images.setdefault(_image_in(path), []).append(path)
    for first, *others in images.values():
        if others:
            names = listed([path.name for path in others], _MOST_NAMED)
            warnings.warn(
                f"{first.name} and {count(len(others), 'other file')} ({names}) are one image, which is read once, "
                f"as {first.name}.",
                UnveilWarning,
                stacklevel=3,
            )
    return [first for first, *_ in images.values()]


def _image_in(path: Path) -> Hashable:
    """Return what tells the image that reading `path` gives from others: it is the first with pixels in this file."""
    if not path.name.lower().endswith(_ENDINGS):
        return path
    names = next((names for names in _files_of_images(path) if path.name in names), None)
    return path if names is None else (path.parent, names)


def _files_of_images(path: Path) -> list[frozenset[str]]:
    """Return the names of the files of each image that the file `path` tells of."""
    import tifffile  # slow to import

    try:
        with tifffile.TiffFile(path) as tif:
            described = fromstring(tif.ome_metadata or "")
    except (OSError, ValueError, ParseError, tifffile.TiffFileError):  # what is wrong with it is said when it is read
        return []
    return [
        frozenset(uuid.get("FileName", "") for uuid in image.iterfind(".//{*}UUID"))
        for image in described.iterfind("{*}Image")
    ]
