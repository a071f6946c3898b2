"""The convolutions of a network, each with three numbers of how far it can move its output."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from unveil.networks.lipschitz import LayerBound, layer_bound
from unveil.operators.convolution_norms import frequency_response_norm
from unveil.operators.stretching import power_estimate

_HALF = 5e-5


@dataclass(frozen=True, slots=True)
class LayerNorms:
    """How far a convolution moves its output per distance of its input, in the Euclidean norm.

    Attributes
    ----------
    kernel
        Shape of the weights, as PyTorch keeps them.
    certified
        Upper bound, for zero padding at every image size.
    periodic
        Maximum of the frequency response: the norm with periodic padding, at the image size asked for.
    power_method
        Estimate from below, with the padding that the layer has, at that image size.
    """

    name: str
    kernel: tuple[int, ...]
    certified: float
    periodic: float
    power_method: float

    @property
    def words(self) -> tuple[str, str, str]:
        """From below, periodic and certified, to four digits after the point, bounds rounded to their safe side."""
        return f"{self.power_method - _HALF:.4f}", f"{self.periodic:.4f}", f"{self.certified + _HALF:.4f}"


def convolutions(network: nn.Module) -> Iterator[tuple[str, _ConvNd]]:
    """Yield the convolutions of `network`, transposed ones too, by the path of their module."""
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd):
            yield name, module


def layer_norms(name: str, layer: _ConvNd, size_px: int, *, of_layer: LayerBound = layer_bound) -> LayerNorms:
    """Compute the three numbers of one convolution.

    Parameters
    ----------
    size_px
        Edge of the images that the last two numbers are about; a multiple of the stride.
    of_layer
        Gives the certified bound.
    """
    shape = (1, layer.in_channels, *(size_px,) * len(layer.kernel_size))
    kernel = layer.weight.detach().cpu().numpy().astype(np.float64)
    return LayerNorms(
        name,
        tuple(layer.weight.shape),
        of_layer(layer),
        frequency_response_norm(kernel, size_px, stride=tuple(layer.stride)),
        power_estimate(copy.deepcopy(layer).double(), torch.zeros(shape, dtype=torch.float64)),
    )
