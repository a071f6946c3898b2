"""What annotated objects are like: how many, how large, how crowded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

HIGHEST_NUMBER = 2**63 - 1
"""Of an object: what counts objects takes their numbers for int64."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What some objects are like.

    Attributes
    ----------
    sizes
        Pixels of each object.
    largest_radius_px
        Largest distance of any pixel to the border of its object, in the shortest side of a pixel; 0 where there is no
        object.
    n_touching
        Objects with a neighbour of another number beside one of their pixels.
    """

    sizes: tuple[int, ...] = ()
    largest_radius_px: float = 0.0
    n_touching: int = 0

    @classmethod
    def of_all(cls, parts: Sequence[ObjectFacts]) -> ObjectFacts:
        """Put the objects of several images together."""
        return cls(
            sizes=tuple(size for part in parts for size in part.sizes),
            largest_radius_px=max((part.largest_radius_px for part in parts), default=0.0),
            n_touching=sum(part.n_touching for part in parts),
        )


def object_facts(labels: NDArray[Any], spacing: tuple[float, ...] | None = None) -> ObjectFacts:
    """Describe the objects of `labels`, non-negative integers of any shape, one number per object.

    Parameters
    ----------
    spacing
        Sides of a pixel per axis, in units of the shortest; None where all are alike.
    """
    labels = closely_numbered(labels)
    counts = np.bincount(labels.ravel().astype(np.int64))[1:]
    touching: set[int] = set()
    for axis in range(labels.ndim):
        here, there = (labels[(slice(None),) * axis + (part,)] for part in (slice(None, -1), slice(1, None)))
        meets = (here != there) & (here > 0) & (there > 0)
        touching.update(np.unique(here[meets]).tolist(), np.unique(there[meets]).tolist())
    return ObjectFacts(tuple(counts[counts > 0].tolist()), largest_radius(labels, spacing), len(touching))


def largest_radius(labels: NDArray[Any], spacing: tuple[float, ...] | None = None) -> float:
    """Return the largest distance of any pixel to the border of its object; 0 where there is none.

    It counts in the unit of `spacing`, the sides of a pixel per axis; in pixels where that is None. No pixel lies
    further from the border than the middle of the shortest side of a box around its object: only objects whose boxes
    leave room for more than was found are looked at, the roomiest first.
    """
    labels, largest = closely_numbered(labels), 0.0
    sides = spacing or (1.0,) * labels.ndim
    boxes = [(number, box) for number, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None]
    rooms = [
        min((part.stop - part.start + 1) // 2 * side for part, side in zip(box, sides, strict=True)) for _, box in boxes
    ]
    for place in np.argsort(rooms)[::-1]:
        if rooms[place] <= largest:
            break
        number, box = boxes[place]
        inside = np.pad(labels[box] == number, 1)
        largest = max(largest, float(ndimage.distance_transform_edt(inside, sampling=spacing).max()))
    return largest


def closely_numbered(labels: NDArray[Any]) -> NDArray[Any]:
    """Return `labels` with numbers no higher than there are pixels; 0 stays 0.

    What counts or looks up by number would otherwise take memory for every number up to the highest.
    """
    if labels.max(initial=0) <= labels.size:
        return labels
    ids, places = np.unique(labels, return_inverse=True)
    return places.reshape(labels.shape) + int(ids[0] > 0)


def numbered(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return the different numbers among `ids`, ascending, and the place of each of `ids` among them.

    As ``numpy.unique`` does, but numbers that lie close together are counted, not sorted: the time grows with how many
    there are, and no faster.

    Parameters
    ----------
    ids
        Shape ``(n,)``.

    Returns
    -------
    numbers, places
        Shapes ``(m,)`` and ``(n,)``, so that ``numbers[places]`` is `ids`.
    """
    low, high = (int(ids.min()), int(ids.max())) if ids.size else (0, 0)
    gap = int(ids[ids > 0].min()) - 1 if low == 0 < high else 0  # the objects of a piece lie far from its background
    if high - gap - low > 2 * ids.size:
        return np.unique(ids, return_inverse=True)
    closed = ids - low - gap * (ids > 0)
    occurs = np.zeros(high - gap - low + 1, bool)
    occurs[closed] = ids.size > 0
    places = np.cumsum(occurs) - 1
    numbers = np.flatnonzero(occurs).astype(np.int64) + low
    return numbers + gap * (numbers > 0), places[closed]
