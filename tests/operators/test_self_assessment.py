"""The expected error of a denoised image, against the error that it has; and the autocorrelation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unveil.operators.noise_estimation import NoiseModel
from unveil.operators.self_assessment import autocorrelation, expected_error

SIGMA = 10.0


def clean(rng: np.random.Generator) -> np.ndarray:
    """Draw a random scene of Gaussian statistics, whose best estimate is a linear filter."""
    return 100 + 400 * gaussian_filter(rng.normal(0, 1, (400, 400)), 4)


def blurred(sigma_px: float):
    return lambda image: gaussian_filter(image, sigma_px)


@pytest.mark.parametrize("sigma_px", [0.6, 1.5, 3.0, 8.0], ids=["too little", "well", "a little much", "far too much"])
def test_the_error_is_expected_whatever_the_denoiser(sigma_px: float) -> None:
    rng, denoise = np.random.default_rng(0), blurred(sigma_px)
    scene = clean(rng)
    noisy = scene + rng.normal(0, SIGMA, scene.shape)
    denoised, signs = denoise(noisy), rng.choice([-1.0, 1.0], scene.shape)
    answer = signs * (denoise(noisy + signs) - denoised)
    error = float(((denoised - scene) ** 2).mean())
    found = expected_error(noisy, denoised, answer, NoiseModel.even(SIGMA**2))
    assert 10 * np.log10(found / error) == pytest.approx(0, abs=1)


def test_noise_that_is_overrated_does_not_make_the_error_vanish() -> None:
    rng, denoise = np.random.default_rng(0), blurred(1.5)
    scene = clean(rng)
    noisy = scene + rng.normal(0, SIGMA, scene.shape)
    denoised, signs = denoise(noisy), rng.choice([-1.0, 1.0], scene.shape)
    answer = signs * (denoise(noisy + signs) - denoised)
    found = expected_error(noisy, denoised, answer, NoiseModel.even(1.4 * SIGMA**2))
    assert found > 0.3 * float(((denoised - scene) ** 2).mean())


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_the_best_denoiser_tells_its_error_though_the_noise_is_overrated(share: float) -> None:
    """Of white scenes in white noise the best estimate is a share of what is seen (Wiener): its error is share · σ²."""
    rng = np.random.default_rng(0)
    scene = rng.normal(0, SIGMA * (share / (1 - share)) ** 0.5, (300, 300))
    noisy = scene + rng.normal(0, SIGMA, scene.shape)
    error = float(((share * noisy - scene) ** 2).mean())
    assert error == pytest.approx(share * SIGMA**2, rel=0.02)
    found = expected_error(noisy, share * noisy, np.full(scene.shape, share), NoiseModel.even(4 * SIGMA**2))
    assert found == pytest.approx(error, rel=0.02)


def test_no_error_is_expected_of_a_clean_image_left_alone() -> None:
    scene = clean(np.random.default_rng(1))
    assert expected_error(scene, scene, np.ones_like(scene), NoiseModel.even(0.0)) == 0


def by_hand(image: np.ndarray, y: int, x: int) -> float:
    centred = image - image.mean()
    height, width = image.shape
    here = centred[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    there = centred[max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)]
    return float((here * there).mean() / (centred**2).mean())


def test_the_autocorrelation_is_that_of_the_definition() -> None:
    image = np.random.default_rng(2).random((13, 17))
    found = autocorrelation(image, 3)
    assert found.shape == (7, 7)
    for y in range(-3, 4):
        for x in range(-3, 4):
            assert found[3 + y, 3 + x] == pytest.approx(by_hand(image, y, x), abs=1e-9)


def test_no_shift_is_left_of_a_small_image() -> None:
    found = autocorrelation(np.random.default_rng(2).random((4, 5)), 6)
    assert found.shape == (13, 13)
    assert found[6, 6] == 1
    assert np.abs(found[:3]).max() < 1e-9


def test_white_noise_is_like_itself_alone_and_a_constant_like_nothing() -> None:
    found = autocorrelation(np.random.default_rng(3).normal(0, 1, (200, 200)), 5)
    assert found[5, 5] == 1
    found[5, 5] = 0
    assert np.abs(found).max() < 0.03
    assert not autocorrelation(np.full((20, 20), 3.0), 5).any()
