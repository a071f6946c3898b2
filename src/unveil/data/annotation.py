"""Annotation: labels drawn by a person, possibly on part of the image only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.errors import ImageError
from unveil.image import Image, check_is_image
from unveil.operators.objects import HIGHEST_NUMBER


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Labels, and which pixels a person judged.

    Attributes
    ----------
    labels
        Non-negative integers; axes of the image less its channels.
    mask
        True, or a number other than 0, where judged, shape of the labels; None where the whole image is.
    has_outlines
        Whether labels show where objects end. Scribbles do not: they lie somewhere inside.

    Raises
    ------
    ImageError
        If the labels are no non-negative integers or have channels, or the mask has another shape.
    """

    labels: Image
    mask: NDArray[np.bool_] | None = None
    has_outlines: bool = True

    def __post_init__(self) -> None:
        check_is_image(self.labels)
        dtype = np.dtype(self.labels.data.dtype)
        if dtype.kind not in "ui":
            raise ImageError(
                f"Labels '{self.labels.name}' have dtype {dtype}: labels are whole numbers. "
                f"Convert them to an integer dtype, one number per object."
            )
        if "C" in self.labels.axes:
            raise ImageError(
                f"Labels '{self.labels.name}' have axes {self.labels.axes}: labels have no channels. "
                f"Choose one, or leave the axis out."
            )
        if self.mask is not None:
            object.__setattr__(self, "mask", np.asarray(self.mask, bool))
        if self.mask is not None and self.mask.shape != self.labels.shape:
            raise ImageError(
                f"The annotation mask has shape {self.mask.shape}, its labels {self.labels.shape}. "
                f"Give one true/false value per pixel."
            )

    def frame(self, key: tuple[Any, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read labels and mask at `key`, checking that the labels can be numbers of objects."""
        labels = np.asarray(self.labels.data[key])
        if labels.min() < 0:
            raise ImageError(
                f"Labels '{self.labels.name}' hold negative numbers (lowest {labels.min()}): "
                f"0 is background, objects count from 1. Renumber them."
            )
        if labels.max() > HIGHEST_NUMBER:
            raise ImageError(
                f"Labels '{self.labels.name}' hold the number {labels.max()}: objects are numbers from 1 to 2⁶³−1. "
                f"Renumber them."
            )
        mask = np.ones(labels.shape, bool) if self.mask is None else self.mask[key]
        return labels, mask


def scribbled(labels: Image, *, background: int = 1) -> Annotation:
    """Understand `labels` as scribbles: 0 is not judged, and one number marks the background.

    ::

        painted              0    1 (background)   2    3
        becomes     not judged                 0   1    2      numbers above the background's close the gap

    Parameters
    ----------
    labels
        Non-negative integers; axes of the image less its channels.
    background
        The number painted on the background, from 1.

    Raises
    ------
    ImageError
        If nothing was painted with `background`, or nothing else.
    """
    painted = np.asarray(labels.data)
    found = set(np.unique(painted[painted > 0]).tolist())
    if background not in found or len(found) < 2:
        numbers = ", ".join(str(number) for number in sorted(found)[:5]) or "none"
        raise ImageError(
            f"Scribbles '{labels.name}' hold the numbers {numbers}; the background's number {background} and at least "
            f"one other are needed. Paint both, or say which number is the background."
        )
    closed = np.where(painted == background, 0, painted - (painted > background).astype(painted.dtype))
    return Annotation(labels.like(closed, labels.axes), painted > 0, has_outlines=False)


def judged_numbers(annotation: Annotation) -> list[int]:
    """Return which numbers are where a person judged, in order; 0 is background."""
    labels = np.asarray(annotation.labels.data)
    numbers: list[int] = np.unique(labels if annotation.mask is None else labels[annotation.mask]).tolist()
    return numbers


def renumbered(annotation: Annotation, numbers: Sequence[int], places: Sequence[int] | None = None) -> Annotation:
    """Return labels in which each of `numbers` became its place.

    Parameters
    ----------
    numbers
        Sorted; what is not among them becomes 0.
    places
        What each becomes; by default 1, 2 and so on.
    """
    labels = np.asarray(annotation.labels.data)
    new = np.array([0, *(range(1, len(numbers) + 1) if places is None else places)], np.int32)
    changed = new[np.where(np.isin(labels, numbers), np.searchsorted(numbers, labels) + 1, 0)]
    return replace(annotation, labels=annotation.labels.like(changed, annotation.labels.axes))


def annotated_frames(annotation: Annotation, n_dims: int) -> tuple[Annotation, int]:
    """Take frames of a stack without any label for not annotated, and say how many there are.

    An image of one frame stays as it is: it may well show nothing. So do scribbles: they say where there is nothing.

    Parameters
    ----------
    n_dims
        What a frame is: 2 for planes, 3 for volumes.
    """
    if not annotation.has_outlines:
        return annotation, 0
    axes = annotation.labels.axes
    within = tuple(index for index, axis in enumerate(axes) if axis in "ZYX"[-n_dims:])
    labels = np.asarray(annotation.labels.data)
    judged = np.ones(labels.shape, bool) if annotation.mask is None else annotation.mask
    is_empty = ~(labels.astype(bool) & judged).any(axis=within, keepdims=True)
    had_some = judged.any(axis=within, keepdims=True)
    n_empty = int((is_empty & had_some).sum())
    if not n_empty or is_empty.size == 1:
        return annotation, 0
    return replace(annotation, mask=judged & ~is_empty), n_empty
