"""The noise of an image, found from the image alone: on images whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from unveil.operators.noise_estimation import NoiseModel, component_shares, estimate_noise


def cells(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Draw soft discs of grey values 0 to about 200 on a dark ground."""
    centres = rng.integers(10, size - 10, (40, 2))
    image = np.zeros((size, size))
    y, x = np.indices(image.shape)
    for cy, cx in centres:
        image = np.maximum(image, rng.uniform(50, 200) * (np.hypot(y - cy, x - cx) < 12))
    return gaussian_filter(image, 1.5)


def level(plane: np.ndarray) -> float:
    return float(np.sqrt(estimate_noise(plane).variance(plane).mean()))


@settings(deadline=None, max_examples=20)
@given(st.floats(1, 60), st.integers(0, 99))
def test_even_noise_is_found_and_is_even(sigma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    noisy = cells(rng) + rng.normal(0, sigma, (256, 256))
    assert estimate_noise(noisy).gain == 0
    assert level(noisy) == pytest.approx(sigma, rel=0.04)


@pytest.mark.parametrize("gain", [1.0, 8.0])
def test_noise_of_photons_grows_with_the_grey_value(gain: float) -> None:
    rng = np.random.default_rng(1)
    clean = 20 + cells(rng)
    noisy = gain * rng.poisson(clean / gain) + rng.normal(0, 3, clean.shape)
    noise = estimate_noise(noisy)
    assert noise.gain == pytest.approx(gain, rel=0.15)
    np.testing.assert_allclose(noise.variance(np.array([20, 150])), gain * np.array([20, 150]) + 9, rtol=0.2)


@pytest.mark.parametrize("black", [-30_000, 0, 10_000])
def test_noise_of_photons_is_found_over_four_decades_whatever_black_is(black: float) -> None:
    rng = np.random.default_rng(2)
    clean = np.tile(np.geomspace(5, 20_000, 300), (300, 1))
    noisy = 2 * rng.poisson(clean / 2) + rng.normal(0, 4, clean.shape) + black
    grey = np.array([5, 100, 20_000])
    np.testing.assert_allclose(estimate_noise(noisy).variance(grey + black), 2 * grey + 16, rtol=0.2)


def test_a_denoised_image_tells_where_fine_texture_is() -> None:
    texture = 8.0 * (np.add.outer(np.arange(200), np.arange(200)) % 2)  # too fine to have a slope
    texture[:, :80] = 4
    plane = texture + np.random.default_rng(0).normal(0, 3, texture.shape)
    misled, told = (estimate_noise(plane, clean).variance(plane).mean() for clean in (None, texture))
    assert misled > 1.2 * 9
    assert told == pytest.approx(9, rel=0.03)


RAMP = np.add.outer(np.arange(90.0), np.arange(90.0))


@pytest.mark.parametrize("pixels", [np.full((40, 40), 7.0), np.zeros((7, 100)), RAMP], ids=["even", "thin", "ramp"])
def test_there_is_none_where_nothing_shows_it(pixels: np.ndarray) -> None:
    assert level(pixels) < 1e-3


def test_a_ground_that_was_cut_off_says_nothing() -> None:
    rng = np.random.default_rng(2)
    noisy = rng.normal(100, 10, (128, 128))
    noisy[:100] = 0
    assert level(noisy) == pytest.approx(10, rel=0.1)


def test_a_large_image_is_sampled() -> None:
    noisy = np.random.default_rng(3).normal(0, 5, (1500, 1500))
    assert level(noisy) == pytest.approx(5, rel=0.02)


@pytest.mark.parametrize("height", [2, 3, 5, 7])
def test_a_narrow_plane_shows_its_noise(height: int) -> None:
    plane = np.random.default_rng(0).normal(100, 10, (height, 600))
    for narrow in (plane, plane.T):
        assert estimate_noise(narrow).variance(narrow).mean() ** 0.5 == pytest.approx(10, rel=0.15)
    assert estimate_noise(plane[:1]) == NoiseModel(0.0, 0.0, 0.0)


@pytest.mark.parametrize("diagonal", [11, 9, 4])
def test_the_last_digits_of_an_image_decide_nothing(diagonal: int) -> None:
    """A diagonal of components that is just too strong counts nearly as much as one that is just not."""
    along = np.add.outer(np.arange(8), np.arange(8)).ravel()
    counted = []
    for excess in np.linspace(-0.05, 0.15, 81):
        powers = np.ones((2000, 64))
        powers[:, along == diagonal] += excess
        powers[:, along < diagonal] += 0.5
        shares = component_shares(powers)
        assert shares.sum() == pytest.approx(1)
        counted.append(shares[along == diagonal].sum())
    assert np.abs(np.diff(counted)).max() < 0.02
    assert counted[0] > 0.02
    assert counted[-1] < 0.01
