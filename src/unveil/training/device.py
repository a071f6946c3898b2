"""Where and how precisely to train."""

from __future__ import annotations

import torch

from unveil.config.options import Device
from unveil.errors import ConfigError


def training_device(device: Device) -> torch.device:
    """Resolve `device`; auto takes CUDA, then MPS, then the processor.

    Raises
    ------
    ConfigError
        If the device asked for is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    if not there[device]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise ConfigError(f"Device '{device}' is not available; this machine has {found}. Choose one of these or auto.")
    return torch.device(device)


def training_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Return the dtype of the convolutions: bfloat16 where `precision` allows and the device computes it, else None."""
    if precision == "exact":
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    # The processor's own list: emulated bfloat16 would be slower than float32.
    has_bfloat16 = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return torch.bfloat16 if has_bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported() else None
