"""The PyTorch engine: MPS and any processor."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unveil.errors import EngineError

_HALF = {"mps": torch.float16, "cpu": torch.bfloat16}
_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


class TorchEngine:
    """Computes `module` on `device`, in half precision where `fast` and the device is quicker at it.

    Parameters
    ----------
    module
        In evaluation mode, float32, on the CPU; it is copied, not changed.
    library
        What computes, for the record: a classical filter calls SciPy.
    """

    n_pixels_held = 0
    """On a processor nothing stays; a GPU's cache is given back whole."""

    def __init__(self, module: nn.Module, device: str, *, fast: bool, library: str = "torch") -> None:
        self.device, self.library = device, library
        self._dtype = _HALF[device] if fast and _is_quick_at_half(device) else torch.float32
        self._module: nn.Module | None = None
        self._source = module

    @property
    def precision(self) -> str:
        """Number format of the convolutions."""
        return _NAMES[self._dtype]

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the maps ``(N, K, *spatial)`` of `batch` ``(N, C, *spatial)``."""
        layout = torch.channels_last if batch.ndim == 4 else torch.channels_last_3d
        with named(self.device), ExitStack() as modes:
            for mode in self._modes():
                modes.enter_context(mode)
            tensor = torch.from_numpy(batch).to(self.device).to(memory_format=layout)
            maps: NDArray[np.float32] = self._loaded(layout)(tensor).float().cpu().contiguous().numpy()
        return maps

    def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        """Return what computes the maps of `batch`."""
        return partial(self.compute, batch)

    def release(self) -> None:
        """Give the GPU its memory back; on a processor there is nothing to give."""
        if self.device == "mps":
            self._module = None
            torch.mps.empty_cache()

    def _loaded(self, layout: torch.memory_format) -> nn.Module:
        if self._module is None:
            module = copy.deepcopy(self._source).to(self.device)
            self._module = module.to(memory_format=layout)  # type: ignore[call-overload, unused-ignore]  # before PyTorch 2.14
        return self._module

    def _modes(self) -> list[AbstractContextManager[object]]:
        """No gradients; half precision for the convolutions alone."""
        is_half = self._dtype != torch.float32
        return [torch.inference_mode(), torch.autocast(self.device, self._dtype) if is_half else nullcontext()]


def _is_quick_at_half(device: str) -> bool:
    """Say whether half precision is computed by the device itself: emulated, it would be slower."""
    if device == "cpu":
        capabilities: dict[str, object] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # not in the oldest PyTorch we support
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return True


@contextmanager
def named(device: str) -> Iterator[None]:
    """Tell the lack of memory from other failures of PyTorch: on processors and MPS, it does so only in words."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"PyTorch ran out of memory on {device}") from error
    except RuntimeError as error:
        words = str(error).lower()
        if "out of memory" in words or "not enough memory" in words or "can't allocate memory" in words:
            raise MemoryError(f"PyTorch ran out of memory on {device}") from error
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EngineError(
            f"PyTorch failed on {device}: {first_line}. "
            f"Choose another device or engine; if it fails there too, please report it."
        ) from error
