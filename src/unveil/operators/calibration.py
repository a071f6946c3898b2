"""Do probabilities mean what they say? Reliability, temperature, and what they tell of the overlap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.special import logsumexp

N_BINS = 15
_LOG_TEMPERATURE = (-3.0, 3.0)
_LEAST = 1e-7
"""Probabilities below count as this: what float32 tells apart near 1."""


@dataclass(slots=True)
class Reliability:
    """How often pixels of a predicted foreground probability are foreground, pooled over images.

    ::

        share of foreground
          1 │          ╱·        probabilities of one bin on average (x) against the share of its pixels that are
            │      ·╱            foreground (y): on the diagonal they mean what they say; the expected calibration
            │   ╱·               error (ECE: Naeini 2015, AAAI; Guo 2017, arXiv 1706.04599) is the mean distance from
          0 └──────────▶ 1       it, weighted by pixels
    """

    n: NDArray[np.int64] = field(default_factory=lambda: np.zeros(N_BINS, np.int64))
    predicted: NDArray[np.float64] = field(default_factory=lambda: np.zeros(N_BINS))
    observed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(N_BINS))

    def add(self, foreground: NDArray[np.float32], is_foreground: NDArray[Any]) -> None:
        """Count the pixels of an image: probabilities 0 … 1, and the truth, of equal shape."""
        values, truth = foreground.ravel().astype(np.float64), is_foreground.ravel().astype(np.float64)
        bins = np.minimum((values * N_BINS).astype(int), N_BINS - 1)
        self.n += np.bincount(bins, minlength=N_BINS)
        self.predicted += np.bincount(bins, values, N_BINS)
        self.observed += np.bincount(bins, truth, N_BINS)

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance between probability and share, over the bins, weighted by their pixels; 0 without pixels."""
        return float(np.abs(self.predicted - self.observed).sum() / max(1, self.n.sum()))

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the error and, for each bin that is not empty, pixels, mean probability and share of foreground."""
        filled = np.flatnonzero(self.n)
        return {
            "ece": self.expected_calibration_error,
            "bins": [
                {
                    "n": int(self.n[i]),
                    "probability": float(self.predicted[i] / self.n[i]),
                    "foreground": float(self.observed[i] / self.n[i]),
                }
                for i in filled
            ],
        }


@dataclass(slots=True)
class ExpectedOverlap:
    """The overlap with the truth that probabilities themselves expect, pooled over planes.

    ``Σ p over what is predicted / (pixels predicted + Σ p over the others)``: expected intersection over expected
    union, with each pixel foreground by its own probability.
    """

    intersection: float = 0.0
    union: float = 0.0

    def add(self, foreground: NDArray[np.float32], is_predicted: NDArray[np.bool_]) -> None:
        """Count the foreground probabilities of a plane or volume, and where foreground is predicted."""
        inside = float(foreground.sum(where=is_predicted, dtype=np.float64))
        self.intersection += inside
        self.union += int(np.count_nonzero(is_predicted)) + float(foreground.sum(dtype=np.float64)) - inside

    def include(self, other: ExpectedOverlap) -> None:
        """Add what `other` has counted."""
        self.intersection += other.intersection
        self.union += other.union

    @property
    def iou(self) -> float | None:
        """Expected IoU; None where nothing is predicted and nothing expected."""
        return self.intersection / self.union if self.union > 0 else None


def fit_temperature(probabilities: NDArray[np.float32], classes: NDArray[Any]) -> float:
    """Return the temperature T that makes ``softmax(log p / T)`` the likeliest (Guo 2017, arXiv 1706.04599).

    Above 1 where the probabilities are too sure of themselves. No class changes its rank.

    Parameters
    ----------
    probabilities
        ``(K, n)``, of each class at each of n pixels.
    classes
        ``(n,)``, the true class of each, 0 to K − 1.
    """
    from scipy.optimize import minimize_scalar  # slow to import, and a segmentation only counts

    scores = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    true = scores[classes, np.arange(scores.shape[1])]

    def loss(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float((logsumexp(scores / temperature, axis=0) - true / temperature).mean())

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_TEMPERATURE, method="bounded").x))
