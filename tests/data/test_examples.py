"""Examples: normalized alike everywhere, targets in place, problems named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.config.normalization import PercentileNormalization, StabilizedNormalization, StandardNormalization
from unveil.data.annotation import Annotation, scribbled
from unveil.data.examples import (
    Example,
    denoising_examples,
    digest_of,
    fit_fixed,
    held_out,
    segmentation_examples,
    successive_frames,
)
from unveil.data.split import Block
from unveil.errors import ImageError
from unveil.image import Image
from unveil.operators.normalization import fit_array

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (3, 20, 30)).astype(np.uint8)
LABELS = np.zeros((3, 20, 30), np.uint16)
LABELS[0, 4:9, 4:9] = 1
LABELS[2, 10:16, 5:20] = 2


def test_each_plane_becomes_an_example_of_its_own_normalization() -> None:
    made = segmentation_examples(
        [(Image(GREY, "ZYX"), Annotation(Image(LABELS, "ZYX")))], StandardNormalization(), n_dims=2, objects=True
    )
    assert [e.image.shape for e in made] == [(1, 20, 30)] * 3
    for e in made:
        assert abs(e.image.mean()) < 1e-5
        assert e.image.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(made[2].target[0], LABELS[2] > 0)
    assert made[0].target[1].max() == 1


def test_planes_that_nobody_judged_are_left_out() -> None:
    mask = np.zeros(LABELS.shape, bool)
    mask[1] = True
    annotation = Annotation(Image(LABELS, "ZYX"), mask)
    made = segmentation_examples([(Image(GREY, "ZYX"), annotation)], StandardNormalization(), n_dims=2, objects=False)
    assert len(made) == 1
    assert made[0].weight.all()


def test_a_volume_is_one_example_in_three_dimensions() -> None:
    labels = LABELS[[2, 2, 0]]
    pair = (Image(GREY, "ZYX"), Annotation(Image(labels, "ZYX")))
    made = segmentation_examples([pair], PercentileNormalization(), n_dims=3, objects=False)
    assert [e.target.shape for e in made] == [(1, 3, 20, 30)]
    np.testing.assert_array_equal(made[0].target[0], labels)


@pytest.mark.parametrize("axes", ["TYX", "ZYX", "TZYX"])
def test_labels_may_have_axes_of_length_one_that_their_image_does_not_have(axes: str) -> None:
    labels = LABELS[0].reshape(*[1] * (len(axes) - 2), 20, 30)
    (made,) = segmentation_examples(
        [(Image(GREY[0]), Annotation(Image(labels, axes), labels > 0))],
        StandardNormalization(),
        n_dims=2,
        objects=True,
    )
    np.testing.assert_array_equal(made.weight[0], LABELS[0] > 0)


def test_clean_targets_are_in_the_normalization_of_the_noisy_image() -> None:
    clean = GREY[0].astype(np.float32)
    noisy = clean + RNG.normal(0, 5, clean.shape).astype(np.float32)
    (made,) = denoising_examples([(Image(noisy), Image(clean))], PercentileNormalization(), n_dims=2)
    np.testing.assert_allclose((made.image - made.target) * made.scale[0], (noisy - clean)[None], atol=1e-3)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((20, 31), np.uint8), "same pixels"),
        (np.full((20, 30), -1, np.int16), "negative"),
        (np.full((20, 30), 2**63, np.uint64), "hold the number 9223372036854775808: objects"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        segmentation_examples(
            [(Image(GREY[0]), Annotation(Image(labels)))], StandardNormalization(), n_dims=2, objects=True
        )


def test_clean_images_of_another_size_are_refused() -> None:
    with pytest.raises(ImageError, match=r"is Y 20 × X 30 and its reference 'clean' is Y 20 × X 29: both must"):
        denoising_examples([(Image(GREY[0]), Image(GREY[0][:, 1:], name="clean"))], StandardNormalization(), n_dims=2)


def test_float_labels_and_wrong_masks_are_refused() -> None:
    with pytest.raises(ImageError, match="whole numbers"):
        Annotation(Image(np.zeros((9, 9), np.float32)))
    with pytest.raises(ImageError, match="mask has shape"):
        Annotation(Image(np.zeros((9, 9), np.uint8)), np.ones((9, 8), bool))


@pytest.mark.parametrize("nothing", [np.nan, -np.inf, 1e20, -1.7e308])
def test_pixels_that_are_no_numbers_are_refused(nothing: float) -> None:
    grey = GREY[0].astype(np.float64)
    grey[3, 3] = nothing
    with pytest.raises(ImageError, match="1 of 600 pixels"):
        segmentation_examples(
            [(Image(grey), Annotation(Image(LABELS[0])))], StandardNormalization(), n_dims=2, objects=True
        )


def test_the_fixed_normalization_is_the_mean_and_deviation_of_all_pixels() -> None:
    fitted = fit_fixed([Image(GREY[0]), Image(GREY[1, :7])])
    values = np.concatenate([GREY[0].ravel(), GREY[1, :7].ravel()]).astype(float)
    assert fitted.mean == pytest.approx((values.mean(),))
    assert fitted.std == pytest.approx((values.std(),))


def test_the_digest_sees_every_pixel_shape_dtype_and_pairing_but_no_order() -> None:
    changed = GREY.copy()
    changed[2, 3, 4] ^= 1
    variants = [
        [[GREY]],
        [[changed]],
        [[GREY.reshape(-1)]],
        [[GREY.astype(np.int8)]],
        [[GREY], [GREY]],
        [[GREY, LABELS], [changed, GREY]],
        [[GREY, GREY], [changed, LABELS]],
    ]
    assert len({digest_of(pairs) for pairs in variants}) == len(variants)
    assert digest_of([[GREY, LABELS], [changed, GREY]]) == digest_of([[changed, GREY], [GREY.copy(), LABELS]])


def test_labels_that_nobody_judged_change_no_target_that_counts() -> None:
    labels, mask = np.zeros((20, 30), np.uint16), np.zeros((20, 30), bool)
    labels[4:9, 4:9] = 1
    mask[:, :15] = True
    other = np.where(mask, labels, RNG.integers(5, 9, labels.shape)).astype(np.uint16)
    one, two = (
        segmentation_examples(
            [(Image(GREY[0]), Annotation(Image(drawn), mask))], StandardNormalization(), n_dims=2, objects=True
        )[0]
        for drawn in (labels, other)
    )
    assert one.weight[1].sum() == mask.sum()
    np.testing.assert_array_equal(one.weight, two.weight)
    np.testing.assert_array_equal(one.target * one.weight, two.target * two.weight)
    assert not np.array_equal(one.target, two.target), "the labels were not changed: the test shows nothing"


def test_the_distance_of_an_object_that_ends_at_the_mask_does_not_count() -> None:
    labels, mask = np.zeros((20, 30), np.uint16), np.zeros((20, 30), bool)
    labels[4:9, 4:9] = 1
    labels[12:17, 10:15] = 2
    mask[:, :15] = True
    (made,) = segmentation_examples(
        [(Image(GREY[0]), Annotation(Image(labels), mask))], StandardNormalization(), n_dims=2, objects=True
    )
    np.testing.assert_array_equal(made.weight[0], mask)
    np.testing.assert_array_equal(made.weight[1], mask & (labels != 2))


def test_scribbles_teach_a_distance_of_1_on_objects_and_0_beside_them() -> None:
    strokes = np.zeros((20, 30), np.uint8)
    strokes[5, 3:9] = 1
    strokes[12:15, 4:20] = 2
    strokes[17, 4:20] = 3
    pair = (Image(GREY[0]), scribbled(Image(strokes)))
    (made,) = segmentation_examples([pair], StandardNormalization(), n_dims=2, objects=True)
    np.testing.assert_array_equal(made.weight, np.stack([strokes > 0] * 2))
    np.testing.assert_array_equal(made.target, np.stack([strokes > 1] * 2))
    (classes,) = segmentation_examples([pair], StandardNormalization(), n_dims=2, objects=False)
    np.testing.assert_array_equal(classes.target[0][strokes > 0], strokes[strokes > 0] - 1)
    assert classes.weight.shape == (1, 20, 30)


def whole_example(shape: tuple[int, ...]) -> Example:
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    weight = np.ones((1, *shape), np.float32)
    weight[..., ::3] = 0
    return Example(image, image + 0.5, weight, np.ones(1))


@pytest.mark.parametrize(
    "block", [Block(0, 0, 7, 8), Block(0, 33, 40, 8), Block(1, 0, 11, 4), Block(1, 24, 30, 12)], ids=str
)
def test_what_is_held_out_of_an_image_never_teaches(block: Block) -> None:
    example = whole_example((40, 30))
    (teaching,), (judging,) = held_out([example], block, (4, 4))
    taught, judged = (part.image[part.weight > 0] for part in (teaching, judging))
    shape = example.spatial_shape
    judged_weight = example.weight[0] * block.judging(shape)
    np.testing.assert_array_equal(np.sort(judged), np.sort(example.image[0][judged_weight > 0]))
    taught_weight = example.weight[0] * block.teaching(shape)
    np.testing.assert_array_equal(np.sort(taught), np.sort(example.image[0][taught_weight > 0]))
    band = example.image[0][np.broadcast_to(block.judging(shape), shape)]
    assert not np.isin(teaching.image, band).any(), "not even beside what teaches"
    for part in (teaching, judging):
        np.testing.assert_array_equal(part.target, part.image + 0.5)
        assert part.weight.dtype == np.float32


def test_frames_that_hold_nothing_in_a_part_are_left_out_of_it() -> None:
    near, far = whole_example((40, 30)), whole_example((40, 30))
    near.weight[:, 10:] = 0
    far.weight[:, :30] = 0
    teaching, judging = held_out([near, far], Block(0, 32, 40, 4), (4, 4))
    assert [part.weight.any(axis=(0, 2)).nonzero()[0].tolist() for part in teaching] == [list(range(10))]
    assert [part.weight.any(axis=(0, 2)).nonzero()[0].tolist() for part in judging] == [list(range(4, 12))]


def test_each_frame_is_to_be_predicted_from_the_one_before() -> None:
    stack = Image(GREY, "TYX")
    noisy, target = successive_frames(stack, 2)
    np.testing.assert_array_equal(noisy.data, GREY)
    np.testing.assert_array_equal(target.data, GREY[[1, 2, 0]])
    assert successive_frames(Image(GREY, "ZYX"), 2)[1].axes == "ZYX"


@pytest.mark.parametrize(
    ("image", "n_dims"), [(Image(GREY[0]), 2), (Image(GREY[:1], "TYX"), 2), (Image(GREY, "ZYX"), 3)]
)
def test_a_single_frame_is_not_compared(image: Image, n_dims: int) -> None:
    with pytest.raises(ImageError, match="at least two along T"):
        successive_frames(image, n_dims)


def test_clean_images_teach_what_the_mean_of_noisy_ones_becomes(rng: np.random.Generator) -> None:
    clean = np.broadcast_to(np.linspace(40, 400, 256, dtype=np.float32), (256, 256))
    noisy, other = (4 * rng.poisson(clean / 4, (2, 256, 256))).astype(np.float32)
    normalization = StabilizedNormalization()
    intensities = fit_array(normalization, noisy[np.newaxis])
    for reference, noisy_targets, expected in (
        (clean, False, intensities.expect(clean[np.newaxis])),
        (other, True, intensities.apply(other[np.newaxis])),
    ):
        pairs = [(Image(noisy), Image(reference))]
        (made,) = denoising_examples(pairs, normalization, n_dims=2, noisy_targets=noisy_targets)
        np.testing.assert_array_equal(made.target, expected)
    assert (intensities.expect(clean[np.newaxis]) < intensities.apply(clean[np.newaxis])).all()
    alone = Image(noisy)
    (made,) = denoising_examples([(alone, alone)], normalization, n_dims=2)
    np.testing.assert_array_equal(made.target, made.image)


def test_a_real_pair_is_scored_in_grey_values_and_nothing_else_is() -> None:
    clean = Image(np.stack([GREY[0].astype(np.float32), np.full(GREY[0].shape, 7, np.float32)]), "ZYX")
    noisy = Image(clean.data + RNG.normal(0, 5, clean.shape).astype(np.float32), "ZYX")
    pair, without_range = denoising_examples([(noisy, clean)], PercentileNormalization(), n_dims=2)
    assert pair.grey is not None
    assert pair.grey.peak == clean.data[0].max() - clean.data[0].min()
    np.testing.assert_allclose(pair.grey.intensities.restore(pair.target)[0], clean.data[0], atol=1e-3)
    assert without_range.grey is None
    assert all(one.grey is None for one in denoising_examples([(noisy, noisy)], PercentileNormalization(), n_dims=2))


def test_volumes_that_are_labelled_in_single_planes_are_refused() -> None:
    labels = np.zeros((9, 16, 16), np.uint8)
    labels[2:7, 2:6, 2:6], labels[4, 10:14, 10:14] = 1, 2
    grey, mask = Image(labels.astype(np.float32), "ZYX"), np.zeros(labels.shape, bool)

    def made(taken: slice, **changes: Any) -> list[Example]:
        shown = np.zeros_like(labels)
        shown[taken] = labels[taken]
        pair = (grey, Annotation(Image(shown, "ZYX", name="painted"), **changes))
        return segmentation_examples([pair], PercentileNormalization(), n_dims=3, objects=True)

    assert len(made(slice(None))) == 1
    for step in (2, 3):
        with pytest.raises(ImageError, match="'painted' show is one plane thick"):
            made(slice(None, None, step))
    mask[::2] = True  # whoever says that the planes between were not judged means it
    assert len(made(slice(None, None, 2), mask=mask)) == 1
    assert len(made(slice(None, None, 2), has_outlines=False)) == 1
