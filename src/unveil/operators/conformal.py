"""Split conformal intervals: from how far off a model was on images with a known truth to how far off it may be.

An image gets a score, the distance of truth and prediction in a unit of its own. For images drawn alike (exchangeable),
the score of a new one is at most the ⌈(n + 1)(1 − α)⌉-th smallest of n known ones with probability 1 − α or more, and
less than 1/(n + 1) more where no two scores are equal (Vovk 2005, "Algorithmic Learning in a Random World"; Lei 2018,
JASA 113:1094; Angelopoulos and Bates, arXiv 2107.07511). What the model is does not matter; that the images are alike
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, inf, sqrt

import numpy as np

MISCOVERAGE = 0.1
"""α: how often a truth may lie outside its interval; 1 time in 10."""
_LEAST_SHORTFALL = 0.01
"""Of an expected IoU from 1: no image is taken for more certain."""
_ANSCOMBE = 3 / 8
_ROUNDING = 1e-9


def least_images(miscoverage: float = MISCOVERAGE) -> int:
    """Return how many scores a bounded interval needs: 9 at 1 in 10."""
    return ceil((1 - miscoverage) / miscoverage - _ROUNDING)


def conformal_quantile(scores: Sequence[float], miscoverage: float = MISCOVERAGE) -> float:
    """Return the ⌈(n + 1)(1 − α)⌉-th smallest of n scores; infinity where n is too small for any bound."""
    rank = ceil((len(scores) + 1) * (1 - miscoverage) - _ROUNDING)
    return float(np.partition(np.asarray(scores, float), rank - 1)[rank - 1]) if rank <= len(scores) else inf


def overlap_score(expected: float, true: float) -> float:
    """Return how far an IoU is from the expected one, in units of what that lacks to 1: ``|t − e| / (1 − e)``."""
    return abs(true - expected) / _shortfall(expected)


def overlap_interval(expected: float, quantile: float) -> tuple[float, float]:
    """Return all IoU whose score is at most `quantile`, within 0 … 1."""
    reach = quantile * _shortfall(expected)
    return max(0.0, expected - reach), min(1.0, expected + reach)


def count_score(found: int, true: int) -> float:
    """Return how far two counts are from each other: ``2 |√(t + 3/8) − √(f + 3/8)|``.

    The square root makes the spread of a Poisson count 1 whatever its mean (Anscombe 1948, Biometrika 35:246).
    """
    return 2 * abs(sqrt(true + _ANSCOMBE) - sqrt(found + _ANSCOMBE))


def count_interval(found: int, quantile: float) -> tuple[int, float]:
    """Return the least and the largest count whose score is at most `quantile`; the largest may be infinite."""
    if quantile == inf:
        return 0, inf
    middle = sqrt(found + _ANSCOMBE)
    low, high = max(0.0, middle - quantile / 2), middle + quantile / 2
    return max(0, ceil(low**2 - _ANSCOMBE - _ROUNDING)), floor(high**2 - _ANSCOMBE + _ROUNDING)


def _shortfall(expected: float) -> float:
    return max(1 - expected, _LEAST_SHORTFALL)
