"""A certified upper bound of a network's Lipschitz constant, composed from its modules' own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.nn.modules.conv import _ConvNd

from unveil.errors import InputError
from unveil.networks.classical import ClassicalFilter
from unveil.networks.dncnn import AddedPair, DnCNN
from unveil.networks.nonexpansive import NonexpansiveNetwork, Step
from unveil.networks.unet import UNet
from unveil.operators.convolution_norms import gram_bound
from unveil.operators.lipschitz import ACTIVATIONS, MAX_POOLING, compose, concatenate, descent, residual

LayerBound = Callable[[_ConvNd], float]


def layer_bound(layer: _ConvNd) -> float:
    """Return a certified upper bound of the norm of a convolution with zero padding, at every image size.

    Raises
    ------
    InputError
        If the layer has groups, another padding than zeros, a stride along with a dilation, or weights not finite.
    """
    dilated = any(step > 1 for step in layer.dilation)
    strided = any(step > 1 for step in layer.stride)
    if layer.groups > 1 or layer.padding_mode != "zeros" or (dilated and strided):
        raise InputError(
            f"No bound is known for {layer}: expected one group, zero padding, and a stride or a dilation alone."
        )
    return gram_bound(layer.weight.detach().cpu().numpy(), stride=tuple(layer.stride))


def certified_bound(module: nn.Module, of_layer: LayerBound = layer_bound) -> float:
    """Return a certified upper bound of the Lipschitz constant of `module`, at every image size.

    Parameters
    ----------
    of_layer
        Bounds the convolutions.

    Raises
    ------
    InputError
        If a module is none of our networks' or has settings that no bound is known for.
    """
    match module:
        case DnCNN() | AddedPair():
            return residual(certified_bound(module.layers, of_layer))
        case NonexpansiveNetwork():  # sorting pixels into channels and back moves nothing apart
            return compose(*(certified_bound(step, of_layer) for step in module.steps))
        case Step():
            return descent(_finite(module, of_layer(module.filters)))
        case UNet():
            return _unet_bound(module, of_layer)
        case nn.Sequential():
            return compose(*(certified_bound(child, of_layer) for child in module))
        case nn.ReLU():
            return ACTIVATIONS["relu"]
        case nn.MaxPool2d() | nn.MaxPool3d() if module.kernel_size == module.stride and not module.padding:
            return MAX_POOLING
        case _ConvNd():
            return of_layer(module)
        case _:
            raise InputError(f"No Lipschitz bound is known for {_in_words(module)}. U-Nets and DnCNNs have one.")


def _in_words(module: nn.Module) -> str:
    return "a classical filter" if isinstance(module, ClassicalFilter) else f"the layer {module}"


def _finite(step: Step, bound: float) -> float:
    """Return `bound`, having looked at what it does not depend on.

    Raises
    ------
    InputError
        If a limit is not finite.
    """
    if not step.log_limits.double().exp().isfinite().all():
        raise InputError("A step has limits that are not finite. Train the network again.")
    return bound


def _unet_bound(network: UNet, of_layer: LayerBound) -> float:
    """Follow the bound from the input down to the deepest level and up again.

    ::

        down₀ ───────────────── skip: L₀ ──────────────── cat: √(L₀² + L₁²) ── merge ── head
           └─ pool ── down ── … ── up: L₁ ───────────────┘
    """
    first, *deeper = (certified_bound(down, of_layer) for down in network.down)
    bound, skips = first, []
    for pool, down in zip(network.pool, deeper, strict=True):
        skips.append(bound)
        bound = compose(bound, certified_bound(pool, of_layer), down)
    for up, merge in zip(reversed(list(network.up)), reversed(list(network.merge)), strict=True):
        joined = concatenate(skips.pop(), compose(bound, certified_bound(up, of_layer)))
        bound = compose(joined, certified_bound(merge, of_layer))
    bound = compose(bound, certified_bound(network.head, of_layer))
    return residual(bound) if network.residual else bound
