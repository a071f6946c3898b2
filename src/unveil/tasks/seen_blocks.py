"""Blocks of a plane as a network sees them in a run: resized and normalized, some at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from unveil.inference.reading import NormalizedFrame, blocks, survey
from unveil.inference.tiling import round_up
from unveil.model.card import ModelCard
from unveil.tasks.rescaling import resized_shape
from unveil.tasks.seen_frame import as_seen, resized_frame

_BATCH_PIXELS = 1 << 17
"""Of the blocks that are yielded together; one that has more comes alone."""


def seen_blocks(
    plane: NormalizedFrame,
    card: ModelCard,
    scale: tuple[float, ...],
    corners: Sequence[tuple[int, int]],
    edge_px: int,
) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of `plane` in order, as ``(n, C, Y, X)``, each side rounded up to the network's step.

    Parameters
    ----------
    plane
        As it is before it is resized.
    scale
        Factors per axis; empty for none.
    corners
        First row and column of each block, in pixels of `plane`.
    edge_px
        Edge of the blocks, in the same; smaller planes are one block.
    """
    seen = plane
    if scale:
        small = resized_frame(plane.frame, resized_shape(plane.shape[1:], scale))
        seen = as_seen(small, survey(blocks(small)), card)
    factors = tuple(new / old for new, old in zip(seen.shape[1:], plane.shape[1:], strict=True))
    edges = resized_shape(tuple(min(edge_px, length) for length in plane.shape[1:]), factors)
    sides = [round_up(edge, step) for edge, step in zip(edges, card.size_step, strict=True)]
    n_at_once = max(1, _BATCH_PIXELS // prod(sides))
    for begin in range(0, len(corners), n_at_once):
        starts = [[round(at * f) for at, f in zip(c, factors, strict=True)] for c in corners[begin : begin + n_at_once]]
        windows = [tuple(slice(at, at + side) for at, side in zip(start, sides, strict=True)) for start in starts]
        yield np.stack([seen.read(window) for window in windows])
