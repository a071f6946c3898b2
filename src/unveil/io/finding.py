"""Find images in folders, and name them."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from unveil.errors import FileError
from unveil.io.split_images import without_parts
from unveil.words import count

TIFF_ENDINGS = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk")
"""Endings of files that are taken from a folder, in lower case."""

READABLE = "Unveil reads TIFF of any kind and OME-Zarr"


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the images among `paths`: files as they are, folders replaced by the images in them in natural order.

    Of files that hold one image together, the first stands for it.

    Raises
    ------
    FileError
        If a path does not exist, or a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if _is_missing(path):
            raise FileError(f"{path} does not exist. Give the path of an image or of a folder of images.")
        if not is_folder(path) or is_ome_zarr(path):
            found[path] = None
            continue
        images = _images_in(path)
        if not images:
            raise FileError(f"The folder {path} holds no images: {_inventory(path)}. {READABLE}.")
        found |= dict.fromkeys(images)
    return without_parts(found)


def is_ome_zarr(path: Path) -> bool:
    """Say whether the folder `path` is a Zarr store."""
    return is_folder(path) and any(is_file(path / name) for name in (".zattrs", ".zgroup", ".zarray", "zarr.json"))


def is_folder(path: Path) -> bool:
    """Say whether `path` is a folder; no where that may not be looked at."""
    return os.path.isdir(path)  # noqa: PTH112 (that of pathlib raises in a folder that may not be entered)


def is_file(path: Path) -> bool:
    """Say whether `path` is a file; no where that may not be looked at."""
    return os.path.isfile(path)  # noqa: PTH113 (that of pathlib raises in a folder that may not be entered)


def stem(path: Path) -> str:
    """Return the name of an image without its ending: ``cells`` for ``cells.ome.tif`` and ``cells.ome.zarr``.

    A folder given as ``.`` or ``..`` has its own name. What is but a number within a Zarr store, as the fields of a
    plate are, has the names down to it, too: ``plate_A_1_0`` for ``plate.zarr/A/1/0``.
    """
    name = path.resolve().name if path.name in ("", "..") else path.name
    store = next((above for above in path.absolute().parents if above.suffix.lower() == ".zarr"), None)
    if store is not None and name.isdecimal():
        return "_".join([stem(store), *path.absolute().relative_to(store).parts])
    for ending in (*TIFF_ENDINGS, ".zarr"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return name[:-4] if name.lower().endswith(".ome") else name


def as_on_disk(name: str) -> str:
    """Return what tells `name` from others where files are kept: Windows and macOS take upper case for lower."""
    return name.casefold() if sys.platform in ("win32", "darwin") else name


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key that puts ``cell2`` before ``cell10``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", text)]


def _images_in(folder: Path) -> list[Path]:
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise FileError(f"The folder {folder} cannot be read: {error.strerror or error}. Choose another.") from error
    return sorted(filter(_is_image, entries), key=lambda path: natural_key(path.name))


def _is_image(entry: Path) -> bool:
    """Say whether an entry of a folder is an image; what cannot be looked at counts, so that reading it says why."""
    ending = entry.suffix.lower()
    if is_ome_zarr(entry) or (ending in TIFF_ENDINGS and is_file(entry)):
        return True
    is_there = os.path.exists(entry)  # noqa: PTH110 (that of pathlib raises in a folder that may not be entered)
    return not is_there and ending in (*TIFF_ENDINGS, ".zarr")


def _is_missing(path: Path) -> bool:
    """Say whether nothing is at `path`; what may not be looked at is not missing, and reading it says why."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def _inventory(folder: Path) -> str:
    """Say what lies in `folder`: ``3 .png, 1 folder``."""
    kinds = Counter("folder" if is_folder(p) else p.suffix or "without an ending" for p in folder.iterdir())
    words = (count(n, kind) if kind == "folder" else f"{n} {kind}" for kind, n in kinds.most_common(5))
    return ", ".join(words) or "it is empty"
