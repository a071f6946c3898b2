"""Facts of objects: how many, how large, how crowded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from unveil.operators.objects import ObjectFacts, closely_numbered, largest_radius, numbered, object_facts
from unveil.operators.targets import normalized_distance


def squares() -> np.ndarray:
    labels = np.zeros((20, 40), np.uint16)
    labels[5:14, 4:13] = 3
    labels[5:14, 13:22] = 7
    labels[2:5, 30:33] = 9
    return labels


def test_squares_are_described() -> None:
    assert object_facts(squares()) == ObjectFacts(sizes=(81, 81, 9), largest_radius_px=5, n_touching=2)


def test_nothing_is_described_as_nothing() -> None:
    assert object_facts(np.zeros((4, 4), np.uint8)) == ObjectFacts()
    assert largest_radius(np.zeros((4, 4), np.uint8)) == 0
    assert ObjectFacts.of_all([]) == ObjectFacts()


def test_corners_do_not_touch_and_volumes_do() -> None:
    assert object_facts(np.array([[1, 0], [0, 2]])).n_touching == 0
    stacked = np.stack([np.full((3, 3), 1), np.full((3, 3), 2)])
    assert object_facts(stacked).n_touching == 2


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 5)))
def test_facts_depend_neither_on_numbers_nor_on_orientation(labels: np.ndarray) -> None:
    facts = object_facts(labels)
    assert sum(facts.sizes) == (labels > 0).sum()
    renumbered = np.where(labels > 0, 12 - labels.astype(int), 0)
    for other in (renumbered, labels.T, labels[::-1]):
        again = object_facts(other)
        assert sorted(again.sizes) == sorted(facts.sizes)
        assert again.n_touching == facts.n_touching
        assert again.largest_radius_px == pytest.approx(facts.largest_radius_px)


@given(
    hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 3), elements=st.integers(0, 3)),
    st.none() | st.tuples(*[st.floats(1, 7)] * 3),
)
def test_the_largest_radius_is_that_of_all_objects(labels: np.ndarray, spacing: tuple[float, ...] | None) -> None:
    objects = [np.pad(labels == number, 1) for number in np.unique(labels[labels > 0])]
    radii = [ndimage.distance_transform_edt(one, sampling=spacing).max() for one in objects]
    assert largest_radius(labels, spacing) == max(radii, default=0)


def test_objects_too_small_to_be_the_largest_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[tuple[int, ...]] = []
    measure = ndimage.distance_transform_edt
    monkeypatch.setattr(
        ndimage, "distance_transform_edt", lambda inside, **kw: looked_at.append(inside.shape) or measure(inside, **kw)
    )
    assert largest_radius(squares()) == 5
    assert looked_at == [(11, 11)]  # one of the two large squares


def test_images_are_put_together() -> None:
    one, two = object_facts(squares()), object_facts(np.ones((3, 3), np.uint8))
    assert ObjectFacts.of_all([one, two]) == ObjectFacts((*one.sizes, 9), 5, 2)


@given(hnp.arrays(np.int64, st.integers(0, 30), elements=st.integers(-9, 9) | st.integers(-(2**62), 2**62)))
def test_numbers_are_those_of_unique(ids: np.ndarray) -> None:
    numbers, places = numbered(ids)
    assert np.array_equal(numbers, np.unique(ids))
    assert np.array_equal(numbers[places], ids)


def test_numbers_close_together_are_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(np, "unique")
    assert [part.tolist() for part in numbered(np.array([7, 5, 7, 9]))] == [[5, 7, 9], [1, 0, 1, 2]]
    assert [part.tolist() for part in numbered(np.array([0, 9007, 0, 9005]))] == [[0, 9005, 9007], [0, 2, 0, 1]]


@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_the_highest_number_costs_nothing(dtype: type) -> None:
    labels = np.zeros((9, 12), dtype)
    labels[1:4, 1:4], labels[5:8, 2:9] = 3_000_000_000, 7
    low = np.where(labels == 7, 1, np.where(labels > 7, 2, 0))
    assert object_facts(labels) == object_facts(low)
    np.testing.assert_array_equal(normalized_distance(labels), normalized_distance(low))
    np.testing.assert_array_equal(closely_numbered(labels), low)
    np.testing.assert_array_equal(closely_numbered(labels[1:3, 1:3]), np.ones((2, 2)))
