"""How far a sample of statistics lies from others.

Samples x of n numbers are standardized and described by a Gaussian whose covariance is free along the k
directions in which they vary most and the same, s², along all others (probabilistic principal components: Tipping 1999,
J. R. Stat. Soc. B 61, 611), so that few samples suffice. The distance is that of Mahalanobis, over √n::

    d(x)² = ( Σᵢ (uᵢ·z)² / λᵢ  +  (‖z‖² − Σᵢ (uᵢ·z)²) / s² ) / n          z = (x − mean) / spread
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FARTHEST = 30.0
"""Standard deviations beyond which one statistic counts no more: it alone would decide everything."""
_LEAST_SPREAD = 0.01
"""Of a statistic's size: what is the same in all samples may differ a little in others."""
_LEAST_REST = 1e-3
_KEPT, _N_CONCENTRATIONS = 0.9, 4


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Where samples lie.

    Attributes
    ----------
    mean, spread
        Of each statistic, shape ``(n,)``; spread is positive.
    directions
        Orthonormal, of standardized statistics, shape ``(k, n)``.
    variances
        Along each direction, shape ``(k,)``.
    rest
        The variance along any other.
    """

    mean: Floats
    spread: Floats
    directions: Floats
    variances: Floats
    rest: float

    def deviations(self, samples: Floats) -> Floats:
        """Return how many standard deviations each statistic of ``(…, n)`` lies off."""
        deviations: Floats = np.clip((samples - self.mean) / self.spread, -_FARTHEST, _FARTHEST)
        return deviations

    def coordinates(self, samples: Floats) -> Floats:
        """Return where samples ``(…, n)`` lie along the directions, in standard deviations, ``(…, k)``."""
        coordinates: Floats = self.deviations(samples) @ self.directions.T / np.sqrt(self.variances)
        return coordinates

    def distances(self, samples: Floats) -> Floats:
        """Return how far samples ``(…, n)`` lie from the cloud; about 1 for those that it was made from."""
        deviations, coordinates = self.deviations(samples), self.coordinates(samples)
        along = np.square(coordinates)
        beside = np.square(deviations).sum(axis=-1) - (along * self.variances).sum(axis=-1)
        squared = (along.sum(axis=-1) + np.maximum(beside, 0) / self.rest) / samples.shape[-1]
        distances: Floats = np.sqrt(squared)
        return distances


def fit_cloud(samples: Floats, n_directions: int) -> Cloud:
    """Describe where `samples` ``(m, n)`` lie; with few of them, by fewer than `n_directions` directions."""
    mean, typical = samples.mean(axis=0), np.abs(samples).mean(axis=0)
    spread = samples.std(axis=0) + _LEAST_SPREAD * (typical + _LEAST_SPREAD)
    standard = (samples - mean) / spread
    _, values, directions = np.linalg.svd(standard, full_matrices=False)
    variances = np.square(values) / max(len(samples) - 1, 1)
    k = max(0, min(n_directions, len(samples) // 4))
    n_others = samples.shape[1] - k
    rest = max(float(variances[k:].sum()) / max(n_others, 1), _LEAST_REST)
    return Cloud(mean, spread, directions[:k], np.maximum(variances[:k], rest), rest)


def fit_trimmed_cloud(samples: Floats, n_directions: int) -> Cloud:
    """Describe where the nearest nine tenths of `samples` ``(m, n)`` lie; the others may be anything.

    The farthest are left out and the rest described again, a few times: the concentration steps of the minimum
    covariance determinant (Rousseeuw 1999, Technometrics 41, 212).
    """
    cloud = fit_cloud(samples, n_directions)
    for _ in range(_N_CONCENTRATIONS):
        distances = cloud.distances(samples)
        cloud = fit_cloud(samples[distances <= np.quantile(distances, _KEPT)], n_directions)
    return cloud


def left_out_distances(samples: Floats, groups: NDArray[np.intp], n_directions: int) -> Floats:
    """Return how far each of `samples` ``(m, n)`` lies from a cloud of those of other groups, ``(m,)``."""
    distances = np.zeros(len(samples))
    for group in np.unique(groups):
        own = groups == group
        distances[own] = fit_cloud(samples[~own], n_directions).distances(samples[own])
    return distances
