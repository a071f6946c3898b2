"""The CUDA engine: graphics cards, which compute one window while the next one comes and the last one goes."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.inference.torch_engine import named

_LEAST_CAPABILITY = (7, 0)
"""Earlier cards are no quicker in half precision."""
_MOST_RECORDED = 1 << 20
"""Values of a window: larger ones keep the card busy for longer than Python takes to launch its kernels."""
_MOST_SHAPES = 4
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class CudaEngine:
    """Computes `module` on a graphics card, in half precision where `fast` and the card is quicker at it.

    Windows come and maps go by streams of their own, through memory that is locked for them: nothing but the result
    asked for is waited for.

    Parameters
    ----------
    module
        In evaluation mode, float32, on the CPU; it is copied, not changed.
    """

    device, library = "cuda", "torch"
    n_pixels_held = 0
    """A card's memory is given back whole."""

    def __init__(self, module: nn.Module, *, fast: bool) -> None:
        self._source = module
        self._is_half = fast and torch.cuda.get_device_capability() >= _LEAST_CAPABILITY
        self._module: nn.Module | None = None
        self._recorded: OrderedDict[torch.Size, _Recording | None] = OrderedDict()
        self._coming, self._computing, self._going = (torch.cuda.Stream() for _ in range(3))

    @property
    def precision(self) -> str:
        """Number format of the convolutions."""
        return "float16" if self._is_half else "float32"

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the maps ``(N, K, *spatial)`` of `batch` ``(N, C, *spatial)``."""
        return self.begin(batch)()

    def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        """Hand `batch` to the card; what is returned waits for its maps."""
        with named(self.device), ExitStack() as modes:
            for mode in self._modes():
                modes.enter_context(mode)
            with torch.cuda.stream(self._coming):
                here = torch.from_numpy(batch).pin_memory().to(self.device, non_blocking=True)
            self._computing.wait_stream(self._coming)
            with torch.cuda.stream(self._computing):
                here.record_stream(self._computing)
                maps = self._maps(here)
            self._going.wait_stream(self._computing)
            with torch.cuda.stream(self._going):
                maps.record_stream(self._going)
                there = torch.empty(maps.shape, pin_memory=True)
                there.copy_(maps, non_blocking=True)
                arrived = self._going.record_event()

        def result() -> NDArray[np.float32]:
            with named(self.device):
                arrived.synchronize()
            return there.numpy()

        return result

    def release(self) -> None:
        """Give the card its memory back."""
        torch.cuda.synchronize()
        self._module = None
        self._recorded.clear()
        torch.cuda.empty_cache()

    def _maps(self, here: Tensor) -> Tensor:
        """Compute on the present stream; a shape that comes again is recorded where kernels are launched too slowly."""
        layout = torch.channels_last if here.dim() == 4 else torch.channels_last_3d
        module = self._loaded(layout)

        def maps_of(batch: Tensor) -> Tensor:
            maps: Tensor = module(batch.to(memory_format=layout)).float().contiguous()
            return maps

        if here.numel() > _MOST_RECORDED:
            return maps_of(here)
        if here.shape not in self._recorded:
            self._recorded[here.shape] = None
            while len(self._recorded) > _MOST_SHAPES:
                self._recorded.popitem(last=False)
            return maps_of(here)
        recording = self._recorded[here.shape] or _Recording(maps_of, here)
        self._recorded[here.shape] = recording
        return recording(here)

    def _loaded(self, layout: torch.memory_format) -> nn.Module:
        if self._module is None:
            module = copy.deepcopy(self._source)
            if self._is_half:
                module = halved(module)
            self._module = module.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        return self._module

    def _modes(self) -> list[AbstractContextManager[object]]:
        """No gradients; half precision for the convolutions alone; TF32 never, since it is not float32.

        No copy of weights is cached, which a recording would go on reading when it is gone.
        """
        return [
            torch.inference_mode(),
            torch.autocast(self.device, torch.float16, cache_enabled=False) if self._is_half else nullcontext(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False),
        ]


class _Recording:
    """The kernels for one shape, launched as one; Python would take longer for their launches than they run."""

    def __init__(self, maps_of: Callable[[Tensor], Tensor], here: Tensor) -> None:
        self._here, self._graph = here.clone(), torch.cuda.CUDAGraph()
        maps_of(self._here)  # what a library does at its first call cannot be recorded
        with torch.cuda.graph(self._graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            self._maps = maps_of(self._here)

    def __call__(self, here: Tensor) -> Tensor:
        self._here.copy_(here)
        self._graph.replay()
        return self._maps.clone()


def halved(module: nn.Module) -> nn.Module:
    """Return `module` with its convolutions in float16, each together with the ReLU behind it."""
    for name, child in module.named_children():
        setattr(module, name, halved(child))
    if isinstance(module, _CONVOLUTIONS):
        return module.half()
    if isinstance(module, nn.Sequential):
        layers: list[nn.Module] = []
        for layer in module:
            before = layers[-1] if layers else None
            if isinstance(layer, nn.ReLU) and isinstance(before, nn.Conv2d | nn.Conv3d):
                layers[-1] = _ConvolutionReLU(before)
            else:
                layers.append(layer)
        return nn.Sequential(*layers)
    return module


class _ConvolutionReLU(nn.Module):
    """A convolution, its bias and ReLU in one kernel: maps pass through the card's memory once, not three times."""

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        assert isinstance(convolution.padding, tuple)
        self._how = convolution.stride, convolution.padding, convolution.dilation
        self._groups = convolution.groups

    def forward(self, maps: Tensor) -> Tensor:
        """Compute the layer in the number format of its weights."""
        computed: Tensor = torch.cudnn_convolution_relu(
            maps.to(self.weight.dtype), self.weight, self.bias, *self._how, self._groups
        )
        return computed
