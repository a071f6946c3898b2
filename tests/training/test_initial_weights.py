"""Weights to start from: the signal keeps its strength from layer to layer, however dark the images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.data.examples import Example
from unveil.training.initial_weights import inherit, random_network, root_mean_square


def strengths(network: nn.Module, image: torch.Tensor) -> dict[str, float]:
    """Return the root mean square of what each transposed convolution and each ReLU puts out."""
    found: dict[str, float] = {}

    def note(name: str) -> None:
        layer = network.get_submodule(name)
        layer.register_forward_hook(lambda _, __, output: found.update({name: float(output.square().mean().sqrt())}))

    for name, layer in network.named_modules():
        if isinstance(layer, nn.ReLU | nn.ConvTranspose2d | nn.ConvTranspose3d):
            note(name)
    with torch.no_grad():
        network(image)
    return found


@pytest.mark.parametrize("rms", [0.1, 1.0])
@pytest.mark.parametrize(("n_dims", "shape"), [(2, (2, 1, 96, 96)), (3, (1, 1, 32, 32, 32))])
def test_the_signal_keeps_its_strength(rms: float, n_dims: int, shape: tuple[int, ...]) -> None:
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    network = random_network(UNetConfig(n_dims=n_dims, width=16), 0, input_rms=rms)  # type: ignore[arg-type]
    found = strengths(network, rms * image)
    assert len(found) == 17
    assert all(0.4 < strength < 3.5 for strength in found.values()), found


@pytest.mark.parametrize(
    "architecture",
    [
        DnCNNConfig(),
        DnCNNConfig(width=64, depth=8, skips=True, stride=2),
        UNetConfig(out_channels=1, width=8, residual=True),
    ],
)
def test_a_denoiser_begins_near_the_identity(architecture: Architecture) -> None:
    image = torch.randn((1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        change = random_network(architecture, 0)(image) - image
    assert change.square().mean() < 0.3**2 * image.square().mean()


def test_the_seed_alone_decides_and_the_global_state_stays() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, again, other = (random_network(UNetConfig(width=4), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["down.0.0.weight"], other["down.0.0.weight"])


def test_every_example_counts_alike() -> None:
    examples = [
        Example(np.full((1, edge, edge), value, np.float32), np.zeros(0), np.zeros(0), np.ones(1))  # type: ignore[arg-type]
        for edge, value in ((4, 3.0), (100, 4.0))
    ]
    assert root_mean_square(examples) == pytest.approx((25 / 2) ** 0.5)


def test_what_fits_is_taken_from_a_parent_and_the_rest_is_named() -> None:
    parent, child = (random_network(UNetConfig(width=4, poolings=2, out_channels=n), n) for n in (2, 3))
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}

    left_out = inherit(child, parent)

    theirs = parent.state_dict()
    assert left_out == sorted(name for name, own in before.items() if own.shape != theirs[name].shape)
    assert 0 < len(left_out) < len(before)
    for name, tensor in child.state_dict().items():
        assert torch.equal(tensor, before[name] if name in left_out else theirs[name])
