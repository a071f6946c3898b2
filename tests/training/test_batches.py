"""Batches: noise in the normalization that a noisy image gets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.config.normalization import PercentileNormalization
from unveil.config.training import DenoisingTraining, NoiseConfig
from unveil.data.examples import Example
from unveil.operators.normalization import fit_array
from unveil.training.batches import denoising_batches, synthetic_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spots() -> torch.Tensor:
    """A dark ground with bright squares on 4 % of it, from 0 to 1."""
    image = torch.zeros(1, 1, 200, 200)
    image[..., 20:60, 20:60] = 1
    return image


@pytest.mark.parametrize("level", [0.03, 0.1, 0.2])
def test_noisy_images_come_in_about_their_own_normalization(level: float) -> None:
    noisy, clean = synthetic_noise(spots(), NoiseConfig(poisson=(0, 0), gaussian=(level, level)), generator())
    own = fit_array(PercentileNormalization(low=0.5, high=99.9), noisy[0].numpy())
    assert abs(own.offset[0]) < 0.6 * level
    assert own.scale[0] == pytest.approx(1, abs=1.5 * level)
    assert (noisy - clean).mean().item() == pytest.approx(0, abs=level / 50)


def test_noise_is_added_anew_to_each_patch_and_the_target_stays_clean() -> None:
    flat = np.full((1, 64, 64), 0.5, np.float32)
    example = Example(flat, flat, np.ones_like(flat), np.ones(1))
    config = DenoisingTraining(batch_size=4, patch_px=32)
    noisy, clean, weight = next(denoising_batches([example], config, (32, 32), torch.device("cpu"), add_noise=True))
    assert noisy.shape == clean.shape == weight.shape == (4, 1, 32, 32)
    assert clean.flatten(1).std(dim=1).max() < 1e-5
    assert len({round(s.item(), 7) for s in noisy.flatten(1).std(dim=1)}) == 4


def test_real_pairs_keep_their_noise() -> None:
    rng = np.random.default_rng(0)
    clean = rng.random((1, 64, 64)).astype(np.float32)
    example = Example(clean + 1, clean, np.ones_like(clean), np.ones(1))
    config = DenoisingTraining(batch_size=4, patch_px=32)
    noisy, target, _ = next(denoising_batches([example], config, (32, 32), torch.device("cpu"), add_noise=False))
    torch.testing.assert_close(noisy, target + 1, atol=1e-5, rtol=0)
