"""A network as training applies it: in mixed precision, and as one graph of kernels on a graphics card."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}

Forward = Callable[[Tensor], Tensor]
"""From a batch ``(N, C, *spatial)`` on the device to maps ``(N, K, *spatial)``, ready for the gradient."""


def to_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move `network` to `device`; a graphics card gets weights with their channels last, as its kernels want them."""
    if device.type != "cuda":
        return network.to(device)
    for parameter in network.parameters():
        if parameter.dim() in _LAYOUTS:
            parameter.data = parameter.data.to(device, memory_format=_LAYOUTS[parameter.dim()])
    return network.to(device)


def training_forward(network: nn.Module, device: torch.device, autocast: torch.dtype | None) -> Forward:
    """Return `network` as a function of batches, its convolutions in `autocast` (None: float32).

    On a graphics card the kernels of the first batch's shape are recorded, forwards and backwards, and from then on
    launched as one: a small network computes faster than Python launches its kernels.
    """

    def plain(batch: Tensor) -> Tensor:
        with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
            output: Tensor = network(batch)
        return output

    return _Recorded(network, device, autocast) if device.type == "cuda" else plain


class _Recorded:
    """Records at the first batch; all others must have its shape."""

    def __init__(self, network: nn.Module, device: torch.device, autocast: torch.dtype | None) -> None:
        self._network, self._device, self._autocast = network, device, autocast
        self._graph: Forward | None = None

    def __call__(self, batch: Tensor) -> Tensor:
        # Without its cache, which would keep rounded weights of the recording for all time.
        with torch.autocast(
            self._device.type, self._autocast or torch.bfloat16, enabled=self._autocast is not None, cache_enabled=False
        ):
            if self._graph is None:
                # Gradients are handed from the recording's stream to the optimizer's, which waits for them.
                warnings.filterwarnings("ignore", "The AccumulateGrad node's stream does not match")
                around = nn.Sequential(self._network).train()  # what is recorded changes the module; this one is ours
                self._graph = cast(Forward, torch.cuda.make_graphed_callables(around, (torch.zeros_like(batch),)))
            return self._graph(batch)
