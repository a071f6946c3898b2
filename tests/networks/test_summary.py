from __future__ import annotations

import pytest
import torch
from torch import nn

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, NonexpansiveConfig, UNetConfig
from unveil.errors import ConfigError
from unveil.networks.build import build_network, count_parameters
from unveil.networks.summary import LayerSummary, NetworkSummary, summarize_network
from unveil.networks.tracing import Operation, trace
from unveil.operators.receptive_field import margin, size_step

LECTURE_UNET = """
Input 512x512x1 0
Conv2D 3×3, ReLU 512x512x32 320
Conv2D 3×3, ReLU 512x512x32 9248
MaxPool 2×2 256x256x32 0
Conv2D 3×3, ReLU 256x256x64 18496
Conv2D 3×3, ReLU 256x256x64 36928
MaxPool 2×2 128x128x64 0
Conv2D 3×3, ReLU 128x128x128 73856
Conv2D 3×3, ReLU 128x128x128 147584
MaxPool 2×2 64x64x128 0
Conv2D 3×3, ReLU 64x64x256 295168
Conv2D 3×3, ReLU 64x64x256 590080
Up-conv 2×2 128x128x128 131200
Concatenate 128x128x256 0
Conv2D 3×3, ReLU 128x128x128 295040
Conv2D 3×3, ReLU 128x128x128 147584
Up-conv 2×2 256x256x64 32832
Concatenate 256x256x128 0
Conv2D 3×3, ReLU 256x256x64 73792
Conv2D 3×3, ReLU 256x256x64 36928
Up-conv 2×2 512x512x32 8224
Concatenate 512x512x64 0
Conv2D 3×3, ReLU 512x512x32 18464
Conv2D 3×3, ReLU 512x512x32 9248
Conv2D 1×1 512x512x2 66
"""
LECTURE_DNCNN = """
Input 384x384x1 0
Conv2D 3×3, ReLU 384x384x32 320
Conv2D 3×3, ReLU 384x384x32 9248
Conv2D 3×3, ReLU 384x384x32 9248
Conv2D 3×3, ReLU 384x384x32 9248
Conv2D 3×3, ReLU 384x384x32 9248
Conv2D 3×3 384x384x1 289
Subtract 384x384x1 0
"""

ARCHITECTURES: dict[str, Architecture] = {
    "unet": UNetConfig(width=2),
    "denoising unet": UNetConfig(width=2, poolings=2, residual=True, out_channels=1),
    "unpooled": UNetConfig(width=2, poolings=0),
    "thin volumes": UNetConfig(n_dims=3, width=2, poolings=(1, 2, 2)),
    "dncnn": DnCNNConfig(width=2),
    "dilated": DnCNNConfig(width=2, depth=4, dilations=(1, 2, 3, 1), skips=True),
    "strided": DnCNNConfig(width=2, depth=4, dilations=(1, 2, 2, 1), skips=True, stride=2),
    "volumes": DnCNNConfig(n_dims=3, width=2, depth=3),
    "stable": NonexpansiveConfig(width=3, dilations=(1, 2)),
    "stable volumes": NonexpansiveConfig(n_dims=3, width=2, dilations=(1,)),
}
of_each = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def as_in_the_lecture(summary: NetworkSummary) -> str:
    def line(layer: LayerSummary) -> str:
        channels, *spatial = layer.shape
        return f"{layer.kind} {'x'.join(map(str, spatial))}x{channels} {layer.n_parameters}"

    return "\n".join(map(line, summary.layers))


def test_the_tables_are_those_of_the_lecture() -> None:
    unet, dncnn = summarize_network(UNetConfig(), (512, 512)), summarize_network(DnCNNConfig(), (384, 384))
    assert as_in_the_lecture(unet) == LECTURE_UNET.strip()
    assert as_in_the_lecture(dncnn) == LECTURE_DNCNN.strip()
    assert (unet.n_parameters, dncnn.n_parameters) == (1_925_058, 37_601)


@of_each
def test_shapes_and_parameters_are_those_of_the_network_that_runs(architecture: Architecture) -> None:
    network = build_network(architecture)
    shape = tuple(3 * step for step in size_step(architecture))
    shapes: dict[str, tuple[int, ...]] = {}

    def look(operation: Operation) -> None:
        shapes[operation.name] = tuple(operation.output.shape[1:])

    output = trace(network, torch.rand(1, architecture.in_channels, *shape), look)
    summary = summarize_network(architecture, shape)
    assert {layer.output: layer.shape for layer in summary.layers[1:]}.items() <= shapes.items()
    assert summary.layers[-1].shape == tuple(output.shape[1:])
    assert summary.n_parameters == count_parameters(network)


@of_each
def test_the_last_layer_sees_the_margin_of_the_architecture(architecture: Architecture) -> None:
    last = summarize_network(architecture, (16,) * architecture.n_dims).layers[-1]
    for field, pixels, step in zip(last.fields, margin(architecture), size_step(architecture), strict=True):
        assert field.window(0)[0] == -pixels
        assert field.window(step - 1)[1] == step - 1 + pixels


@of_each
def test_each_layer_sees_where_its_gradient_is_not_zero(architecture: Architecture) -> None:
    """All weights are positive: then a bright pixel wins every pooling on its way, and none cancels another."""
    network = build_network(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.05)
    length, axis = 112 if max(size_step(architecture)) > 4 else 64, architecture.n_dims - 1
    shape = (*size_step(architecture)[:-1], length)
    summary = summarize_network(architecture, shape)
    images = torch.ones(length, 1, *shape)
    images.view(length, -1, length)[torch.arange(length), :, torch.arange(length)] += 1e3
    if isinstance(architecture, NonexpansiveConfig):
        images.zero_()  # nothing is clipped
    images.requires_grad_()
    outputs: dict[str, torch.Tensor] = {}

    def look(operation: Operation) -> None:
        outputs[operation.name] = operation.output

    trace(network, images, look)
    for layer in summary.layers[1:]:
        output = outputs[layer.output]
        pixel = output.shape[-1] // 2 + 1
        (gradient,) = torch.autograd.grad(output[..., pixel].sum(), images, retain_graph=True)
        own = gradient.flatten(1, -2).abs().sum(dim=1).diagonal()  # of the bright pixel of each image
        seen = torch.nonzero(own).flatten()
        assert (int(seen[0]), int(seen[-1])) == layer.fields[axis].window(pixel), layer.name


def test_a_filter_is_one_layer() -> None:
    summary = summarize_network(FilterConfig(kind="median", size_px=3), (20, 30))
    assert [(layer.name, layer.kind, layer.shape) for layer in summary.layers] == [
        ("input", "Input", (1, 20, 30)),
        ("filter", "Median, 3 px", (1, 20, 30)),
    ]
    assert summary.layers[-1].field_px == (7, 7)


def test_an_image_is_extended_to_the_step() -> None:
    summary = summarize_network(UNetConfig(), (30, 33))
    assert summary.layers[0].shape == (1, 32, 40)
    assert summary.layer("pool.2").shape == (128, 4, 5)


def test_a_layer_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no layer 'down'.*down\.0\.0"):
        summarize_network(UNetConfig(), (16, 16)).layer("down")


def test_a_trace_leaves_the_network_and_its_weights_as_they_are() -> None:
    network = build_network(DnCNNConfig(depth=3, width=2))
    seen: list[Operation] = []
    image = torch.rand(1, 1, 4, 4)
    assert torch.equal(trace(network, image, seen.append), network(image))
    assert [operation.name for operation in seen] == [*(f"layers.{n}" for n in range(5)), "subtract.0"]
    assert seen[0].module is not network.layers[0]
    assert isinstance(seen[0].module, nn.Conv2d)
    assert seen[0].module.weight is network.layers[0].weight
    assert not any(module._forward_hooks for module in network.modules())
