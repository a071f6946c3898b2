"""Batches on the device: windows of examples, augmented, and noise where it is to be learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from unveil.config.training import AugmentationConfig, DenoisingTraining, NoiseConfig
from unveil.data.examples import Example
from unveil.data.patches import draw_places, draw_windows
from unveil.inference.memory import free_bytes
from unveil.operators.augmentation import random_intensities, random_views, source_size
from unveil.operators.blind_spot import hide_pixels
from unveil.operators.noise import correlate_along_x, log_uniform, poisson_gaussian
from unveil.operators.normalization import DARK_END
from unveil.operators.stabilization import Stabilization
from unveil.training.held_examples import HeldExamples
from unveil.training.plan import Plan
from unveil.training.steps import Batch

Source: TypeAlias = Literal["pairs", "clean_only", "blind_spot", "frames"]
"""What a denoiser learns from: clean images beside noisy ones, clean ones alone, or noisy ones alone in two ways."""

NoiseScale: TypeAlias = Literal["range", "noise", "stabilized"]
"""What synthetic noise is measured by: the image's range, or itself, in which case it may also be made even."""

_SHARE_HELD = 0.25
"""Part of a graphics card's free memory that examples may take."""
_LEAST_KNOWN = 1e-3
"""Where less than this of an interpolated distance is known, its weight is 0."""
_BRIGHT_END = 1.5
"""Standard deviations above the brightest structures at which the high percentile lies: few are that bright."""
_LEAST_STD = 1e-6
"""Of noise, as a part of the intensity range, where images are normalized by it."""


Windows: TypeAlias = Callable[[tuple[int, ...], int, int], Iterator[Batch]]
"""Draws from a size, a number per batch and a seed: image, target and weight ``(N, channels, *size)``, without end."""


def window_source(examples: Sequence[Example], device: torch.device) -> Windows:
    """Return what draws windows of `examples`: cut on a graphics card that can hold them all, else here."""
    if device.type == "cuda" and HeldExamples.n_bytes(examples) <= _SHARE_HELD * free_bytes("cuda"):
        held = HeldExamples(examples, device)
        return lambda size, batch_size, seed: (
            held.cut(places, size) for places in draw_places(examples, size, batch_size, seed)
        )
    return partial(_sent, examples, device)


def segmentation_batches(windows: Windows, plan: Plan, seed: int, device: torch.device) -> Iterator[Batch]:
    """Yield augmented batches of images, class and distance targets, and weights, without end.

    Distances are interpolated between pixels where they are known, and only there.
    """
    generator = torch.Generator(device).manual_seed(seed)
    source = source_size(plan.patch, plan.augmentation)
    for image, target, weight in windows(source, plan.batch_size, seed):
        distance, known = target[:, 1:], weight[:, 1:]
        smooth, discrete = random_views(
            torch.cat([image, distance * known, known], dim=1),
            torch.cat([target[:, :1], weight], dim=1),
            plan.patch,
            plan.augmentation,
            generator,
        )
        view, distance, known = smooth.split([part.shape[1] for part in (image, distance, known)], dim=1)
        target = torch.cat([discrete[:, :1], distance / known.clamp(min=_LEAST_KNOWN)], dim=1)
        yield channels_last(random_intensities(view, plan.augmentation, generator)), target, discrete[:, 1:]


def denoising_batches(
    windows: Windows,
    plan: Plan,
    config: DenoisingTraining,
    source: Source,
    seed: int,
    device: torch.device,
    fixed_range: tuple[float, float] | None = None,
    scale: NoiseScale = "range",
) -> Iterator[Batch]:
    """Yield batches of noisy images, what to make of them, and weights, without end.

    Mirrored and turned, but resized and changed in gain and offset only where the noise is synthetic: real noise keeps
    its grain.
    """
    generator = torch.Generator(device).manual_seed(seed)
    views = plan.augmentation if source == "clean_only" else plan.augmentation.model_copy(update={"scale": 0.0})
    for image, target, weight in windows(source_size(plan.patch, views), plan.batch_size, seed):
        n_channels = image.shape[1]
        smooth, weight = random_views(torch.cat([image, target], dim=1), weight, plan.patch, views, generator)
        noisy, clean = smooth[:, :n_channels], smooth[:, n_channels:]
        if source == "clean_only":
            noisy, clean, importance = synthetic_noise(clean, config.noise, generator, fixed_range, scale)
            noisy, clean = _varied(noisy, clean, plan.augmentation, generator)
            weight = weight * importance
        if source == "blind_spot":
            noisy, hidden = hide_pixels(noisy, generator)
            weight = weight * hidden
        yield channels_last(noisy), clean, weight


def synthetic_noise(
    clean: Tensor,
    noise: NoiseConfig,
    generator: torch.Generator,
    fixed_range: tuple[float, float] | None = None,
    scale: NoiseScale = "range",
) -> tuple[Tensor, Tensor, Tensor]:
    """Add Poisson–Gaussian noise to normalized images ``(N, C, *spatial)``, its levels drawn from their ranges.

    A noisy image is normalized by its own darkest and brightest pixels, which lie beyond the clean one's: without
    that shift a network would learn on a background darker than it meets. The noise's own percentiles stand for the
    image's.

    Parameters
    ----------
    fixed_range
        Darkest and brightest normalized intensity where noise does not change the normalization; None where the
        images lie from 0 to 1 and it does.
    scale
        noise divides both by the standard deviation of each image's noise and needs a fixed range; stabilized makes
        noise equally strong everywhere and needs none.

    Returns
    -------
    noisy, clean
        Both in the normalization that the noisy image gets.
    importance
        How much a squared error there counts as one of intensity, on average 1; broadcast over them.
    """
    if scale == "stabilized":
        noisy, poisson, gaussian = _noisy(clean, noise, generator)
        dark_variance = gaussian.square().clamp(min=_LEAST_STD**2)
        even = Stabilization(poisson, dark_variance, dark_variance / 2)
        variance = even.variance_of(clean)
        mean = variance.mean(dim=tuple(range(1, clean.dim())), keepdim=True)
        return even.apply(noisy), even.expect(clean), variance / mean
    alike = torch.ones((1,) * clean.dim(), device=clean.device)
    if fixed_range is not None:
        dark, bright = fixed_range
        intensity = (clean - dark) / (bright - dark)
        noisy, poisson, gaussian = _noisy(intensity, noise, generator)
        noisy = dark + (bright - dark) * noisy
        if scale == "range":
            return noisy, clean, alike
        photons = intensity.clamp(min=0).mean(dim=tuple(range(1, clean.dim())), keepdim=True)
        std = (bright - dark) * (poisson * photons + gaussian**2).sqrt().clamp(min=_LEAST_STD)
        return noisy / std, clean / std, alike
    noisy, poisson, gaussian = _noisy(clean, noise, generator)
    low = -DARK_END * gaussian
    range_ = 1 + _BRIGHT_END * (poisson + gaussian**2).sqrt() - low
    return (noisy - low) / range_, (clean - low) / range_, alike


def channels_last(batch: Tensor) -> Tensor:
    """Lay `batch` out with its channels last in memory, which convolutions compute faster."""
    return batch.contiguous(memory_format=torch.channels_last if batch.dim() == 4 else torch.channels_last_3d)


def _sent(
    examples: Sequence[Example], device: torch.device, size: tuple[int, ...], batch_size: int, seed: int
) -> Iterator[Batch]:
    """Draw windows onto the device, one batch ahead of its use, in a thread of its own: a step never waits for one.

    A graphics card gets them on a stream of their own, beside the step that it computes.
    """
    drawn = draw_windows(examples, size, batch_size, seed)
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def draw() -> Batch:
        with torch.cuda.stream(stream):
            image, target, weight = (torch.from_numpy(windows).to(device) for windows in next(drawn))
        return image, target, weight

    def taken(batch: Batch) -> Batch:
        if stream is not None:
            for part in batch:  # not to be overwritten before the step has read it
                part.record_stream(torch.cuda.current_stream(device))
        return batch

    yield taken(draw())  # with nothing beside it: the card's kernels are recorded now
    with ThreadPoolExecutor(1, "windows") as worker:
        coming = worker.submit(draw)
        while True:
            batch = coming.result()
            coming = worker.submit(draw)
            yield taken(batch)


def _noisy(clean: Tensor, noise: NoiseConfig, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw levels and noise for images from 0 to 1; return the noisy images and both levels of each."""
    per_image = (len(clean), *[1] * (clean.dim() - 1))
    poisson = log_uniform(per_image, *noise.poisson, generator)
    gaussian = log_uniform(per_image, *noise.gaussian, generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(per_image, generator=generator, device=clean.device)

    gain_spread = uniform(*noise.gain_spread) if noise.gain_spread[1] > 0 else None
    noisy = poisson_gaussian(clean, poisson, gaussian, generator, gain_spread=gain_spread)
    if noise.correlation[1] > 0:
        noisy = clean + correlate_along_x(noisy - clean, uniform(*noise.correlation))
    return noisy, poisson, gaussian


def _varied(
    noisy: Tensor, clean: Tensor, augmentation: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return noisy and clean in a gain and offset of their own, as no two images are normalized quite alike."""
    per_image = (len(clean), *[1] * (clean.dim() - 1))
    centred = 2 * torch.rand((2, *per_image), generator=generator, device=clean.device) - 1
    gain, offset = 1 + augmentation.gain * centred[0], augmentation.offset * centred[1]
    return gain * noisy + offset, gain * clean + offset
