"""Which blocks are chosen: where much is wrong, those that speak for many, never two alike, never what is annotated."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unveil.operators.acquisition import (
    Choice,
    block_starts,
    choose,
    contrast,
    overlapping,
    pixel_error,
    similarities,
    sure_foreground,
    worth,
)


@given(st.integers(1, 500), st.integers(1, 200))
def test_blocks_lie_inside_an_axis_and_leave_or_share_half_a_block_at_most(length, edge):
    starts = block_starts(length, edge)
    size = min(edge, length)
    assert min(starts) == 0
    assert max(starts) <= length - size
    assert len(starts) * size == pytest.approx(length, abs=size / 2 + 1e-9)
    for start, following in pairwise(starts):
        assert size / 2 - 1 <= following - start <= 1.5 * size + 1


def test_a_pixel_is_as_wrong_as_its_likeliest_class_is_unlikely():
    probabilities = np.array([[[1.0, 0.5, 0.2]], [[0.0, 0.3, 0.7]], [[0.0, 0.2, 0.1]]], np.float32)
    np.testing.assert_allclose(pixel_error(probabilities), [[0, 0.5, 0.3]], atol=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_contrast_is_the_variance_of_the_probabilities(values):
    found = contrast(np.array([np.mean(values)]), np.array([np.mean(np.square(values))]))
    np.testing.assert_allclose(found, [np.var(values)], atol=1e-12)
    assert 0 <= found[0] <= 0.25 + 1e-12


def test_objects_on_background_have_contrast_and_empty_filled_and_doubtful_blocks_have_none():
    empty, filled, doubtful, divided = ([0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [0.0, 1.0])
    blocks = np.array([empty, filled, doubtful, divided])
    assert contrast(blocks.mean(1), (blocks**2).mean(1)).tolist() == [0, 0, 0, 0.25]


def test_sure_foreground_counts_and_background_and_doubt_do_not():
    probabilities = np.array([[[1.0, 0.5, 0.1, 0.0]], [[0.0, 0.3, 0.9, 0.5]], [[0.0, 0.2, 0.0, 0.5]]], np.float32)
    np.testing.assert_allclose(sure_foreground(probabilities), [[0, 0, 0.8, 1]], atol=1e-6)


def test_an_error_is_worth_more_than_an_object_and_empty_ground_nothing():
    empty, right, wrong = worth(np.array([0, 0, 0.01]), np.array([0, 0.5, 0]))
    assert empty == 0 < right < wrong
    assert worth(np.zeros(2), np.zeros(2)).tolist() == [0, 0]


def kinds(*sizes: int, seed: int = 0) -> NDArray[np.float32]:
    """Features of kinds of blocks: alike within a kind, and unlike those of another."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 4, (len(sizes), 24))
    return np.concatenate([rng.normal(centre, 0.02, (n, 24)) for centre, n in zip(centres, sizes, strict=True)]).astype(
        np.float32
    )


def chosen(value, features, n, *, annotated=(), shares_pixels=None, planes=None) -> list[Choice]:
    candidates = np.ones(len(value), bool)
    candidates[list(annotated)] = False
    shared = np.eye(len(value), dtype=bool) if shares_pixels is None else shares_pixels
    where = np.arange(len(value)) if planes is None else np.array(planes)
    return choose(np.asarray(value, float), similarities(features), candidates, shared, where, n)


def test_blocks_of_one_kind_are_alike_and_of_two_are_not():
    alike = similarities(kinds(3, 3))
    np.testing.assert_allclose(alike, alike.T, atol=1e-6)
    assert alike[:3, :3].min() > 0.7
    np.testing.assert_array_equal(np.diag(alike), 1)
    assert alike[:3, 3:].max() < 0.1


def test_the_kind_with_most_expected_error_comes_first_and_is_chosen_once():
    error = [0.1] * 6 + [0.2] * 2 + [0.01] * 12
    first, second, third = chosen(error, kinds(6, 2, 12), 3)
    assert first.number < 6  # 0.6 in all, though each of the next kind is worse
    assert first.n_alike == 6
    assert 6 <= second.number < 8
    assert third.number >= 8
    assert first.gain > second.gain > third.gain
    assert first.gain + second.gain + third.gain <= 1 + 1e-6


def test_annotated_blocks_speak_for_their_like_and_are_never_chosen():
    error = [0.2] * 5 + [0.1] * 5
    choices = chosen(error, kinds(5, 5), 10, annotated=[2])
    assert choices[0].number >= 5
    assert 2 not in {choice.number for choice in choices}
    assert len(choices) == 9


def test_a_block_counts_itself_however_much_was_said_of_it_before():
    alike = np.array([[1, 0.6, 0.1], [0.6, 1, 0.8], [0.1, 0.8, 1]], np.float32)  # the first one is annotated
    (chosen,) = choose(
        np.array([0, 2, 1.0]), alike, np.array([False, True, True]), np.eye(3, dtype=bool), np.arange(3), 1
    )
    assert (chosen.number, chosen.n_alike) == (1, 2)


def test_chosen_blocks_never_overlap():
    corners = np.array([(0, 0, 0), (0, 0, 8), (0, 0, 16), (1, 0, 8)])
    shared = overlapping(corners, (16, 16))
    assert shared.tolist() == [
        [True, True, False, False],
        [True] * 3 + [False],
        [False, True, True, False],
        [False] * 3 + [True],
    ]
    numbers = [choice.number for choice in chosen([0.1, 0.9, 0.1, 0.1], kinds(1, 1, 1, 1), 4, shares_pixels=shared)]
    assert numbers[0] == 1
    assert sorted(numbers) == [1, 3]


def test_of_blocks_that_look_the_same_the_most_wrong_one_comes_first():
    choices = chosen([0.1, 0.3, 0.2], np.ones((3, 4), np.float32), 3)
    assert [choice.number for choice in choices] == [1, 2, 0]


@pytest.mark.parametrize("n_blocks", [1, 2])
def test_few_blocks_and_no_error_at_all_are_ranked_too(n_blocks):
    choices = chosen([0.0] * n_blocks, np.zeros((n_blocks, 4), np.float32), 5)
    assert len(choices) == n_blocks
    assert all(choice.gain == 0 for choice in choices)


def test_the_choice_is_spread_over_planes_but_not_to_where_nothing_is_to_be_learnt():
    value, planes = [1.0, 0.9, 0.8, 0.5, 0.001], [0, 0, 0, 1, 2]
    choices = chosen(value, kinds(1, 1, 1, 1, 1), 5, planes=planes)
    assert [choice.number for choice in choices] == [0, 3, 1, 2, 4]
    assert choices[2].gain > choices[1].gain  # what it teaches is told as it is
