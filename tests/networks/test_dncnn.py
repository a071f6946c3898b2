"""The DnCNN, layer by layer as the lecture's table has it."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from unveil.config.architecture import DnCNNConfig
from unveil.networks.build import build_network, count_parameters

LECTURE = [320, 9_248, 9_248, 9_248, 9_248, 289]


def convolutions(network: nn.Module) -> list[nn.Conv2d | nn.Conv3d]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]


def test_layers_are_those_of_the_lecture() -> None:
    layers = convolutions(build_network(DnCNNConfig()))
    assert [count_parameters(layer) for layer in layers] == LECTURE
    assert [layer.out_channels for layer in layers] == [32, 32, 32, 32, 32, 1]


def test_total_is_that_of_the_lecture() -> None:
    assert sum(LECTURE) == count_parameters(build_network(DnCNNConfig())) == 37_601


def test_relu_follows_each_convolution_but_the_last() -> None:
    network = build_network(DnCNNConfig())
    kinds = [type(m) for m in network.modules() if not list(m.children())]
    assert kinds == [nn.Conv2d, nn.ReLU] * 5 + [nn.Conv2d]


def test_output_is_the_input_less_the_network() -> None:
    network = build_network(DnCNNConfig(depth=3, width=4))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(convolutions(network)[-1].bias, 0.25)  # type: ignore[arg-type]
    image = torch.rand(1, 1, 7, 9)
    torch.testing.assert_close(network(image), image - 0.25)


@pytest.mark.parametrize(("depth", "width", "expected"), [(3, 16, 160 + 2_320 + 145), (5, 32, 320 + 3 * 9_248 + 289)])
def test_small_residual_networks_of_the_lecture(depth: int, width: int, expected: int) -> None:
    network = build_network(DnCNNConfig(depth=depth, width=width))
    assert len(convolutions(network)) == depth
    assert count_parameters(network) == expected


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_any_size_and_channels_keep_their_shape(n_dims: int, in_channels: int) -> None:
    network = build_network(DnCNNConfig(n_dims=n_dims, in_channels=in_channels, depth=3, width=4))  # type: ignore[arg-type]
    image = torch.rand(2, in_channels, *(5, 7, 3)[:n_dims])
    assert network(image).shape == image.shape


def test_dilation_costs_no_parameters() -> None:
    network = build_network(DnCNNConfig(dilations=(1, 2, 3, 3, 2, 1)))
    assert count_parameters(network) == 37_601
    assert [layer.dilation[0] for layer in convolutions(network)] == [1, 2, 3, 3, 2, 1]
    assert network(torch.rand(1, 1, 5, 7)).shape == (1, 1, 5, 7)


def test_skips_cost_no_parameters_and_add_what_went_in() -> None:
    plain, skipping = (build_network(DnCNNConfig(skips=skips)) for skips in (False, True))
    assert count_parameters(plain) == count_parameters(skipping) == 37_601
    image = torch.rand(1, 1, 9, 9)
    for inner in convolutions(skipping)[1:-1]:
        nn.init.zeros_(inner.weight)
        nn.init.zeros_(inner.bias)  # type: ignore[arg-type]
    first, *_, last = convolutions(skipping)
    torch.testing.assert_close(skipping(image), image - last(first(image).relu()))


@pytest.mark.parametrize("n_dims", [2, 3])
def test_a_stride_makes_blocks_of_pixels_channels(n_dims: int) -> None:
    network = build_network(DnCNNConfig(n_dims=n_dims, depth=3, width=4, stride=2))  # type: ignore[arg-type]
    first, inner, last = (m for m in network.modules() if isinstance(m, _ConvNd))
    image = torch.rand(1, 1, *(6, 8, 4)[:n_dims])
    blocks = network.layers[:-1](image)  # type: ignore[index]
    assert blocks.shape[2:] == tuple(size // 2 for size in image.shape[2:])
    assert first.kernel_size == last.kernel_size == (6,) * n_dims  # 3 blocks
    assert inner.kernel_size == (3,) * n_dims
    assert network(image).shape == image.shape


def test_a_strided_layer_is_one_on_blocks_of_pixels_sorted_into_channels() -> None:
    network = build_network(DnCNNConfig(depth=2, width=4, stride=2))
    first, last = network.layers[0], network.layers[-1]  # type: ignore[index]
    image = torch.rand(1, 1, 8, 6)
    sorted_ = first.weight.reshape(4, 1, 3, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(4, 4, 3, 3)
    blocks = functional.conv2d(functional.pixel_unshuffle(image, 2), sorted_, first.bias, padding=1).relu()
    torch.testing.assert_close(blocks, network.layers[:2](image))  # type: ignore[index]
    written = last.weight.reshape(4, 1, 3, 2, 3, 2).flip(2, 4).permute(3, 5, 1, 0, 2, 4).reshape(4, 4, 3, 3)
    noise = functional.pixel_shuffle(functional.conv2d(blocks, written, padding=1), 2) + last.bias
    torch.testing.assert_close(network(image), image - noise)


@pytest.mark.parametrize("dilations", [(2, 1, 1), (1, 1, 2)])
def test_the_layers_that_sort_pixels_have_no_gaps(dilations: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="must be 1"):
        DnCNNConfig(depth=3, dilations=dilations, stride=2)


def test_parameters_in_three_dimensions() -> None:
    network = build_network(DnCNNConfig(n_dims=3))
    assert count_parameters(network) == (27 * 32 + 32) + 4 * (27 * 32 * 32 + 32) + (27 * 32 + 1)
