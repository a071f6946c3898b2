"""Norms that stay below their limits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unveil.config.architecture import DnCNNConfig, NonexpansiveConfig, TrainableArchitecture, UNetConfig
from unveil.networks.build import build_network
from unveil.networks.lipschitz import certified_bound, layer_bound
from unveil.training.norm_limits import NormLimiter, norm_limits, settle

ARCHITECTURES = {
    "dncnn": DnCNNConfig(depth=4, width=4, dilations=(1, 3, 2, 1)),
    "strided": DnCNNConfig(depth=4, width=4, skips=True, stride=2),
    "unet": UNetConfig(width=3, poolings=2),
    "volumes": UNetConfig(width=2, poolings=1, n_dims=3),
    "stable": NonexpansiveConfig(width=4, dilations=(1, 2)),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_estimate_keeps_every_norm_below_its_limit(architecture: TrainableArchitecture) -> None:
    torch.manual_seed(0)
    network = build_network(architecture)
    limits = norm_limits(network, lip1_layers=True)
    assert set(limits) == {m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd)}
    with torch.no_grad():
        for layer in limits:
            layer.weight.copy_(torch.randn_like(layer.weight))
    limiter = NormLimiter(limits)
    limiter.begin(0)
    for layer, limit in limits.items():
        assert 0.9 * limit < layer_bound(layer) < 1.02 * limit
    before = {layer: layer.weight.clone() for layer in limits}
    limiter.apply()
    for layer, weight in before.items():
        torch.testing.assert_close(layer.weight, weight, rtol=0.02, atol=1e-4)  # what is within stays
    bounds = settle(limits)
    assert bounds == {layer: layer_bound(layer) for layer in limits}
    assert all(bounds[layer] <= limit for layer, limit in limits.items())


def test_weights_within_their_limits_are_left_alone() -> None:
    network = build_network(NonexpansiveConfig(width=8, dilations=(1,)))
    before = network.steps[0].filters.weight.clone()  # type: ignore[index, union-attr]
    limits = norm_limits(network)
    NormLimiter(limits).begin(3)
    settle(limits)
    assert torch.equal(network.steps[0].filters.weight, before)  # type: ignore[index, union-attr]


def test_lip1_layers_give_the_bounds_of_the_laws() -> None:
    torch.manual_seed(0)
    for architecture, bound in ((DnCNNConfig(), 2.0), (UNetConfig(width=4), 2.0)):
        network = build_network(architecture)
        settle(norm_limits(network, lip1_layers=True))
        assert certified_bound(network) <= bound + 1e-9


def test_nobody_is_limited_who_did_not_ask() -> None:
    assert norm_limits(build_network(DnCNNConfig())) == {}
