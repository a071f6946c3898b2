from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.operators.layer_fields import AxisField


def test_a_pooling_groups_pixels_and_a_convolution_widens_what_each_sees() -> None:
    pooled = AxisField.of_image(4).convolved(2, stride=2)
    assert (pooled.stride, pooled.first, pooled.last) == (2, (0, 2), (1, 3))
    wide = pooled.convolved(3, padding=1)
    assert [wide.window(pixel) for pixel in range(3)] == [(-2, 3), (0, 5), (2, 7)]
    doubled = wide.upsampled(2, stride=2)
    assert [doubled.window(pixel) for pixel in range(5)] == [(-2, 3), (-2, 3), (0, 5), (0, 5), (2, 7)]
    assert doubled.size_px == 6
    joined = doubled.joined(AxisField.of_image(4).convolved(9, padding=4))
    assert [joined.window(pixel) for pixel in range(2)] == [(-4, 4), (-3, 5)]


@given(taps=st.integers(1, 5), dilation=st.integers(1, 3), period=st.sampled_from([1, 2, 4]), pixel=st.integers(-9, 9))
def test_a_centred_convolution_sees_as_far_to_both_sides(taps: int, dilation: int, period: int, pixel: int) -> None:
    reach = taps * dilation
    field = AxisField.of_image(period).convolved(2 * taps + 1, padding=reach, dilation=dilation)
    assert field.window(pixel) == (pixel - reach, pixel + reach)


@pytest.mark.parametrize("stride", [2, 4])
def test_fields_repeat_further_on(stride: int) -> None:
    field = AxisField.of_image(8).convolved(stride, stride=stride).convolved(3, padding=1)
    for pixel in range(-3, 9):
        first, last = field.window(pixel)
        assert field.window(pixel + 8 // stride) == (first + 8, last + 8)
