"""A network as training applies it: in mixed precision, and as one graph of kernels on a graphics card."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

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


def training_forward(
    network: nn.Module, device: torch.device, autocast: torch.dtype | None, *, is_replica: bool = False
) -> Forward:
    """Return `network` as a function of batches, its convolutions in `autocast` (None: float32).

    On a graphics card the kernels of the first batch's shape are recorded, forwards and backwards, and from then on
    launched as one: a small network computes faster than Python launches its kernels. The gradient of a replica is the
    mean over those of all processes, sent while it is computed (Li 2020, arXiv 2006.15704).
    """
    if device.type == "cuda":
        return _Recorded(network, device, autocast, is_replica=is_replica)
    around = _replica(network) if is_replica else network

    def plain(batch: Tensor) -> Tensor:
        with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
            output: Tensor = around(batch)
        return output

    return plain


def _replica(network: nn.Module) -> nn.Module:
    return DistributedDataParallel(network)


class _Recorded:
    """Records at the first batch; all others must have its shape."""

    def __init__(
        self, network: nn.Module, device: torch.device, autocast: torch.dtype | None, *, is_replica: bool
    ) -> None:
        self._network, self._device, self._autocast, self._is_replica = network, device, autocast, is_replica
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
                torch.cuda.make_graphed_callables(around, (torch.zeros_like(batch),))
                self._graph = _replica(around) if self._is_replica else around  # what replicas send is not recorded
            return self._graph(batch)
