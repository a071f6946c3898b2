"""By how much an image is magnified, told from its statistics: a network of two small hidden layers.

What a microscope shows is sampled alike in all images of one kind: a magnified image is blurred, its spectrum empty
above some frequency, its structures coarse; a reduced one is crisp up to the finest. No single number tells how much,
but a function of all of them that has seen the same images at many known factors does::

    octaves(x) = c + v · tanh(W₂ tanh(W₁ z + b₁) + b₂)          z = (x − mean) / spread
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Layer: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights ``(h, n)`` and biases ``(h,)``."""

FARTHEST = 5.0
"""Standard deviations beyond which a statistic counts no more."""


@dataclass(frozen=True, slots=True, eq=False)
class Magnification:
    """The function, its weights as float64.

    Attributes
    ----------
    mean, spread
        Of each statistic, shape ``(n,)``; spread is positive.
    hidden
        The hidden layers, one after the other.
    output, offset
        Of the last, shape ``(h,)`` and a number.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    hidden: tuple[Layer, ...]
    output: NDArray[np.float64]
    offset: float

    def standardized(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``z`` of samples ``(…, n)``."""
        standard: NDArray[np.float64] = np.clip((samples - self.mean) / self.spread, -FARTHEST, FARTHEST)
        return standard

    def octaves(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how many octaves each of ``(…, n)`` is magnified: 1 is twice as large, −1 half as large."""
        values = self.standardized(samples)
        for weights, biases in self.hidden:
            values = np.tanh(values @ weights.T + biases)
        octaves: NDArray[np.float64] = values @ self.output + self.offset
        return octaves
