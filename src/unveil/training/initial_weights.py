"""Weights to start from: random ones that keep the signal's variance, or those of a parent model."""

from __future__ import annotations

import torch
from torch import nn

from unveil.config.architecture import Architecture
from unveil.networks.build import build_network


def random_network(architecture: Architecture, seed: int) -> nn.Module:
    """Build a network with He's initial weights (arXiv 1502.01852), without touching the global random state.

    The last convolution starts ten times smaller, so that a residual network begins near the identity and class
    probabilities begin near even.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture)
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        with torch.no_grad():
            convolutions[-1].weight *= 0.1
    return network


def inherit(network: nn.Module, parent: nn.Module) -> list[str]:
    """Copy every tensor of `parent` that fits `network` by name and shape; return the names of those left out."""
    theirs = parent.state_dict()
    ours = network.state_dict()
    fitting = {name: theirs[name] for name, own in ours.items() if name in theirs and theirs[name].shape == own.shape}
    network.load_state_dict(ours | fitting)
    return sorted(set(ours) - set(fitting))
