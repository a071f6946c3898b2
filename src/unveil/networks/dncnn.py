"""DnCNN (Zhang 2017, arXiv 1608.03981) in the lecture's variant, of any depth, width, dilation and stride."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from unveil.config.architecture import DnCNNConfig


class DnCNN(nn.Module):
    """Zero-padded 3×3 convolutions with bias, ReLU after each but the last; output = input − network(input).

    With a stride the first layer sees 3×3 blocks of pixels and the last, a transposed convolution, writes them: what
    lies between works on blocks (FFDNet, Zhang 2018, arXiv 1710.04026). Input and output
    ``(N, in_channels, *spatial)``, every spatial size a multiple of the stride.
    """

    def __init__(self, config: DnCNNConfig) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[config.n_dims]
        widths = [config.in_channels, *[config.width] * (config.depth - 1), config.in_channels]
        first, *inner, last = (
            conv(n_in, n_out, 3, padding=dilation, dilation=dilation)
            for (n_in, n_out), dilation in zip(pairwise(widths), config.dilation_per_layer, strict=True)
        )
        if config.stride > 1:
            up = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[config.n_dims]
            blocks = 3 * config.stride, config.stride, config.stride  # taps, stride and padding
            first = conv(config.in_channels, config.width, *blocks)
            last = up(config.width, config.in_channels, *blocks)
        if config.skips:
            pairs = [AddedPair(*pair) for pair in zip(inner[::2], inner[1::2], strict=True)]
            self.layers = nn.Sequential(first, *pairs, nn.ReLU(), last)
        else:
            followed = [layer for convolution in (first, *inner) for layer in (convolution, nn.ReLU())]
            self.layers = nn.Sequential(*followed, last)

    def forward(self, image: Tensor) -> Tensor:
        """Subtract the predicted noise from `image`."""
        noise: Tensor = self.layers(image)
        return image - noise


class AddedPair(nn.Module):
    """Two convolutions, ReLU before each, added to what goes in."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), first, nn.ReLU(), second)

    def forward(self, features: Tensor) -> Tensor:
        """Add the pair's output to `features`."""
        added: Tensor = features + self.layers(features)
        return added
