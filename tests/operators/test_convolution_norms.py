"""The norm of a convolution, beside the singular values of its matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.errors import InputError
from unveil.operators.convolution_norms import frequency_response_norm, gram_bound
from unveil.operators.stretching import power_estimate

CHANNELS = st.sampled_from([1, 2, 3, 5])
SEEDS = st.integers(0, 2**31)


def matrix_of(layer: nn.Module, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the matrix of a linear layer on images ``(C, *spatial)``: one column per number that goes in."""
    n = int(np.prod(shape))
    with torch.no_grad():
        return layer(torch.eye(n, dtype=torch.float64).reshape(n, *shape)).reshape(n, -1).numpy().T


def norm_of(layer: nn.Module, shape: tuple[int, ...]) -> float:
    return float(np.linalg.norm(matrix_of(layer, shape), 2))


def random_kernel(seed: int, *shape: int) -> NDArray[np.float64]:
    """Draw weights like a trained layer's: of heavy tails, a mean of their own, and channels of unequal strength."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_t(3, shape) + rng.normal(0, 0.5)
    return weights * rng.lognormal(0, 1, (shape[0], 1, *(1,) * (len(shape) - 2))) * 10.0 ** rng.integers(-12, 3)


def with_kernel(layer: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d, kernel: NDArray[np.float64]) -> nn.Module:
    layer.weight = nn.Parameter(torch.from_numpy(kernel))
    return layer


@settings(max_examples=40)
@given(SEEDS, CHANNELS, CHANNELS, st.sampled_from([1, 2, 3, 4, 5]), st.integers(5, 9), st.integers(0, 3))
def test_the_bound_holds_for_any_kernel_size_and_zero_padding(
    seed: int, n_in: int, n_out: int, taps: int, size: int, padding: int
) -> None:
    kernel = random_kernel(seed, n_out, n_in, taps, taps)
    layer = with_kernel(nn.Conv2d(n_in, n_out, taps, padding=padding, bias=False), kernel)
    assert norm_of(layer, (n_in, size, size)) <= gram_bound(kernel)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 3), st.integers(1, 3))
def test_estimate_truth_and_bound_stand_in_that_order_and_near_each_other(seed: int, n_in: int, n_out: int) -> None:
    kernel = random_kernel(seed, n_out, n_in, 3, 3)
    layer = with_kernel(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), kernel)
    true, bound = norm_of(layer, (n_in, 12, 12)), gram_bound(kernel)

    estimate = power_estimate(layer, torch.zeros(1, n_in, 12, 12, dtype=torch.float64))

    assert 0.5 * true < estimate <= true * (1 + 1e-12)
    assert true <= bound
    assert bound <= 1.1 * true


@pytest.mark.parametrize(("n_in", "n_out"), [(8, 8), (1, 32), (32, 1), (32, 32), (32, 64)])
@pytest.mark.parametrize("mean", [0.0, 0.3])
def test_the_bound_is_at_most_a_tenth_above_the_norm_on_images_that_are_large_enough(
    n_in: int, n_out: int, mean: float, rng: np.random.Generator
) -> None:
    kernel = rng.normal(mean, 1, (n_out, n_in, 3, 3))
    layer = with_kernel(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), kernel)
    on_large_images = power_estimate(layer, torch.zeros(1, n_in, 32, 32, dtype=torch.float64), n_iterations=100)
    assert on_large_images <= gram_bound(kernel) <= 1.1 * on_large_images


@pytest.mark.parametrize("size", [8, 10])
def test_layers_of_more_channels_keep_the_order_on_small_images(size: int, rng: np.random.Generator) -> None:
    kernel = rng.normal(0.02, 0.1, (4, 8, 3, 3))
    layer = with_kernel(nn.Conv2d(8, 4, 3, padding=1, bias=False), kernel)
    assert norm_of(layer, (8, size, size)) <= gram_bound(kernel) <= 1.1 * norm_of(layer, (8, size, size))


@given(SEEDS, CHANNELS, CHANNELS, st.integers(3, 7))
def test_the_frequency_response_gives_the_norm_with_periodic_padding(
    seed: int, n_in: int, n_out: int, size: int
) -> None:
    kernel = random_kernel(seed, n_out, n_in, 3, 3)
    layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False, padding_mode="circular")
    true = norm_of(with_kernel(layer, kernel), (n_in, size, size))
    assert frequency_response_norm(kernel, size) == pytest.approx(true, rel=1e-9)
    assert true <= gram_bound(kernel)


@settings(max_examples=40)
@given(SEEDS, CHANNELS, CHANNELS, st.integers(1, 4), st.integers(1, 3), st.integers(4, 8))
def test_strided_convolutions(seed: int, n_in: int, n_out: int, taps: int, stride: int, size: int) -> None:
    kernel = random_kernel(seed, n_out, n_in, taps, taps)
    layer = with_kernel(nn.Conv2d(n_in, n_out, taps, stride=stride, padding=1, bias=False), kernel)
    assert norm_of(layer, (n_in, size, size)) <= gram_bound(kernel, stride=stride)


@settings(max_examples=10)
@given(SEEDS)
def test_a_strided_convolution_with_periodic_padding(seed: int) -> None:
    kernel = random_kernel(seed, 3, 2, 3, 3)
    layer = with_kernel(nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False, padding_mode="circular"), kernel)
    assert frequency_response_norm(kernel, 8, stride=2) == pytest.approx(norm_of(layer, (2, 8, 8)), rel=1e-9)


@given(SEEDS, CHANNELS, CHANNELS, st.integers(1, 4))
def test_transposed_convolutions_whose_windows_do_not_overlap_are_exact(
    seed: int, n_in: int, n_out: int, size: int
) -> None:
    kernel = random_kernel(seed, n_in, n_out, 2, 2)
    layer = with_kernel(nn.ConvTranspose2d(n_in, n_out, 2, stride=2, bias=False), kernel)
    true = norm_of(layer, (n_in, size, size))
    assert true <= gram_bound(kernel, stride=2) <= 1.001 * true


@given(SEEDS, CHANNELS, CHANNELS)
def test_one_by_one_convolutions_are_matrices(seed: int, n_in: int, n_out: int) -> None:
    kernel = random_kernel(seed, n_out, n_in, 1, 1)
    true = float(np.linalg.norm(kernel[:, :, 0, 0], 2))
    assert true <= gram_bound(kernel) * (1 + 1e-15)
    assert gram_bound(kernel) <= 1.001 * true


@given(SEEDS, st.integers(2, 4))
def test_a_dilation_changes_no_bound(seed: int, dilation: int) -> None:
    kernel = random_kernel(seed, 2, 2, 3, 3)
    layer = with_kernel(nn.Conv2d(2, 2, 3, padding=dilation, dilation=dilation, bias=False), kernel)
    assert norm_of(layer, (2, 10, 10)) <= gram_bound(kernel)


@pytest.mark.parametrize("shape", [(2, 3, 3, 3, 3), (3, 2, 1, 3, 3), (2, 2, 2, 2, 2)])
def test_volumes(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    kernel = rng.standard_normal(shape)
    layer = with_kernel(nn.Conv3d(shape[1], shape[0], shape[2:], padding=1, bias=False), kernel)
    assert norm_of(layer, (shape[1], 5, 5, 5)) <= gram_bound(kernel)
    between = power_estimate(layer, torch.zeros(1, shape[1], 16, 16, 16, dtype=torch.float64), n_iterations=60)
    assert between <= gram_bound(kernel) <= 1.15 * between


@pytest.mark.parametrize("n_dims", [1, 2, 3])
def test_turns_have_their_norm_at_any_frequency_and_the_bound_reaches_it(n_dims: int) -> None:
    """A turn by the same angle from tap to tap: at the frequency of the angle all add up, beside it no faster falls."""
    for angle in np.linspace(0, np.pi / 4, 9):
        kernel = np.zeros((2, 2, *(2,) * n_dims))
        for tap in np.ndindex(*(2,) * n_dims):
            cosine, sine = np.cos(sum(tap) * angle), np.sin(sum(tap) * angle)
            kernel[(slice(None), slice(None), *tap)] = [[cosine, -sine], [sine, cosine]]
        assert 2**n_dims <= gram_bound(kernel) * (1 + 1e-14)
        assert gram_bound(kernel) <= 1.061 * 2**n_dims


@given(st.floats(0, 2 * np.pi), st.floats(0, 2 * np.pi), st.integers(2, 5))
def test_a_maximum_between_the_frequencies_of_the_grid_is_covered(across: float, down: float, taps: int) -> None:
    """Real and imaginary part of a wave as two output channels: the response is largest at the wave's own frequency."""
    wave = np.exp(1j * np.add.outer(down * np.arange(taps), across * np.arange(taps)))
    kernel = np.stack([wave.real, wave.imag])[:, np.newaxis]
    at_the_wave = np.array([(part * wave.conj()).sum() for part in kernel[:, 0]])
    assert np.linalg.norm(at_the_wave) <= gram_bound(kernel) * (1 + 1e-14)


def test_the_norm_of_the_reshaped_kernel_is_not_that_of_the_convolution() -> None:
    kernel = np.ones((1, 1, 3, 3))
    assert np.linalg.norm(kernel.reshape(1, 9), 2) == pytest.approx(3)
    assert gram_bound(kernel) >= frequency_response_norm(kernel, 8) == pytest.approx(9)


@given(SEEDS, st.floats(1e-30, 1e30))
def test_the_bound_scales_with_the_weights(seed: int, factor: float) -> None:
    kernel = random_kernel(seed, 3, 2, 3, 3)
    assert gram_bound(factor * kernel) == pytest.approx(factor * gram_bound(kernel), rel=1e-9)
    assert gram_bound(kernel.swapaxes(0, 1)) == pytest.approx(gram_bound(kernel), rel=1e-9)


@pytest.mark.parametrize("magnitude", [1e-300, 1e-40, 1e300])
def test_magnitudes_that_overflow_when_squared(magnitude: float, rng: np.random.Generator) -> None:
    kernel = rng.standard_normal((4, 1, 3, 3))
    assert gram_bound(magnitude * kernel) == pytest.approx(magnitude * gram_bound(kernel), rel=1e-9)


def test_single_precision_weights_are_taken_as_they_are(rng: np.random.Generator) -> None:
    kernel = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    assert gram_bound(kernel) == gram_bound(kernel.astype(np.float64))


def test_a_layer_of_zeros_moves_nothing() -> None:
    assert gram_bound(np.zeros((2, 3, 3, 3))) == frequency_response_norm(np.zeros((2, 3, 3, 3)), 8) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_have_no_bound(value: float) -> None:
    kernel = np.ones((2, 2, 3, 3))
    kernel[0, 1, 2, 0] = value
    with pytest.raises(InputError, match="not finite"):
        gram_bound(kernel)


def test_zero_padding_comes_near_the_bound_as_images_grow(rng: np.random.Generator) -> None:
    kernel = rng.standard_normal((2, 2, 3, 3))
    layer: nn.Module = with_kernel(nn.Conv2d(2, 2, 3, padding=1, bias=False), kernel)

    def at(size: int) -> Tensor:
        return torch.zeros(1, 2, size, size, dtype=torch.float64)

    growing = [power_estimate(layer, at(size), n_iterations=300) for size in (2, 4, 8, 16, 32)]
    assert growing == sorted(growing)
    assert growing[-1] <= gram_bound(kernel)
