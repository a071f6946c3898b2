from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.axes import ORDER, check_axes, in_order, is_ordered, spatial, without
from unveil.errors import ImageError

VALID_AXES = st.sets(st.sampled_from("TCZ")).flatmap(lambda extra: st.permutations([*extra, "Y", "X"])).map("".join)


@given(axes=VALID_AXES)
def test_valid_axes_pass_unchanged(axes):
    assert check_axes(axes, len(axes)) == axes


@pytest.mark.parametrize(
    ("axes", "n_dims", "problem"),
    [
        ("QYX", 3, "Q is not one of T, C, Z, Y, X"),
        ("YYX", 3, "a letter appears twice"),
        ("TX", 2, "Y and X are needed"),
        ("YX", 3, "the array has 3 dimensions"),
        ("", 0, "Y and X are needed"),
        ("yx", 2, "x, y is not one of"),
    ],
)
def test_axes_that_do_not_describe_the_image_are_refused(axes, n_dims, problem):
    with pytest.raises(ImageError, match=problem):
        check_axes(axes, n_dims)


def test_all_problems_are_named_at_once():
    with pytest.raises(ImageError, match=r"Q is not one of.*twice.*Y and X are needed.*5 dimensions") as error:
        check_axes("QXX", 5)
    assert "Give one letter per dimension" in str(error.value)


@given(axes=VALID_AXES)
def test_ordering_keeps_the_letters_and_orders_once(axes):
    ordered = in_order(axes)
    assert sorted(ordered) == sorted(axes)
    assert is_ordered(ordered)
    assert in_order(ordered) == ordered
    assert [ORDER.index(letter) for letter in ordered] == sorted(ORDER.index(letter) for letter in axes)
    assert is_ordered(axes) == (axes == ordered)


@given(axes=VALID_AXES, letters=st.sets(st.sampled_from(ORDER)).map("".join))
def test_letters_are_left_out_and_the_rest_keeps_its_order(axes, letters):
    rest = without(axes, letters)
    assert set(rest) == set(axes) - set(letters)
    assert [axes.index(letter) for letter in rest] == sorted(axes.index(letter) for letter in rest)


def test_the_spatial_letters():
    assert spatial("TCYX") == "YX"
    assert spatial("TCZYX") == "ZYX"
