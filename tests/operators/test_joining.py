from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from unveil.operators.joining import Joins, Tally, looked_up, runs, touching


@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(9, 12), (5, 6, 7)]), share=st.floats(0.1, 0.7))
def test_parts_of_two_halves_are_joined_as_scipy_joins_the_whole(seed, shape, share):
    mask = np.random.default_rng(seed).random(shape) < share
    full = np.ones((3,) * mask.ndim)
    whole, _ = ndimage.label(mask, full)
    cut = shape[0] // 2
    low, n_low = ndimage.label(mask[:cut], full)
    high, _ = ndimage.label(mask[cut:], full)
    high[high > 0] += n_low
    joins = Joins.of([touching(low[-1], high[0])])
    joined = joins.apply(np.concatenate([low, high]))
    pairs = np.unique(np.stack([joined.ravel(), whole.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(joined)) == len(np.unique(whole))


def test_corners_touch_and_pixels_two_apart_do_not():
    assert touching(np.array([0, 4, 0, 0]), np.array([0, 0, 9, 0])).tolist() == [[4, 9]]
    assert touching(np.array([4, 0, 0, 0]), np.array([0, 0, 9, 0])).tolist() == []


def test_what_hangs_together_is_called_by_the_smallest_number():
    joins = Joins.of([np.array([[7, 3]]), np.array([[9, 7], [20, 21]])])
    assert joins.apply(np.array([[3, 7, 9], [20, 21, 5]])).tolist() == [[3, 3, 3], [20, 20, 5]]


def test_nothing_touches_nothing():
    joins = Joins.of([])
    numbers = np.array([1, 2], np.int32)
    assert joins.apply(numbers).tolist() == [1, 2]
    assert len(Tally.together([], joins).parts) == 0


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_looking_up_keeps_the_type_and_what_is_unknown(dtype):
    found = looked_up(np.array([-5, 0, 3, 8], dtype), np.array([-5, 3]), np.array([1, 2]))
    assert found.dtype == dtype
    assert found.tolist() == [1, 0, 2, 8]


@given(seed=st.integers(0, 10_000))
def test_tallies_of_pieces_add_up_to_that_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    labels, foreground = rng.integers(-2, 4, (8, 10)), rng.random((8, 10)).astype(np.float32)
    pieces = [
        Tally.of(labels[y : y + 4, x : x + 5], foreground[y : y + 4, x : x + 5], (y, x), labels.shape)
        for y in (0, 4)
        for x in (0, 5)
    ]
    joins = Joins.of([np.array([[1, 2]])])
    total = Tally.together(pieces, joins)
    named = np.where(labels == 2, 1, labels)
    for part, size, first, mass in zip(total.parts, total.sizes, total.first, total.mass, strict=True):
        where = named.ravel() == part
        assert (size, first) == (where.sum(), np.flatnonzero(where)[0])
        assert mass == pytest.approx(foreground.ravel()[where].sum(), rel=1e-5)
    assert set(total.parts) == set(named[named != 0])


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=1, max_dims=3), elements=st.integers(-2, 2)))
def test_runs_put_together_are_the_labels(labels: np.ndarray) -> None:
    values, starts, lengths = runs(labels)
    assert np.array_equal(np.repeat(values, lengths), labels.ravel())
    assert np.array_equal(starts, np.cumsum(lengths) - lengths)
    assert (values[1:] != values[:-1]).all()
