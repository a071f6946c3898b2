"""A denoiser that moves no two images apart: a fixed number of unrolled, nonexpansive steps.

::

    x ← x − Wᵀ clip(W x, −t, t)        W: convolution with ‖W‖² ≤ 2, of its own in each step; clip per filter

The Jacobian of a step is I − Wᵀ D W with a diagonal D of zeros and ones. It is symmetric, with eigenvalues between
1 − ‖W‖² ≥ −1 and 1, so that ‖step(x) − step(y)‖ ≤ ‖x − y‖; and so are the steps one after the other. With an
orthonormal W a step is the soft threshold ``Wᵀ soft(W x, t)``; with one W for all steps they would descend a convex
potential (convex potential layers: Meunier 2022, arXiv 2110.12690; learned ridge regularizers: Goujon 2022,
arXiv 2211.12461).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from unveil.config.architecture import NonexpansiveConfig
from unveil.operators.receptive_field import BLOCK_PX

LARGEST_NORM = 2**0.5
"""Of W: with a larger one a step could move two images apart."""
_FIRST_LIMIT = 0.01
"""Of the clip, per unit of a filter's norm, in the units of images from 0 to 1."""

_CONVOLUTION = {2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


class NonexpansiveNetwork(nn.Module):
    """Steps on an image whose blocks of 2 × 2 (× 2) pixels are its channels, which halves its size and changes no norm.

    Input and output ``(N, 1, *spatial)``, every spatial size a multiple of 2.
    """

    def __init__(self, config: NonexpansiveConfig) -> None:
        super().__init__()
        self.to_blocks, self.to_pixels = ToBlocks(config.n_dims), ToPixels(config.n_dims)
        self.steps = nn.ModuleList(
            Step(config.n_dims, config.width, dilation, config.taps) for dilation in config.dilations
        )

    def forward(self, image: Tensor) -> Tensor:
        """Denoise `image`."""
        like = next(self.parameters())
        blocks = self.to_blocks(image, like.dtype, like.device)
        for step in self.steps:
            blocks = step(blocks)
        denoised: Tensor = self.to_pixels(blocks, like.dtype, like.device)
        return denoised


class ToBlocks(nn.Module):
    """Make the pixels of each block its channels."""

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self._n_dims = n_dims

    def forward(self, image: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return ``(N, pixels of a block, *blocks)``, computed as `dtype` on `device`."""
        with _unrounded(device):
            return _CONVOLUTION[self._n_dims](image, _pixels(self._n_dims, dtype, device), None, BLOCK_PX)


class ToPixels(nn.Module):
    """Put the channels of each block back to their places."""

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self._n_dims = n_dims

    def forward(self, blocks: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return ``(N, 1, *spatial)``."""
        with _unrounded(device):
            return _TRANSPOSED[self._n_dims](blocks, _pixels(self._n_dims, dtype, device), None, BLOCK_PX)


def _pixels(n_dims: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return one filter per pixel of a block, 1 there and 0 elsewhere."""
    n_pixels = BLOCK_PX**n_dims
    return torch.eye(n_pixels, dtype=dtype, device=device).reshape(n_pixels, 1, *(BLOCK_PX,) * n_dims)


def _unrounded(device: torch.device) -> AbstractContextManager[None]:
    """Keep the format of numbers: pixels are sorted, not computed."""
    if not torch.amp.is_autocast_available(device.type):  # on "meta", where only shapes are
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


class Step(nn.Module):
    """Subtract what the filters find, as far as it does not exceed their limits."""

    def __init__(self, n_dims: int, width: int, dilation: int, taps: int) -> None:
        super().__init__()
        self.filters = {2: nn.Conv2d, 3: nn.Conv3d}[n_dims](
            BLOCK_PX**n_dims, width, taps, padding=taps // 2 * dilation, dilation=dilation, bias=False
        )
        weight, limits = cosines(n_dims, width, taps)
        with torch.no_grad():
            self.filters.weight.copy_(weight)
        self.log_limits = nn.Parameter(limits.log())

    def forward(self, blocks: Tensor) -> Tensor:
        """Return ``(N, pixels of a block, *blocks)`` like what goes in."""
        weight, n_dims = self.filters.weight, self.filters.weight.dim() - 2
        limits = self.log_limits.exp()
        per_filter = limits.reshape(-1, 1, *[1] * n_dims)
        padding, dilation, convolve = self.filters.padding, self.filters.dilation, _CONVOLUTION[n_dims]
        found = convolve(blocks, weight / per_filter, None, 1, padding, dilation).clamp(-1, 1)
        adjoint = (weight * per_filter).transpose(0, 1).flip(*range(2, weight.dim()))
        stepped: Tensor = blocks - convolve(found, adjoint, None, 1, padding, dilation)
        return stepped


def cosines(n_dims: int, n_filters: int, taps: int) -> tuple[Tensor, Tensor]:
    """Return filters ``(n_filters, pixels of a block, *taps)``, cosines in windows of `taps` blocks, and their limits.

    All but the constant one, beginning with the lowest frequencies, over and over, each time with limits four times as
    high: together the copies limit what one filter finds along a curve that bends more than once. Each pixel lies in
    `taps` windows along each axis, and the filters are so scaled that whole rounds of them keep the norm of all but
    what is constant in a window: a step is at first the soft threshold of a cosine transform, averaged over windows.
    """
    edge = BLOCK_PX * taps
    place = torch.arange(edge, dtype=torch.float64)
    waves = torch.cos(torch.pi / edge * place[:, None] * (place + 0.5)) * (2 / edge) ** 0.5
    waves[0] /= 2**0.5
    orders = sorted(product(range(edge), repeat=n_dims), key=lambda order: sum(n * n for n in order))[1:]
    scale = (taps**n_dims * -(-n_filters // len(orders))) ** -0.5
    filters, limits = [], []
    for number in range(n_filters):
        wave = torch.ones((), dtype=torch.float64)
        for n in orders[number % len(orders)]:
            wave = wave[..., None] * waves[n]
        split = wave.reshape([size for _ in range(n_dims) for size in (taps, BLOCK_PX)])
        axes = range(0, 2 * n_dims, 2)
        filters.append(split.permute(*(axis + 1 for axis in axes), *axes).reshape(-1, *(taps,) * n_dims))
        limits.append(_FIRST_LIMIT * 4.0 ** (number // len(orders)))
    return torch.stack(filters).float() * scale, torch.tensor(limits) * scale
