"""Convolutions whose norms stay below a limit while they learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from unveil.networks.lipschitz import layer_bound
from unveil.networks.nonexpansive import LARGEST_NORM, Step

Limits: TypeAlias = Mapping[_ConvNd, float]

LIP1_TEMPERATURE = 0.01
"""At which a network of Lipschitz-1 layers learns classes: its scores differ little from pixel to pixel, and at 1 it
could be sure of none. Lower temperatures trade stability for accuracy (Béthune 2022, arXiv 2104.05097)."""

_MARGIN = {2: 0.98, 3: 0.93}
"""Part of a limit that is used while the norm is estimated, from below: the certified bound is up to 1 % above the norm
in two dimensions and 6 % in three."""
_SIZE_PX = 24
"""Of the periodic image on which the norm is estimated."""
_N_FIRST = 30
"""Iterations from a random image; afterwards one per step follows the weights."""


def norm_limits(network: nn.Module, *, lip1_layers: bool = False) -> dict[_ConvNd, float]:
    """Return how large the norm of which convolution may be: those of nonexpansive steps √2, others 1 if asked for."""
    steps = {step.filters: LARGEST_NORM for step in network.modules() if isinstance(step, Step)}
    others = [layer for layer in network.modules() if isinstance(layer, _ConvNd) and layer not in steps]
    return steps | (dict.fromkeys(others, 1.0) if lip1_layers else {})


class NormLimiter:
    """Scales convolutions down after each optimizer step (Gouk 2021, arXiv 1804.04368, by the power method).

    ::

        W ← W / max(1, ‖W‖ / limit)
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._directions: dict[_ConvNd, Tensor] = {}

    def begin(self, seed: int) -> None:
        """Forget what was estimated, so that a training that goes on from here does the same as one that began."""
        generator = torch.Generator().manual_seed(seed)
        for layer in self._limits:
            _, n_channels, *taps = _on_blocks(layer).shape
            edge = 1 if max(taps) == 1 else _SIZE_PX  # windows side by side: one tells all
            direction = torch.randn((1, n_channels, *(edge,) * len(taps)), generator=generator)
            self._directions[layer] = (direction / direction.norm()).to(layer.weight.device)
        self.apply(_N_FIRST)

    @torch.no_grad()
    def apply(self, n_iterations: int = 1) -> None:
        """Scale down what exceeds its limit."""
        for layer, limit in self._limits.items():
            for _ in range(n_iterations):
                direction, squared = _stretched(layer, self._directions[layer])
                self._directions[layer] = direction
            layer.weight /= (squared.sqrt() / (limit * _MARGIN[layer.weight.dim() - 2])).clamp(min=1)


@torch.no_grad()
def settle(limits: Limits, watch: Callable[[int], None] = lambda n_done: None) -> dict[_ConvNd, float]:
    """Scale down convolutions whose certified bound exceeds their limit, until it does not, and return the bounds.

    Parameters
    ----------
    watch
        Called with the number of convolutions done before each bound; what it raises ends the work.
    """
    bounds: dict[_ConvNd, float] = {}
    for layer, limit in limits.items():
        watch(len(bounds))
        while (bound := layer_bound(layer)) > limit:
            watch(len(bounds))
            layer.weight *= limit / bound * (1 - 2**-22)  # float32 rounds each weight
        bounds[layer] = bound
    return bounds


def _on_blocks(layer: _ConvNd) -> Tensor:
    """Return the kernel ``(out, in · stride^d, *taps)`` of the convolution by 1 that has the norm of `layer`.

    A stride makes blocks of pixels channels; a transposed convolution has the norm of the one it transposes. A dilation
    changes no norm, and is left out. (For arrays, and for any kernel: operators/convolution_norms.py.)
    """
    n_out, n_in, *sizes = layer.weight.shape
    taps = [size // step for size, step in zip(sizes, layer.stride, strict=True)]
    split = layer.weight.reshape(n_out, n_in, *(n for pair in zip(taps, layer.stride, strict=True) for n in pair))
    axes = range(2, split.dim(), 2)
    return split.permute(0, 1, *(axis + 1 for axis in axes), *axes).reshape(n_out, -1, *taps)


def _stretched(layer: _ConvNd, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return Wᵀ W u / ‖Wᵀ W u‖ and ‖Wᵀ W u‖, which approaches ‖W‖² from below for u of length 1.

    The image goes on at its other side.
    """
    weight, n_dims = _on_blocks(layer), direction.dim() - 2
    convolve = functional.conv2d if n_dims == 2 else functional.conv3d
    taps = weight.shape[-1]
    around = (taps // 2, (taps - 1) // 2) * n_dims
    found = convolve(functional.pad(direction, around, mode="circular"), weight)
    adjoint = weight.transpose(0, 1).flip(*range(2, weight.dim()))
    image = convolve(functional.pad(found, around[::-1], mode="circular"), adjoint)
    length = image.norm()
    return image / length.clamp(min=1e-30), length
