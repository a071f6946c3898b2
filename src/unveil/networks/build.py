"""From an architecture to its network: the only registry."""

from __future__ import annotations

from typing import Never

from torch import nn

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, NonexpansiveConfig, UNetConfig
from unveil.errors import ConfigError
from unveil.networks.classical import ClassicalFilter
from unveil.networks.dncnn import DnCNN
from unveil.networks.nonexpansive import NonexpansiveNetwork
from unveil.networks.unet import UNet


def build_network(architecture: Architecture) -> nn.Module:
    """Build the network that `architecture` describes, with PyTorch's random initial weights.

    Parameters
    ----------
    architecture
        ``UNetConfig()`` and ``DnCNNConfig()`` give the lecture's networks of 1,925,058 and 37,601 parameters.

    Returns
    -------
    network
        Takes normalized intensities, float32, ``(N, in_channels, *spatial)``, and returns float32 maps of the same
        spatial shape, ``(N, out_channels, *spatial)``: a U-Net's scores before softmax, a denoiser's intensities.

    Raises
    ------
    ConfigError
        If `architecture` is something else, such as a name.
    """
    match architecture:
        case UNetConfig():
            return UNet(architecture)
        case DnCNNConfig():
            return DnCNN(architecture)
        case NonexpansiveConfig():
            return NonexpansiveNetwork(architecture)
        case FilterConfig():
            return ClassicalFilter(architecture)
        case _:
            raise _no_architecture(architecture)


def _no_architecture(found: Never) -> ConfigError:
    """Return the error for what no typed program gives."""
    return ConfigError(
        f"Found {found!r} where the architecture of a network is expected. Give one, such as UNetConfig() or "
        f"DnCNNConfig(depth=5)."
    )


def count_parameters(network: nn.Module) -> int:
    """Count the trainable numbers of `network`."""
    return sum(parameter.numel() for parameter in network.parameters())
