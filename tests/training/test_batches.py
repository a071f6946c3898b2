"""Batches: image and target changed together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.data.examples import Example
from unveil.training.batches import Source, denoising_batches, segmentation_batches, window_source
from unveil.training.plan import Plan
from unveil.training.steps import Batch
from unveil.training.synthetic_noise import SyntheticNoise


def plan(**augmentation: float) -> Plan:
    """Patches of 32 pixels, four at a time, changed by nothing but what is given."""
    nothing = {"flips": False, "scale": 0, "gain": 0, "offset": 0, "gamma": 0, "noise": 0, "blur_px": 0}
    return Plan((32, 32), 4, 1e-3, "constant", AugmentationConfig.model_validate(nothing | augmentation))


def denoising(example: Example, source: Source, *, seed: int = 0, **augmentation: float) -> Batch:
    noise = SyntheticNoise(NoiseConfig()) if source == "clean_only" else None
    windows = window_source([example], torch.device("cpu"))
    return next(denoising_batches(windows, plan(**augmentation), source, noise, seed, torch.device("cpu")))


def segmentation(example: Example, *, seed: int = 0, **augmentation: float) -> Batch:
    windows = window_source([example], torch.device("cpu"))
    return next(segmentation_batches(windows, plan(**augmentation), seed, torch.device("cpu")))


def test_noise_is_added_anew_to_each_patch_and_the_target_stays_clean() -> None:
    flat = np.full((1, 64, 64), 0.5, np.float32)
    example = Example(flat, flat, np.ones_like(flat), np.ones(1))
    noisy, clean, weight = denoising(example, "clean_only", flips=True, gain=0.2, offset=0.1)
    assert noisy.shape == clean.shape == weight.shape == (4, 1, 32, 32)
    assert clean.flatten(1).std(dim=1).max() < 1e-5
    assert len({round(s.item(), 7) for s in noisy.flatten(1).std(dim=1)}) == 4


def test_gain_and_offset_stay_within_what_was_set() -> None:
    squares = (np.indices((1, 64, 64)).sum(axis=0) % 2).astype(np.float32)  # of 0 and 1
    windows = window_source([Example(squares, squares, np.ones_like(squares), np.ones(1))], torch.device("cpu"))
    noise = SyntheticNoise(NoiseConfig(), fixed_range=(0.0, 1.0))
    stream = denoising_batches(windows, plan(gain=0.2, offset=0.1), "clean_only", noise, 0, torch.device("cpu"))
    clean = torch.cat([next(stream)[1] for _ in range(8)]).flatten(1)
    offset, gain = clean.amin(dim=1), clean.amax(dim=1) - clean.amin(dim=1)
    assert 0.8 - 1e-4 < gain.min() < 0.9
    assert 1.1 < gain.max() < 1.2 + 1e-4
    assert -0.1 - 1e-4 < offset.min() < -0.05
    assert 0.05 < offset.max() < 0.1 + 1e-4


def pair() -> Example:
    clean = np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)
    return Example(clean + 1, clean, np.ones_like(clean), np.ones(1))


@pytest.mark.parametrize("source", ["pairs", "frames"])
def test_real_noise_keeps_its_grain(source: Source) -> None:
    noisy, target, weight = denoising(pair(), source, flips=True, scale=0.25)
    torch.testing.assert_close(noisy, target + 1, atol=1e-5, rtol=0)
    values, found = np.sort(pair().image.ravel()), noisy.numpy().ravel()
    above = np.searchsorted(values, found).clip(1, values.size - 1)
    off = np.minimum(np.abs(values[above] - found), np.abs(values[above - 1] - found))
    assert off.max() < 2e-5, "pixels were mixed"
    assert weight.min() == 1


def test_only_hidden_pixels_count_where_all_is_noisy() -> None:
    image = pair().image
    noisy, target, weight = denoising(Example(image, image, np.ones_like(image), np.ones(1)), "blind_spot")
    assert torch.equal(noisy != target, weight > 0)
    assert 0.1 < weight.mean().item() < 0.2


def test_hidden_pixels_that_nobody_may_learn_from_do_not_count() -> None:
    image, weight = pair().image, np.ones((1, 64, 64), np.float32)
    weight[:, :, 20:] = 0
    noisy, target, counts = denoising(Example(image, image, weight, np.ones(1)), "blind_spot")
    hidden = noisy != target
    assert (counts.bool() & ~hidden).sum() == 0
    assert 0 < counts.sum() < hidden.sum()


def test_the_seed_decides() -> None:
    first, again, other = (denoising(pair(), "clean_only", seed=seed, flips=True) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def half_known(distance_beyond: float) -> Example:
    """A ramp of distances, known in columns below 40, and something else beyond."""
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (96, 1))
    target = np.stack([(ramp > 0.2).astype(np.float32), ramp])
    weight = np.ones((2, 96, 96), np.float32)
    weight[1, :, 40:] = 0
    target[1, :, 40:] = distance_beyond
    return Example(rng.random((1, 96, 96), dtype=np.float32), target, weight, np.ones(1))


@pytest.mark.parametrize("augmentation", [{}, {"flips": True}, {"flips": True, "scale": 0.4}])
def test_distances_that_are_not_known_mix_with_none_that_are(augmentation: dict[str, float]) -> None:
    (image, target, weight), (image_2, target_2, weight_2) = (
        segmentation(half_known(beyond), **augmentation) for beyond in (0.5, -77.0)
    )
    assert torch.equal(image, image_2)
    assert torch.equal(weight, weight_2)
    known = weight[:, 1] > 0
    assert 0 < known.float().mean() < 1
    assert torch.equal(target[:, 1][known], target_2[:, 1][known])
    assert target[:, 1][known].min() >= 0
    assert torch.equal(target[:, 0], target_2[:, 0])


def test_strokes_teach_a_distance_of_exactly_1_at_any_scale() -> None:
    strokes = np.zeros((1, 96, 96), np.float32)
    strokes[:, 10::20] = 1  # lines of one pixel
    example = Example(strokes.copy(), np.repeat(strokes, 2, 0), np.repeat(strokes, 2, 0), np.ones(1))
    _, target, weight = segmentation(example, flips=True, scale=0.4)
    assert weight.sum() > 0
    torch.testing.assert_close(target[weight > 0], torch.ones(int((weight > 0).sum())), atol=1e-5, rtol=0)


def test_image_labels_and_weights_stay_together() -> None:
    number = np.arange(96 * 96, dtype=np.float32).reshape(1, 96, 96) / 96**2
    example = Example(
        number, np.concatenate([np.round(7 * number), number]), np.ones((2, 96, 96), np.float32), np.ones(1)
    )
    image, target, weight = segmentation(example, flips=True)
    torch.testing.assert_close(target[:, 1:], image, atol=1e-5, rtol=0)
    assert ((target[:, :1] - 7 * image).abs() <= 0.5 + 1e-3).all()
    assert weight.min() == 1


def test_without_objects_there_is_no_distance() -> None:
    number = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    example = Example(number, np.round(number), np.ones_like(number), np.ones(1))
    image, target, weight = segmentation(example, scale=0.3)
    assert image.shape == target.shape == weight.shape == (4, 1, 32, 32)
    assert set(target.unique().tolist()) == {0.0, 1.0}
