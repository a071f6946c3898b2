"""Noise that is added, in the normalization that a noisy image gets."""

from __future__ import annotations

import pytest
import torch

from unveil.config.normalization import NoiseNormalization, PercentileNormalization
from unveil.config.training import NoiseConfig
from unveil.operators.normalization import fit_array
from unveil.training.synthetic_noise import SyntheticNoise


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def spots() -> torch.Tensor:
    """A dark ground with bright squares on 4 % of it, from 0 to 1."""
    image = torch.zeros(1, 1, 200, 200)
    image[..., 20:60, 20:60] = 1
    return image


@pytest.mark.parametrize("level", [0.03, 0.1, 0.2])
def test_noisy_images_come_in_about_their_own_normalization(level: float) -> None:
    noisy, clean, _ = SyntheticNoise(NoiseConfig(poisson=(0, 0), gaussian=(level, level))).added(spots(), generator())
    own = fit_array(PercentileNormalization(low=0.5, high=99.9), noisy[0].numpy())
    assert abs(own.offset[0]) < 0.6 * level
    assert own.scale[0] == pytest.approx(1, abs=1.5 * level)
    assert (noisy - clean).mean().item() == pytest.approx(0, abs=level / 50)


@pytest.mark.parametrize("poisson", [0.0, 0.02])
def test_where_noise_is_the_unit_an_image_comes_in_about_its_own_normalization(poisson: float) -> None:
    levels = NoiseConfig(poisson=(poisson, poisson), gaussian=(0.04, 0.04))
    dark, bright = -1.0, 3.0
    noise = SyntheticNoise(levels, "noise", (dark, bright))
    noisy, clean, _ = noise.added(dark + (bright - dark) * spots(), generator())
    assert (noisy - clean).std().item() == pytest.approx(1, abs=0.02)
    assert (noisy - clean).mean().item() == pytest.approx(0, abs=0.02)
    assert fit_array(NoiseNormalization(), noisy[0].numpy()).scale[0] == pytest.approx(1, abs=0.1)


def test_stabilized_noise_is_equally_strong_and_errors_count_as_those_of_intensity() -> None:
    levels = NoiseConfig(poisson=(0.02, 0.02), gaussian=(0.05, 0.05))
    noisy, clean, importance = SyntheticNoise(levels, "stabilized").added(spots(), generator())
    for part in (spots() < 0.2, spots() > 0.6):
        assert (noisy - clean)[part].std() == pytest.approx(1, abs=0.1)
    assert importance.mean() == pytest.approx(1, abs=1e-4)
    assert importance[spots() > 0.6].mean() > 2 * importance[spots() < 0.1].mean()


def test_a_scanning_detector_smears_the_noise_into_the_next_pixel() -> None:
    noise = NoiseConfig(poisson=(0, 0), gaussian=(0.1, 0.1), correlation=(0.3, 0.3))
    noisy, clean, _ = SyntheticNoise(noise).added(spots(), generator())
    rest = noisy - clean
    rest = (rest - rest.mean()) / rest.std()
    assert (rest * rest.roll(1, -1)).mean().item() == pytest.approx(0.3, abs=0.02)
    assert (rest * rest.roll(1, -2)).mean().item() == pytest.approx(0, abs=0.02)


def test_every_image_draws_its_own_smear_within_the_range() -> None:
    noise = NoiseConfig(poisson=(0, 0), gaussian=(0.1, 0.1), correlation=(0.1, 0.4))
    noisy, clean, _ = SyntheticNoise(noise).added(torch.full((32, 1, 100, 100), 0.5), generator())
    rest = (noisy - clean).flatten(1, 2)
    rest = rest - rest.mean(dim=(1, 2), keepdim=True)
    found = (rest * rest.roll(1, -1)).mean(dim=(1, 2)) / rest.square().mean(dim=(1, 2))
    assert 0.06 < found.min().item() < 0.17
    assert 0.33 < found.max().item() < 0.44


def test_a_spread_of_the_gain_makes_bright_outliers() -> None:
    def skewness(*spread: float) -> float:
        noise = NoiseConfig(poisson=(0.1, 0.1), gaussian=(0, 0), gain_spread=spread)  # type: ignore[arg-type]
        synthetic = SyntheticNoise(noise, fixed_range=(0.0, 1.0))
        noisy, clean, _ = synthetic.added(torch.full((1, 1, 300, 300), 0.5), generator())
        rest = noisy - clean
        return float((rest / rest.std()).pow(3).mean())

    assert skewness(1, 1) > 1.2 * skewness(0, 0)
