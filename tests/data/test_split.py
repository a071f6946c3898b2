"""The validation split: whole images or a block of one, no overlap, never everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.data.split import Block, possible_blocks, split_images


def first_block(contents: list[np.ndarray], fraction: float, gap: tuple[int, ...]) -> Block | None:
    return next(possible_blocks(contents, fraction, gap), None)


def alone(n: int) -> list[list[int]]:
    return [[number] for number in range(n)]


@given(st.integers(1, 200), st.floats(0, 0.99), st.integers(0, 5))
def test_each_image_is_in_exactly_one_part(n: int, fraction: float, seed: int) -> None:
    training, validation = split_images(alone(n), fraction, seed)
    assert sorted(training + validation) == list(range(n))
    assert training


@given(st.integers(2, 200), st.floats(0.01, 0.99))
def test_a_wanted_validation_is_never_empty(n: int, fraction: float) -> None:
    assert split_images(alone(n), fraction, 0)[1]


def test_no_fraction_and_a_single_image_hold_nothing_out() -> None:
    assert split_images(alone(9), 0, 0)[1] == []
    assert split_images(alone(1), 0.25, 0)[1] == []
    assert split_images([[0, 1, 2, 3]], 0.25, 0) == ([0, 1, 2, 3], [])


def test_a_quarter_is_a_quarter() -> None:
    assert len(split_images(alone(66), 0.25, 3)[1]) == 16


@st.composite
def drawings(draw: st.DrawFn) -> list[np.ndarray]:
    """Frames of one image, each pixel drawn on or not."""
    n_dims = draw(st.integers(2, 3))
    shape = tuple(draw(st.integers(1, 12 if n_dims == 3 else 60)) for _ in range(n_dims))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    density = draw(st.floats(0, 1))
    return [rng.random(shape) < density for _ in range(draw(st.integers(1, 3)))]


@settings(max_examples=200)
@given(drawings(), st.floats(0.01, 0.9), st.integers(0, 20))
def test_a_block_and_what_teaches_are_a_gap_apart(contents: list[np.ndarray], fraction: float, gap: int) -> None:
    shape = contents[0].shape
    block = first_block(contents, fraction, (gap,) * len(shape))
    if block is None:
        return
    judging, teaching = (np.flatnonzero(where(shape)) for where in (block.judging, block.teaching))
    assert len(judging) > 0
    assert np.abs(judging[:, None] - teaching[None]).min() > gap
    assert len(judging) + len(teaching) + gap == shape[block.axis]
    assert 0 in judging or shape[block.axis] - 1 in judging


@settings(max_examples=200)
@given(drawings(), st.floats(0.01, 0.9), st.integers(0, 20))
def test_a_block_holds_its_share_and_leaves_enough(contents: list[np.ndarray], fraction: float, gap: int) -> None:
    shape = contents[0].shape
    block = first_block(contents, fraction, (gap,) * len(shape))
    if block is None:
        return
    total = sum(content.sum() for content in contents)
    judged, taught = (
        sum((content & where(shape)).sum() for content in contents) for where in (block.judging, block.teaching)
    )
    lines = np.sum([np.moveaxis(c, block.axis, 0).reshape(shape[block.axis], -1).sum(axis=1) for c in contents], axis=0)
    assert 0.4 * fraction * total <= judged <= fraction * total + lines.max()
    assert taught >= 0.4 * total


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (40, 64, 400)])
def test_where_there_is_room_the_share_is_what_was_asked_for(shape: tuple[int, ...]) -> None:
    block = first_block([np.ones(shape, bool)], 0.25, (24,) * len(shape))
    assert block is not None
    assert shape[block.axis] == max(shape), "the longest axis loses least to the gap"
    assert block.stop - block.start == pytest.approx(0.25 * shape[block.axis], abs=1)


@pytest.mark.parametrize("gap", [48, 54])
def test_where_the_gap_takes_much_less_judges(gap: int) -> None:
    block = first_block([np.ones((128, 128), bool)], 0.25, (gap, gap))
    assert block is not None
    assert 0.1 * 128 <= block.stop - block.start < 0.25 * 128


def test_the_block_follows_what_is_drawn() -> None:
    content = np.zeros((100, 100), bool)
    content[:40, 5:20] = True
    content[:40, 70:80] = True
    assert first_block([content], 0.4, (10, 10)) == Block(axis=1, start=70, stop=100, gap=10)
    assert first_block([content[:, ::-1]], 0.4, (10, 10)) == Block(axis=1, start=0, stop=30, gap=10)


@pytest.mark.parametrize(
    ("content", "gap"),
    [
        (np.zeros((50, 50), bool), 4),
        (np.ones((50, 50), bool), 48),
        (np.eye(1, 2500, 1275, dtype=bool).reshape(50, 50), 4),
    ],
    ids=["nothing is drawn", "the gap takes all", "one pixel"],
)
def test_no_block_is_chosen_where_none_leaves_enough(content: np.ndarray, gap: int) -> None:
    assert first_block([content], 0.25, (gap, gap)) is None


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 60), st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_a_block_with_its_context_lies_on_the_step(width: int, rest: int, gap: int, step: int, is_near: bool) -> None:
    length = width + rest
    gap = gap // step * step
    block = Block(0, 0, width, gap) if is_near else Block(0, rest, length, gap)
    start, stop = block.context(step)
    assert start % step == stop % step == 0
    assert start == 0 or start <= block.start - gap
    assert stop >= block.stop + gap
    beside = np.arange(length)[slice(*block.beside((length, 3)))]
    np.testing.assert_array_equal(beside, np.flatnonzero(~block.judging((length, 3))))


@pytest.mark.parametrize("seed", range(8))
def test_scenes_are_held_out_by_their_images(seed: int) -> None:
    scenes = [[0] * 30, [1], [2], [3]]
    training, validation = split_images(scenes, 0.25, seed)
    assert sorted(training + validation) == sorted([0] * 30 + [1, 2, 3])
    assert validation == [1, 2, 3]
    for fraction, least in ((0.01, 1), (0.25, 2)):
        held_out = split_images([[0] * 4, [1] * 2, [2] * 4], fraction, seed)[1]
        assert held_out == [1] * 2, least
