"""How precisely to train on a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def training_dtype(device: torch.device, precision: str, n_dims: int) -> torch.dtype | None:
    """Return the dtype of the convolutions: bfloat16 where `precision` allows and the device computes it, else None.

    Volumes are learnt in float32 on processors: where a level of the network has two planes, PyTorch 2.13 (oneDNN)
    returns memory that nobody wrote as the gradient of a convolution's weights in bfloat16.
    """
    if precision == "exact":
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    if n_dims == 3:
        return None
    # The processor's own list: emulated bfloat16 would be slower than float32.
    has_bfloat16 = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return torch.bfloat16 if has_bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported() else None


def number_format(device: torch.device, autocast: torch.dtype | None) -> AbstractContextManager[object]:
    """Keep float32 what it is where it is asked for: graphics cards would round it to TF32's ten binary digits.

    There, patches of one size make it worth while to try which convolutions are the fastest.
    """
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=autocast is not None)
    return nullcontext()
