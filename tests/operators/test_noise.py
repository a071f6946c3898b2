"""Synthetic noise has the variance it claims."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.operators.noise import add_gaussian, correlate_along_x, log_uniform, poisson_gaussian


@pytest.mark.parametrize(("poisson", "gaussian"), [(0.02, 0.05), (0.0, 0.1), (0.1, 0.0)])
def test_the_variance_is_affine_in_the_intensity(poisson: float, gaussian: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for intensity in (0.1, 0.5, 1.0):
        clean = torch.full((1, 1, 400, 400), intensity)
        noisy = poisson_gaussian(clean, torch.tensor(poisson), torch.tensor(gaussian), generator)
        assert noisy.mean().item() == pytest.approx(intensity, abs=5e-3)
        assert noisy.var().item() == pytest.approx(poisson * intensity + gaussian**2, rel=0.03, abs=1e-5)


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_a_spread_gain_keeps_mean_and_variance_and_has_brighter_outliers(spread: float) -> None:
    """The third moment of a compound Poisson number is that of one answer times the mean number of photons."""
    clean, level = torch.full((1, 1, 700, 700), 0.5), torch.tensor(0.05)
    generator = torch.Generator().manual_seed(0)
    noisy = poisson_gaussian(clean, level, torch.tensor(0.0), generator, gain_spread=torch.tensor(spread))
    centred = (noisy - noisy.mean()).double()
    assert noisy.mean().item() == pytest.approx(0.5, abs=2e-3)
    assert centred.square().mean().item() == pytest.approx(0.05 * 0.5, rel=0.02)
    third = 0.05**2 * 0.5 * (1 + 2 * spread) / (1 + spread)
    assert (centred**3).mean().item() == pytest.approx(third, rel=0.05)


def test_negative_intensities_keep_their_mean() -> None:
    clean = torch.full((1, 1, 300, 300), -0.2)
    noisy = poisson_gaussian(clean, torch.tensor(0.05), torch.tensor(0.01), torch.Generator().manual_seed(0))
    assert noisy.mean().item() == pytest.approx(-0.2, abs=1e-3)


def test_gaussian_noise_is_unclipped_and_seeded() -> None:
    clean = np.zeros((300, 300), np.uint8)
    noisy = add_gaussian(clean, 25.0, seed=3)
    assert noisy.dtype == np.float32
    assert noisy.min() < -50
    assert noisy.std() == pytest.approx(25, rel=0.02)
    np.testing.assert_array_equal(noisy, add_gaussian(clean, 25.0, seed=3))
    assert not np.array_equal(noisy, add_gaussian(clean, 25.0, seed=4))


def test_levels_lie_in_their_range_and_are_even_in_the_logarithm() -> None:
    levels = log_uniform((10000,), 0.001, 0.1, torch.Generator().manual_seed(0))
    assert levels.min() >= 0.001
    assert levels.max() <= 0.1
    assert torch.median(levels).item() == pytest.approx(0.01, rel=0.1)
    assert not log_uniform((5,), 0, 0, torch.Generator()).any()


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.5])
def test_noise_is_smeared_along_x_alone_and_keeps_its_variance(correlation: float) -> None:
    white = torch.randn(1, 1, 500, 500, generator=torch.Generator().manual_seed(0))
    smeared = correlate_along_x(white, torch.tensor(correlation))[0, 0]

    def with_neighbour(rows: int, columns: int) -> float:
        return float((smeared * smeared.roll((rows, columns), (0, 1))).mean())

    assert with_neighbour(0, 0) == pytest.approx(1, abs=0.01)
    assert with_neighbour(0, 1) == pytest.approx(correlation, abs=0.01)
    assert with_neighbour(0, 2) == pytest.approx(0, abs=0.01)
    assert with_neighbour(1, 0) == pytest.approx(0, abs=0.01)
