"""Sparse labels: what around objects is judged, and when labels show only some of what an image shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.draw import disk

from unveil.data.annotation import Annotation
from unveil.data.sparse_labels import around_objects, seem_sparse, shows_only_some
from unveil.image import Image

EDGE = 200
EVERYWHERE = tuple((15.0 + 24 * y, 15.0 + 24 * x) for y in range(8) for x in range(8))


def cells(*centres: tuple[float, float], radius: float = 7.0) -> NDArray[np.int32]:
    """Discs, each with a number of its own."""
    labels = np.zeros((EDGE, EDGE), np.int32)
    for number, centre in enumerate(centres, start=1):
        labels[disk(centre, radius, shape=labels.shape)] = number
    return labels


def judged(labels: NDArray[np.int32], axes: str = "YX", n_dims: int = 2, **size: float) -> NDArray[np.bool_]:
    mask = around_objects(Annotation(Image(labels, axes, size)), n_dims).mask
    assert mask is not None
    return mask


def test_a_quarter_of_a_diameter_around_an_object_is_judged() -> None:
    labels = cells((60, 60))
    at = np.argwhere(labels)
    distances = cdist(np.argwhere(np.ones_like(labels)), at).min(axis=1).reshape(labels.shape)
    mask, diameter = judged(labels), 2 * np.sqrt(len(at) / np.pi)
    assert mask[distances <= diameter / 4 - 1].all()
    assert not mask[distances > diameter / 4 + 1].any()


def test_narrow_gaps_are_judged_and_wide_ones_are_not() -> None:
    near, far = judged(cells((60, 60), (60, 60 + 35))), judged(cells((60, 60), (60, 60 + 50)))
    assert near[60, 60:95].all()  # 21 pixels between discs of a diameter of 14
    assert not far[60, 80:90].any()  # 36 pixels


def test_labels_of_whole_images_are_judged_almost_everywhere() -> None:
    assert judged(cells(*EVERYWHERE)).mean() > 0.9
    assert not judged(cells()).any()
    assert judged(np.ones((9, 9), np.int32)).all()


def test_each_plane_is_judged_by_its_own_objects() -> None:
    flat = cells((60, 60))
    stack = judged(np.stack([flat, 0 * flat, cells((100, 100))]), "ZYX")
    np.testing.assert_array_equal(stack[0], judged(flat))
    assert not stack[1].any()


def test_volumes_are_judged_in_their_true_proportions() -> None:
    z, y, x = np.ogrid[:60, :60, :60]
    ball = ((z - 30) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 <= 100).astype(np.int32)
    fine = judged(ball, "ZYX", 3, Z=1, Y=1, X=1)
    coarse = judged(ball[::3], "ZYX", 3, Z=3, Y=1, X=1)
    differing = np.mean(fine[::3] != coarse) / coarse.mean()
    assert differing < 0.2
    assert np.mean(fine[::3] != judged(ball[::3], "ZYX", 3)) / coarse.mean() > 2 * differing
    np.testing.assert_array_equal(judged(ball[::3], "ZYX", 3, Z=1.5, Y=0.5, X=0.5), coarse)
    beyond = np.flatnonzero(fine[30, 30, 30:])[-1] - 10
    assert beyond == pytest.approx(20 / 4, abs=1), "a quarter of its diameter"


def test_what_was_left_out_stays_out() -> None:
    mask = np.zeros((EDGE, EDGE), bool)
    mask[:, :60] = True
    found = around_objects(Annotation(Image(cells((60, 60))), mask), 2).mask
    np.testing.assert_array_equal(found, judged(cells((60, 60))) & mask)


def bright(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(100.0 * (labels > 0) + rng.normal(0, 20, labels.shape), np.float32)


def dark_on_uneven_ground(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(np.linspace(0, 400, EDGE) - bright(labels, rng), np.float32)


def rough(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float32]:
    return np.asarray(rng.normal(np.linspace(20000, 20100, EDGE), np.where(labels > 0, 30, 5)), np.float32)


@pytest.mark.parametrize("draw", [bright, dark_on_uneven_ground, rough])
def test_objects_that_are_not_drawn_are_noticed(
    draw: Callable[[NDArray[np.int32], np.random.Generator], NDArray[np.float32]],
) -> None:
    image = draw(cells(*EVERYWHERE), np.random.default_rng(2))
    assert not shows_only_some(image, cells(*EVERYWHERE))
    assert shows_only_some(image, cells(*EVERYWHERE[:6]))  # in a corner
    assert shows_only_some(image, cells(*EVERYWHERE[::7]))  # here and there
    assert not shows_only_some(image, cells(*EVERYWHERE[5:])), "a few that were overlooked"
    alone = draw(cells(*EVERYWHERE[:6]), np.random.default_rng(2))
    assert not shows_only_some(alone, cells(*EVERYWHERE[:6]))


def test_what_is_fainter_than_nearly_all_objects_is_none() -> None:
    rng = np.random.default_rng(2)
    cytoplasm, nuclei = cells(*EVERYWHERE[::7], radius=12), cells(*EVERYWHERE[1::7])
    faint = bright(nuclei, rng) + 60.0 * ((cytoplasm > 0) & (nuclei == 0))
    assert not shows_only_some(faint, nuclei)
    assert not shows_only_some(faint, (nuclei > 0).astype(np.int32))
    assert shows_only_some(bright(nuclei + cytoplasm, rng), nuclei)


def test_specks_are_not_taken_for_objects_that_are_not_drawn() -> None:
    drawn = cells(*EVERYWHERE[:6])
    specks = cells(*EVERYWHERE[8:], radius=3)
    assert not shows_only_some(bright(np.maximum(drawn, specks), np.random.default_rng(2)), drawn)


def test_of_what_cannot_be_told_apart_the_share_decides() -> None:
    image = np.random.default_rng(2).normal(size=(EDGE, EDGE))
    assert shows_only_some(image, cells(*EVERYWHERE[:4]))
    assert not shows_only_some(image, cells(*EVERYWHERE[::2]))
    assert not shows_only_some(image, cells())


def test_the_size_of_objects_makes_no_difference() -> None:
    rng = np.random.default_rng(2)
    for zoom in (1, 3):
        image = np.kron(bright(cells(*EVERYWHERE), rng), np.ones((zoom, zoom)))
        some, whole = (np.kron(cells(*one), np.ones((zoom, zoom), int)) for one in (EVERYWHERE[:6], EVERYWHERE))
        assert [shows_only_some(image, labels) for labels in (some, whole)] == [True, False]


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -1e20, 1e300])
def test_missing_pixels_are_looked_past(nothing: float) -> None:
    image = bright(cells(*EVERYWHERE), np.random.default_rng(2)).astype(np.float64)
    image[90:100, 90:100] = nothing
    assert shows_only_some(image, cells(*EVERYWHERE[:6]))


def test_the_fullest_plane_of_a_stack_decides() -> None:
    rng = np.random.default_rng(2)
    some, whole = cells(*EVERYWHERE[:6]), cells(*EVERYWHERE)
    stack = np.stack([rng.normal(size=whole.shape), bright(whole, rng)])
    image = Image(np.stack([stack, stack]), "CZYX")
    assert seem_sparse(image, Image(np.stack([0 * some, some]), "ZYX"))
    assert not seem_sparse(image, Image(np.stack([some, whole]), "ZYX"))
    assert not seem_sparse(image, Image(np.zeros((2, EDGE, EDGE), int), "ZYX"))
    assert not seem_sparse(image, Image(some))


@settings(max_examples=25)
@given(st.lists(st.tuples(*[st.integers(0, 119)] * 2, st.integers(1, 9)), min_size=1, max_size=8))
@example([(84, 41, 8), (35, 94, 8), (114, 108, 8), (12, 18, 8)])  # one lies in a corner of the others' window
def test_far_apart_objects_are_judged_as_if_in_one_window(boxes: list[tuple[int, int, int]]) -> None:
    labels = np.zeros((120, 120), np.int32)
    for number, (y, x, size) in enumerate(boxes, start=1):
        labels[y : y + size, x : x + size] = number
    sizes = np.bincount(labels.ravel())[1:]
    diameter = 2 * np.sqrt(np.median(sizes[sizes > 0]) / np.pi)
    margin = max(diameter / 4, 2)
    reach = max(diameter, 2 * margin)
    near = ndimage.distance_transform_edt(labels == 0) <= reach
    expected = near.all() or ndimage.distance_transform_edt(near) > reach - margin
    np.testing.assert_array_equal(judged(labels), np.broadcast_to(expected, labels.shape))
