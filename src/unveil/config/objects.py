"""The rule that turns probabilities into separate objects."""

from __future__ import annotations

import math

from pydantic import Field

from unveil.config.base import Config

_MOST_SEED_PIXELS = 64
"""More are never asked of a seed, so that `context_px` stays small."""


class ObjectRule(Config):
    """Seeds where the normalized distance is high, grown step by step through the foreground.

    The result at a pixel depends on the maps within `context_px` pixels and on which seeds are connected, so that it
    can be computed piece by piece.
    """

    threshold: float = Field(0.5, gt=0, lt=1)
    """Foreground is where its probability exceeds this."""
    separation: float = Field(0.5, ge=0, lt=1)
    """Seeds are where the normalized distance to the object's border exceeds this: higher splits more."""
    min_size: int = Field(0, ge=0)
    """Objects of fewer pixels are dropped, and so are seeds too small for one of so many."""
    reach_px: int = Field(32, ge=1, le=4096)
    """Growth stops after so many steps; taken from the largest training object."""

    def on_grid(self, scale: tuple[float, ...]) -> ObjectRule:
        """Return the rule in pixels of an image that is resized by `scale` per axis for the model; () if it is not."""
        if not scale:
            return self
        reach_px, min_size = self.reach_px / min(scale), self.min_size / math.prod(scale)
        return self.model_copy(update={"reach_px": max(1, round(reach_px)), "min_size": round(min_size)})

    def smallest_seed(self, n_dims: int) -> int:
        """Return how many pixels a seed has at least: those that an object of `min_size` would have, 64 at most.

        In a disc or ball the distance falls evenly from the middle to the border, so that what exceeds `separation`
        is as wide as the object times ``1 - separation``.
        """
        expected = (1 - self.separation) ** n_dims * self.min_size
        return min(math.ceil(round(expected, 6)), _MOST_SEED_PIXELS)

    def context_px(self, n_dims: int) -> int:
        """Return how many pixels around a region decide on its objects: seeds that reach it, seen whole if small."""
        return self.reach_px + self.smallest_seed(n_dims)
