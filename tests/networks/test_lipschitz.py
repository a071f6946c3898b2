"""The bound of a whole network, beside what it really does."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, UNetConfig
from unveil.errors import InputError
from unveil.networks.build import build_network
from unveil.networks.lipschitz import certified_bound, layer_bound
from unveil.operators.stretching import ascend, power_estimate

ARCHITECTURES = {
    "dncnn": DnCNNConfig(depth=3, width=4),
    "dilated": DnCNNConfig(depth=4, width=4, dilations=(1, 2, 3, 1)),
    "skips": DnCNNConfig(depth=4, width=4, skips=True),
    "strided": DnCNNConfig(depth=4, width=4, skips=True, stride=2),
    "strided volumes": DnCNNConfig(depth=2, width=2, n_dims=3, stride=2),
    "channels": DnCNNConfig(depth=2, width=4, in_channels=3),
    "volumes": DnCNNConfig(depth=2, width=2, n_dims=3),
    "unet": UNetConfig(width=2, poolings=2, out_channels=3),
    "thin": UNetConfig(width=2, poolings=(0, 1, 2), n_dims=3),
    "residual": UNetConfig(width=2, poolings=1, out_channels=1, residual=True),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_that_a_search_finds_exceeds_the_bound(name: str) -> None:
    architecture = ARCHITECTURES[name]
    torch.manual_seed(1)
    network = build_network(architecture).double().requires_grad_(False)
    at = torch.rand(1, architecture.in_channels, *(8,) * architecture.n_dims, dtype=torch.float64)
    found = max(ascend(network, at, n_rounds=2, n_steps=20), power_estimate(network, at))
    assert 0 < found <= certified_bound(network)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_residual_network_promises_is_reached_by_identities_of_opposite_sign(sign: int) -> None:
    """Of positive images, weights of ±1 in the middle make x − (−x) = 2 x, what 1 + L promises, or x − x = 0."""
    network = build_network(DnCNNConfig(depth=2, width=1)).requires_grad_(False)
    first, _, last = network.layers  # type: ignore[union-attr, misc]
    for layer, value in ((first, 1), (last, -sign)):
        nn.init.zeros_(layer.weight)
        layer.weight.data[0, 0, 1, 1] = value
    assert certified_bound(network) == pytest.approx(2, rel=0.03)
    image = 1 + torch.rand(1, 1, 8, 8)  # beyond the biases
    moved = (network(2 * image) - network(image)).norm() / image.norm()
    assert moved.item() == pytest.approx(1 + sign, abs=1e-6)


def bound_with_ones(architecture: Architecture) -> float:
    """Return the bound that would hold if every convolution had norm 1."""
    return certified_bound(build_network(architecture), lambda _: 1.0)


def test_composition_follows_the_architecture() -> None:
    assert bound_with_ones(DnCNNConfig()) == pytest.approx(2)  # x − T(x)
    assert bound_with_ones(DnCNNConfig(depth=6, skips=True)) == pytest.approx(1 + 2 * 2)  # two added pairs
    assert bound_with_ones(UNetConfig(poolings=3)) == pytest.approx(sqrt(4))  # √(1 + (√(1 + (√(1 + 1))²))²)
    assert bound_with_ones(UNetConfig(poolings=1, out_channels=1, residual=True)) == pytest.approx(1 + sqrt(2))


def test_each_convolution_is_bounded_once() -> None:
    network, seen = build_network(UNetConfig(width=2)), []

    def one(layer: nn.Module) -> float:
        seen.append(layer)
        return 1.0

    certified_bound(network, one)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(seen) == len(convolutions)
    assert set(seen) == set(convolutions)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(1, 1, 3, stride=2, dilation=2),
    ],
)
def test_layers_without_a_bound_are_refused(layer: nn.Conv2d) -> None:
    with pytest.raises(InputError, match="No bound is known"):
        layer_bound(layer)


@pytest.mark.parametrize(
    "module", [nn.BatchNorm2d(3), nn.MaxPool2d(3, 1), build_network(FilterConfig(kind="median", size_px=1))]
)
def test_modules_without_a_bound_are_refused(module: nn.Module) -> None:
    with pytest.raises(InputError, match="No Lipschitz bound is known"):
        certified_bound(module)
