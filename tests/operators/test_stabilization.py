"""A scale on which noise is equally strong, dark and bright, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unveil.config.normalization import StabilizedNormalization
from unveil.operators.normalization import fit_array
from unveil.operators.stabilization import Stabilization


def scale_of(gain: float, variance: float, least: float) -> Stabilization[np.ndarray]:
    return Stabilization(*(np.float32([number]) for number in (gain, variance, least)))


@given(st.floats(0, 10), st.floats(0.01, 100), st.floats(0.01, 1))
def test_the_way_back_leads_to_where_it_began(gain: float, variance: float, share: float) -> None:
    scale = scale_of(gain, variance, share * variance)
    grey = np.linspace(-50, 500, 40, dtype=np.float32)
    stabilized = scale.apply(grey)
    assert (np.diff(stabilized) > 0).all()
    np.testing.assert_allclose(scale.invert(stabilized), grey, rtol=1e-3, atol=1e-2)


@given(st.floats(0.1, 10), st.floats(0.01, 100))
def test_where_noise_grows_the_scale_is_the_generalized_anscombe_transform(gain: float, variance: float) -> None:
    """But for a constant: Murtagh, Starck and Bijaoui 1995 (Astron. Astrophys. Suppl. 112, 179)."""
    grey = np.linspace(0, 500, 40)
    anscombe = 2 / gain * np.sqrt(gain * grey + 3 / 8 * gain**2 + variance)
    stabilized = scale_of(gain, variance, variance / 2).apply(grey.astype(np.float32))
    np.testing.assert_allclose(stabilized, anscombe - anscombe[0], rtol=1e-4)


@pytest.mark.parametrize("photons", [3, 10, 100, 1000])
def test_noise_has_a_standard_deviation_of_one_whatever_the_light(photons: int, rng: np.random.Generator) -> None:
    gain, reading = 2.0, 3.0
    noisy = gain * rng.poisson(photons, 100_000) + reading * rng.standard_normal(100_000)
    scale = scale_of(gain, reading**2, reading**2 / 2)
    assert scale.apply(noisy.astype(np.float32)).std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("photons", [3, 10, 100, 1000])
def test_the_mean_on_the_scale_leads_back_without_bias(photons: int, rng: np.random.Generator) -> None:
    gain, reading = 2.0, 3.0
    noisy = gain * rng.poisson(photons, 10**6) + reading * rng.standard_normal(10**6)
    scale = scale_of(gain, reading**2, reading**2 / 2)
    mean = scale.apply(noisy.astype(np.float32)).mean(keepdims=True, dtype=float).astype(np.float32)
    clean, hardly = np.float32([gain * photons]), 0.02 * (gain**2 * photons + reading**2) ** 0.5
    assert mean == pytest.approx(scale.expect(clean), abs=0.02)
    assert scale.restore(mean) == pytest.approx(clean, abs=hardly)
    assert scale.invert(mean) == pytest.approx(clean - gain / 4, abs=hardly)


@given(st.floats(0, 10), st.floats(0.01, 100), st.floats(0.01, 1))
def test_what_is_expected_is_restored(gain: float, variance: float, share: float) -> None:
    scale = scale_of(gain, variance, share * variance)
    grey = np.linspace(0, 500, 40, dtype=np.float32)
    std = np.sqrt(scale.variance_of(grey))
    np.testing.assert_array_less(np.abs(scale.restore(scale.expect(grey)) - grey), 0.07 * std + 1e-3)


def test_even_noise_is_divided_by_its_standard_deviation() -> None:
    grey = np.linspace(-9, 9, 7, dtype=np.float32)
    np.testing.assert_allclose(scale_of(0, 4, 2).apply(grey), grey / 2, rtol=1e-6)


def test_tensors_become_what_arrays_do() -> None:
    grey = np.linspace(-9, 99, 20, dtype=np.float32)
    same = Stabilization(*(torch.tensor([number]) for number in (2.0, 4.0, 1.0)))
    np.testing.assert_allclose(same.apply(torch.from_numpy(grey)).numpy(), scale_of(2, 4, 1).apply(grey), rtol=1e-6)


def test_the_variance_is_that_of_the_slope() -> None:
    scale, grey = scale_of(2, 4, 1), np.linspace(-5, 50, 1000)
    slope = np.gradient(scale.apply(grey.astype(np.float32)).astype(float), grey)
    np.testing.assert_allclose(scale.variance_of(grey.astype(np.float32)), 1 / slope**2, rtol=0.02)


def test_a_frame_is_stabilized_by_the_noise_it_shows(rng: np.random.Generator) -> None:
    clean = 40 + 360 * np.add.outer(np.sin(np.arange(256) / 40) ** 2, np.cos(np.arange(256) / 30) ** 2) / 2
    noisy = (4 * rng.poisson(clean / 4) + 5 * rng.standard_normal(clean.shape) + 100)[np.newaxis]

    found = fit_array(StabilizedNormalization(), noisy)

    left = found.apply(noisy) - found.apply(clean[np.newaxis] + 100)
    for part in (clean < 100, clean > 250):
        assert left[0][part].std() == pytest.approx(1, abs=0.1)
    assert found.black[0] == pytest.approx(140, abs=30)
    np.testing.assert_allclose(found.invert(found.apply(noisy)), noisy, atol=0.05)


def test_a_constant_frame_becomes_zero() -> None:
    found = fit_array(StabilizedNormalization(), np.full((1, 20, 20), 7.0))
    np.testing.assert_array_equal(found.apply(np.full((1, 20, 20), 7.0)), 0)
