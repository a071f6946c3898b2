"""Conformal intervals: the promise itself on exchangeable draws, and that scores and intervals mean the same."""

from __future__ import annotations

from itertools import permutations
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.operators.conformal import (
    conformal_quantile,
    count_interval,
    count_score,
    least_images,
    overlap_interval,
    overlap_score,
)

QUANTILES = st.floats(0, 20)


@pytest.mark.parametrize(("n", "miscoverage"), [(3, 0.25), (4, 0.3), (5, 0.5), (5, 0.2)])
def test_coverage_is_exact_over_all_orders(n: int, miscoverage: float) -> None:
    """Of n + 1 unequal scores each is as likely to be the new one: the share covered is ⌈(n + 1)(1 − α)⌉ / (n + 1)."""
    scores = np.random.default_rng(n).random(n + 1)
    covered = [order[-1] <= conformal_quantile(order[:-1], miscoverage) for order in permutations(scores)]
    assert np.mean(covered) == pytest.approx(np.ceil((n + 1) * (1 - miscoverage) - 1e-9) / (n + 1))
    assert 1 - miscoverage - 1e-12 <= np.mean(covered) < 1 - miscoverage + 1 / (n + 1)


def test_nine_images_are_the_fewest_for_nine_in_ten() -> None:
    assert least_images(0.1) == 9
    assert conformal_quantile(range(8), 0.1) == inf
    assert conformal_quantile(range(9), 0.1) == 8
    assert conformal_quantile([], 0.1) == inf


@given(expected=st.floats(0, 1), true=st.floats(0, 1), quantile=QUANTILES)
def test_an_overlap_is_in_its_interval_where_its_score_is_small_enough(
    expected: float, true: float, quantile: float
) -> None:
    low, high = overlap_interval(expected, quantile)
    assert 0 <= low <= expected <= high <= 1
    score = overlap_score(expected, true)
    if abs(score - quantile) > 1e-6:
        assert (low <= true <= high) == (score < quantile)


@given(found=st.integers(0, 10**6), true=st.integers(0, 10**6), quantile=QUANTILES)
def test_a_count_is_in_its_interval_where_its_score_is_small_enough(found: int, true: int, quantile: float) -> None:
    low, high = count_interval(found, quantile)
    assert 0 <= low <= found <= high
    score = count_score(found, true)
    if abs(score - quantile) > 1e-6:
        assert (low <= true <= high) == (score < quantile)


@given(found=st.integers(0, 10**4), true=st.integers(0, 10**4))
def test_the_count_that_sets_the_quantile_is_inside(found: int, true: int) -> None:
    low, high = count_interval(found, count_score(found, true))
    assert low <= true <= high


def test_without_a_bound_everything_is_possible() -> None:
    assert count_interval(7, inf) == (0, inf)
    assert overlap_interval(0.9, inf) == (0, 1)


def test_counts_of_one_mean_keep_their_spread_whatever_it_is() -> None:
    rng = np.random.default_rng(0)
    spreads = [
        np.std([count_score(mean, n) * np.sign(n - mean) for n in rng.poisson(mean, 2000)]) for mean in (10, 100, 1000)
    ]
    np.testing.assert_allclose(spreads, 1, atol=0.1)
