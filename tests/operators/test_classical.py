"""Handcrafted operators: what each promises, on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.operators.classical import (
    TEXTURE_FEATURES,
    clipped_high_pass,
    dct_filters,
    gaussian,
    median,
    soft_clip,
    texture_features,
    two_textures,
)


def step(size: int = 64) -> np.ndarray:
    return np.where(np.arange(size) < size // 2, 50.0, 200.0) * np.ones((size, 1))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


@pytest.mark.parametrize("operator", [lambda a: gaussian(a, 1), lambda a: median(a, 3)], ids=["gaussian", "median"])
@pytest.mark.parametrize("shape", [(20, 30), (7, 20, 30)])
def test_filters_keep_shape_and_a_constant(operator, shape) -> None:
    filtered = operator(np.full(shape, 7, np.uint8))
    assert filtered.dtype == np.float32
    np.testing.assert_allclose(filtered, np.full(shape, 7), rtol=1e-6)


def test_median_is_that_of_a_disc() -> None:
    image = np.zeros((9, 9), np.uint8)
    image[4, 4] = 255
    assert not median(image, 1).any()
    corner = np.zeros((9, 9))
    corner[3, 3] = corner[3, 5] = corner[5, 3] = corner[5, 5] = corner[4, 4] = 1  # of radius 1 only the middle counts
    assert median(corner, 1)[4, 4] == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0.001, 1e6))
def test_soft_clip_limits_keeps_signs_and_never_grows(values: list[float], limit: float) -> None:
    given_values = np.round(np.array(values, np.float32), 6)  # no numbers of few bits
    clipped = soft_clip(given_values, limit)
    assert (np.abs(clipped) <= np.minimum(np.abs(given_values), limit) * (1 + 1e-5)).all()
    assert (clipped * given_values >= 0).all()


def test_the_ancestor_keeps_edges_better_than_its_low_pass() -> None:
    clean = step()
    noisy = clean + np.random.default_rng(1).normal(0, 10, clean.shape)
    denoised, blurred = clipped_high_pass(noisy, 2, 30), gaussian(noisy, 2)
    assert rms(denoised - clean) < min(rms(noisy - clean), rms(blurred - clean))
    at_the_edge = slice(28, 36)
    assert rms((denoised - clean)[:, at_the_edge]) < rms((blurred - clean)[:, at_the_edge])


@pytest.mark.parametrize("limit", [1e-6, 1e9])
def test_the_ancestor_lies_between_the_image_and_its_low_pass(limit: float) -> None:
    noisy = np.random.default_rng(2).normal(100, 10, (40, 40)).astype(np.float32)
    expected = noisy if limit < 1 else gaussian(noisy, 2)
    np.testing.assert_allclose(clipped_high_pass(noisy, 2, limit), expected, rtol=1e-4)


def test_dct_filters_are_an_orthonormal_basis() -> None:
    flat = dct_filters().reshape(9, 9)
    np.testing.assert_allclose(flat @ flat.T, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(flat[0], 1 / 3)


def test_features_know_no_brightness_and_find_their_own_direction() -> None:
    image = np.random.default_rng(3).random((40, 40))
    np.testing.assert_allclose(texture_features(image + 100, 3), texture_features(image, 3), atol=1e-4)
    stripes = np.cos(np.pi * np.arange(40)) * np.ones((40, 1))  # along Y, changing with X
    strength = texture_features(stripes, 3).mean(axis=(1, 2))
    assert TEXTURE_FEATURES[int(strength.argmax())] == "DCT 0,2"


def test_two_textures_are_told_apart() -> None:
    rng = np.random.default_rng(4)
    fine, smooth = rng.normal(0, 1, (96, 96)), gaussian(rng.normal(0, 1, (96, 96)), 2)
    is_fine = np.hypot(*(np.indices((96, 96)) - 48)) < 25
    nearness = two_textures(texture_features(np.where(is_fine, fine, smooth / smooth.std()), 4))
    assert nearness.dtype == np.float32
    assert (nearness >= 0).all()
    assert (nearness <= 1).all()
    decided = nearness > 0.5
    overlap = (decided & is_fine).sum() / (decided | is_fine).sum()
    assert overlap > 0.85


def test_one_texture_is_not_divided() -> None:
    assert not two_textures(np.ones((8, 10, 10), np.float32)).any()
