"""Windows: where they fall, what fills them, and that only judged places are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.data.examples import Example
from unveil.data.patches import draw_windows


def example(shape: tuple[int, ...], judged: np.ndarray | None = None) -> Example:
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    weight = np.ones((1, *shape), np.float32) if judged is None else judged[None].astype(np.float32)
    return Example(image, image + 0.5, weight, np.ones(1))


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(0, 99),
)
def test_windows_have_their_size_and_stay_aligned(shape: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    image, target, weight = next(draw_windows([example(shape)], size, 3, seed))
    assert image.shape == target.shape == weight.shape == (3, 1, *size)
    np.testing.assert_array_equal(target, image + 0.5)


def test_a_window_that_fits_is_a_piece_of_the_image() -> None:
    whole = example((30, 20))
    image, _, _ = next(draw_windows([whole], (8, 8), 16, 1))
    for window in image[:, 0]:
        y, x = divmod(int(window[0, 0]), 20)
        np.testing.assert_array_equal(window, whole.image[0, y : y + 8, x : x + 8])


def test_a_small_image_is_extended_by_reflection() -> None:
    image, _, _ = next(draw_windows([example((1, 3))], (1, 7), 1, 0))
    np.testing.assert_array_equal(image[0, 0, 0], np.pad(np.arange(3.0), 2, mode="reflect"))


def test_every_window_holds_a_judged_pixel() -> None:
    judged = np.zeros((50, 50), bool)
    judged[40:44, 3:5] = True
    _, _, weight = next(draw_windows([example((50, 50), judged)], (6, 6), 64, 2))
    assert weight.sum(axis=(1, 2, 3)).min() >= 1


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_draws_the_same_windows(seed: int) -> None:
    first, second = (next(draw_windows([example((50, 50))], (9, 9), 8, s)) for s in (seed, seed))
    other = next(draw_windows([example((50, 50))], (9, 9), 8, seed + 1))
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.array_equal(first[0], other[0])
