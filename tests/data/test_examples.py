"""Examples: normalized alike everywhere, targets in place, problems named."""

from __future__ import annotations

import numpy as np
import pytest

from unveil.config.normalization import PercentileNormalization, StandardNormalization
from unveil.data.annotation import Annotation
from unveil.data.examples import denoising_examples, digest_of, fit_fixed, segmentation_examples
from unveil.errors import ImageError
from unveil.image import Image

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
    pair = (Image(GREY, "ZYX"), Annotation(Image(LABELS, "ZYX")))
    made = segmentation_examples([pair], PercentileNormalization(), n_dims=3, objects=False)
    assert [e.target.shape for e in made] == [(1, 3, 20, 30)]
    np.testing.assert_array_equal(made[0].target[0], LABELS)


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
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        segmentation_examples(
            [(Image(GREY[0]), Annotation(Image(labels)))], StandardNormalization(), n_dims=2, objects=True
        )


def test_float_labels_and_wrong_masks_are_refused() -> None:
    with pytest.raises(ImageError, match="whole numbers"):
        Annotation(Image(np.zeros((9, 9), np.float32)))
    with pytest.raises(ImageError, match="mask has shape"):
        Annotation(Image(np.zeros((9, 9), np.uint8)), np.ones((9, 8), bool))


def test_pixels_that_are_no_numbers_are_refused() -> None:
    grey = GREY[0].astype(np.float32)
    grey[3, 3] = np.nan
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
