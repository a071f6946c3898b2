"""Run a network and look at each of its operations.

Two hooks see them: that of PyTorch's modules, on a copy of the network that shares its weights, and the mode for
functions outside of modules, which holds in one thread. Nothing changes that other threads see.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from unveil.networks.nonexpansive import Step

FILTER = "filter"
"""Name of the operation of a network that is a single module."""
_NAMES = {"cat": "concatenate", "sub": "subtract"}


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One module without parts or step of a nonexpansive network, or one function outside of all modules, at work."""

    name: str
    """Path of the module, ``"down.0.2"``; of a function what it does and its number, ``"concatenate.0"``."""
    module: nn.Module | None
    inputs: tuple[Tensor, ...]
    output: Tensor


def trace(network: nn.Module, image: Tensor, look: Callable[[Operation], None]) -> Tensor:
    """Compute `network` for `image` ``(N, C, *spatial)`` and call `look` after each operation, in their order.

    What `look` raises ends the work.
    """
    network = copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})
    watch = _Watch(look)
    for name, module in network.named_modules():
        if isinstance(module, Step) or not any(module.children()):
            module.register_forward_pre_hook(watch.enter)
            module.register_forward_hook(watch.leave(name or FILTER))
    with watch:
        output: Tensor = network(image)
    return output


class _Watch(TorchFunctionMode):
    """Tells of modules when they end, and of functions that are called outside of them."""

    def __init__(self, look: Callable[[Operation], None]) -> None:
        super().__init__()
        self._look = look
        self._is_inside = False
        self._counts: Counter[str] = Counter()

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not self._is_inside:
            own = function.__name__.strip("_")
            name = _NAMES.get(own, own)
            self._look(Operation(f"{name}.{self._counts[name]}", None, tuple(_tensors(args)), result))
            self._counts[name] += 1
        return result

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Hear of no functions until the module has ended."""
        self._is_inside = True

    def leave(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        """Return the hook at the end of the module `name`."""

        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            self._look(Operation(name, module, tuple(_tensors(inputs)), output))
            self._is_inside = False

        return hook


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
