"""The validation split: whole images, no overlap, never everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unveil.data.split import split_images


@given(st.integers(1, 200), st.floats(0, 0.99), st.integers(0, 5))
def test_each_image_is_in_exactly_one_part(n: int, fraction: float, seed: int) -> None:
    training, validation = split_images(range(n), fraction, seed)
    assert sorted(training + validation) == list(range(n))
    assert training


@given(st.integers(2, 200), st.floats(0.01, 0.99))
def test_a_wanted_validation_is_never_empty(n: int, fraction: float) -> None:
    assert split_images(range(n), fraction, 0)[1]


def test_no_fraction_and_a_single_image_hold_nothing_out() -> None:
    assert split_images(range(9), 0, 0)[1] == []
    assert split_images(range(1), 0.25, 0)[1] == []


def test_a_quarter_is_a_quarter() -> None:
    assert len(split_images(range(66), 0.25, 3)[1]) == 16
