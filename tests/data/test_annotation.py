"""Annotations: what scribbles mean, and which frames of a stack a person has judged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unveil.data.annotation import Annotation, annotated_frames, judged_numbers, renumbered, scribbled
from unveil.errors import ImageError
from unveil.image import Image


def painted(*numbers: int) -> Image:
    return Image(np.array([numbers, numbers], np.uint8), pixel_size_um={"X": 0.5}, name="strokes")


@pytest.mark.parametrize(("background", "expected"), [(1, [0, 0, 1, 2, 4]), (2, [0, 1, 0, 2, 4]), (5, [0, 1, 2, 3, 0])])
def test_the_background_becomes_0_and_the_gap_closes(background: int, expected: list[int]) -> None:
    annotation = scribbled(painted(0, 1, 2, 3, 5), background=background)
    assert np.asarray(annotation.labels.data)[0].tolist() == expected
    assert annotation.mask is not None
    assert annotation.mask[0].tolist() == [False, True, True, True, True]
    assert not annotation.has_outlines
    assert annotation.labels.pixel_size_um == {"X": 0.5}
    assert annotation.labels.data.dtype == np.uint8


@pytest.mark.parametrize("judged", [1, 255])
def test_masks_of_numbers_say_what_those_of_true_and_false_do(judged: int) -> None:
    labels, mask = painted(0, 4, 5), np.array([[0, judged, 0], [judged, judged, 0]], np.uint8)
    annotation = Annotation(labels, mask)  # type: ignore[arg-type]
    assert annotation.mask is not None
    assert annotation.mask.dtype == bool
    assert judged_numbers(annotation) == judged_numbers(Annotation(labels, mask > 0)) == [0, 4]


def test_an_array_is_no_annotation() -> None:
    with pytest.raises(ImageError, match=r"Found an ndarray where an unveil\.Image is expected"):
        Annotation(np.zeros((4, 4), int))  # type: ignore[arg-type]


def test_labels_have_no_channels() -> None:
    with pytest.raises(ImageError, match="'cells' have axes CYX: labels have no channels"):
        Annotation(Image(np.zeros((1, 4, 4), int), "CYX", name="cells"))


@given(
    hnp.arrays(st.sampled_from([np.uint8, np.int32, np.uint64]), (4, 5), elements=st.integers(0, 6)), st.integers(1, 6)
)
def test_strokes_keep_what_they_part(drawn: np.ndarray, background: int) -> None:
    found = set(drawn[drawn > 0].tolist())
    if background not in found or len(found) < 2:
        with pytest.raises(ImageError, match="background's number"):
            scribbled(Image(drawn), background=background)
        return
    before = drawn.copy()
    annotation = scribbled(Image(drawn), background=background)
    labels = np.asarray(annotation.labels.data)
    np.testing.assert_array_equal(drawn, before)
    np.testing.assert_array_equal(annotation.mask, drawn > 0)
    np.testing.assert_array_equal((labels == 0) & (drawn > 0), drawn == background)
    pairs = {(old, new) for old, new in zip(drawn.ravel().tolist(), labels.ravel().tolist(), strict=True) if old}
    assert len(pairs) == len(found), "numbers stay told apart"


def test_numbers_become_their_places() -> None:
    annotation = Annotation(painted(0, 3, 255, 7), np.array([[True, True, True, False]] * 2))
    assert judged_numbers(annotation) == [0, 3, 255]
    assert np.asarray(renumbered(annotation, [3, 255]).labels.data)[0].tolist() == [0, 1, 2, 0]
    assert np.asarray(renumbered(annotation, [3, 255], [5, 4]).labels.data)[0].tolist() == [0, 5, 4, 0]
    assert not np.asarray(renumbered(annotation, []).labels.data).any()


def test_what_was_painted_is_named_where_it_does_not_do() -> None:
    with pytest.raises(ImageError, match=r"Scribbles 'strokes' hold the numbers 2, 3; the background's number 1"):
        scribbled(painted(0, 2, 3))
    with pytest.raises(ImageError, match="hold the numbers 1;"):
        scribbled(painted(0, 1, 1))
    with pytest.raises(ImageError, match="hold the numbers none;"):
        scribbled(painted(0, 0))
    with pytest.raises(ImageError, match="the background's number 0"):
        scribbled(painted(1, 2), background=0)


def test_frames_without_a_label_are_not_annotated() -> None:
    labels = np.zeros((4, 5, 5), np.uint8)
    labels[1, 2, 2] = 1
    labels[2, 0, 0] = 2
    annotation, n_empty = annotated_frames(Annotation(Image(labels, "ZYX")), 2)
    assert n_empty == 2
    assert annotation.mask is not None
    assert annotation.mask.all(axis=(1, 2)).tolist() == [False, True, True, False]
    whole = Annotation(Image(labels, "ZYX"))
    assert annotated_frames(whole, 3) == (whole, 0)


def test_what_was_not_judged_before_is_no_empty_frame() -> None:
    labels = np.zeros((3, 5, 5), np.uint8)
    labels[:2, 2, 2] = 1
    mask = np.ones(labels.shape, bool)
    mask[1, 2, 2] = False  # its only label was not judged
    mask[2] = False
    annotation, n_empty = annotated_frames(Annotation(Image(labels, "ZYX"), mask), 2)
    assert n_empty == 1
    assert annotation.mask is not None
    assert annotation.mask.any(axis=(1, 2)).tolist() == [True, False, False]


def test_an_empty_image_of_one_frame_stays_judged() -> None:
    empty = Annotation(Image(np.zeros((5, 5), np.uint8)))
    assert annotated_frames(empty, 2) == (empty, 0)


def test_strokes_say_by_themselves_where_nothing_was_judged() -> None:
    strokes = np.zeros((3, 5, 5), np.uint8)
    strokes[0, 1], strokes[0, 3], strokes[1, 2] = 1, 2, 1
    annotation = scribbled(Image(strokes, "ZYX"))
    assert annotated_frames(annotation, 2) == (annotation, 0), "a plane with strokes on the ground alone is judged"


def test_a_mask_of_numbers_means_what_is_not_0() -> None:
    labels = np.array([[0, 1, 2], [3, 0, 0]])
    drawn = np.array([[0, 255, 0], [255, 1, 0]], np.uint8)
    for mask in (drawn, drawn.tolist()):
        annotation = Annotation(Image(labels), mask)
        assert annotation.mask.dtype == bool
        assert judged_numbers(annotation) == [0, 1, 3]
