"""Where results larger than memory are written to when nobody names a folder: beside the image, where that is allowed.

Results of images that come from no file, or from a folder that cannot be written to, lie in `results_folder`.
"""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from unveil.errors import FileError
from unveil.io.finding import is_ome_zarr, stem
from unveil.io.user_folders import results_folder
from unveil.io.writing import check_output_folder


def result_place(image: Path | None, name: str, suffix: str, *, replaces: Path | None = None) -> Path:
    """Return where a result is to stand: a name that is not taken, ``cells_segmentation.ome.zarr`` or with a number.

    What an unfinished run has left stands under no name yet: the next run gets the same one and goes on, or begins
    anew.

    Parameters
    ----------
    image
        File of the image, or None.
    name
        What the result is called after where there is no file.
    suffix
        What the result is: ``segmentation``.
    replaces
        An earlier result that is to be replaced.
    """
    folder = _folder_of(image)
    base = stem(image) if image is not None and folder is not None else re.sub(r"[^\w\-. ]+", "_", name).strip(". ")
    if folder is None:
        folder = results_folder()
    if replaces is not None and replaces.parent == folder:
        return replaces
    numbered = (folder / f"{base}_{suffix}{'' if n == 1 else f'-{n}'}.ome.zarr" for n in count(1))
    return next(path for path in numbered if not path.exists())


def _folder_of(image: Path | None) -> Path | None:
    """Return the folder that `image` lies in if results may be written there; never the inside of an OME-Zarr."""
    if image is None or not image.exists():
        return None
    folder = image.absolute().parent
    while is_ome_zarr(folder):
        folder = folder.parent
    try:
        return check_output_folder(folder)  # Windows says of every folder that it may be written to, until one does
    except FileError:
        return None
