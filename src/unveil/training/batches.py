"""Batches on the device: windows of examples, augmented, and noise where it is to be learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from unveil.config.training import DenoisingTraining, NoiseConfig, SegmentationTraining
from unveil.data.examples import Example
from unveil.data.patches import draw_windows
from unveil.operators.augmentation import random_intensities, random_views, source_size
from unveil.operators.noise import log_uniform, poisson_gaussian
from unveil.training.fit import Batch

_DARK_END = 2.3
"""Standard deviations below the background at which a noisy image's low percentile lies: 1 % of its pixels."""
_BRIGHT_END = 1.5
"""Standard deviations above the brightest structures at which the high percentile lies: few are that bright."""


def segmentation_batches(
    examples: Sequence[Example], config: SegmentationTraining, size: tuple[int, ...], device: torch.device
) -> Iterator[Batch]:
    """Yield augmented batches of images, class and distance targets, and weights, without end."""
    generator = torch.Generator(device).manual_seed(config.seed)
    source = source_size(size, config.augmentation)
    for windows in draw_windows(examples, source, config.batch_size, config.seed):
        image, target, weight = (torch.from_numpy(w).to(device) for w in windows)
        n_channels = image.shape[1]
        smooth, discrete = random_views(
            torch.cat([image, target[:, 1:]], dim=1),
            torch.cat([target[:, :1], weight], dim=1),
            size,
            config.augmentation,
            generator,
        )
        target = torch.cat([discrete[:, :1], smooth[:, n_channels:]], dim=1)
        view = random_intensities(smooth[:, :n_channels], config.augmentation, generator)
        yield channels_last(view), target, discrete[:, 1:]


def denoising_batches(
    examples: Sequence[Example],
    config: DenoisingTraining,
    size: tuple[int, ...],
    device: torch.device,
    *,
    add_noise: bool,
) -> Iterator[Batch]:
    """Yield batches of noisy images, clean targets and weights, without end.

    Mirrored and turned, but resized and changed in gain and offset only where the noise is synthetic: real noise keeps
    its grain.
    """
    generator = torch.Generator(device).manual_seed(config.seed)
    views = config.augmentation if add_noise else config.augmentation.model_copy(update={"scale": 0.0})
    source = source_size(size, views)
    for windows in draw_windows(examples, source, config.batch_size, config.seed):
        image, target, weight = (torch.from_numpy(w).to(device) for w in windows)
        n_channels = image.shape[1]
        smooth, weight = random_views(torch.cat([image, target], dim=1), weight, size, views, generator)
        noisy, clean = smooth[:, :n_channels], smooth[:, n_channels:]
        if add_noise:
            noisy, clean = _with_noise(clean, config, generator)
        yield channels_last(noisy), clean, weight


def synthetic_noise(clean: Tensor, noise: NoiseConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Add Poisson–Gaussian noise to normalized images ``(N, C, *spatial)``, both levels drawn from their ranges.

    A noisy image is normalized by its own darkest and brightest pixels, which lie beyond the clean one's: without
    that shift a network would learn on a background darker than it meets. The noise's own percentiles stand for the
    image's.

    Returns
    -------
    noisy, clean
        Both in the normalization that the noisy image gets.
    """
    per_image = (len(clean), *[1] * (clean.dim() - 1))
    poisson = log_uniform(per_image, *noise.poisson, generator)
    gaussian = log_uniform(per_image, *noise.gaussian, generator)
    noisy = poisson_gaussian(clean, poisson, gaussian, generator)
    low = -_DARK_END * gaussian
    scale = 1 + _BRIGHT_END * (poisson + gaussian**2).sqrt() - low
    return (noisy - low) / scale, (clean - low) / scale


def channels_last(batch: Tensor) -> Tensor:
    """Lay `batch` out with its channels last in memory, which convolutions compute faster."""
    return batch.contiguous(memory_format=torch.channels_last if batch.dim() == 4 else torch.channels_last_3d)


def _with_noise(clean: Tensor, config: DenoisingTraining, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return noisy and clean in a gain and offset of their own, as no two images are normalized quite alike."""
    noisy, clean = synthetic_noise(clean, config.noise, generator)
    per_image = (len(clean), *[1] * (clean.dim() - 1))
    centred = 2 * torch.rand((2, *per_image), generator=generator, device=clean.device) - 1
    gain, offset = 1 + config.augmentation.gain * centred[0], config.augmentation.offset * centred[1]
    return gain * noisy + offset, gain * clean + offset
