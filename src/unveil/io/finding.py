"""Find images in folders, and name them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from unveil.errors import FileError

TIFF_ENDINGS = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk")
"""Endings of files that are taken from a folder, in lower case."""

READABLE = "Unveil reads TIFF of any kind and OME-Zarr"


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the images among `paths`: files as they are, folders replaced by the images in them in natural order.

    Raises
    ------
    FileError
        If a path does not exist, or a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise FileError(f"{path} does not exist. Give the path of an image or of a folder of images.")
        if not path.is_dir() or is_ome_zarr(path):
            found[path] = None
            continue
        images = _images_in(path)
        if not images:
            raise FileError(f"The folder {path} holds no images: {_inventory(path)}. {READABLE}.")
        found |= dict.fromkeys(images)
    return list(found)


def is_ome_zarr(path: Path) -> bool:
    """Say whether the folder `path` is a Zarr store."""
    return path.is_dir() and any((path / name).is_file() for name in (".zattrs", ".zgroup", ".zarray", "zarr.json"))


def stem(path: Path) -> str:
    """Return the name of an image without its ending: ``cells`` for ``cells.ome.tif`` and ``cells.ome.zarr``."""
    name = path.name
    for ending in (*TIFF_ENDINGS, ".zarr"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return name[:-4] if name.lower().endswith(".ome") else name


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key that puts ``cell2`` before ``cell10``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", text)]


def _images_in(folder: Path) -> list[Path]:
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise FileError(f"The folder {folder} cannot be read: {error.strerror or error}. Choose another.") from error
    images = [p for p in entries if is_ome_zarr(p) or (p.suffix.lower() in TIFF_ENDINGS and p.is_file())]
    return sorted(images, key=lambda path: natural_key(path.name))


def _inventory(folder: Path) -> str:
    """Say what lies in `folder`: ``3 .png, 1 folder``."""
    kinds = Counter("folder" if p.is_dir() else p.suffix or "without an ending" for p in folder.iterdir())
    return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(5)) or "it is empty"
