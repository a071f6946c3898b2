"""The laws of Lipschitz constants, on linear maps and on the functions themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unveil.operators import lipschitz
from unveil.operators.stretching import ascend, power_estimate

SEEDS = st.integers(0, 2**31)
POINTWISE: dict[lipschitz.Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "clip": lambda x: x.clamp(0, 1),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
}


def norm(matrix: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(matrix, 2))


def two_maps(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 7))
    return rng.standard_t(3, (size, size)), rng.standard_t(3, (size, size)) * 10.0 ** rng.integers(-3, 3)


def rounded(value: float) -> float:
    """Allow for the rounding of the singular values themselves."""
    return value * (1 - 1e-14)


@given(SEEDS)
def test_laws_hold_for_linear_maps(seed: int) -> None:
    a, b = two_maps(seed)
    bounds = norm(a), norm(b)
    zeros = np.zeros_like(a)
    assert rounded(norm(b @ a)) <= lipschitz.compose(*bounds)
    assert rounded(norm(np.vstack([a, b]))) <= lipschitz.concatenate(*bounds)
    assert rounded(norm(np.block([[a, zeros], [zeros, b]]))) <= lipschitz.separate(*bounds)
    assert rounded(norm(0.3 * a - 2 * b)) <= lipschitz.combine((0.3, -2), bounds)
    assert rounded(norm(np.eye(len(a)) - a)) <= lipschitz.residual(norm(a))


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_laws_are_reached(a: float, b: float) -> None:
    """Multiples of one unit vector show that no law gives more than it must."""
    near = pytest.approx
    assert lipschitz.compose(a, b) == near(norm(np.array([[b]]) @ np.array([[a]])), rel=1e-14)
    assert lipschitz.concatenate(a, b) == near(norm(np.array([[a], [b]])), rel=1e-14)
    assert lipschitz.separate(a, b) == near(norm(np.diag([a, b])), rel=1e-14)
    assert lipschitz.combine((1, -1), (a, b)) == near(norm(np.array([[a]]) - np.array([[-b]])), rel=1e-14)
    assert lipschitz.residual(a) == near(norm(np.array([[1]]) - np.array([[-a]])), rel=1e-14)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_results_are_rounded_up(bounds: list[float]) -> None:
    from fractions import Fraction
    from math import prod

    exact = [Fraction(bound) for bound in bounds]
    assert Fraction(lipschitz.compose(*bounds)) >= prod(exact)
    assert Fraction(lipschitz.concatenate(*bounds)) ** 2 >= sum(number**2 for number in exact)
    assert Fraction(lipschitz.combine([3.7] * len(bounds), bounds)) >= Fraction(3.7) * sum(exact)
    assert Fraction(lipschitz.residual(bounds[0])) >= 1 + exact[0]
    assert Fraction(lipschitz.softmax(bounds[0])) >= 1 / (2 * exact[0])


@pytest.mark.parametrize("name", POINTWISE)
def test_the_slope_of_an_activation_reaches_its_constant_and_goes_no_further(name: lipschitz.Activation) -> None:
    x = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    slopes = POINTWISE[name](x).diff() / x.diff()
    bound = lipschitz.ACTIVATIONS[name]
    assert 0.99 * bound < slopes.abs().max() <= bound * (1 + 1e-9)


def test_every_activation_is_tested() -> None:
    assert set(POINTWISE) == set(lipschitz.ACTIVATIONS)


@given(SEEDS, st.integers(2, 6), st.floats(0.1, 10))
def test_softmax_moves_by_no_more_than_half_over_the_temperature(seed: int, n_classes: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    x, y = torch.from_numpy(rng.normal(0, 3, (2, 500, n_classes)))
    moved = (torch.softmax(x / temperature, 1) - torch.softmax(y / temperature, 1)).norm(dim=1)
    assert (moved <= lipschitz.softmax(temperature) * (x - y).norm(dim=1)).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.4])
def test_softmax_reaches_its_constant_where_two_classes_are_equally_likely(temperature: float) -> None:
    equal = torch.zeros(2, dtype=torch.float64)
    slope = power_estimate(lambda scores: torch.softmax(scores / temperature, 0), equal)
    assert slope == pytest.approx(lipschitz.softmax(temperature), rel=1e-12)


@given(SEEDS)
def test_max_pooling_moves_no_further_than_its_input(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 1, 3, 8, 8, generator=generator, dtype=torch.float64)
    moved = (functional.max_pool2d(x, 2) - functional.max_pool2d(y, 2)).norm()
    assert moved <= lipschitz.MAX_POOLING * (x - y).norm()
    alone = torch.zeros(1, 1, 2, 2)
    alone[0, 0, 1, 0] = 3
    assert functional.max_pool2d(alone, 2).norm() == lipschitz.MAX_POOLING * alone.norm()


@settings(max_examples=20)
@given(SEEDS)
def test_searches_from_below_find_the_norm_of_a_matrix_and_never_more(seed: int) -> None:
    matrix = np.random.default_rng(seed).standard_normal((5, 4))
    linear = torch.from_numpy(matrix)
    at = torch.zeros(4, dtype=torch.float64)
    found = power_estimate(lambda x: linear @ x, at, n_iterations=100)
    reached = ascend(lambda x: linear @ x + 1, at, n_rounds=2, n_steps=10)
    assert 0.95 * norm(matrix) <= found <= norm(matrix) * (1 + 1e-12)
    assert 0.9 * norm(matrix) <= reached <= norm(matrix)


def test_ascent_leaves_a_flat_place_for_a_steep_one() -> None:
    def bent(x: Tensor) -> Tensor:
        return 0.1 * x + 5 * torch.relu(x - 0.01)  # steep beyond 0.01

    at = torch.zeros(4, dtype=torch.float64)
    assert power_estimate(bent, at) == pytest.approx(0.1)
    assert 3 < ascend(bent, at, n_rounds=5) <= 5.1


def test_searches_are_the_same_each_time() -> None:
    at = torch.linspace(-1, 1, 9, dtype=torch.float64)
    assert ascend(torch.tanh, at) == ascend(torch.tanh, at)
    assert power_estimate(torch.tanh, at) == power_estimate(torch.tanh, at)


def test_what_never_moves_has_a_constant_of_zero() -> None:
    at = torch.ones(3, dtype=torch.float64)
    assert power_estimate(lambda x: 0 * x, at) == ascend(lambda x: 0 * x, at) == 0


@given(st.floats(1e-6, 1e20), st.integers(1, 9))
def test_what_is_printed_of_a_bound_holds_too(bound: float, n_digits: int) -> None:
    low, high = lipschitz.at_least(bound, n_digits), lipschitz.at_most(bound, n_digits)
    assert low <= bound <= high <= low * (1 + 10.0 ** (1 - n_digits)) * (1 + 1e-12)
    assert float(f"{high:.{n_digits}g}") >= bound


def test_a_bound_of_one_stays_one() -> None:
    assert lipschitz.at_most(1.0) == lipschitz.at_least(1.0) == 1
    assert lipschitz.at_most(float("inf")) == float("inf")
