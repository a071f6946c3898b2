"""Synthetic noise of known statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def add_gaussian(clean: NDArray[Any], sigma: float, seed: int) -> NDArray[np.float32]:
    """Add Gaussian noise of standard deviation `sigma`, in grey values; nothing is clipped."""
    noise = np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
    return clean.astype(np.float32) + np.float32(sigma) * noise


def log_uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw numbers whose logarithm is uniform between those of `low` and `high`; a `low` of 0 counts as high/1000."""
    low = max(low, high / 1000)
    if high <= 0:
        return torch.zeros(shape, device=generator.device)
    return low * (high / low) ** torch.rand(shape, generator=generator, device=generator.device)


def poisson_gaussian(
    clean: Tensor,
    poisson: Tensor,
    gaussian: Tensor,
    generator: torch.Generator,
    *,
    gain_spread: Tensor | None = None,
) -> Tensor:
    """Draw a noisy image: ``poisson · Poisson(clean / poisson) + gaussian · N(0, 1)`` (Foi 2008, IEEE TIP 17(10)).

    With a spread of the gain s, a photon counts as a random number of mean 1 and variance s, gamma distributed, and
    there are 1 + s times more photons, so that the variance stays as it is: brighter outliers, the same level (a
    photomultiplier's excess noise: Kissick 2010, Anal. Chem. 82, 10129, who take it for log-normal).

    Parameters
    ----------
    clean
        ``(N, C, *spatial)`` float32, intensities of about 0 … 1; negative ones count as 0 photons.
    poisson
        Variance per unit of intensity, positive, broadcast over `clean`: the inverse of the photons at intensity 1.
    gaussian
        Standard deviation of the signal-independent noise, broadcast over `clean`.
    gain_spread
        Relative variance of the detector's answer to one photon, broadcast over `clean`; None for none.
    """
    poisson = poisson.clamp(min=1e-6)
    if gain_spread is None:
        photons = torch.poisson(clean.clamp(min=0) / poisson, generator=generator)
    else:
        spread = gain_spread.clamp(min=1e-3)
        counted = torch.poisson(clean.clamp(min=0) / poisson * (1 + spread), generator=generator)
        answer = torch._standard_gamma((counted / spread).clamp(min=1e-6), generator=generator) * spread
        photons = torch.where(counted > 0, answer, 0) / (1 + spread)
    reading = torch.randn(clean.shape, generator=generator, device=clean.device)
    return photons * poisson + clean.clamp(max=0) + gaussian * reading


def correlate_along_x(noise: Tensor, correlation: Tensor) -> Tensor:
    """Smear white noise into the next pixel along the last axis, its variance kept.

    With ``n[x] + a · n[x − 1]``, scaled by ``1 / √(1 + a²)``, neighbours correlate by ``a / (1 + a²)``, and pixels
    farther apart not at all.

    Parameters
    ----------
    noise
        ``(N, C, *spatial)``, independent from pixel to pixel; the last column counts as the first one's neighbour.
    correlation
        Of neighbours, 0 … 0.5, broadcast over `noise`.
    """
    share = 2 * correlation / (1 + (1 - 4 * correlation**2).clamp(min=0).sqrt())
    return (noise + share * noise.roll(1, -1)) / (1 + share**2).sqrt()
