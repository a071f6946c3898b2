"""How much memory a window takes, and how large windows may be."""

from __future__ import annotations

import ctypes
import sys
from typing import assert_never

import psutil

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, NonexpansiveConfig, UNetConfig
from unveil.operators.receptive_field import BLOCK_PX

_SHARE_OF_FREE = 0.5
"""Part of the free memory that a window may fill: the images need room too, and so do other programs."""
_SLACK = 1.8
"""Peaks over the sum of the live maps: 0.8 to 1.1 in engines that give freed maps back, as those of usual windows are;
those of small windows may stay in the heap, and double it."""
_MOST_PIXELS = {("cpu", 2): 2_400_000, ("cpu", 3): 8_000_000, ("gpu", 2): 4_200_000, ("gpu", 3): 32_000_000}
"""Larger windows gain little, since the halo's share is small by then, and a request to cancel waits for a tile.
Volumes need more, since a halo on six sides weighs more. A processor takes as long per pixel in windows of 256² as of
2048² (`benchmarks/speed/figures.md`): its caches hold no map of either."""
_FRUGAL_SHARE = 0.56
"""Of these pixels, where results go to the disk since memory is short: the whole command then needs 1.2 GiB."""


_MALLOC_ARENA_MAX = -8
"""What glibc calls the largest number of heaps."""
_BLOCK_BYTES = 48
"""What making labels takes per pixel of a block: maps, labels and fronts."""
_SHARE_FOR_BLOCK = 0.1
_MOST_BLOCK_PIXELS = {2: 1 << 22, 3: 1 << 26}


def bytes_per_pixel(architecture: Architecture) -> int:
    """Estimate the peak memory of a window per pixel, in bytes of float32 maps that live at the same time.

    A U-Net peaks at the last merge: the skip, what comes up, and both concatenated, 4 · width channels of full size.
    A DnCNN holds the maps before and after a layer, of blocks of pixels where it has a stride, and with skips those to
    which they will be added.
    """
    match architecture:
        case UNetConfig():
            channels = 4 * architecture.width + architecture.in_channels + 2 * architecture.out_channels
        case DnCNNConfig():
            maps = (2 + architecture.skips) * architecture.width
            channels = -(-maps // architecture.stride**architecture.n_dims) + 3 * architecture.in_channels
        case NonexpansiveConfig():  # two maps per filter, of a block each; the image before and after
            channels = 4 + -(-2 * architecture.width // BLOCK_PX**architecture.n_dims)
        case FilterConfig():
            channels = 4 + 2 * architecture.out_channels
        case _:
            assert_never(architecture)
    return int(4 * channels * _SLACK)


def largest_window(architecture: Architecture, device: str, *, frugal: bool = False) -> int:
    """Return how many pixels a window has usually on `device`, or as many as the memory allows that is free now.

    Parameters
    ----------
    frugal
        Take little memory even where much is free.
    """
    kind = "gpu" if device.startswith(("cuda", "mps")) else "cpu"
    most = _MOST_PIXELS[kind, architecture.n_dims]
    return min(affordable_window(architecture, device), int(most * _FRUGAL_SHARE) if frugal else most)


def affordable_window(architecture: Architecture, device: str) -> int:
    """Return how many pixels a window may have on `device`, from the memory that is free now."""
    return max(1, int(free_bytes(device) * _SHARE_OF_FREE) // bytes_per_pixel(architecture))


def largest_block(n_dims: int) -> int:
    """Return how many pixels a block may have for which labels are made at once, with its halo."""
    affordable = int(free_bytes("cpu") * _SHARE_FOR_BLOCK) // _BLOCK_BYTES
    return max(1, min(affordable, _MOST_BLOCK_PIXELS[n_dims]))


def free_bytes(device: str) -> int:
    """Return the free memory of `device`, in bytes; a GPU without memory of its own shares the computer's."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)


def share_heaps() -> None:
    """Let all threads of this process take memory from two heaps, where the C library is glibc.

    It would give each thread one of its own, and OpenVINO has threads for each network that it compiles: what they
    leave there is hardly given back, and many shapes in turn would take some 100 MiB more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MALLOC_ARENA_MAX, 2)
