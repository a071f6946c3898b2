"""Read annotations: labels with the masks of what was judged, or scribbles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unveil.data.annotation import Annotation, scribbled
from unveil.errors import FileError, ImageError
from unveil.image import Image
from unveil.io.finding import find_images, stem
from unveil.io.images import read_labels
from unveil.io.pairs import REFERENCE_SUFFIX


def read_annotations(
    labels: Sequence[Path], *, masks: Path | None = None, background: int | None = None, axes: str | None = None
) -> list[Annotation]:
    """Read annotations from label files.

    Parameters
    ----------
    masks
        Folder of masks by the labels' or images' names (or the one mask of the one label file), other than 0 where a
        person judged; a label file without one is judged as a whole. None judges all as wholes.
    background
        Labels are scribbles with this number on the background; None if they are not.
    axes
        Of the labels or of their images, where the files do not say or are wrong.

    Raises
    ------
    InputError
        If a file cannot be read, a mask has no labels or another shape, or scribbles hold no background.
    """
    mask_of = _pair_masks(labels, masks) if masks is not None else {}
    images = [read_labels(path, axes=axes) for path in labels]
    if background is not None:
        return [scribbled(image, background=background) for image in images]
    return [
        _masked(image, mask_of[path], axes) if path in mask_of else Annotation(image)
        for path, image in zip(labels, images, strict=True)
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
    mask_of = _pair_masks(images, masks)
    read = [read_labels(mask_of[path], axes=axes) if path in mask_of else None for path in images]
    return [None if mask is None else Annotation(mask, np.asarray(mask.data) > 0) for mask in read]


def _masked(labels: Image, path: Path, axes: str | None) -> Annotation:
    mask = read_labels(path, axes=axes)
    if mask.shape != labels.shape:
        raise ImageError(
            f"The mask {path} has {_pixels(mask)} pixels and its labels '{labels.name}' {_pixels(labels)}: both must "
            f"show the same pixels. Choose the mask that belongs to them."
        )
    return Annotation(labels, np.asarray(mask.data) > 0)


def _pair_masks(labels: Sequence[Path], masks: Path) -> dict[Path, Path]:
    """Find the masks of label files, or of images, by their names.

    Raises
    ------
    FileError
        If a mask belongs to none of them, or two to the same.
    """
    found = find_images([masks])
    if found == [masks] and len(labels) == 1:  # two images, no folders
        return {labels[0]: masks}
    named = {_name(path): path for path in labels}
    alone = [mask for mask in found if _name(mask) not in named]
    paired = {named[_name(mask)]: mask for mask in found if _name(mask) in named}
    double = [mask for mask in found if mask not in alone and mask not in paired.values()]
    problems = [
        f"{len(those)} of {len(found)} masks in {masks} {what} ({', '.join(path.name for path in those[:5])})"
        for those, what in ((alone, "belong to no image"), (double, "are a second mask of the same image"))
        if those
    ]
    if problems:
        raise FileError(f"{'; '.join(problems)}. Masks pair by file name; rename or remove them.")
    return paired


def _name(path: Path) -> str:
    return REFERENCE_SUFFIX.sub("", stem(path))


def _pixels(image: Image) -> str:
    return " × ".join(map(str, image.shape))
