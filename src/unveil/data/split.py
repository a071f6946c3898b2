"""Which pixels teach and which judge: whole images where there are several, a block of a single one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")

_JUDGING = (1.0, 0.7, 0.4)
"""Shares of the wanted fraction that a block may hold, the first that leaves enough to teach."""
_LEAST_TEACHING = 0.4
"""Share of all content that must be left to learn from."""


@dataclass(frozen=True, slots=True)
class Block:
    """A band at one end of one axis of an image that judges, and a gap beside it that does neither.

    ::

        0                                     start            stop
        ├─────────── teaches ──────────┤ gap ├──── judges ─────┤        held out at the far end
        ├──── judges ─────┤ gap ├─────────── teaches ──────────┤        held out at the near end
        start          stop

    Attributes
    ----------
    axis
        Number of the spatial axis, 0 for the first of (Z,) Y, X.
    start, stop
        The band along that axis, in pixels.
    gap
        Pixels between the band and what teaches: the network's halo, so that what judges is computed from pixels
        that never taught.
    """

    axis: int
    start: int
    stop: int
    gap: int

    def judging(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return where an image of `shape` judges, broadcastable to it."""
        at = self._positions(shape)
        return (at >= self.start) & (at < self.stop)

    def teaching(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return where an image of `shape` teaches, broadcastable to it."""
        at = self._positions(shape)
        return (at < self.start - self.gap) | (at >= self.stop + self.gap)

    def beside(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return start and stop, along the axis, of all that does not judge."""
        return (self.stop, shape[self.axis]) if self.start == 0 else (0, self.start)

    def context(self, step: int) -> tuple[int, int]:
        """Return start and stop, along the axis, of the band on multiples of `step` and a gap on both sides."""
        return max(0, self.start // step * step - self.gap), -(-self.stop // step) * step + self.gap

    def _positions(self, shape: tuple[int, ...]) -> NDArray[np.intp]:
        return np.arange(shape[self.axis]).reshape([-1 if axis == self.axis else 1 for axis in range(len(shape))])


def split_images(scenes: Sequence[Sequence[Item]], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Hold out whole images: about `fraction` of them, at least one if `fraction` > 0, never all.

    Parameters
    ----------
    scenes
        Images that stay together; each alone where there is no reason to.

    Returns
    -------
    training, validation
        Images in the given order; validation is empty for a single scene. One scene is held out, the smallest, where
        each has more images than `fraction` allows.
    """
    sizes = np.array([len(scene) for scene in scenes])
    most = min(max(round(fraction * sizes.sum()), int(fraction > 0)), sizes.sum() - 1)
    order, held_out, n_held_out = np.random.default_rng(seed).permutation(len(scenes)), set[int](), 0
    for number in order.tolist():
        if n_held_out + sizes[number] <= most:
            held_out.add(number)
            n_held_out += sizes[number]
    if not held_out and most and len(scenes) > 1:
        held_out.add(int(order[np.argmin(sizes[order])]))
    training = (scene for number, scene in enumerate(scenes) if number not in held_out)
    validation = (scene for number, scene in enumerate(scenes) if number in held_out)
    return list(chain.from_iterable(training)), list(chain.from_iterable(validation))


def possible_blocks(contents: Sequence[NDArray[np.bool_]], fraction: float, gap: tuple[int, ...]) -> Iterator[Block]:
    """Yield the bands of an image that hold about `fraction` of its content, that which leaves most to teach first.

    Both ends of every axis are tried; each end's band is the narrowest that holds the fraction. What leaves too little
    to teach is left out; then come bands that hold less of the content.

    Parameters
    ----------
    contents
        What matters in each frame of the image (annotated objects, or annotated pixels), all ``(*spatial)``.
    gap
        Pixels per spatial axis between the band and what teaches.
    """
    total = sum(int(content.sum()) for content in contents)
    if total == 0:
        return
    axes = range(contents[0].ndim)
    profiles = [
        np.sum([content.sum(axis=tuple(other for other in axes if other != axis)) for content in contents], axis=0)
        for axis in axes
    ]
    for share in _JUDGING:
        found = [band for axis in axes for band in _bands(profiles[axis], axis, share * fraction, gap[axis])]
        yield from (block for _, block in sorted(found, key=lambda one: one[0], reverse=True))


def _bands(profile: NDArray[np.int64], axis: int, fraction: float, gap: int) -> list[tuple[int, Block]]:
    """Return the bands at both ends that leave enough to teach, each with the content that is left."""
    total, length = int(profile.sum()), len(profile)
    bands = []
    for is_near in (True, False):
        cumulative = np.cumsum(profile if is_near else profile[::-1])
        width = int(np.searchsorted(cumulative, fraction * total)) + 1
        if width + gap >= length:
            continue
        teaching = total - int(cumulative[width + gap - 1])
        if teaching >= _LEAST_TEACHING * total:
            start, stop = (0, width) if is_near else (length - width, length)
            bands.append((teaching, Block(axis, start, stop, gap)))
    return bands
