"""The PyTorch engine: CUDA, MPS and any processor."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, ExitStack, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unveil.errors import EngineError

_HALF = {"cuda": torch.float16, "mps": torch.float16, "cpu": torch.bfloat16}
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
        try:
            with ExitStack() as modes:
                for mode in self._modes():
                    modes.enter_context(mode)
                tensor = torch.from_numpy(batch).to(self.device).to(memory_format=layout)
                output = self._loaded(layout)(tensor)
                maps: NDArray[np.float32] = output.float().cpu().contiguous().numpy()
            return maps
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"PyTorch ran out of memory on {self.device}") from error
        except RuntimeError as error:
            raise _named(error, self.device) from error

    def release(self) -> None:
        """Give the GPU its memory back; on a processor there is nothing to give."""
        if self.device == "cuda":
            self._module = None
            torch.cuda.empty_cache()
        elif self.device == "mps":
            self._module = None
            torch.mps.empty_cache()

    def _loaded(self, layout: torch.memory_format) -> nn.Module:
        if self._module is None:
            module = copy.deepcopy(self._source).to(self.device)
            self._module = module.to(memory_format=layout)  # type: ignore[call-overload]
        return self._module

    def _modes(self) -> list[AbstractContextManager[object]]:
        """No gradients; half precision for the convolutions alone; TF32 never, since it is not float32."""
        is_half = self._dtype != torch.float32
        return [
            torch.inference_mode(),
            torch.autocast(self.device, self._dtype) if is_half else nullcontext(),
            torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
            if self.device == "cuda"
            else nullcontext(),
        ]


def _is_quick_at_half(device: str) -> bool:
    """Say whether half precision is computed by the device itself: emulated, it would be slower."""
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (7, 0)
    if device == "cpu":
        capabilities: dict[str, object] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # not in the oldest PyTorch we support
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return True


def _named(error: RuntimeError, device: str) -> Exception:
    """Tell the lack of memory from other failures: on processors and MPS, PyTorch does so only in words."""
    words = str(error).lower()
    if "out of memory" in words or "not enough memory" in words or "can't allocate memory" in words:
        return MemoryError(f"PyTorch ran out of memory on {device}")
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return EngineError(
        f"PyTorch failed on {device}: {first_line}. "
        f"Choose another device or engine; if it fails there too, please report it."
    )
