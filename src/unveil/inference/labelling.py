"""Objects of a frame, block by block: equal to those of the whole frame, whatever the blocks are.

The rule that makes objects (`unveil.operators.instances`) is local but for three things, which are settled between
passes over the blocks, from little tables:

======  =======================================================  =============================================
pass    each block by itself                                     then, over all blocks
======  =======================================================  =============================================
seeds   numbers its parts of seeds, writes them                  parts that touch across a cut become one seed
grow    reads seeds within reach, grows them, writes objects,    free parts that touch become one object; sizes
        and numbers what stays free                              and first pixels are added up
number  writes the final numbers                                 –
======  =======================================================  =============================================

Seeds too small to count need no such agreement: the halo of a block shows every one whole that can matter in it.

Until the last pass numbers are negative, and unique without any agreement: a block has room for so many parts, and
counts from its own place, first the seeds of all blocks and then what is free. Seeds keep their pixels while they grow,
so that a block may read its neighbours before or after these have grown: in each pass blocks can be computed in any
order, by many processes, and again after a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unveil.config.objects import ObjectRule
from unveil.errors import ImageError
from unveil.inference.hands import Hands
from unveil.inference.tiling import Tile, Tiling, Window
from unveil.operators.calibration import ExpectedOverlap
from unveil.operators.instances import connected, foreground_and_seeds, grow, label_objects
from unveil.operators.joining import Joins, Tally, looked_up, runs, touching

_MOST_NUMBERS = np.iinfo(np.int32).max
_STRIP_PIXELS = 1 << 20
"""Length of a cut that is looked at in one piece."""


class Canvas(Protocol):
    """The maps of one frame, and the labels to be made of them; windows are those of the frame."""

    def read_foreground(self, window: Window) -> NDArray[np.float32]:
        """Return probabilities of the foreground, 0 to 1."""

    def read_distance(self, window: Window) -> NDArray[np.float32]:
        """Return normalized distances to the object's border, 0 to 1."""

    def read_labels(self, window: Window) -> NDArray[np.int32]:
        """Return the labels as they are."""

    def write_labels(self, window: Window, labels: NDArray[np.int32]) -> None:
        """Put labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """What was found in a frame."""

    n_objects: int
    overlap: ExpectedOverlap


def label_frame(canvas: Canvas, rule: ObjectRule, blocks: Tiling, n_before: int, hands: Hands) -> Labelled:
    """Make labels from the maps of `canvas`, with numbers from ``n_before + 1`` in raster order of the first pixels.

    Parameters
    ----------
    blocks
        Inner regions to write, with a halo of at least the rule's context; those that share a chunk of the labels must
        not be computed at the same time.

    Raises
    ------
    ImageError
        If the frame has more pixels than numbers of 32 bits suffice for, about 4,000 million of a plane.
    """
    if len(blocks) == 1:
        return _label_whole(canvas, rule, blocks[0].inner, n_before)
    if 2 * _n_seeds(blocks) > _MOST_NUMBERS:
        raise ImageError(
            f"A frame of {' × '.join(map(str, blocks.frame))} pixels is too large to number its objects in 32 bits. "
            f"Cut it, and segment the parts."
        )
    for _ in hands(_find_seeds, blocks, canvas, rule, blocks):
        pass
    seeds = Joins.of(_touching(canvas, blocks))
    grown = list(hands(_grow_seeds, blocks, canvas, rule, blocks, seeds))
    free = Joins.of(_touching(canvas, blocks, only_free=True))
    objects = Tally.together((tally for tally, _ in grown), free)
    kept = np.flatnonzero(objects.sizes >= max(rule.min_size, 1))
    numbers = np.zeros(len(objects.parts), np.int64)
    numbers[kept[np.argsort(objects.first[kept])]] = np.arange(n_before + 1, n_before + 1 + len(kept))
    for _ in hands(_number, blocks, canvas, free, objects.parts, numbers):
        pass
    inside, n_predicted = float(objects.mass[kept].sum()), int(objects.sizes[kept].sum())
    everything = sum(mass for _, mass in grown)
    return Labelled(len(kept), ExpectedOverlap(inside, n_predicted + everything - inside))


def _label_whole(canvas: Canvas, rule: ObjectRule, window: Window, n_before: int) -> Labelled:
    foreground, overlap = canvas.read_foreground(window), ExpectedOverlap()
    labels = label_objects(foreground, canvas.read_distance(window), rule)
    overlap.add(foreground, labels > 0)
    n_objects = int(labels.max(initial=0))
    labels[labels > 0] += n_before
    canvas.write_labels(window, labels)
    return Labelled(n_objects, overlap)


def _find_seeds(canvas: Canvas, rule: ObjectRule, blocks: Tiling, block: Tile) -> None:
    foreground, distance = canvas.read_foreground(block.window), canvas.read_distance(block.window)
    _, seeds = foreground_and_seeds(foreground, distance, rule)
    inside = connected(seeds[block.crop] > 0)
    canvas.write_labels(block.inner, _numbered(inside, _first_number(blocks, block)))


def _grow_seeds(canvas: Canvas, rule: ObjectRule, blocks: Tiling, joins: Joins, block: Tile) -> tuple[Tally, float]:
    """Write the objects of a block, grown and free; return their tally, and the sum of all probability."""
    foreground, distance = canvas.read_foreground(block.window), canvas.read_distance(block.window)
    is_foreground, seeds = foreground_and_seeds(foreground, distance, rule)
    is_seed = seeds > 0
    seeds[is_seed] = joins.apply(canvas.read_labels(block.window)[is_seed])
    labels = grow(seeds, is_foreground, distance, rule.reach_px)[block.crop]
    free = connected(is_foreground[block.crop] & (labels == 0))
    labels += _numbered(free, _first_number(blocks, block) + _n_seeds(blocks))
    canvas.write_labels(block.inner, labels)
    inner = foreground[block.crop]
    corner = tuple(part.start for part in block.inner)
    return Tally.of(labels, inner, corner, blocks.frame), float(inner.sum(dtype=np.float64))


def _number(canvas: Canvas, free: Joins, parts: NDArray[np.int64], numbers: NDArray[np.int64], block: Tile) -> None:
    labels = canvas.read_labels(block.inner)
    values, _, lengths = runs(labels)
    final = looked_up(free.apply(values.astype(np.int64)), parts, numbers)
    canvas.write_labels(block.inner, np.repeat(final.astype(np.int32), lengths).reshape(labels.shape))


def _room(blocks: Tiling) -> int:
    """Return how many parts a block can hold at most: one of two pixels along every axis, since corners join them."""
    return prod(-(-size // 2) for size in blocks.tile)


def _n_seeds(blocks: Tiling) -> int:
    """Return how many numbers are kept for seeds."""
    return len(blocks) * _room(blocks)


def _first_number(blocks: Tiling, block: Tile) -> int:
    """Return how far a block's numbers lie from 0, so that no other block counts there."""
    at = tuple(part.start // size for part, size in zip(block.inner, blocks.tile, strict=True))
    return int(np.ravel_multi_index(at, blocks.grid)) * _room(blocks)


def _numbered(parts: NDArray[np.int32], first: int) -> NDArray[np.int32]:
    """Turn the numbers 1, 2 and so on of parts into −first − 1, −first − 2 and so on."""
    return np.where(parts > 0, -parts - np.int32(first), np.int32(0))


def _touching(canvas: Canvas, blocks: Tiling, *, only_free: bool = False) -> Iterator[NDArray[np.int64]]:
    """Look along every cut between blocks at what touches."""
    for axis, seam in _seams(blocks):
        labels = canvas.read_labels(seam)
        if only_free:
            labels = np.where(labels < -_n_seeds(blocks), labels, 0)
        yield touching(*np.moveaxis(labels, axis, 0))


def _seams(blocks: Tiling) -> Iterator[tuple[int, Window]]:
    """Yield the axis of each cut and the two pixels on both sides of it, in strips that overlap by a pixel."""
    for axis, (size, tile) in enumerate(zip(blocks.frame, blocks.tile, strict=True)):
        across = tuple(length for other, length in enumerate(blocks.frame) if other != axis)
        side = round(_STRIP_PIXELS ** (1 / len(across)))
        strips = Tiling(across, (side,) * len(across), (1,) * len(across), (0,) * len(across))
        for cut in range(tile, size, tile):
            for strip in strips:
                window = [slice(max(0, part.start - 1), part.stop) for part in strip.inner]
                window.insert(axis, slice(cut - 1, cut + 1))
                yield axis, tuple(window)
