"""The derived margins, proved on networks: perturb one pixel and see how far it reaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, NonexpansiveConfig, UNetConfig
from unveil.networks.build import build_network
from unveil.operators.receptive_field import halo, margin, size_step

ARCHITECTURES = [
    UNetConfig(width=1, poolings=0),
    UNetConfig(width=1, poolings=1),
    UNetConfig(width=1, poolings=2),
    UNetConfig(width=1, poolings=3),
    UNetConfig(width=1, poolings=(1, 3)),
    UNetConfig(width=1, poolings=2, residual=True, out_channels=1),
    UNetConfig(width=1, n_dims=3, poolings=(0, 1, 2)),
    DnCNNConfig(depth=2, width=1),
    DnCNNConfig(),
    DnCNNConfig(depth=4, width=2, dilations=(1, 3, 2, 1)),
    DnCNNConfig(depth=4, width=2, dilations=(1, 3, 2, 1), skips=True),
    DnCNNConfig(depth=4, width=2, dilations=(1, 3, 2, 1), skips=True, stride=2),
    DnCNNConfig(depth=2, width=2, stride=4),
    DnCNNConfig(n_dims=3, depth=3, width=2),
    DnCNNConfig(n_dims=3, depth=2, width=2, stride=2),
    NonexpansiveConfig(width=3, dilations=(2, 1)),
    NonexpansiveConfig(width=3, dilations=(1,), taps=5),
]


def see_through(architecture: Architecture) -> nn.Module:
    """Build the network with positive weights and no biases: a change of one pixel reaches all that it can."""
    network = build_network(architecture).double().requires_grad_(False)
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 0.3)
    return network


def reach(network: nn.Module, length: int, position: int, axis: int, n_dims: int) -> list[int]:
    """Return where along `axis` the output changes when one pixel of a black image is lit at `position`."""
    shape = [16] * n_dims
    shape[axis] = length
    image = torch.zeros(1, 1, *shape, dtype=torch.float64)
    index = [8] * n_dims
    index[axis] = position
    image[(0, 0, *index)] = 1
    changed: Tensor = network(image) != network(torch.zeros_like(image))
    others = tuple(i for i in range(changed.ndim) if i != axis + 2)
    return changed.any(dim=others).nonzero().flatten().tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_margin_is_as_far_as_a_pixel_reaches_over_a_tile_border(architecture: Architecture) -> None:
    network = see_through(architecture)
    for axis, (step, pixels) in enumerate(zip(size_step(architecture), margin(architecture), strict=True)):
        border = -(-(pixels + 1) // step) * step
        length = 2 * border
        inside_left = reach(network, length, border - pixels, axis, architecture.n_dims)
        outside_left = reach(network, length, border - pixels - 1, axis, architecture.n_dims)
        assert max(inside_left) >= border > max(outside_left)
        inside_right = reach(network, length, border - 1 + pixels, axis, architecture.n_dims)
        outside_right = reach(network, length, border + pixels, axis, architecture.n_dims)
        assert min(inside_right) < border <= min(outside_right)


@pytest.mark.parametrize(("poolings", "expected"), [(0, 2), (1, 8), (2, 22), (3, 46), (4, 94)])
def test_margins_of_the_unet(poolings: int, expected: int) -> None:
    assert margin(UNetConfig(poolings=poolings)) == (expected, expected)


def test_three_poolings_need_a_halo_of_48() -> None:
    assert halo(UNetConfig()) == (48, 48)
    assert size_step(UNetConfig()) == (8, 8)


def test_margin_of_the_dncnn_is_its_depth() -> None:
    assert margin(DnCNNConfig()) == halo(DnCNNConfig()) == (6, 6)
    assert size_step(DnCNNConfig()) == (1, 1)
    assert margin(DnCNNConfig(stride=2)) == halo(DnCNNConfig(stride=2)) == (12, 12)
    assert size_step(DnCNNConfig(n_dims=3, stride=4)) == (4, 4, 4)


@pytest.mark.parametrize("kind", ["gaussian", "median", "clipped_high_pass", "texture"])
@pytest.mark.parametrize("size_px", [0.3, 1.0, 2.5])
def test_margin_of_a_filter_is_as_far_as_it_looks(kind: str, size_px: float) -> None:
    config = FilterConfig(kind=kind, size_px=size_px)
    pixels, network = margin(config)[0], build_network(config)
    noise = torch.rand(1, 1, 60, 60, generator=torch.Generator().manual_seed(0))
    lit = noise.clone()
    lit[..., 30, :] += 1e4  # a median wants more than one pixel before it moves
    changed = (network(lit) != network(noise)).any(dim=3).flatten(0, 1).any(dim=0).nonzero().flatten().tolist()
    assert (changed[0], changed[-1]) == (30 - pixels, 30 + pixels)
    assert halo(config) == (pixels, pixels)


def test_step_is_that_of_each_axis() -> None:
    config = UNetConfig(n_dims=3, poolings=(0, 2, 3))
    assert size_step(config) == (1, 4, 8)
    assert all(h % s == 0 and h >= m for h, s, m in zip(halo(config), size_step(config), margin(config), strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_sizes_on_the_step_keep_their_shape(architecture: Architecture) -> None:
    shape = tuple(3 * step for step in size_step(architecture))
    assert see_through(architecture)(torch.zeros(1, 1, *shape, dtype=torch.float64)).shape[2:] == shape
