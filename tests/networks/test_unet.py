"""The U-Net, layer by layer as the lecture's table has it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from unveil.config.architecture import UNetConfig
from unveil.networks.build import build_network, count_parameters

LECTURE = [
    # layer, edge of its output for an input of 512, channels, parameters
    ("convolution", 512, 32, 320),
    ("convolution", 512, 32, 9_248),
    ("pooling", 256, 32, 0),
    ("convolution", 256, 64, 18_496),
    ("convolution", 256, 64, 36_928),
    ("pooling", 128, 64, 0),
    ("convolution", 128, 128, 73_856),
    ("convolution", 128, 128, 147_584),
    ("pooling", 64, 128, 0),
    ("convolution", 64, 256, 295_168),
    ("convolution", 64, 256, 590_080),
    ("up-convolution", 128, 128, 131_200),
    ("convolution", 128, 128, 295_040),  # after concatenation to 256 channels
    ("convolution", 128, 128, 147_584),
    ("up-convolution", 256, 64, 32_832),
    ("convolution", 256, 64, 73_792),
    ("convolution", 256, 64, 36_928),
    ("up-convolution", 512, 32, 8_224),
    ("convolution", 512, 32, 18_464),
    ("convolution", 512, 32, 9_248),
    ("convolution", 512, 2, 66),  # 1×1, as its number of parameters says
]
_KINDS: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolution",
    nn.Conv3d: "convolution",
    nn.MaxPool2d: "pooling",
    nn.MaxPool3d: "pooling",
    nn.ConvTranspose2d: "up-convolution",
    nn.ConvTranspose3d: "up-convolution",
}


def layers_in_order(network: nn.Module, image: Tensor) -> list[tuple[str, tuple[int, ...], int, int]]:
    """List kind, spatial shape, channels and parameters of the layers in the order in which they compute."""
    seen: list[tuple[str, tuple[int, ...], int, int]] = []

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        seen.append((_KINDS[type(layer)], tuple(output.shape[2:]), output.shape[1], count_parameters(layer)))

    hooks = [m.register_forward_hook(note) for m in network.modules() if type(m) in _KINDS]
    network(image)
    for hook in hooks:
        hook.remove()
    return seen


def test_layers_are_those_of_the_lecture() -> None:
    network = build_network(UNetConfig())
    with torch.device("meta"):
        layers = layers_in_order(network.to("meta"), torch.empty(1, 1, 512, 512))
    assert layers == [(kind, (edge, edge), channels, n) for kind, edge, channels, n in LECTURE]


def test_total_is_that_of_the_lecture() -> None:
    assert sum(n for *_, n in LECTURE) == 1_925_058
    assert count_parameters(build_network(UNetConfig())) == 1_925_058


def test_activations_are_relu_after_each_double_convolution_and_none_at_the_end() -> None:
    network = build_network(UNetConfig())
    assert sum(isinstance(m, nn.ReLU) for m in network.modules()) == 2 * 7
    assert {type(m) for m in network.modules() if not list(m.children())} == {
        nn.Conv2d,
        nn.ReLU,
        nn.MaxPool2d,
        nn.ConvTranspose2d,
    }


def test_denoiser_subtracts_its_output() -> None:
    network = build_network(UNetConfig(residual=True, out_channels=1))
    assert count_parameters(network) == 1_925_058 - 33  # one output channel less
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(network.head.bias, 0.25)  # type: ignore[union-attr, arg-type]
    image = torch.rand(1, 1, 16, 24)
    torch.testing.assert_close(network(image), image - 0.25)


@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 2), (3, 2), (2, 5)])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_channels_and_classes(n_dims: int, in_channels: int, out_channels: int) -> None:
    config = UNetConfig(n_dims=n_dims, in_channels=in_channels, out_channels=out_channels, width=2, poolings=2)  # type: ignore[arg-type]
    image = torch.rand(2, in_channels, *(8,) * (n_dims - 1), 12)
    assert build_network(config)(image).shape == (2, out_channels, *image.shape[2:])


def test_parameters_in_three_dimensions() -> None:
    widths = [32, 64, 128, 256]
    double = [27 * n_in * n_out + n_out + 27 * n_out * n_out + n_out for n_in, n_out in pairwise([1, *widths])]
    up = [8 * coarse * fine + fine for fine, coarse in pairwise(widths)]
    merge = [27 * 2 * n * n + n + 27 * n * n + n for n in widths[:-1]]
    expected = sum(double) + sum(up) + sum(merge) + 2 * 32 + 2
    assert count_parameters(build_network(UNetConfig(n_dims=3))) == expected


def test_thin_axes_are_pooled_at_the_deepest_levels() -> None:
    network = build_network(UNetConfig(n_dims=3, width=2, poolings=(1, 2, 3)))
    layers = layers_in_order(network, torch.rand(1, 1, 2, 8, 16))
    assert [shape for kind, shape, *_ in layers if kind == "pooling"] == [(2, 8, 8), (2, 4, 4), (1, 2, 2)]


def test_width_scales_every_level() -> None:
    network = build_network(UNetConfig(width=5, poolings=2))
    channels = [c for kind, _, c, _ in layers_in_order(network, torch.rand(1, 1, 8, 8)) if kind == "convolution"]
    assert channels == [5, 5, 10, 10, 20, 20, 10, 10, 5, 5, 2]
