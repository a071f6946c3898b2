"""Which images teach and which judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def split_images(items: Sequence[Item], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Hold out whole images: about `fraction` of them, at least one if `fraction` > 0, never all.

    Returns
    -------
    training, validation
        In the given order; validation is empty for a single image.
    """
    n_held_out = min(max(round(fraction * len(items)), int(fraction > 0)), len(items) - 1)
    held_out = set(np.random.default_rng(seed).permutation(len(items))[:n_held_out].tolist())
    training = [item for i, item in enumerate(items) if i not in held_out]
    return training, [item for i, item in enumerate(items) if i in held_out]
