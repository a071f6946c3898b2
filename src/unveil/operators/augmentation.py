"""Random changes of training batches, on the device, image and targets together."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from unveil.config.training import AugmentationConfig


def source_size(size: tuple[int, ...], config: AugmentationConfig) -> tuple[int, ...]:
    """Return the window to cut so that every random scale fills a patch of `size`; Z is not scaled.

    The difference is even, so that the unscaled patch lies exactly on the pixels.
    """
    return (
        *size[:-2],
        *(edge + 2 * math.ceil((edge / (1 - config.scale) - edge) / 2) for edge in size[-2:]),
    )


def random_views(
    smooth: Tensor, discrete: Tensor, size: tuple[int, ...], config: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cut a randomly mirrored, turned and resized view of `size` from the centre of each window.

    Parameters
    ----------
    smooth
        ``(N, C, *source)`` float32, interpolated linearly: intensities and normalized distances (which no resizing
        changes).
    discrete
        ``(N, K, *source)`` float32, taken from the nearest pixel: class numbers and masks.
    """
    matrix = _random_affine(len(smooth), smooth.shape[2:], size, config, generator)
    grid = functional.affine_grid(matrix, [len(smooth), 1, *size], align_corners=False)
    return (
        functional.grid_sample(smooth, grid, mode="bilinear", padding_mode="reflection", align_corners=False),
        functional.grid_sample(discrete, grid, mode="nearest", padding_mode="reflection", align_corners=False),
    )


def random_intensities(image: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Change gamma, gain, offset, sharpness and noise of each normalized image ``(N, C, *spatial)``."""
    per_image = (len(image), *[1] * (image.dim() - 1))

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(per_image, generator=generator, device=image.device)

    if config.blur_px:
        sigma_px = config.blur_px * max(0.1, float(torch.rand((), generator=generator, device=image.device)))
        image = torch.where(uniform(0, 1) < 0.5, gaussian_blur(image, sigma_px), image)
    gamma = uniform(1 - config.gamma, 1 + config.gamma)
    image = image.sign() * image.abs().clamp(min=1e-6) ** gamma
    image = image * uniform(1 - config.gain, 1 + config.gain) + uniform(-config.offset, config.offset)
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    return image + uniform(0, config.noise) * noise


def gaussian_blur(image: Tensor, sigma_px: float) -> Tensor:
    """Blur ``(N, C, *spatial)`` along Y and X with a Gaussian of standard deviation `sigma_px`, edges repeated."""
    radius = max(1, math.ceil(3 * sigma_px))
    at = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-(at**2) / (2 * sigma_px**2))
    kernel = kernel / kernel.sum()
    planes = image.reshape(-1, 1, *image.shape[-2:])
    planes = functional.pad(planes, (radius, radius, radius, radius), mode="replicate")
    planes = functional.conv2d(functional.conv2d(planes, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return planes.reshape(image.shape)


def _random_affine(
    n: int, source: torch.Size, size: tuple[int, ...], config: AugmentationConfig, generator: torch.Generator
) -> Tensor:
    """Return ``(N, d, d + 1)`` matrices from output to source coordinates (−1 … 1 along X, Y and, in 3D, Z)."""
    device, n_dims = generator.device, len(size)
    zoom = 1 + config.scale * (2 * torch.rand(n, generator=generator, device=device) - 1)
    matrix = torch.zeros(n, n_dims, n_dims + 1, device=device)
    mirror = torch.ones(n, n_dims, device=device)
    turn = torch.zeros(n, dtype=torch.bool, device=device)
    if config.flips:
        mirror = 1 - 2 * torch.randint(0, 2, (n, n_dims), generator=generator, device=device).float()
        turn = torch.randint(0, 2, (n,), generator=generator, device=device).bool()
    extent = [out / whole for out, whole in zip(reversed(size), reversed(source), strict=True)]
    for axis in range(n_dims):
        scale = mirror[:, axis] * extent[axis]
        if axis < 2:
            matrix[:, axis, axis] = torch.where(turn, 0, scale / zoom)
            matrix[:, axis, 1 - axis] = torch.where(turn, scale / zoom, 0)
        else:
            matrix[:, axis, axis] = scale
    return matrix
