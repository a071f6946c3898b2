"""The images and annotations of a training run as files that other programs read, and back without loss."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unveil.data.annotation import Annotation
from unveil.events import Monitor, ignore, told
from unveil.image import Image
from unveil.io.images import read_image, read_labels
from unveil.io.writing import write_image, write_labels

IMAGES, LABELS, MASKS, CLEAN = "images", "labels", "masks", "clean"
"""Folders in that of the run."""


def write_data(
    folder: Path,
    images: Sequence[Image] | None,
    targets: Sequence[Annotation] | Sequence[Image] | None,
    *,
    monitor: Monitor = ignore,
) -> dict[str, Any]:
    """Write images and targets as TIFF, targets by the names of their images, and return what no TIFF keeps.

    Scribbles are written as a person painted them: 0 where nothing was judged, 1 on the background.

    Raises
    ------
    FileError
        If the files cannot be written.
    """
    goals = [target if isinstance(target, Image) else target.labels for target in targets or ()]
    namesakes = [*(images or ()), *goals[len(images or ()) :]]
    files = [_file_name(number, image) for number, image in enumerate(namesakes)]
    for image, file in zip(told(images or (), monitor, "images written"), files, strict=False):
        write_image(folder / IMAGES / file, image)
    annotations = [target for target in targets or () if isinstance(target, Annotation)]
    for goal, file in zip(told(() if annotations else goals, monitor, "clean images written"), files, strict=False):
        write_image(folder / CLEAN / file, goal)
    for annotation, file in zip(told(annotations, monitor, "annotations written"), files, strict=False):
        write_labels(folder / LABELS / file, _painted(annotation))
        if annotation.mask is not None and annotation.has_outlines:
            mask = annotation.mask.astype(np.uint8)
            write_image(folder / MASKS / file, annotation.labels.like(mask, annotation.labels.axes))
    return {
        "is_annotated": bool(annotations),
        "is_scribbled": any(not annotation.has_outlines for annotation in annotations),
        "images": None if images is None else _described(files, images),
        "targets": None if targets is None else _described(files, goals),
    }


def read_data(
    folder: Path, facts: Mapping[str, Any]
) -> tuple[list[Image] | None, list[Annotation] | list[Image] | None]:
    """Read what `write_data` wrote, given the facts that it returned.

    Raises
    ------
    FileError
        If a file is missing or damaged.
    """
    images = None if facts["images"] is None else [_read(folder / IMAGES, one) for one in facts["images"]]
    if facts["targets"] is None:
        return images, None
    if not facts["is_annotated"]:
        return images, [_read(folder / CLEAN, one) for one in facts["targets"]]
    return images, [_annotation(folder, one, is_scribbled=facts["is_scribbled"]) for one in facts["targets"]]


def _file_name(number: int, image: Image) -> str:
    return f"{number:03d}_{re.sub(r'[^A-Za-z0-9.-]+', '-', image.name)[:40]}.tif"


def _painted(annotation: Annotation) -> Image:
    if annotation.has_outlines:
        return annotation.labels
    painted = np.asarray(annotation.labels.data).astype(np.int64) + 1
    if annotation.mask is not None:
        painted[~annotation.mask] = 0
    return annotation.labels.like(painted, annotation.labels.axes)


def _described(files: Sequence[str], images: Sequence[Image]) -> list[dict[str, Any]]:
    """Say of each image in which file it is, and what a TIFF does not keep, or rounds."""
    return [
        {
            "file": file,
            "name": image.name,
            "axes": image.axes,
            "shape": image.shape,
            "pixel_size_um": dict(image.pixel_size_um),
            "channel_names": image.channel_names,
        }
        for file, image in zip(files, images, strict=False)
    ]


def _read(folder: Path, facts: Mapping[str, Any]) -> Image:
    return _as_it_was(read_image(folder / facts["file"]), facts)


def _annotation(folder: Path, facts: Mapping[str, Any], *, is_scribbled: bool) -> Annotation:
    labels = _as_it_was(read_labels(folder / LABELS / facts["file"]), facts)
    if is_scribbled:
        painted = np.asarray(labels.data)
        judged = painted > 0
        return Annotation(replace(labels, data=painted - judged), judged, has_outlines=False)
    mask = folder / MASKS / facts["file"]
    if not mask.exists():
        return Annotation(labels)
    return Annotation(labels, np.asarray(read_labels(mask).data).astype(bool).reshape(labels.shape))


def _as_it_was(read: Image, facts: Mapping[str, Any]) -> Image:
    """Give an image that was read its axes of length one, its exact pixel sizes and its names back."""
    shape = tuple(facts["shape"])
    data = read.data if read.shape == shape else np.asarray(read.data[...]).reshape(shape)
    return Image(data, facts["axes"], facts["pixel_size_um"], tuple(facts["channel_names"]), facts["name"])
