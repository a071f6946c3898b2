"""A PyTorch network as an OpenVINO graph.

The network is run once, on symbols instead of numbers: a symbol stands for a tensor, and each operation on it adds a
node to the graph. PyTorch offers the hook for that, ``__torch_function__``, which touches nothing outside the call.
(Tracing and exporting would do as well, at the price of seconds, deprecated interfaces and global state that other
threads see.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unveil.errors import EngineError


def build_graph(openvino: ModuleType, module: nn.Module, shape: tuple[int, ...]) -> Any:
    """Return `module` as an ``openvino.Model`` for float32 inputs of `shape`.

    Raises
    ------
    EngineError
        If the network holds an operation that has no translation here.
    """
    parameter = openvino.opset13.parameter(shape, np.float32, name="image")
    with torch.no_grad():
        output = module(_Symbol(openvino.opset13, parameter.output(0)))
    return openvino.Model([openvino.opset13.result(output.node)], [parameter], "network")


class _Symbol:
    """A tensor of a network that is only written down.

    Channels that were put beside each other stay parts: what joins them is the convolution that reads them.
    """

    def __init__(self, ops: ModuleType, node: Any, parts: Sequence[_Symbol] = ()) -> None:
        self.ops, self._node, self._parts = ops, node, parts

    @property
    def parts(self) -> Sequence[_Symbol]:
        """The symbols whose channels stand beside each other in it; itself where it is one tensor."""
        return self._parts or (self,)

    @property
    def node(self) -> Any:
        """Output of the node that computes it."""
        if self._node is None:
            self._node = self.ops.concat([part.node for part in self.parts], 1).output(0)
        return self._node

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> _Symbol:
        translate = _TRANSLATIONS.get(function)
        if translate is None:
            name = getattr(function, "__name__", function)
            raise EngineError(f"OpenVINO has no translation for the operation '{name}'. Choose the engine torch.")
        return translate(*args, **(kwargs or {}))

    def __getitem__(self, key: tuple[slice, slice]) -> _Symbol:
        """Cut channels, written ``maps[:, start:stop]``."""
        _, channels = key
        start, stop = channels.start or 0, np.iinfo(np.int64).max if channels.stop is None else channels.stop
        return self.derived(self.ops.slice(self.node, [start], [stop], [1], [1]))

    def __add__(self, other: _Symbol) -> _Symbol:
        return self.derived(self.ops.add(self.node, other.node))

    def __sub__(self, other: _Symbol) -> _Symbol:
        return self.derived(self.ops.subtract(self.node, other.node))

    def __mul__(self, factor: float) -> _Symbol:
        return self.derived(self.ops.multiply(self.node, np.float32(factor)))

    def clamp(self, low: float, high: float) -> _Symbol:
        """Limit to `low` … `high`."""
        return self.derived(self.ops.clamp(self.node, low, high))

    def derived(self, node: Any) -> _Symbol:
        """Wrap a new node of the same graph."""
        return _Symbol(self.ops, node.output(0))

    def constant(self, tensor: Tensor) -> Any:
        """Make a node of `tensor`."""
        return self.ops.constant(np.ascontiguousarray(tensor.detach().cpu().numpy()))

    def plus_bias(self, node: Any, bias: Tensor | None) -> _Symbol:
        """Add one number per channel."""
        if bias is None:
            return self.derived(node)
        per_channel = bias.reshape(1, -1, *[1] * (len(node.output(0).shape) - 2))
        return self.derived(self.ops.add(node, self.constant(per_channel)))


def _convolution(
    image: _Symbol,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
    groups: int = 1,
) -> _Symbol:
    _require(groups == 1, "grouped convolutions")
    stride, padding, dilation = (_per_axis(value, weight) for value in (stride, padding, dilation))
    ops, total = image.ops, None
    n_channels = [part.node.shape[1] for part in image.parts]
    if sum(n_channels) != weight.shape[1]:
        raise EngineError(f"OpenVINO failed: {sum(n_channels)} channels meet weights for {weight.shape[1]}.")
    for part, weights in zip(image.parts, weight.split(n_channels, dim=1), strict=True):
        node = ops.convolution(part.node, image.constant(weights), stride, padding, padding, dilation)
        total = node if total is None else ops.add(total.output(0), node.output(0))
    return image.plus_bias(total, bias)


def _up_convolution(
    image: _Symbol,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> _Symbol:
    stride, padding, output_padding, dilation = (
        _per_axis(value, weight) for value in (stride, padding, output_padding, dilation)
    )
    plain = groups == 1 and not any(output_padding) and set(dilation) == {1}
    _require(plain, "transposed convolutions with groups, dilation or padding of the output")
    node = image.ops.convolution_backprop_data(
        image.node, image.constant(weight), stride, pads_begin=padding, pads_end=padding
    )
    return image.plus_bias(node, bias)


def _max_pooling(
    image: _Symbol, kernel_size: Sequence[int], stride: Sequence[int], *rest: Any, **options: Any
) -> _Symbol:
    n_dims = len(image.node.shape) - 2
    kernel, strides = (list(v) if not isinstance(v, int) else [v] * n_dims for v in (kernel_size, stride))
    ones, zeros = [1] * n_dims, [0] * n_dims
    return image.derived(image.ops.max_pool(image.node, strides, ones, zeros, zeros, kernel))


def _per_axis(value: int | Sequence[int], weight: Tensor) -> list[int]:
    """Return one number per spatial axis of `weight`."""
    return [value] * (weight.dim() - 2) if isinstance(value, int) else list(value)


def _relu(image: _Symbol, **options: Any) -> _Symbol:
    return image.derived(image.ops.relu(image.node))


def _concatenation(images: Sequence[_Symbol], dim: int) -> _Symbol:
    _require(dim == 1, "putting tensors beside each other along axes other than the channels")
    return _Symbol(images[0].ops, None, [part for image in images for part in image.parts])


def _softmax(image: _Symbol, dim: int, **options: Any) -> _Symbol:
    return image.derived(image.ops.softmax(image.node, dim))


def _require(is_met: bool, what: str) -> None:
    if not is_met:
        raise EngineError(f"OpenVINO has no translation for {what}. Choose the engine torch.")


_TRANSLATIONS: dict[Any, Callable[..., _Symbol]] = {
    functional.conv2d: _convolution,
    functional.conv3d: _convolution,
    functional.conv_transpose2d: _up_convolution,
    functional.conv_transpose3d: _up_convolution,
    functional.max_pool2d: _max_pooling,
    functional.max_pool3d: _max_pooling,
    torch.max_pool2d: _max_pooling,
    torch.max_pool3d: _max_pooling,
    functional.relu: _relu,
    torch.cat: _concatenation,
    torch.softmax: _softmax,
}
