from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unveil.errors import ImageError
from unveil.operators.metrics import AP_THRESHOLDS, ClassTally, DenoisingTally, ObjectTally, fit_gain, peak, psnr, ssim

SMALL_LABELS = hnp.arrays(np.int32, (6, 7), elements=st.integers(0, 4))


def _object_scores(pairs):
    tally = ObjectTally()
    for labels, reference in pairs:
        tally.add(labels, reference)
    return tally.as_dict()


def _brute_force_matches(labels, reference, threshold):
    """The most one-to-one pairs, by trying every assignment."""
    found, true = ([image == i for i in np.unique(image) if i] for image in (labels, reference))
    if len(found) > len(true):
        found, true = true, found
    iou = [[(f & t).sum() / (f | t).sum() for t in true] for f in found]
    return max(
        sum(iou[i][j] >= threshold for i, j in enumerate(columns))
        for columns in permutations(range(len(true)), len(found))
    )


@settings(max_examples=80, deadline=None)
@given(pairs=st.lists(st.tuples(SMALL_LABELS, SMALL_LABELS), min_size=1, max_size=3))
def test_object_scores_agree_with_brute_force(pairs):
    scores = _object_scores(pairs)
    foreground = [(labels > 0, reference > 0) for labels, reference in pairs]
    both = sum((a & b).sum() for a, b in foreground)
    either = sum((a | b).sum() for a, b in foreground)
    assert scores["n_images"] == len(pairs)
    assert scores["iou"] == pytest.approx(both / either if either else 1)
    assert scores["dice"] == pytest.approx(2 * both / (both + either) if either else 1)
    for threshold in AP_THRESHOLDS:
        tp = sum(_brute_force_matches(*pair, threshold) for pair in pairs)
        total = sum(len(set(np.unique(image)) - {0}) for pair in pairs for image in pair)
        assert scores["ap"][f"{threshold:.2f}"] == pytest.approx(tp / (total - tp) if total else 1)
    assert scores["ap_mean"] == pytest.approx(np.mean(list(scores["ap"].values())))


def test_object_scores_have_exactly_the_promised_names():
    scores = _object_scores([(np.eye(4, dtype=int), np.eye(4, dtype=int))])
    assert list(scores) == ["n_images", "iou", "dice", "ap", "ap_mean"]
    assert list(scores["ap"]) == ["0.50", "0.60", "0.70", "0.80", "0.90"]


@settings(max_examples=30, deadline=None)
@given(labels=SMALL_LABELS, reference=SMALL_LABELS, offset=st.integers(1, 2**31 - 9))
def test_object_scores_do_not_depend_on_the_numbers_of_objects(labels, reference, offset):
    renamed = np.where(reference > 0, np.uint64(offset) + (5 - reference).astype(np.uint64), np.uint64(0))
    assert _object_scores([(labels, renamed)]) == _object_scores([(labels, reference)])


def test_two_halves_of_one_object_count_once_at_exactly_one_half():
    whole, halves = np.ones((4, 4), int), np.repeat([[1, 1, 2, 2]], 4, axis=0)
    scores = _object_scores([(halves, whole)])
    assert scores["ap"] == {"0.50": 1 / 2, "0.60": 0, "0.70": 0, "0.80": 0, "0.90": 0}


def test_a_perfect_result_scores_one_and_an_empty_one_zero():
    reference = np.array([[1, 1, 0], [0, 2, 2], [3, 0, 2]])
    assert set(_object_scores([(reference, reference)])["ap"].values()) == {1.0}
    empty = _object_scores([(np.zeros_like(reference), reference)])
    assert (empty["iou"], empty["dice"], empty["ap_mean"]) == (0, 0, 0)
    nothing = _object_scores([(np.zeros_like(reference), np.zeros_like(reference))])
    assert (nothing["iou"], nothing["dice"], nothing["ap_mean"]) == (1, 1, 1)


@settings(max_examples=20, deadline=None)
@given(pairs=st.lists(st.tuples(SMALL_LABELS, SMALL_LABELS), min_size=2, max_size=4))
def test_merged_tallies_equal_one_tally(pairs):
    merged, single = ObjectTally(), ObjectTally()
    for pair in pairs:
        part = ObjectTally()
        part.add(*pair)
        merged.merge(part)
        single.add(*pair)
    assert merged.as_dict() == single.as_dict()


def test_planes_of_one_image_count_as_one_image():
    tally = ObjectTally()
    for number in range(3):
        tally.add(np.eye(4, dtype=int), np.eye(4, dtype=int), is_new_image=number == 0)
    assert (tally.n_images, tally.n_reference) == (1, 3)


@settings(max_examples=40, deadline=None)
@given(
    labels=hnp.arrays(np.int32, (5, 8), elements=st.integers(0, 2)),
    reference=hnp.arrays(np.uint8, (5, 8), elements=st.integers(0, 2)),
)
def test_class_scores_agree_with_masks(labels, reference):
    whole, part = ClassTally(("ground", "cell", "edge")), ClassTally(("ground", "cell", "edge"))
    part.add(labels, reference)
    whole.merge(part)
    scores = whole.as_dict()
    for number, name in enumerate(whole.classes):
        a, b = labels == number, reference == number
        expected = (a & b).sum() / (a | b).sum() if (a | b).any() else 1.0
        assert scores["iou_per_class"][name] == pytest.approx(expected)
    found, true = labels > 0, reference > 0
    assert scores["iou"] == pytest.approx((found & true).sum() / (found | true).sum() if (found | true).any() else 1)
    assert (scores["ap"], scores["ap_mean"], scores["n_images"]) == (None, None, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_psnr_and_ssim_are_those_of_scikit_image(dtype):
    rng = np.random.default_rng(3)
    clean = (rng.random((40, 30)) * 200).astype(dtype)
    noisy = clean + rng.normal(0, 9, clean.shape)
    data_range = 255 if dtype == np.uint8 else float(clean.max()) - float(clean.min())
    assert peak(clean) == data_range
    assert psnr(noisy, clean) == pytest.approx(
        peak_signal_noise_ratio(clean.astype(float), noisy, data_range=data_range)
    )
    expected = structural_similarity(
        clean.astype(float), noisy, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(noisy, clean) == pytest.approx(expected)


def test_ssim_of_a_stack_is_the_mean_over_its_planes():
    rng = np.random.default_rng(4)
    clean = rng.integers(0, 255, (2, 3, 16, 15)).astype(np.uint8)
    noisy = clean + rng.normal(0, 20, clean.shape)
    planes = [ssim(noisy[i], clean[i]) for i in np.ndindex(2, 3)]
    assert ssim(noisy, clean) == pytest.approx(np.mean(planes))


def test_ssim_of_a_tiny_image_is_refused():
    with pytest.raises(ImageError, match="10×40 pixels; SSIM needs at least 11×11"):
        ssim(np.zeros((10, 40)), np.zeros((10, 40), np.uint8))


def test_a_constant_clean_image_has_no_peak():
    with pytest.raises(ImageError, match=r"constant \(7\.0\)"):
        peak(np.full((20, 20), 7.0))
    assert peak(np.full((20, 20), 7, np.uint8)) == 255


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(0.1, 20), offset=st.floats(-100, 100), seed=st.integers(0, 99))
def test_a_fitted_gain_undoes_a_gain(gain, offset, seed):
    clean = np.random.default_rng(seed).random((20, 20))
    assert np.allclose(fit_gain(gain * clean + offset, clean), clean, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(-2, 2), offset=st.floats(-1, 1), seed=st.integers(0, 99))
def test_no_other_gain_comes_nearer(gain, offset, seed):
    image, clean = np.random.default_rng(seed).random((2, 15, 15))
    fitted = fit_gain(image, clean)
    assert np.mean((fitted - clean) ** 2) <= np.mean((gain * image + offset - clean) ** 2) + 1e-12


def test_a_constant_image_is_fitted_to_the_mean():
    clean = np.arange(12.0).reshape(3, 4)
    assert np.allclose(fit_gain(np.full((3, 4), 9), clean), clean.mean())


def test_denoising_scores_are_means_over_images():
    rng = np.random.default_rng(5)
    cleans = [rng.integers(0, 255, (20, 20)).astype(np.uint8) for _ in range(3)]
    noisy = [clean + rng.normal(0, sigma, clean.shape) for clean, sigma in zip(cleans, (5, 20, 40), strict=True)]
    result = [clean + 1.0 for clean in cleans]
    tally = DenoisingTally()
    for three in zip(noisy, result, cleans, strict=True):
        one = DenoisingTally()
        one.add(*three)
        tally.merge(one)
    scores = tally.as_dict()
    assert list(scores) == ["n_images", "psnr_noisy", "psnr", "ssim_noisy", "ssim"]
    assert scores["psnr_noisy"] == pytest.approx(np.mean([psnr(n, c) for n, c in zip(noisy, cleans, strict=True)]))
    assert scores["psnr"] == pytest.approx(20 * np.log10(255))
    assert scores["ssim_noisy"] < scores["ssim"] <= 1


def test_the_gain_is_fitted_to_noisy_and_result_alike():
    clean = np.random.default_rng(6).integers(0, 255, (20, 20)).astype(np.uint8)
    tally = DenoisingTally()
    tally.add(0.25 * clean + 30, 3.0 * clean, clean, fit_gain_first=True)
    scores = tally.as_dict()
    assert scores["ssim_noisy"] == pytest.approx(1)
    assert scores["ssim"] == pytest.approx(1)


def test_an_infinite_psnr_is_none():
    clean = np.random.default_rng(7).integers(0, 255, (20, 20)).astype(np.uint8)
    tally = DenoisingTally()
    tally.add(clean + 2.0, clean, clean)
    assert tally.as_dict()["psnr"] is None
    assert tally.as_dict()["psnr_noisy"] == pytest.approx(20 * np.log10(255 / 2))
