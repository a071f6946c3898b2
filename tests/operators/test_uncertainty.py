"""Entropy and disagreement in bits, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unveil.operators.uncertainty import disagreement, entropy


@pytest.mark.parametrize(("p", "bits"), [([1, 0], 0), ([0.5, 0.5], 1), ([0.25] * 4, 2), ([0.9, 0.1], 0.468996)])
def test_entropies_that_are_known(p: list[float], bits: float) -> None:
    assert entropy(np.array(p, np.float32)) == pytest.approx(bits, abs=1e-6)
    assert entropy(np.array(p, np.float32)).dtype == np.float32


def test_views_that_are_sure_of_opposites_disagree_by_a_bit() -> None:
    views = np.array([[1, 0], [0, 1]], np.float32)
    assert disagreement(entropy(views.mean(axis=0)), entropy(views, axis=1).mean()) == pytest.approx(1)


@given(arrays(np.float32, (5, 3), elements=st.floats(0.015625, 1, width=32)))
def test_disagreement_is_a_part_of_the_entropy(weights: np.ndarray) -> None:
    views = weights / weights.sum(axis=1, keepdims=True)
    predictive = entropy(views.mean(axis=0))
    unshared = disagreement(predictive, entropy(views, axis=1).mean())
    assert 0 <= unshared <= predictive <= np.log2(3) + 1e-5
    kullback = (views * np.log2(views / views.mean(axis=0))).sum(axis=1).mean()  # the same as a mean divergence
    assert unshared == pytest.approx(kullback, abs=1e-4)
