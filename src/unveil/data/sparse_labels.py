"""Sparse labels: only some of the objects are drawn, so that 0 is background near them alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unveil.axes import spatial, without
from unveil.data.annotation import Annotation
from unveil.image import Image, frames, side_around
from unveil.operators.finite import usable

_REACH = 1.0
"""Gaps between objects are judged where they are at most twice as wide, in diameters of an object."""
_MARGIN = 0.25
"""Ground judged around objects, in diameters of one."""
_LEAST_MARGIN_PX = 2.0

_HALFWAY = 0.5
"""From ground to objects."""
_SHARE_TOLD_APART = 0.7
"""Of the pixels of objects, and of the ground beside them, on their side of a threshold: more, and it tells the two."""
_LEAST_ALIKE = 0.5
"""Area of what looks like an object, in areas of one."""
_USUAL_RANK = 0.25
"""Part of the drawn objects that are fainter than what counts as a look-alike."""
_MANY_ALIKE = 0.3
"""Look-alikes per drawn object from which some objects were not drawn."""
_LITTLE_JUDGED = 0.25
"""Of what cannot tell objects from ground, a small part is drawn if no larger share lies around what is."""
_DIAMETER_PX = 10.0
"""Of an object where look-alikes are looked for; what is larger is made smaller first."""
_WINDOW_PX = 1024
_FLAT = (1.0, 1.0)
"""Sides of a pixel of a plane."""


def around_objects(annotation: Annotation, n_dims: int) -> Annotation:
    """Take for judged only what lies around objects, in each plane or volume that holds some.

    ::

        . . . . . . . . . . . . . .        #  object
        . - - - - - . . . . - - - .        -  judged as background: a quarter of a diameter around objects,
        . - # - # - . . . . - # - .           and the gaps between those closer than two diameters
        . - - - - - . . . . - - - .        .  teaches nothing
        . . . . . . . . . . . . . .

    The diameter is that of a disc (a ball) as large as the median object. Formally the judged part is a morphological
    closing by one diameter, dilated by the margin, both Euclidean and in the true proportions of a pixel where known.

    Parameters
    ----------
    annotation
        Labels; what they leave out already stays left out.
    n_dims
        2 for planes, 3 for volumes.
    """
    labels = annotation.labels
    inner = spatial(labels.axes)[-n_dims:]
    spacing = _spacing(labels.pixel_size_um, inner)
    painted = np.asarray(labels.data)
    mask = np.zeros(painted.shape, bool)
    for index in np.ndindex(painted.shape[: -len(inner)]):
        mask[index] = _around(painted[index], spacing)
    return replace(annotation, mask=mask if annotation.mask is None else mask & annotation.mask)


def seem_sparse(image: Image, labels: Image) -> bool:
    """Say whether `image` probably shows more objects than its `labels`, as their fullest plane tells.

    A window of a megapixel is looked at, around the middle of what is drawn; see `shows_only_some`. Nothing is said of
    labels that are not those of the image.
    """
    if labels.shape != tuple(image.size(letter) for letter in without(image.axes, "C")):
        return False
    drawn = np.asarray(labels.data)
    planes = drawn.reshape(-1, *drawn.shape[-2:])
    fullest = int(np.count_nonzero(planes, axis=(1, 2)).argmax())
    places = np.nonzero(planes[fullest])
    if not len(places[0]):
        return False
    rows, columns = (side_around(at, _WINDOW_PX, n) for at, n in zip(places, drawn.shape[-2:], strict=True))
    plane = next(islice(frames(image, 2, (0,)), fullest, None))
    return shows_only_some(plane.read((rows, columns))[0], planes[fullest][rows, columns])


def shows_only_some(image: NDArray[Any], labels: NDArray[Any]) -> bool:
    """Say whether a plane probably shows more objects than its labels: what looks like them, far from any.

    Blobs that are brighter (darker) than their surroundings, or else rougher (smoother), are look-alikes where a
    threshold halfway between drawn objects and the ground beside them tells those apart, unless three quarters of the
    objects are more so on average. Where it does not, a plane of which little is drawn is taken to be drawn in part.

    Parameters
    ----------
    image
        Intensities of one channel, ``(Y, X)``, any dtype.
    labels
        Integers of the same shape; 0 where nothing is drawn.
    """
    step = max(1, int(_diameter(labels, _FLAT) / _DIAMETER_PX))
    finite = np.nan_to_num(usable(image).astype(np.float32, copy=False))
    coarse, drawn = ndimage.uniform_filter(finite, step)[::step, ::step], labels[::step, ::step]
    judged = _around(drawn, _FLAT)
    if judged.all() or not judged.any():
        return False
    diameter = _diameter(drawn, _FLAT)
    for feature in (_contrast(coarse, diameter), _roughness(coarse, diameter)):
        likeness = _likeness(feature, drawn != 0, judged)
        if likeness is not None:
            regions = ndimage.label((likeness > _HALFWAY) & ~judged)[0]
            usual = np.quantile(_means(likeness, _objects(drawn)), _USUAL_RANK)
            n_alike = _n_objects(regions, diameter)[_means(likeness, regions) >= usual].sum()
            n_drawn = _n_objects(ndimage.label(drawn)[0], diameter).sum()
            return bool(n_alike >= max(2.0, _MANY_ALIKE * n_drawn))
    return bool(judged.mean() < _LITTLE_JUDGED)


def _around(painted: NDArray[Any], spacing: tuple[float, ...]) -> NDArray[np.bool_]:
    """Return what is judged of one plane or volume."""
    judged = np.zeros(painted.shape, bool)
    diameter = _diameter(painted, spacing)
    if not diameter:
        return judged
    margin = max(_MARGIN * diameter, _LEAST_MARGIN_PX * min(spacing))
    reach = max(_REACH * diameter, 2 * margin)
    for window, ground in _groups(painted, tuple(math.ceil(reach / side) + 1 for side in spacing)):
        near = ndimage.distance_transform_edt(ground, sampling=spacing) <= reach
        judged[window] |= near.all() or ndimage.distance_transform_edt(near, sampling=spacing) > reach - margin
    return judged


def _groups(painted: NDArray[Any], reach: tuple[int, ...]) -> Iterator[tuple[tuple[slice, ...], NDArray[np.bool_]]]:
    """Yield windows around what is painted, `reach` further on all sides, and what is ground there; close ones are one.

    What belongs to another window is ground: cut off by the edge, it would seem to end there.
    """
    from skimage.measure import block_reduce

    everywhere = np.ones((3,) * painted.ndim, np.bool_)
    cells = np.asarray(block_reduce(painted != 0, reach, np.any), np.bool_)  # type: ignore[no-untyped-call]
    groups, _ = ndimage.label(ndimage.binary_dilation(cells, everywhere), everywhere)
    for number, own in enumerate(filter(None, ndimage.find_objects(groups)), start=1):
        window = tuple(slice(side.start * step, side.stop * step) for side, step in zip(own, reach, strict=True))
        cell = np.ix_(*(np.arange(n) // step for n, step in zip(painted[window].shape, reach, strict=True)))
        yield window, (painted[window] == 0) | (groups[own] != number)[cell]


def _diameter(painted: NDArray[Any], spacing: tuple[float, ...]) -> float:
    """Return the diameter of the median object, in units of `spacing`; 0 without any."""
    sizes = np.bincount(_objects(painted).ravel())[1:]
    if not len(sizes):
        return 0.0
    size = float(np.median(sizes)) * math.prod(spacing)
    return 2 * math.sqrt(size / math.pi) if painted.ndim == 2 else float(np.cbrt(6 * size / math.pi))


def _objects(painted: NDArray[Any]) -> NDArray[np.intp]:
    """Give numbers from 1 on to objects: the pixels of one number in one connected piece of what is painted."""
    inside = painted != 0
    pieces = ndimage.label(inside)[0][inside]
    numbers, which = np.unique(painted[inside], return_inverse=True)
    objects = np.zeros(painted.shape, np.intp)
    objects[inside] = 1 + np.unique(pieces * np.int64(len(numbers)) + which, return_inverse=True)[1]
    return objects


def _spacing(pixel_size_um: Mapping[str, float], axes: str) -> tuple[float, ...]:
    """Return the sides of a pixel along `axes`, of which X's is 1; all are alike where one is not known."""
    sides = [pixel_size_um.get(letter, 0.0) for letter in axes]
    return tuple(side / sides[-1] for side in sides) if all(sides) else (1.0,) * len(axes)


def _contrast(image: NDArray[np.float32], diameter: float) -> NDArray[np.float32]:
    """Return how much brighter than its surroundings each pixel is."""
    smooth = ndimage.gaussian_filter(image, diameter / 8)
    return np.asarray(smooth - ndimage.uniform_filter(image, math.ceil(4 * diameter)), np.float32)


def _roughness(image: NDArray[np.float32], diameter: float) -> NDArray[np.float32]:
    """Return the standard deviation within half a diameter of each pixel."""
    centred = image - image.mean()
    mean, squares = (ndimage.gaussian_filter(one, diameter / 4) for one in (centred, centred**2))
    return np.asarray(np.sqrt(np.maximum(squares - mean**2, 0)), np.float32)


def _likeness(
    feature: NDArray[np.float32], drawn: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """Return how like objects `feature` is: 0 on the ground beside them, 1 on them; None where both are mixed."""
    ground = judged & ~drawn
    on_objects, on_ground = np.median(feature[drawn]), np.median(feature[ground])
    if on_objects == on_ground:
        return None
    likeness = np.asarray((feature - on_ground) / (on_objects - on_ground), np.float32)
    on_their_side = min((likeness[drawn] > _HALFWAY).mean(), (likeness[ground] < _HALFWAY).mean())
    return likeness if on_their_side > _SHARE_TOLD_APART else None


def _means(values: NDArray[np.float32], regions: NDArray[Any]) -> NDArray[np.float32]:
    """Return the mean over each region, which are numbered from 1 on."""
    return np.asarray(ndimage.mean(values, regions, np.arange(1, regions.max() + 1)), np.float32)


def _n_objects(regions: NDArray[Any], diameter: float) -> NDArray[np.float64]:
    """Count what each region holds: an object, as many as have its area where that is more, or none."""
    areas = np.bincount(regions.ravel())[1:] / (math.pi / 4 * diameter**2)
    return np.where(areas >= _LEAST_ALIKE, np.maximum(areas, 1), 0)
