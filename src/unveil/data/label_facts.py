"""What painted labels look like: objects, classes, or scribbles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unveil.data.annotation import Annotation, judged_numbers

_MOST_CLASSES = 8
_REGIONS_PER_CLASS = 3
"""A number in so many separate regions is a class, not an object."""
_MOST_SCRIBBLED = 0.1
"""Scribbles cover no larger share of what is in view."""
_ELONGATION = 3.0
"""Area over that of the largest disc inside, from which a region is a stroke."""
_MOST_SCRIBBLED_NUMBERS = 4
"""With more numbers, the background's must also be painted more than most others: thin cells are no scribbles."""


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What a window of labels looks like.

    Attributes
    ----------
    n_numbers, n_regions
        How many numbers there are beside 0, and in how many separate regions.
    background
        Where they are scribbles, the number that is probably the background's; otherwise None.
    """

    n_numbers: int = 0
    n_regions: int = 0
    background: int | None = None

    @property
    def are_classes(self) -> bool:
        """Whether the numbers are probably classes: few, each in many separate regions."""
        if self.background is not None:
            return self.n_numbers <= _MOST_SCRIBBLED_NUMBERS or self.n_regions > 1.5 * self.n_numbers
        return self.n_numbers <= _MOST_CLASSES and self.n_regions >= _REGIONS_PER_CLASS * max(1, self.n_numbers)


def label_facts(window: NDArray[Any]) -> LabelFacts:
    """Look at `window`, labels ``(Y, X)``."""
    numbers, areas = np.unique(window[window != 0], return_counts=True)
    if not len(numbers):
        return LabelFacts()
    regions = _regions(window)
    background = None
    if _are_strokes(window, regions) and _may_be_scribbled(areas):
        background = int(numbers[0])
    return LabelFacts(len(numbers), int(regions.max()), background)


def scribbles_are_classes(annotations: Sequence[Annotation]) -> bool:
    """Say whether scribbles show several kinds of objects, as those with the most numbers tell."""
    found = [judged_numbers(annotation) for annotation in annotations]
    if len({number for numbers in found for number in numbers} - {0}) < 2:
        return False
    at = max(range(len(found)), key=lambda at: len(found[at]))
    labels, mask = annotations[at].frame(())
    strokes = np.where(mask, labels.astype(np.int64) + 1, 0)
    return LabelFacts(len(found[at]), int(_regions(strokes).max()), background=1).are_classes


def _regions(window: NDArray[Any]) -> NDArray[np.int64]:
    """Give each connected region of one value a number from 1; 0 stays."""
    from skimage.measure import label

    return np.asarray(label(window, background=0, connectivity=2), np.int64)  # type: ignore[no-untyped-call]


def _are_strokes(window: NDArray[Any], regions: NDArray[np.int64]) -> bool:
    if np.count_nonzero(window) > _MOST_SCRIBBLED * window.size:
        return False
    present = np.arange(1, regions.max() + 1)
    areas = ndimage.sum_labels(np.ones_like(regions), regions, present)
    radii = ndimage.maximum(ndimage.distance_transform_edt(window != 0), regions, present)
    return bool(np.median(areas / (np.pi * np.maximum(radii, 1) ** 2)) > _ELONGATION)


def _may_be_scribbled(areas: NDArray[np.int64]) -> bool:
    """Say whether there is a background, the lowest number, that is painted like one."""
    if len(areas) < 2:
        return False
    return len(areas) <= _MOST_SCRIBBLED_NUMBERS or bool(areas[0] > 2 * np.median(areas[1:]))
