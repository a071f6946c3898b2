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


def poisson_gaussian(clean: Tensor, poisson: Tensor, gaussian: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a noisy image: ``poisson · Poisson(clean / poisson) + gaussian · N(0, 1)`` (Foi 2008, IEEE TIP 17(10)).

    Parameters
    ----------
    clean
        ``(N, C, *spatial)`` float32, intensities of about 0 … 1; negative ones count as 0 photons.
    poisson
        Variance per unit of intensity, positive, broadcast over `clean`: the inverse of the photons at intensity 1.
    gaussian
        Standard deviation of the signal-independent noise, broadcast over `clean`.
    """
    poisson = poisson.clamp(min=1e-6)
    photons = torch.poisson(clean.clamp(min=0) / poisson, generator=generator)
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
