"""Weights to start from: random ones that keep the signal's variance, or those of a parent model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from unveil.config.architecture import Architecture, DnCNNConfig, NonexpansiveConfig
from unveil.data.examples import Example
from unveil.networks.build import build_network

_LEAST_RMS = 0.05
"""Darker images count as this dark."""
_LITTLE = 0.1
"""Of its usual strength: a layer that is to change little at first."""


def random_network(architecture: Architecture, seed: int, *, input_rms: float = 1.0) -> nn.Module:
    """Build a network with He's initial weights (arXiv 1502.01852), without touching the global random state.

    They keep the root mean square of the signal from layer to layer, so the first convolution brings it to 1: on dark
    images, whose normalized intensities are small, a network would otherwise learn slowly. The last convolution starts
    ten times smaller, so that a residual network begins near the identity and class probabilities begin near even; so
    do the layers whose output is added to what they were given.

    Parameters
    ----------
    input_rms
        Root mean square of the normalized intensities; 1 where the output is to be of the input's strength.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture)
        if isinstance(architecture, NonexpansiveConfig):
            return network  # begins as the soft threshold of cosines
        convolutions = [m for m in network.modules() if isinstance(m, _ConvNd)]
        for convolution in sorted(convolutions, key=lambda m: m.transposed):
            if convolution.transposed:  # no ReLU follows
                n_added = convolution.in_channels * math.prod(convolution.kernel_size) / math.prod(convolution.stride)
                nn.init.normal_(convolution.weight, std=n_added**-0.5)
            else:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        with torch.no_grad():
            convolutions[0].weight /= max(input_rms, _LEAST_RMS)
            if isinstance(architecture, DnCNNConfig) and architecture.skips:
                for second in convolutions[2:-1:2]:
                    second.weight *= _LITTLE
            convolutions[-1].weight *= _LITTLE
    return network


def root_mean_square(examples: Sequence[Example]) -> float:
    """Return the root mean square of the normalized intensities, every example counting alike."""
    return math.sqrt(sum(float(np.square(example.image).mean()) for example in examples) / len(examples))


def inherit(network: nn.Module, parent: nn.Module) -> list[str]:
    """Copy every tensor of `parent` that fits `network` by name and shape; return the names of those left out."""
    theirs = parent.state_dict()
    ours = network.state_dict()
    fitting = {name: theirs[name] for name, own in ours.items() if name in theirs and theirs[name].shape == own.shape}
    network.load_state_dict(ours | fitting)
    return sorted(set(ours) - set(fitting))
