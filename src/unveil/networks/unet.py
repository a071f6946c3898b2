"""U-Net (Ronneberger 2015, arXiv 1505.04597) in the lecture's variant, in two and three dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from unveil.config.architecture import UNetConfig
from unveil.operators.receptive_field import pooled_axes

_CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_UP: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOL: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class UNet(nn.Module):
    """Two zero-padded 3×3 convolutions with ReLU per level, max-pooling down, transposed convolutions up.

    Input ``(N, in_channels, *spatial)``, output ``(N, out_channels, *spatial)`` without activation; every spatial
    size is a multiple of the size step (8 for three poolings).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.residual = config.residual
        factors = pooled_axes(config)
        widths = [config.width * 2**level for level in range(len(factors) + 1)]
        conv, up, pool = _CONV[config.n_dims], _UP[config.n_dims], _POOL[config.n_dims]
        self.down = nn.ModuleList([_double_conv(conv, config.in_channels, widths[0])])
        self.down.extend(_double_conv(conv, fine, coarse) for fine, coarse in pairwise(widths))
        self.pool = nn.ModuleList(pool(factor, factor) for factor in factors)
        self.up = nn.ModuleList(
            up(coarse, fine, factor, factor) for factor, (fine, coarse) in zip(factors, pairwise(widths), strict=True)
        )
        self.merge = nn.ModuleList(_double_conv(conv, 2 * width, width) for width in widths[:-1])
        self.head = conv(widths[0], config.out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the output maps; see the class for shapes."""
        *skips, features = self._levels(image)
        for up, merge in zip(reversed(list(self.up)), reversed(list(self.merge)), strict=True):
            features = merge(torch.cat([skips.pop(), up(features)], dim=1))
        output: Tensor = self.head(features)
        return image - output if self.residual else output

    def encode(self, image: Tensor) -> Tensor:
        """Compute the features of the deepest level, ``(N, C, *coarse)``: what tells kinds of images apart."""
        *_, features = self._levels(image)
        return features

    def _levels(self, image: Tensor) -> Iterator[Tensor]:
        """Yield the features of each level, the finest first."""
        features: Tensor = self.down[0](image)
        yield features
        for pool, down in zip(self.pool, list(self.down)[1:], strict=True):
            features = down(pool(features))
            yield features


def _double_conv(conv: type[nn.Module], in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        conv(in_channels, out_channels, 3, padding=1),
        nn.ReLU(),
        conv(out_channels, out_channels, 3, padding=1),
        nn.ReLU(),
    )
