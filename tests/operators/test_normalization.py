from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from unveil.config.normalization import (
    FixedNormalization,
    NoiseNormalization,
    PercentileNormalization,
    StabilizedNormalization,
    StandardNormalization,
)
from unveil.operators.normalization import Affine, fit, fit_array

DTYPES = st.sampled_from([np.uint8, np.int16, np.uint16, np.float32, np.float64])
METHODS = [
    PercentileNormalization(),
    StandardNormalization(),
    FixedNormalization(mean=(3.0, 5.0), std=(2.0, 0.5)),
]


def _frame(seed, dtype, shape=(2, 23, 31)):
    values = np.random.default_rng(seed).gamma(2, 30, shape)
    return np.clip(values, 0, 255).astype(dtype)


def _in_strips(frame, height):
    return lambda: [frame[:, i : i + height] for i in range(0, frame.shape[1], height)]


@settings(deadline=None)
@given(
    grey=hnp.arrays(np.float32, (2, 4, 5), elements=st.floats(-1e4, 1e4, width=32)),
    offset=hnp.arrays(np.float64, 2, elements=st.floats(-1e3, 1e3)),
    scale=hnp.arrays(np.float64, 2, elements=st.floats(0.5, 1e3)),
)
def test_invert_after_apply_is_identity(grey, offset, scale):
    affine = Affine(offset, scale)
    back = affine.invert(affine.apply(grey))
    assert back.dtype == np.float32
    assert np.allclose(back, grey, rtol=1e-5, atol=1e-2)


def test_apply_works_on_every_channel_by_itself():
    affine = Affine(np.array([10.0, 20.0]), np.array([2.0, 5.0]))
    grey = np.full((2, 3, 4, 5), 30, np.uint16)
    normalized = affine.apply(grey)
    assert normalized.dtype == np.float32
    assert np.all(normalized[0] == 10)
    assert np.all(normalized[1] == 2)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), dtype=DTYPES, height=st.integers(1, 23), method=st.sampled_from(METHODS))
def test_strips_give_what_the_whole_frame_gives(seed, dtype, height, method):
    frame = _frame(seed, dtype)
    whole, pieces = fit_array(method, frame), fit(method, _in_strips(frame, height))
    assert np.allclose(whole.offset, pieces.offset, rtol=1e-9)
    assert np.allclose(whole.scale, pieces.scale, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), low=st.floats(0, 40), high=st.floats(60, 100))
def test_percentiles_of_integers_are_exact(seed, low, high):
    frame = _frame(seed, np.uint16)
    frame[1] = 2000 - 5 * frame[1]
    affine = fit_array(PercentileNormalization(low=low, high=high), frame)
    for channel, values in enumerate(frame):
        expected = np.percentile(values, [low, high], method="inverted_cdf")
        assert affine.offset[channel] == expected[0]
        assert affine.offset[channel] + affine.scale[channel] == expected[1]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), low=st.floats(0, 40), high=st.floats(60, 100), gain=st.sampled_from([1e-6, 1, 1e6]))
def test_percentiles_of_floats_are_good_to_a_65536th_of_the_range(seed, low, high, gain):
    frame = _frame(seed, np.float64) * gain
    frame[1] = 1000 * gain - 5 * frame[1]
    affine = fit_array(PercentileNormalization(low=low, high=high), frame)
    for channel, values in enumerate(frame):
        expected = np.percentile(values, [low, high], method="inverted_cdf")
        found = affine.offset[channel], affine.offset[channel] + affine.scale[channel]
        assert np.allclose(found, expected, rtol=0, atol=np.ptp(values) / 65535)


def test_percentiles_of_wide_integers_are_good_to_a_65536th_of_the_range():
    frame = np.random.default_rng(0).integers(0, 2**31, (1, 40, 50))
    affine = fit_array(PercentileNormalization(), frame)
    low, high = np.percentile(frame, [1.0, 99.8], method="inverted_cdf")
    assert affine.offset[0] == pytest.approx(low, abs=2**31 / 65535)
    assert affine.offset[0] + affine.scale[0] == pytest.approx(high, abs=2**31 / 65535)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), dtype=DTYPES)
def test_standard_normalization_gives_mean_0_and_variance_1(seed, dtype):
    frame = _frame(seed, dtype)
    normalized = fit_array(StandardNormalization(), frame).apply(frame)
    assert np.allclose(normalized.mean(axis=(1, 2)), 0, atol=1e-4)
    assert np.allclose(normalized.std(axis=(1, 2)), 1, atol=1e-4)


def test_moments_survive_a_large_offset():
    values = np.random.default_rng(1).normal(0, 1, (1, 100, 100))
    affine = fit(StandardNormalization(), _in_strips(values + 1e8, 7))
    assert affine.scale[0] == pytest.approx(values.std(), rel=1e-6)


def test_fixed_values_are_taken_as_they_are():
    affine = fit_array(FixedNormalization(mean=(4.0,), std=(2.0,)), np.zeros((1, 3, 3)))
    assert (affine.offset.tolist(), affine.scale.tolist()) == ([4.0], [2.0])


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_channel_becomes_0(method, dtype):
    frame = np.full((1, 6, 6), 7, dtype)
    affine = fit_array(method, frame)
    assert affine.scale[0] == 1
    assert np.allclose(affine.apply(frame), 0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_few_bright_pixels_on_black_become_1(dtype):
    grey = np.zeros((1, 100, 100), dtype)
    grey[0, 40:43, 50:53] = 200
    normalized = fit_array(PercentileNormalization(), grey).apply(grey)
    assert normalized.min() == 0
    np.testing.assert_allclose(normalized.max(), 1, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS[:2])
def test_pixels_that_are_not_finite_count_nowhere(method):
    frame = _frame(2, np.float32)
    spoilt = np.concatenate(
        [frame, np.tile(np.float32([np.nan, np.inf, -np.inf]), (2, 5, 1)).repeat(31, axis=2)[..., :31]], 1
    )
    clean, affine = fit_array(method, frame), fit_array(method, spoilt)
    assert np.allclose(affine.offset, clean.offset)
    assert np.allclose(affine.scale, clean.scale)


@pytest.mark.parametrize("method", METHODS[:2])
def test_a_frame_without_any_finite_pixel_gets_offset_0_and_scale_1(method):
    affine = fit_array(method, np.full((1, 4, 4), np.nan, np.float32))
    assert (affine.offset.tolist(), affine.scale.tolist()) == ([0.0], [1.0])


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), gain=st.floats(0.01, 100), offset=st.floats(-50, 50))
def test_gain_and_offset_of_the_camera_do_not_change_the_result(seed, gain, offset):
    frame = _frame(seed, np.float64)
    for method in METHODS[:2]:
        plain = fit_array(method, frame).apply(frame)
        changed = fit_array(method, gain * frame + offset).apply(gain * frame + offset)
        assert np.allclose(plain, changed, atol=1e-3)


def test_noise_becomes_one():
    rng = np.random.default_rng(0)
    frame = np.stack([np.linspace(0, 900, 80) + rng.normal(0, sigma, (70, 80)) for sigma in (3, 40)])
    affine = fit(NoiseNormalization(), _in_strips(frame, 20))
    assert affine.scale == pytest.approx([3, 40], rel=0.1)
    assert affine.offset == pytest.approx(frame.mean(axis=(1, 2)))


def test_an_image_without_noise_has_it_small_and_a_constant_one_has_scale_one():
    smooth = np.linspace(0, 900, 80) * np.ones((70, 1))
    affine = fit_array(NoiseNormalization(), np.stack([smooth, np.full_like(smooth, 5)]))
    assert 0 < affine.scale[0] < 0.1 * smooth.std()
    assert affine.scale[1] == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.uint64])
def test_integers_give_the_percentiles_of_the_same_floats(dtype: type) -> None:
    far = 2**62 + 600 if dtype in (np.int64, np.uint64) else 40  # rounded up as floats
    values = (far + np.random.default_rng(0).integers(0, 60, (1, 50, 40))).astype(dtype)
    integers = fit_array(PercentileNormalization(), values).apply(values)
    floats = fit_array(PercentileNormalization(), values.astype(float)).apply(values.astype(float))
    np.testing.assert_allclose(integers, floats, atol=0.05)


def test_half_precision_is_normalized_like_single():
    frame = _frame(1, np.uint8).astype(np.float16)
    half, single = (fit_array(PercentileNormalization(), frame.astype(dtype)) for dtype in (np.float16, np.float32))
    assert np.array_equal(half.offset, single.offset)
    assert np.array_equal(half.scale, single.scale)


EXTREMES = [(np.float32, 1e9), (np.float32, -1e30), (np.int32, 2**31 - 1), (np.uint32, 2**32 - 1), (np.int32, -(2**31))]


@pytest.mark.parametrize(("dtype", "extreme"), EXTREMES)
@pytest.mark.parametrize("height", [90, 31])
def test_a_few_extreme_pixels_change_next_to_nothing(dtype, extreme, height):
    clean = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1, 90, 100)), (0, 4, 4)) * 800 + 300
    frame = np.random.default_rng(1).poisson(clean.clip(20)).astype(dtype)
    broken = frame.copy()
    broken[0, 5, 5] = extreme
    for method in (PercentileNormalization(), NoiseNormalization(), StabilizedNormalization()):
        right, found = (fit(method, _in_strips(each, height)) for each in (frame, broken))
        difference = np.abs(right.apply(frame) - found.apply(frame))
        assert np.median(difference) < 0.1 * right.apply(frame).std(), method


def test_one_pixel_that_outshines_all_others_leaves_percentiles_exact():
    frame = np.random.default_rng(0).normal(0, 1, (1, 100, 100))
    frame[0, 0, :2] = 1e6, 1e14
    affine = fit_array(PercentileNormalization(), frame)
    low, high = np.percentile(frame, (1, 99.8), method="inverted_cdf")
    assert affine.offset[0] == pytest.approx(low, abs=0.02)
    assert affine.scale[0] == pytest.approx(high - low, abs=0.04)


@pytest.mark.parametrize("unit", [1e-25, 1e-14, 1e15])
def test_the_unit_of_the_grey_values_is_of_no_account(unit):
    frame = np.random.default_rng(0).poisson(30, (1, 64, 64)).astype(np.float64)
    for method in (
        PercentileNormalization(), StandardNormalization(), NoiseNormalization(), StabilizedNormalization()
    ):  # fmt: skip
        plain, scaled = fit_array(method, frame), fit_array(method, frame * unit)
        np.testing.assert_allclose(scaled.apply(frame * unit), plain.apply(frame), atol=0.02)
        np.testing.assert_allclose(scaled.invert(scaled.apply(frame * unit)), frame * unit, rtol=1e-4)


@pytest.mark.parametrize("value", [0.1, 1e-9, 7, 123456.789])
def test_a_constant_frame_becomes_zero_in_every_way(value):
    frame = np.full((1, 40, 40), value)
    for method in (PercentileNormalization(), StandardNormalization(), NoiseNormalization()):
        assert np.abs(fit_array(method, frame).apply(frame)).max() < 1e-3


def test_the_last_line_of_a_frame_in_strips_does_not_count_as_noiseless():
    frame = np.random.default_rng(0).normal(0, 5, (1, 103, 200))
    for height in (102, 96):
        assert fit(NoiseNormalization(), _in_strips(frame, height)).scale[0] == pytest.approx(5, rel=0.03)


@pytest.mark.parametrize("percents", [(1, 99.8), (0, 100), (1, 100)])
def test_frames_are_read_no_oftener_than_they_need(percents):
    low, high = percents
    for frame in (_frame(0, np.float32), np.full((1, 9, 9), 3.5)):
        passes = []
        fit(PercentileNormalization(low=low, high=high), lambda frame=frame, passes=passes: passes.append(1) or [frame])
        assert len(passes) == 2
