"""Calibration: probabilities drawn to be right, too sure, or too shy, and what is found of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.operators.calibration import ExpectedOverlap, Reliability, fit_temperature


def drawn(temperature: float, n_classes: int = 2, n: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities that are right at `temperature`, given at temperature 1, and classes drawn from them."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, (n_classes, n))
    right = np.exp(scores / temperature)
    right /= right.sum(axis=0)
    classes = (right.cumsum(axis=0) < rng.random(n)).sum(axis=0)
    given_ = np.exp(scores) / np.exp(scores).sum(axis=0)
    return given_.astype(np.float32), np.minimum(classes, n_classes - 1)


@settings(deadline=None, max_examples=15)
@given(st.floats(0.4, 3), st.integers(2, 4), st.integers(0, 99))
def test_the_temperature_is_found(temperature: float, n_classes: int, seed: int) -> None:
    assert fit_temperature(*drawn(temperature, n_classes, seed=seed)) == pytest.approx(temperature, rel=0.1)


def test_a_temperature_brings_the_error_down() -> None:
    p, classes = drawn(2.0)
    before, after = Reliability(), Reliability()
    before.add(p[1], classes)
    cooled = p ** (1 / fit_temperature(p, classes))
    after.add((cooled / cooled.sum(axis=0))[1], classes)
    assert before.expected_calibration_error > 0.05
    assert after.expected_calibration_error < 0.01


def test_reliability_counts_by_hand() -> None:
    found = Reliability()
    found.add(np.array([[0.1, 0.11], [0.9, 1.0]], np.float32), np.array([[0, 1], [1, 1]]))
    assert [entry["n"] for entry in found.as_dict()["bins"]] == [2, 1, 1]  # type: ignore[union-attr,index,call-overload]
    # one bin of 0.1 and 0.11 with one of two true; 0.9 and 1.0 are of different bins
    assert found.expected_calibration_error == pytest.approx((abs(0.21 - 1) + 0.1 + 0) / 4, abs=1e-6)


def test_pixel_for_pixel_or_all_at_once_is_the_same() -> None:
    p, classes = drawn(1.5, n=1000)
    whole, parts = Reliability(), Reliability()
    whole.add(p[1], classes)
    for part in range(0, 1000, 100):
        parts.add(p[1, part : part + 100], classes[part : part + 100])
    np.testing.assert_array_equal(parts.n, whole.n)
    assert parts.expected_calibration_error == pytest.approx(whole.expected_calibration_error)


def test_nothing_is_an_error_of_zero() -> None:
    assert Reliability().expected_calibration_error == 0


def expected_iou(foreground: np.ndarray, predicted: np.ndarray) -> float | None:
    overlap = ExpectedOverlap()
    overlap.add(foreground, predicted)
    return overlap.iou


def test_expected_overlap_is_that_of_drawn_truths() -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(0.3, 0.3, (200, 200)).astype(np.float32)
    predicted = p > 0.5
    truths = [rng.random(p.shape) < p for _ in range(20)]
    overlaps = [(t & predicted).sum() / (t | predicted).sum() for t in truths]
    assert expected_iou(p, predicted) == pytest.approx(np.mean(overlaps), abs=0.01)


def test_sure_predictions_expect_all_and_missed_ones_nothing() -> None:
    sure = np.array([0, 1, 1], np.float32)
    assert expected_iou(sure, sure > 0.5) == 1
    assert expected_iou(sure, np.zeros(3, bool)) == 0
    assert expected_iou(np.zeros(3, np.float32), np.zeros(3, bool)) is None


def test_planes_are_pooled() -> None:
    overlap, p = ExpectedOverlap(), np.array([0.9, 0.2], np.float32)
    overlap.add(p, p > 0.5)
    overlap.add(np.array([0.6], np.float32), np.array([True]))
    assert overlap.iou == pytest.approx((0.9 + 0.6) / (2 + 0.2))
    assert type(overlap.iou) is float  # reports are read, printed and written as JSON
