"""Parts of an image that was labelled in pieces: which belong together, and what each is like.

::

    . 3 3 │ 7 7 .        3 and 7 touch across the cut and become 3; 4 and 8 meet at a corner and become 4;
    . . 3 │ . . .        9 touches nothing on the other side and stays
    . 4 . │ . 9 .
    . 4 4 │ . . .
    ──────┼──────        a cut is looked at along its whole length, so that corners of pieces are nothing special
    . . . │ 8 8 .
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def touching(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int64]:
    """Return the pairs of parts that touch across a cut, over faces, edges and corners.

    Parameters
    ----------
    low, high
        Labels of the pixels on both sides, one axis less than the image, 0 where there is none.

    Returns
    -------
    pairs
        ``(n, 2)``, each once.
    """
    found = []
    for shift in product((-1, 0, 1), repeat=low.ndim):
        one, other = low[_shifted(shift, 1)], high[_shifted(shift, -1)]
        meet = (one != 0) & (other != 0)
        found.append(np.stack([one[meet], other[meet]], axis=1).astype(np.int64))
    return np.unique(np.concatenate(found), axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Joins:
    """What each part that touches others is called: by the smallest of all numbers that hang together."""

    parts: NDArray[np.int64]
    """Numbers of the parts that touch others, ascending."""
    roots: NDArray[np.int64]
    """What each of them is called."""

    @classmethod
    def of(cls, pairs: Iterable[NDArray[np.int64]]) -> Self:
        """Put together what hangs together by `pairs`, each ``(n, 2)``."""
        every = np.concatenate([np.empty((0, 2), np.int64), *pairs])
        parts, ends = np.unique(every, return_inverse=True)
        one, other = ends.reshape(-1, 2).T
        graph = coo_array((np.ones(len(one), bool), (one, other)), (len(parts), len(parts)))
        n_groups, group = connected_components(graph, directed=False)
        first = np.full(n_groups, len(parts))
        np.minimum.at(first, group, np.arange(len(parts)))
        return cls(parts, parts[first[group]])

    def apply(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return `numbers`, of any shape, each called by its root; what touches nothing keeps its number."""
        return looked_up(numbers, self.parts, self.roots)


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What the parts in one piece of an image are like: arrays with one value per part."""

    parts: NDArray[np.int64]
    """Numbers, ascending."""
    sizes: NDArray[np.int64]
    """Pixels."""
    first: NDArray[np.int64]
    """Position of the first pixel in raster order, in the whole image."""
    mass: NDArray[np.float64]
    """Sum of the foreground's probability."""

    @classmethod
    def of(
        cls,
        labels: NDArray[Any],
        foreground: NDArray[np.float32],
        corner: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> Self:
        """Count the parts of a piece whose first pixel lies at `corner` of an image of `shape`."""
        values, starts, lengths = runs(labels)
        mass = np.add.reduceat(foreground.ravel(), starts, dtype=np.float64)
        inside = values != 0
        parts, at, ends = np.unique(values[inside], True, True)
        local = np.unravel_index(starts[inside][at], labels.shape)
        first = np.ravel_multi_index(tuple(i + c for i, c in zip(local, corner, strict=True)), shape)
        sizes = np.bincount(ends, lengths[inside], len(parts)).astype(np.int64)
        masses = np.bincount(ends, mass[inside], len(parts)).astype(np.float64)
        return cls(parts.astype(np.int64), sizes, np.asarray(first, np.int64), masses)

    @classmethod
    def together(cls, tallies: Iterable[Tally], joins: Joins) -> Self:
        """Add up the pieces of each part."""
        given = list(tallies)
        names = joins.apply(np.concatenate([np.empty(0, np.int64), *(one.parts for one in given)]))
        parts, ends = np.unique(names, return_inverse=True)
        sizes, mass = np.zeros(len(parts), np.int64), np.zeros(len(parts))
        first = np.full(len(parts), np.iinfo(np.int64).max)
        if given:
            np.add.at(sizes, ends, np.concatenate([one.sizes for one in given]))
            np.add.at(mass, ends, np.concatenate([one.mass for one in given]))
            np.minimum.at(first, ends, np.concatenate([one.first for one in given]))
        return cls(parts, sizes, first, mass)


def runs(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return value, first position and length of each run of equal labels in raster order: far fewer than pixels.

    Runs go on over the ends of rows. `labels` holds at least one pixel.
    """
    flat = labels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    return flat[starts], starts, np.diff(starts, append=flat.size)


def looked_up(numbers: NDArray[Any], known: NDArray[np.int64], meaning: NDArray[np.int64]) -> NDArray[Any]:
    """Replace each of `numbers` that is among `known`, ascending, by its `meaning`; the others stay."""
    if not known.size:
        return numbers
    at = np.minimum(np.searchsorted(known, numbers), known.size - 1)
    return np.where(known[at] == numbers, meaning[at], numbers).astype(numbers.dtype)


def _shifted(shift: tuple[int, ...], sign: int) -> tuple[slice, ...]:
    """Return what is left of one side of a cut when the other is moved by `shift`."""
    return tuple(slice(max(0, sign * s), min(0, sign * s) or None) for s in shift)
