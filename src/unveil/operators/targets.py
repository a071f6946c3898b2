"""What a segmentation network learns: the class of each pixel and, for objects, a normalized distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unveil.operators.objects import closely_numbered


def class_target(labels: NDArray[Any], *, objects: bool) -> NDArray[np.float32]:
    """Return the class index of each pixel: labels as they are, or 1 in every object.

    Parameters
    ----------
    labels
        Non-negative integers, any shape.
    objects
        Whether every label is an object of its own rather than a class.
    """
    return (labels > 0 if objects else labels).astype(np.float32)


def normalized_distance(labels: NDArray[Any], spacing: tuple[float, ...] | None = None) -> NDArray[np.float32]:
    """Return each pixel's distance to the border of its object, divided by the object's largest distance.

    It is 1 at the innermost pixel of every object, falls towards its border, also towards a touching neighbour,
    is 0 outside, and does not change when the image is resized, nor with the step between planes if `spacing` tells it.

    Parameters
    ----------
    labels
        Non-negative integers, ``(Y, X)`` or ``(Z, Y, X)``; every number is one object.
    spacing
        Sides of a pixel per axis, in any unit: distances are those of the sample. None where all are alike.
    """
    distance, labels = np.zeros(labels.shape, np.float32), closely_numbered(labels)
    framed = np.pad(labels, 1)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = framed[tuple(slice(part.start, part.stop + 2) for part in box)] == number  # and one pixel around it
        to_border = ndimage.distance_transform_edt(inside, sampling=spacing)
        distance[box][labels[box] == number] = to_border[inside] / to_border.max()
    return distance


def cut_objects(labels: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where objects lie that end at a pixel outside `mask`: nobody said how they go on.

    ::

        mask     1 1 1 1 | 0 0 0
        labels   0 3 3 3 | 0 0 0     cut: where 3 ends is not known
        labels   0 3 3 3 | 3 3 0     whole: it was drawn beyond the mask
    """
    if mask.all():
        return np.zeros(labels.shape, bool)
    reaching: set[int] = set()
    for axis in range(labels.ndim):
        for here, there in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            key, beside = ((slice(None),) * axis + (part,) for part in (here, there))
            reaching.update(np.unique(labels[key][mask[key] & ~mask[beside]]).tolist())
    return np.isin(labels, sorted(reaching - {0} - set(np.unique(labels[~mask]).tolist())))
