from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from unveil.operators.appearance import STATISTICS, describe


@pytest.fixture
def spots(rng):
    points = (rng.random((129, 129)) > 0.99).astype(float)
    blurred = gaussian_filter(points, 2)
    return (blurred / blurred.max() + rng.normal(0, 0.02, blurred.shape)).astype(np.float32)


def _named(*windows):
    return dict(zip(STATISTICS, describe(windows), strict=True))


def test_mirrored_and_turned_windows_look_alike(spots):  # of 2ⁿ + 1 pixels: both ends survive each halving
    for other in (spots.T, spots[::-1], spots[:, ::-1]):
        np.testing.assert_allclose(describe([other]), describe([spots]), atol=0.05)


def test_the_order_of_windows_does_not_matter(spots):
    halves = [spots[:64], spots[64:]]
    np.testing.assert_allclose(describe(halves), describe(halves[::-1]), rtol=1e-6)


def test_noise_is_seen_as_noise(spots, rng):
    more = spots + rng.normal(0, 0.2, spots.shape).astype(np.float32)
    assert _named(more)["noise"] > _named(spots)["noise"] + 0.3
    assert _named(more)["power 15"] > _named(spots)["power 15"] + 0.5


def test_bright_and_dark_structures_differ_in_polarity(spots):
    bright, dark = _named(spots), _named(-spots)
    assert bright["polarity 2"] > 0.5
    assert dark["polarity 2"] == pytest.approx(-bright["polarity 2"], abs=1e-3)
    assert dark["skewness"] == pytest.approx(-bright["skewness"], abs=1e-3)


def test_a_magnified_image_has_no_fine_detail(spots):
    larger = zoom(spots, 3, order=1).astype(np.float32)
    assert _named(larger)["power 15"] < _named(spots)["power 15"] - 0.5


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (85, 85)])
def test_windows_of_any_shape_give_numbers(rng, shape):
    assert np.isfinite(describe([rng.random(shape, dtype=np.float32)])).all()


def test_a_constant_window_gives_numbers():
    assert np.isfinite(describe([np.zeros((32, 32), np.float32)])).all()
