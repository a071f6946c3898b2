"""Labels made block by block are those of the whole, whatever the blocks and the order they are computed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from unveil.config.objects import ObjectRule
from unveil.errors import ImageError
from unveil.inference import labelling
from unveil.inference.hands import one_by_one
from unveil.inference.labelling import label_frame
from unveil.inference.tiling import Tiling
from unveil.operators.calibration import ExpectedOverlap
from unveil.operators.instances import label_objects


@dataclass
class ArrayCanvas:
    foreground: NDArray[np.float32]
    distance: NDArray[np.float32]
    labels: NDArray[np.int32]

    def read_foreground(self, window: Any) -> NDArray[np.float32]:
        return self.foreground[window]

    def read_distance(self, window: Any) -> NDArray[np.float32]:
        return self.distance[window]

    def read_labels(self, window: Any) -> NDArray[np.int32]:
        return self.labels[window].copy()

    def write_labels(self, window: Any, labels: NDArray[np.int32]) -> None:
        self.labels[window] = labels


def canvas_of(foreground: NDArray[np.float32], distance: NDArray[np.float32]) -> ArrayCanvas:
    return ArrayCanvas(foreground, distance, np.full(foreground.shape, 77, np.int32))


def random_canvas(seed: int, shape: tuple[int, ...]) -> ArrayCanvas:
    """Draw maps with objects of many shapes and sizes, long ones among them, and seeds that are in several parts."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.6, 2.5))
    foreground = 1 / (1 + np.exp(-12 * smooth / smooth.std()))
    ripples = ndimage.gaussian_filter(rng.standard_normal(shape), 1)
    distance = np.clip(foreground - 0.3 + 0.5 * ripples / ripples.std(), 0, 1)
    return canvas_of(foreground.astype(np.float32), distance.astype(np.float32))


def blocks_of(shape: tuple[int, ...], tile: int, rule: ObjectRule) -> Tiling:
    return Tiling(shape, (tile,) * len(shape), (1,) * len(shape), (rule.context_px(len(shape)),) * len(shape))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(31, 44), (40, 9), (2, 60), (9, 14, 17)]),
    tile=st.integers(3, 25),
    separation=st.sampled_from([0.0, 0.2, 0.5, 0.8]),
    reach=st.sampled_from([1, 2, 5, 30]),
    min_size=st.sampled_from([0, 6, 40]),
)
def test_blocks_give_the_labels_of_the_whole(seed, shape, tile, separation, reach, min_size):
    rule = ObjectRule(separation=separation, reach_px=reach, min_size=min_size)
    canvas, rng = random_canvas(seed, shape), np.random.default_rng(seed)

    def in_any_order(function, blocks, *shared):
        return (function(*shared, block) for block in rng.permutation(np.array(list(blocks), object)))

    found = label_frame(canvas, rule, blocks_of(shape, tile, rule), 5, in_any_order)
    whole = label_objects(canvas.foreground, canvas.distance, rule)
    np.testing.assert_array_equal(canvas.labels, np.where(whole > 0, whole + 5, 0))
    assert found.n_objects == whole.max()
    overlap = ExpectedOverlap()
    overlap.add(canvas.foreground, whole > 0)
    assert found.overlap.intersection == pytest.approx(overlap.intersection)
    assert found.overlap.union == pytest.approx(overlap.union)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_a_diagonal_through_the_ends_of_the_pieces_of_cuts_is_one_object(n_dims, monkeypatch):
    monkeypatch.setattr(labelling, "_STRIP_PIXELS", 8 ** (n_dims - 1))
    diagonal = np.zeros((17,) * n_dims, np.float32)
    diagonal[(np.arange(17),) * n_dims] = 1
    for foreground in (diagonal, diagonal[::-1]):
        for distance in (foreground, np.zeros_like(foreground)):
            canvas, rule = canvas_of(foreground, distance), ObjectRule(reach_px=2)
            assert label_frame(canvas, rule, blocks_of(foreground.shape, 8, rule), 0, one_by_one).n_objects == 1


def test_a_snake_through_all_blocks_is_one_object():
    foreground = np.zeros((40, 40), np.float32)
    foreground[::4] = 1
    foreground[2::8, -1] = foreground[1::8, -1] = foreground[3::8, -1] = 1
    foreground[6::8, 0] = foreground[5::8, 0] = foreground[7::8, 0] = 1
    for distance in (foreground, np.zeros_like(foreground)):  # as one seed, and as what no seed reaches
        canvas, rule = canvas_of(foreground, distance), ObjectRule(reach_px=3)
        assert label_frame(canvas, rule, blocks_of((40, 40), 7, rule), 0, one_by_one).n_objects == 1
        np.testing.assert_array_equal(canvas.labels, foreground)


def test_a_block_computed_twice_changes_nothing():
    rule = ObjectRule(separation=0.2, reach_px=4)
    canvas = random_canvas(3, (50, 60))

    def twice(function, blocks, *shared):
        for block in blocks:
            function(*shared, block)
            yield function(*shared, block)

    label_frame(canvas, rule, blocks_of((50, 60), 20, rule), 0, twice)
    np.testing.assert_array_equal(canvas.labels, label_objects(canvas.foreground, canvas.distance, rule))


@pytest.mark.parametrize("tile", [6, 20])
def test_nothing_in_nothing_out(tile):
    nothing = np.zeros((20, 20), np.float32)
    canvas, rule = canvas_of(nothing, nothing), ObjectRule()
    found = label_frame(canvas, rule, blocks_of((20, 20), tile, rule), 9, one_by_one)
    assert (found.n_objects, found.overlap.iou) == (0, None)
    assert not canvas.labels.any()


def test_a_frame_with_more_pixels_than_numbers_is_refused_before_anything_is_read():
    rule = ObjectRule()
    nothing = np.zeros((2, 2), np.float32)
    with pytest.raises(ImageError, match="too large to number"):
        label_frame(canvas_of(nothing, nothing), rule, blocks_of((100_000, 100_000), 2048, rule), 0, one_by_one)
