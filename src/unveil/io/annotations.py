"""Read annotations: labels with the masks of what was judged, or scribbles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unveil.data.annotation import Annotation, scribbled
from unveil.errors import FileError, ImageError
from unveil.events import Monitor, ignore, told
from unveil.image import Image
from unveil.io.finding import find_images
from unveil.io.images import read_labels
from unveil.io.pairs import name_of_image


def read_annotations(
    labels: Sequence[Path],
    *,
    images: Sequence[Path] | None = None,
    masks: Path | None = None,
    background: int | None = None,
    axes: str | None = None,
    monitor: Monitor = ignore,
) -> list[Annotation]:
    """Read annotations from label files.

    Parameters
    ----------
    images
        The image of each label file, by whose name a mask is looked for before that of the labels; several images may
        share a label file. None knows the labels' names alone.
    masks
        Folder of masks by the images' or labels' names (or the one mask of the one label file), other than 0 where a
        person judged; labels without one are judged as a whole. None judges all as wholes.
    background
        Labels are scribbles with this number on the background; None if they are not.
    axes
        Of the labels or of their images, where the files do not say or are wrong.
    monitor
        Told label file by label file how far this is.

    Raises
    ------
    InputError
        If a file cannot be read, a mask has no labels or another shape, or scribbles hold no background.
    """
    mask_files = [None] * len(labels) if masks is None else _find_masks(_names(labels, images), masks)
    read = [read_labels(path, axes=axes) for path in told(labels, monitor, "files")]
    if background is not None:
        return [scribbled(painted, background=background) for painted in read]
    return [
        Annotation(painted) if path is None else _masked(painted, path, axes)
        for painted, path in zip(read, mask_files, strict=True)
    ]


def read_masks(images: Sequence[Path], masks: Path, *, axes: str | None = None) -> list[Annotation | None]:
    """Read which pixels of images were judged, and not as what: None for an image without a mask.

    Parameters
    ----------
    masks
        Folder of masks by the images' names (or the one mask of the one image), other than 0 where a person judged.
    axes
        Of the masks or of their images, where the files do not say or are wrong.

    Raises
    ------
    InputError
        If a file cannot be read, or a mask has no image.
    """
    mask_files = _find_masks(_names(images), masks)
    read = [None if path is None else read_labels(path, axes=axes) for path in mask_files]
    return [None if mask is None else Annotation(mask, np.asarray(mask.data) > 0) for mask in read]


def _masked(labels: Image, path: Path, axes: str | None) -> Annotation:
    mask = read_labels(path, axes=axes)
    if mask.shape != labels.shape:
        raise ImageError(
            f"The mask {path} has {_pixels(mask)} pixels and its labels '{labels.name}' {_pixels(labels)}: both must "
            f"show the same pixels. Choose the mask that belongs to them."
        )
    return Annotation(labels, np.asarray(mask.data) > 0)


def _find_masks(names: Sequence[Sequence[str]], masks: Path) -> list[Path | None]:
    """Find the mask of each image, or of its labels, by name; None where there is none.

    Parameters
    ----------
    names
        For each image the names that its mask may have; the first that a mask has counts.

    Raises
    ------
    FileError
        If a mask belongs to none of them, or two to the same.
    """
    found = find_images([masks])
    if found == [masks] and len(names) == 1:  # two images, no folders
        return [masks]
    by_name = {name_of_image(mask): mask for mask in found}
    chosen = [next((by_name[name] for name in wanted if name in by_name), None) for wanted in names]
    known = {name for wanted in names for name in wanted}
    alone = [mask for mask in found if name_of_image(mask) not in known]
    double = [mask for mask in found if mask not in alone and mask not in chosen]
    problems = [
        f"{len(those)} of {len(found)} masks in {masks} {what} ({', '.join(path.name for path in those[:5])})"
        for those, what in ((alone, "belong to no image"), (double, "are a second mask of the same image"))
        if those
    ]
    if problems:
        raise FileError(f"{'; '.join(problems)}. Masks pair by file name; rename or remove them.")
    return chosen


def _names(labels: Sequence[Path], images: Sequence[Path] | None = None) -> list[list[str]]:
    """Return the names that a mask may have, that of the image first."""
    if images is None:
        return [[name_of_image(path)] for path in labels]
    return [[name_of_image(image), name_of_image(path)] for image, path in zip(images, labels, strict=True)]


def _pixels(image: Image) -> str:
    return " × ".join(map(str, image.shape))
