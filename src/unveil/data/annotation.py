"""Annotation: labels drawn by a person, possibly on part of the image only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.errors import ImageError
from unveil.image import Image


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Labels, and which pixels a person judged.

    Attributes
    ----------
    labels
        Non-negative integers; axes of the image less its channels.
    mask
        True where judged, shape of the labels; None where the whole image is.

    Raises
    ------
    ImageError
        If the labels are no non-negative integers or the mask has another shape.
    """

    labels: Image
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        dtype = np.dtype(self.labels.data.dtype)
        if dtype.kind not in "ui":
            raise ImageError(
                f"Labels '{self.labels.name}' have dtype {dtype}: labels are whole numbers. "
                f"Convert them to an integer dtype, one number per object."
            )
        if self.mask is not None and self.mask.shape != self.labels.shape:
            raise ImageError(
                f"The annotation mask has shape {self.mask.shape}, its labels {self.labels.shape}. "
                f"Give one true/false value per pixel."
            )

    def frame(self, key: tuple[Any, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read labels and mask at `key`, checking the labels' sign."""
        labels = np.asarray(self.labels.data[key])
        if labels.size and labels.min() < 0:
            raise ImageError(
                f"Labels '{self.labels.name}' hold negative numbers (lowest {labels.min()}): "
                f"0 is background, objects count from 1. Renumber them."
            )
        mask = np.ones(labels.shape, bool) if self.mask is None else self.mask[key]
        return labels, mask
