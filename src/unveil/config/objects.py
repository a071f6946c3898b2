"""The rule that turns probabilities into separate objects."""

from __future__ import annotations

from pydantic import Field

from unveil.config.base import Config


class ObjectRule(Config):
    """Seeds where the normalized distance is high, grown step by step through the foreground.

    The result at a pixel depends on the maps within `reach_px` pixels and on which seeds are connected, so that it
    can be computed piece by piece.
    """

    threshold: float = Field(0.5, gt=0, lt=1)
    """Foreground is where its probability exceeds this."""
    separation: float = Field(0.5, ge=0, lt=1)
    """Seeds are where the normalized distance to the object's border exceeds this: higher splits more."""
    min_size: int = Field(0, ge=0)
    """Objects of fewer pixels are dropped."""
    reach_px: int = Field(32, ge=1, le=4096)
    """Growth stops after so many steps; taken from the largest training object."""
