"""A network as a table: what each layer does, the shape of what comes out, its parameters, and what it sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from unveil.config.architecture import Architecture, FilterConfig
from unveil.errors import ConfigError, InputError
from unveil.networks.build import build_network, count_parameters
from unveil.networks.nonexpansive import Step, ToBlocks, ToPixels
from unveil.networks.tracing import FILTER, Operation, trace
from unveil.operators.layer_fields import AxisField
from unveil.operators.receptive_field import BLOCK_PX, margin, size_step

INPUT = "input"
_WORDS = {"concatenate": "Concatenate", "subtract": "Subtract", "add": "Add"}

Fields = tuple[AxisField, ...]
"""One per spatial axis."""


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One row of the table.

    Attributes
    ----------
    name
        Path of its module, ``"down.0.2"``; of an operation without parameters what it does and its number.
    kind
        For people, as the lecture writes it: ``"Conv2D 3×3, ReLU"``.
    kernel
        Taps per spatial axis; empty where there is no kernel.
    shape
        ``(C, *spatial)`` of what comes out.
    fields
        What each pixel sees, per spatial axis.
    output
        Name of the operation whose output is the layer's: its ReLU where it has one.
    """

    name: str
    kind: str
    kernel: tuple[int, ...]
    shape: tuple[int, ...]
    n_parameters: int
    fields: Fields
    output: str

    @property
    def field_px(self) -> tuple[int, ...]:
        """The most pixels of the image that a pixel of the layer sees, per spatial axis."""
        return tuple(field.size_px for field in self.fields)

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels of the image per pixel of the layer, per spatial axis."""
        return tuple(field.stride for field in self.fields)


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """The layers in the order in which they are computed, the input first."""

    layers: tuple[LayerSummary, ...]

    @property
    def n_parameters(self) -> int:
        """Sum over the layers."""
        return sum(layer.n_parameters for layer in self.layers)

    def layer(self, name: str) -> LayerSummary:
        """Return the layer called `name`.

        Raises
        ------
        ConfigError
            With the names that there are.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ConfigError(f"The network has no layer '{name}'. Choose one of {names}.")


@lru_cache(maxsize=32)
def summarize_network(architecture: Architecture, shape: tuple[int, ...]) -> NetworkSummary:
    """Build the network without weights, run it without numbers (PyTorch's device "meta"), and write down its layers.

    A ReLU shares the row of the convolution before it, where nothing else reads that.

    Parameters
    ----------
    shape
        Spatial shape of the image; rounded up to the size step, as images are extended.
    """
    step = size_step(architecture)
    shape = tuple(-(-size // least) * least for size, least in zip(shape, step, strict=True))
    fields = tuple(AxisField.of_image(period) for period in step)
    first = LayerSummary(INPUT, "Input", (), (architecture.in_channels, *shape), 0, fields, INPUT)
    if isinstance(architecture, FilterConfig):
        return NetworkSummary((first, _filter(architecture, first)))
    operations: list[Operation] = []
    with torch.device("meta"):
        image = torch.empty(1, *first.shape)
        trace(build_network(architecture).requires_grad_(False), image, operations.append)
    return NetworkSummary(tuple(_layers(operations, image, first)))


def _layers(operations: Sequence[Operation], image: Tensor, first: LayerSummary) -> list[LayerSummary]:
    n_readers = Counter(id(tensor) for operation in operations for tensor in operation.inputs)
    layers, fields = [first], {id(image): first.fields}
    for before, operation in zip([None, *operations], operations, strict=False):
        seen = fields[id(operation.output)] = _fields(operation, [fields[id(tensor)] for tensor in operation.inputs])
        if before is not None and _shares_row(before, operation) and n_readers[id(before.output)] == 1:
            layers[-1] = replace(layers[-1], kind=f"{layers[-1].kind}, ReLU", output=operation.name)
        else:
            layers.append(_layer(operation, seen))
    return layers


def _shares_row(before: Operation, operation: Operation) -> bool:
    """Say whether `operation` is the ReLU of the convolution `before` it."""
    is_pair = isinstance(before.module, _ConvNd) and isinstance(operation.module, nn.ReLU)
    return is_pair and operation.inputs[0] is before.output


def _layer(operation: Operation, fields: Fields) -> LayerSummary:
    module = operation.module
    return LayerSummary(
        f"{operation.name}.filters" if isinstance(module, Step) else operation.name,
        _WORDS.get(operation.name.split(".")[0], operation.name) if module is None else _kind(module, len(fields)),
        () if module is None else _kernel(module, len(fields)),
        tuple(operation.output.shape[1:]),
        0 if module is None else count_parameters(module),
        fields,
        operation.name,
    )


def _kernel(module: nn.Module, n_dims: int) -> tuple[int, ...]:
    match module:
        case _ConvNd() | nn.MaxPool2d() | nn.MaxPool3d():
            return _per_axis(module.kernel_size, n_dims)
        case Step():
            return _kernel(module.filters, n_dims)
        case _:
            return ()


def _kind(module: nn.Module, n_dims: int) -> str:
    taps = "×".join(map(str, _kernel(module, n_dims)))
    match module:
        case _ConvTransposeNd():
            return f"Up-conv {taps}"
        case _ConvNd():
            dilated = f", dilation {max(module.dilation)}" if max(module.dilation) > 1 else ""
            return f"Conv{n_dims}D {taps}{dilated}"
        case nn.MaxPool2d() | nn.MaxPool3d():
            return f"MaxPool {taps}"
        case Step():
            return f"{_kind(module.filters, n_dims)}, clipped"
        case ToBlocks():
            return "Pixels to channels"
        case ToPixels():
            return "Channels to pixels"
        case _:
            return type(module).__name__


def _fields(operation: Operation, inputs: Sequence[Fields]) -> Fields:
    """Return what the output of an operation sees, from what its inputs see."""
    module, axes = operation.module, inputs[0]
    match module:
        case _ConvTransposeNd():
            return tuple(axis.upsampled(**taps) for axis, taps in zip(axes, _taps(module), strict=True))
        case _ConvNd():
            return tuple(axis.convolved(**taps) for axis, taps in zip(axes, _taps(module), strict=True))
        case nn.MaxPool2d() | nn.MaxPool3d():
            steps = zip(axes, _kernel(module, len(axes)), _per_axis(module.stride, len(axes)), strict=True)
            return tuple(a.convolved(k, stride=s) for a, k, s in steps)
        case Step():
            taps = _taps(module.filters)
            return tuple(axis.convolved(**each).convolved(**each) for axis, each in zip(axes, taps, strict=True))
        case ToBlocks():
            return tuple(axis.convolved(BLOCK_PX, stride=BLOCK_PX) for axis in axes)
        case ToPixels():
            return tuple(axis.upsampled(BLOCK_PX, stride=BLOCK_PX) for axis in axes)
        case nn.ReLU():
            return axes
        case None:
            for other in inputs[1:]:
                axes = tuple(a.joined(b) for a, b in zip(axes, other, strict=True))
            return axes
        case _:
            raise InputError(f"What {module} sees is not known. The layers of U-Nets and DnCNNs are.")


def _taps(module: _ConvNd) -> list[dict[str, int]]:
    """Return what a convolution reads, per spatial axis."""
    assert not isinstance(module.padding, str)
    settings = zip(module.kernel_size, module.stride, module.padding, module.dilation, strict=True)
    return [{"taps": k, "stride": s, "padding": p, "dilation": d} for k, s, p, d in settings]


def _filter(architecture: FilterConfig, first: LayerSummary) -> LayerSummary:
    """Return the row of a classical filter, which is one operation."""
    reach = margin(architecture)
    fields = tuple(
        axis.convolved(2 * pixels + 1, padding=pixels) for axis, pixels in zip(first.fields, reach, strict=True)
    )
    kind = f"{architecture.kind.replace('_', ' ').capitalize()}, {architecture.size_px:g} px"
    shape = (architecture.out_channels, *first.shape[1:])
    return LayerSummary(FILTER, kind, (), shape, 0, fields, FILTER)


def _per_axis(value: int | tuple[int, ...], n_dims: int) -> tuple[int, ...]:
    return tuple(repeat(value, n_dims)) if isinstance(value, int) else tuple(value)
