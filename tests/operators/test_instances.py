from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tifffile import imread

from unveil.config.objects import ObjectRule
from unveil.operators.instances import label_classes, label_objects
from unveil.operators.metrics import ObjectTally
from unveil.operators.targets import class_target, normalized_distance


def _random_maps(seed, shape):
    """Smooth random maps: foreground of many shapes, and a distance that is high inside it."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 2.0)
    foreground = 1 / (1 + np.exp(-12 * smooth / smooth.std()))
    distance = ndimage.distance_transform_edt(foreground > 0.5)
    distance = distance / max(distance.max(), 1) + 0.05 * rng.random(shape)
    return foreground.astype(np.float32), np.clip(distance, 0, 1).astype(np.float32)


def _discs(shape, discs):
    """Foreground and normalized distance of discs ``(y, x, radius)``, each falling to 0 at its own border."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    heights = np.stack([1 - np.hypot(yy - y, xx - x) / radius for y, x, radius in discs])
    distance = np.clip(heights.max(axis=0), 0, 1).astype(np.float32)
    return (distance > 0).astype(np.float32), distance


def _same_partition(one, other):
    """Say whether two labels cut the image into the same objects, whatever their numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(one)) == len(np.unique(other)) and np.array_equal(one == 0, other == 0)


def _reference(foreground, distance, rule):
    """The rule word for word, pixel by pixel: slow, and written without any of the code under test."""
    inside, n_dims = foreground > rule.threshold, foreground.ndim
    full = np.ones((3,) * n_dims)
    labels, n_seeds = ndimage.label(inside & (distance > rule.separation), structure=full)
    for number in range(1, n_seeds + 1):
        if (labels == number).sum() < (1 - rule.separation) ** n_dims * rule.min_size - 1e-6:
            labels[labels == number] = 0
    offsets = [np.array(o) - 1 for o in np.ndindex(*(3,) * n_dims) if any(i != 1 for i in o)]
    for step in range(rule.reach_px):
        before = labels.copy()
        for pixel in np.argwhere(inside & (before == 0)):
            best = -1.0
            for offset in offsets:
                if step % 2 == 0 and np.abs(offset).sum() > 1:
                    continue
                # the front meets a pixel from its neighbour, so directions run from the neighbour to the pixel
                neighbour = tuple(pixel - offset)
                if any(i < 0 or i >= n for i, n in zip(neighbour, before.shape, strict=True)) or not before[neighbour]:
                    continue
                if distance[neighbour] > best:
                    best, labels[tuple(pixel)] = distance[neighbour], before[neighbour]
    free, _ = ndimage.label(inside & (labels == 0), structure=full)
    labels = np.where(free > 0, free + n_seeds, labels)
    return np.where(np.isin(labels, [i for i in np.unique(labels) if (labels == i).sum() < rule.min_size]), 0, labels)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(23, 31), (17, 40), (6, 14, 15)]),
    separation=st.sampled_from([0.0, 0.2, 0.5, 0.8]),
    reach=st.sampled_from([1, 2, 5, 32]),
    min_size=st.sampled_from([0, 10, 30]),
)
def test_agrees_with_the_rule_written_pixel_by_pixel(seed, shape, separation, reach, min_size):
    maps = _random_maps(seed, shape)
    rule = ObjectRule(separation=separation, reach_px=reach, min_size=min_size)
    assert _same_partition(label_objects(*maps, rule), _reference(*maps, rule))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), separation=st.floats(0, 0.9), min_size=st.integers(0, 30), is_3d=st.booleans())
def test_ids_are_dense_in_raster_order_and_no_object_is_too_small(seed, separation, min_size, is_3d):
    maps = _random_maps(seed, (8, 20, 21) if is_3d else (50, 47))
    labels = label_objects(*maps, ObjectRule(separation=separation, min_size=min_size))
    assert labels.dtype == np.int32
    assert labels.shape == maps[0].shape
    ids, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    is_object = ids > 0
    assert np.array_equal(ids[is_object], np.arange(1, is_object.sum() + 1))
    assert np.all(np.diff(first[is_object]) > 0)
    assert np.all(sizes[is_object] >= min_size)
    assert not np.any(labels[maps[0] <= 0.5])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), reach=st.sampled_from([3, 4, 9]))
def test_every_pixel_of_the_foreground_belongs_to_an_object_where_none_is_dropped(seed, reach):
    foreground, distance = _random_maps(seed, (40, 40))
    labels = label_objects(foreground, distance, ObjectRule(reach_px=reach))
    assert np.array_equal(labels > 0, foreground > 0.5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_the_result_does_not_depend_on_where_the_scene_lies(seed, shift):
    rule = ObjectRule(separation=0.4)
    maps = _random_maps(seed, (30, 33))
    moved = label_objects(*(np.pad(m, [(s, 2) for s in shift]) for m in maps), rule)
    cut = moved[shift[0] : -2, shift[1] : -2]
    assert np.array_equal(cut, label_objects(*maps, rule))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), reach=st.sampled_from([2, 3, 6]), corner=st.tuples(*[st.integers(12, 30)] * 2))
def test_the_result_depends_only_on_maps_within_reach(seed, reach, corner):
    """Two seeded pixels of a window are split alike by the whole image and by the window with `reach` around it."""
    rule = ObjectRule(separation=0.3, reach_px=reach)
    maps = _random_maps(seed, (64, 64))
    inner = tuple(slice(c, c + 20) for c in corner)
    outer = tuple(slice(c - reach, c + 20 + reach) for c in corner)
    back = (slice(reach, reach + 20),) * 2
    whole, piece = label_objects(*maps, rule)[inner], label_objects(*(m[outer] for m in maps), rule)[back]
    assert np.array_equal(whole > 0, piece > 0)
    # parts that are one in the piece are one in the whole; the reverse holds only up to what is joined outside
    pairs = np.unique(np.stack([piece.ravel(), whole.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1]


def test_touching_discs_are_split_along_the_border_between_them():
    foreground, distance = _discs((40, 60), [(20, 20, 12), (20, 40, 12)])
    assert ndimage.label(foreground)[1] == 1
    labels = label_objects(foreground, distance, ObjectRule())
    assert labels.max() == 2
    assert np.all(labels[:, :29][foreground[:, :29] > 0] == 1)
    assert np.all(labels[:, 32:][foreground[:, 32:] > 0] == 2)


def test_a_higher_separation_splits_more():
    maps = _discs((40, 52), [(20, 18, 14), (20, 33, 14)])
    counts = [int(label_objects(*maps, ObjectRule(separation=s)).max()) for s in (0.1, 0.3, 0.6)]
    assert counts == [1, 1, 2]


def test_a_seed_that_would_make_no_object_of_the_least_size_makes_none():
    foreground, distance = np.ones((9, 30), np.float32), np.zeros((9, 30), np.float32)
    distance[3:6, 4:8] = 1  # 12 pixels: of an object of 48, at a separation of 0.5
    distance[4, 20:23] = 1  # 3 pixels: of one of 12
    labels = {size: label_objects(foreground, distance, ObjectRule(min_size=size)) for size in (0, 12, 13, 48)}
    assert [int(found.max()) for found in labels.values()] == [2, 2, 1, 1]
    assert np.all(labels[13] == 1), "the neighbour takes the pixels of a seed that is none"
    assert np.array_equal(labels[12], labels[0])


def test_the_least_size_of_a_seed_is_that_of_an_evenly_falling_disc():
    rule = ObjectRule(separation=0.4, min_size=400)
    foreground, distance = _discs((60, 60), [(30, 30, np.sqrt(400 / np.pi))])
    assert foreground.sum() == pytest.approx(400, rel=0.03)
    assert (distance > 0.4).sum() == pytest.approx(0.6**2 * 400, rel=0.05)
    assert ObjectRule(separation=0.4, min_size=20).smallest_seed(2) == 8
    assert ObjectRule(separation=0.4, min_size=20).smallest_seed(3) == 5
    assert rule.smallest_seed(2) == 64, "no more, so that blocks need little of their neighbours"
    assert ObjectRule().smallest_seed(2) == 0


def test_growth_ends_at_the_reach_and_the_rest_is_an_object_of_its_own():
    foreground = np.zeros((3, 40), np.float32)
    foreground[1] = 1
    distance = np.zeros_like(foreground)
    distance[1, 0] = 1
    labels = label_objects(foreground, distance, ObjectRule(reach_px=10))
    assert np.array_equal(labels[1], np.where(np.arange(40) <= 10, 1, 2))


def test_an_object_too_small_to_have_a_seed_is_found():
    foreground = np.zeros((9, 9), np.float32)
    foreground[4, 4:6] = 0.9
    labels = label_objects(foreground, np.full_like(foreground, 0.1), ObjectRule())
    assert labels.sum() == 2
    assert label_objects(foreground, np.full_like(foreground, 0.1), ObjectRule(min_size=3)).max() == 0


def test_fronts_are_nearly_round():
    foreground = np.ones((81, 81), np.float32)
    distance = np.zeros_like(foreground)
    distance[40, 40] = 1
    labels = label_objects(foreground, distance, ObjectRule(reach_px=30))
    grown = labels == labels[40, 40]
    outline = grown & ~ndimage.binary_erosion(grown)
    radii = np.hypot(*(np.argwhere(outline) - 40).T)
    assert radii.max() < 1.15 * radii.min()


def test_real_annotations_come_back_from_their_own_targets(test_data):
    """The rule undoes the training targets: what a perfect network would give is cut into the annotated nuclei."""
    masks = sorted((test_data / "dsb2018_fluo" / "val" / "masks").glob("*.tif"))
    if not masks:
        pytest.skip("the nuclei of dsb2018_fluo/val are absent")
    tally = ObjectTally()
    for path in masks:
        labels = imread(path)
        foreground = class_target(labels, objects=True)
        tally.add(label_objects(foreground, normalized_distance(labels), ObjectRule()), labels)
    scores = tally.as_dict()
    assert scores["iou"] == 1
    assert scores["ap"]["0.50"] > 0.97
    assert scores["ap"]["0.90"] > 0.93


def test_nothing_in_nothing_out_and_nan_is_background():
    nothing = np.zeros((7, 8), np.float32)
    assert not label_objects(nothing, nothing, ObjectRule()).any()
    foreground, distance = _discs((20, 20), [(10, 10, 6)])
    foreground[10, 10], distance[9, 9] = np.nan, np.nan
    labels = label_objects(foreground, distance, ObjectRule())
    assert labels[10, 10] == 0
    assert labels[9, 9] == 1
    assert labels.max() == 1


def test_maps_are_not_changed():
    maps = _random_maps(1, (30, 30))
    kept = [m.copy() for m in maps]
    label_objects(*maps, ObjectRule())
    assert all(np.array_equal(m, k) for m, k in zip(maps, kept, strict=True))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_two_classes_are_told_apart_by_the_threshold(threshold):
    p = np.linspace(0, 1, 11, dtype=np.float32).reshape(1, 11)
    labels = label_classes(np.stack([1 - p, p]), threshold)
    assert labels.dtype == np.int32
    assert np.array_equal(labels, (p > threshold).astype(int))


def test_several_classes_go_to_the_likeliest_and_at_a_draw_to_the_earlier():
    probabilities = np.array([[0.2, 0.4, 0.5], [0.5, 0.4, 0.0], [0.3, 0.2, 0.5]], np.float32)[:, None]
    assert label_classes(probabilities, 0.9).tolist() == [[1, 0, 0]]
