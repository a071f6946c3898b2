"""Targets: distances that separate, unchanged by size."""

from __future__ import annotations

import numpy as np
from skimage.transform import resize

from unveil.operators.targets import class_target, cut_objects, normalized_distance


def two_touching_squares() -> np.ndarray:
    labels = np.zeros((20, 30), np.uint16)
    labels[5:14, 4:13] = 3
    labels[5:14, 13:22] = 7
    return labels


def test_each_object_peaks_at_one_and_falls_to_its_neighbour() -> None:
    labels = two_touching_squares()
    distance = normalized_distance(labels)
    assert distance[labels == 3].max() == distance[labels == 7].max() == 1
    assert distance[labels == 0].max() == 0
    assert distance[9, 8] == 1
    assert distance[9, 12] == distance[9, 13] == 0.2  # 1 of 5 pixels
    assert (distance[labels > 0] > 0).all()


def test_an_object_at_the_image_border_is_bounded_by_it() -> None:
    assert normalized_distance(np.ones((5, 5), np.uint8))[0, 2] < 1


def test_it_hardly_changes_when_the_image_is_resized() -> None:
    yy, xx = np.mgrid[:200, :200]
    large = (((yy - 100) ** 2 + (xx - 90) ** 2) < 80**2).astype(np.uint8)
    small = large[::2, ::2]
    reduced = resize(normalized_distance(large), small.shape, order=1)
    assert np.abs(reduced - normalized_distance(small)).max() < 0.05


def test_it_works_on_volumes() -> None:
    labels = np.zeros((7, 9, 9), np.int32)
    labels[1:6, 2:7, 2:7] = 1
    distance = normalized_distance(labels)
    assert distance[3, 4, 4] == 1
    assert distance[1, 4, 4] < 0.5


def test_class_targets() -> None:
    labels = two_touching_squares()
    np.testing.assert_array_equal(np.unique(class_target(labels, objects=True)), [0, 1])
    np.testing.assert_array_equal(np.unique(class_target(labels, objects=False)), [0, 3, 7])


def disc(y: int, x: int) -> np.ndarray:
    yy, xx = np.mgrid[:30, :30]
    return (yy - y) ** 2 + (xx - x) ** 2 <= 25


def test_an_object_that_ends_at_the_mask_is_cut_and_one_drawn_beyond_is_whole() -> None:
    mask = np.zeros((30, 30), bool)
    mask[:, :15] = True
    labels = np.zeros((30, 30), np.uint16)
    labels[disc(6, 5)] = 1  # inside
    labels[disc(7, 14) & mask] = 2  # ends at the mask
    labels[disc(22, 11)] = 3  # most of it inside, drawn beyond
    labels[disc(22, 24)] = 4  # outside
    for view in (np.asarray, np.transpose, np.fliplr, np.rot90):
        np.testing.assert_array_equal(cut_objects(view(labels), view(mask)), view(labels == 2))
    assert not cut_objects(labels, np.ones_like(mask)).any()


def test_the_ground_is_never_cut() -> None:
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 1:3, 1:3] = True
    assert not cut_objects(np.zeros(mask.shape, np.uint8), mask).any()
    assert cut_objects(mask.astype(np.uint8), mask).sum() == 8
