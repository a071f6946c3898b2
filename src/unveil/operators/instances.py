"""From probability maps to labels: separate objects by a rule of bounded reach, or name a class per pixel.

::

    distance   0 .2 .6 .9 .6 .3 .3 .7 .8 .4 .1 0        separation 0.5, threshold 0.5
    foreground .  #  #  #  #  #  #  #  #  #  #  .
    seeds      .  .  1  1  1  .  .  2  2  .  .  .
    growth 1   .  1  1  1  1  1  2  2  2  2  .  .        one step at a time, all seeds at once
    growth 2   .  1  1  1  1  1  2  2  2  2  2  .
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unveil.config.objects import ObjectRule


def label_objects(
    foreground: NDArray[np.float32], distance: NDArray[np.float32], rule: ObjectRule
) -> NDArray[np.int32]:
    """Separate the foreground into objects: seeds, grown step by step, and what no seed reaches.

    1. Foreground is where `foreground` exceeds the threshold.
    2. Seeds are the connected parts of the foreground where `distance` exceeds the separation, but for those of fewer
       pixels than an object of `min_size` would have there (`ObjectRule.smallest_seed`).
    3. Seeds grow through the foreground, all at once, for `reach_px` steps, in turn over faces alone and over corners
       too, so that fronts are octagons. A pixel that several objects reach in one step goes to the neighbour of the
       greater distance, then to the first in a fixed order of directions: never by an object's number or position.
    4. Connected foreground that is still free becomes an object of its own.
    5. Objects of fewer than `min_size` pixels are dropped, the others numbered in raster order of their first pixel.

    Parameters
    ----------
    foreground, distance
        Probability and normalized distance to the object's border, shape ``(Y, X)`` or ``(Z, Y, X)``, 0 to 1; NaN is
        background and no seed.

    Returns
    -------
    labels
        Shape of the maps, 0 is background, ids 1 to n without gaps.
    """
    is_foreground, seeds = foreground_and_seeds(foreground, distance, rule)
    labels = grow(seeds, is_foreground, distance, rule.reach_px)
    free = connected(is_foreground & (labels == 0))
    labels += np.where(free > 0, free + seeds.max(initial=0), 0).astype(np.int32)
    return _renumber(labels, rule.min_size)


def label_classes(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.int32]:
    """Name the class of each pixel: the likeliest of several, or the second of two where it exceeds `threshold`.

    Parameters
    ----------
    probabilities
        Shape ``(K, *spatial)``, 0 to 1, background first, at least two classes; equal probabilities go to the earlier.
    """
    if len(probabilities) == 2:
        labels: NDArray[np.int32] = (probabilities[1] > threshold).astype(np.int32)
    else:
        labels = np.argmax(probabilities, axis=0).astype(np.int32)
    return labels


def foreground_and_seeds(
    foreground: NDArray[np.float32], distance: NDArray[np.float32], rule: ObjectRule
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Return where there is foreground, and its numbered seeds: the first two points of the rule."""
    is_foreground = foreground > rule.threshold
    seeds = connected(is_foreground & (distance > rule.separation))
    _drop_small(seeds, rule.smallest_seed(seeds.ndim))
    return is_foreground, seeds


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Give each part of `mask` a number; parts are joined over faces, edges and corners."""
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, structure=np.ones((3,) * mask.ndim, bool), output=labels)
    return labels


def grow(
    seeds: NDArray[np.int32], is_foreground: NDArray[np.bool_], distance: NDArray[np.float32], n_steps: int
) -> NDArray[np.int32]:
    """Grow `seeds` through the foreground, the third point of the rule.

    A pixel's label follows from what lies within `n_steps` pixels of it along every axis. Only fronts are visited, so
    the work follows the foreground's size alone.
    """
    state = _Front.start(seeds, is_foreground, distance)
    faces, all_directions = _directions(state.shape)
    front = state.seed_border()
    for step in range(n_steps):
        over_faces = step % 2 == 0
        reached = state.advance(front, faces if over_faces else all_directions)
        # after a step over faces alone, the old front still has corner neighbours to take
        front = np.concatenate([front, reached]) if over_faces else reached
        if not front.size:
            break
    return state.result()


@dataclass(frozen=True, slots=True, eq=False)
class _Front:
    """The maps with a closed rim of one pixel, flat, so that a neighbour is one addition away and none lies outside."""

    shape: tuple[int, ...]
    labels: NDArray[np.int32]
    height: NDArray[np.float32]
    is_open: NDArray[np.bool_]
    best: NDArray[np.float32]

    @classmethod
    def start(cls, seeds: NDArray[np.int32], is_foreground: NDArray[np.bool_], distance: NDArray[np.float32]) -> _Front:
        labels = np.pad(seeds, 1)
        is_open = np.pad(is_foreground & (seeds == 0), 1)
        height = np.pad(np.nan_to_num(distance), 1)
        return cls(labels.shape, labels.ravel(), height.ravel(), is_open.ravel(), np.full(labels.size, -1, np.float32))

    def seed_border(self) -> NDArray[np.intp]:
        """Return where the labelled pixels with an open neighbour are."""
        near = self.is_open.reshape(self.shape)
        for axis in range(near.ndim):
            near = near | np.roll(near, 1, axis) | np.roll(near, -1, axis)
        return np.flatnonzero(near.ravel() & (self.labels != 0))

    def advance(self, front: NDArray[np.intp], directions: list[int]) -> NDArray[np.intp]:
        """Label the open neighbours of `front`, each from its highest neighbour, the earlier direction at a draw."""
        reached = []
        for direction in directions:
            target = front + direction
            takes = self.is_open[target]
            target, source = target[takes], front[takes]
            higher = self.height[source] > self.best[target]
            target, source = target[higher], source[higher]
            reached.append(target[self.labels[target] == 0])
            self.labels[target] = self.labels[source]
            self.best[target] = self.height[source]
        everywhere = np.concatenate(reached)
        self.is_open[everywhere] = False
        return everywhere

    def result(self) -> NDArray[np.int32]:
        inside = (slice(1, -1),) * len(self.shape)
        return self.labels.reshape(self.shape)[inside].copy()


def _directions(shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the flat offsets of the neighbours by faces, and of all neighbours, each in raster order."""
    strides = np.array([int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))])
    offsets = [offset for offset in product((-1, 0, 1), repeat=len(shape)) if any(offset)]
    faces = [int(strides @ offset) for offset in offsets if np.abs(offset).sum() == 1]
    return faces, [int(strides @ offset) for offset in offsets]


def _drop_small(labels: NDArray[np.int32], min_size: int) -> None:
    """Set to 0 the parts of fewer than `min_size` pixels."""
    if min_size > 1:
        flat = labels.ravel()
        where = np.flatnonzero(flat)
        ids = flat[where]
        is_small = np.bincount(ids, minlength=1) < min_size
        flat[where[is_small[ids]]] = 0


def _renumber(labels: NDArray[np.int32], min_size: int) -> NDArray[np.int32]:
    """Drop objects of fewer than `min_size` pixels and number the others in raster order of their first pixel."""
    flat = labels.ravel()
    where = np.flatnonzero(flat)
    ids = flat[where]
    sizes = np.bincount(ids, minlength=1)
    first = np.full(sizes.size, flat.size)
    first[ids[::-1]] = where[::-1]  # of several writers the last stays: the first pixel in raster order
    kept = np.flatnonzero(sizes >= max(min_size, 1))
    new_ids = np.zeros(sizes.size, np.int32)
    new_ids[kept[np.argsort(first[kept])]] = np.arange(1, kept.size + 1)
    return new_ids[labels]
