"""Batches on the device: windows of examples, augmented, and noise where it is to be learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from unveil.config.training import AugmentationConfig
from unveil.data.examples import Example
from unveil.data.patches import draw_places, draw_windows
from unveil.inference.memory import free_bytes
from unveil.operators.augmentation import random_intensities, random_views, source_size
from unveil.operators.blind_spot import hide_pixels
from unveil.training.held_examples import HeldExamples
from unveil.training.plan import Plan
from unveil.training.steps import Batch
from unveil.training.synthetic_noise import SyntheticNoise

Source: TypeAlias = Literal["pairs", "clean_only", "blind_spot", "frames"]
"""What a denoiser learns from: clean images beside noisy ones, clean ones alone, or noisy ones alone in two ways."""

_SHARE_HELD = 0.25
"""Part of a graphics card's free memory that examples may take."""
_LEAST_KNOWN = 1e-3
"""Where less than this of an interpolated distance is known, its weight is 0."""


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
    source: Source,
    noise: SyntheticNoise | None,
    seed: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield batches of noisy images, what to make of them, and weights, without end.

    Mirrored and turned, but resized and changed in gain and offset only where the noise is synthetic: real noise keeps
    its grain.

    Parameters
    ----------
    noise
        What is added to clean images; None where the images have noise of their own.
    """
    generator = torch.Generator(device).manual_seed(seed)
    views = plan.augmentation if noise is not None else plan.augmentation.model_copy(update={"scale": 0.0})
    for image, target, weight in windows(source_size(plan.patch, views), plan.batch_size, seed):
        n_channels = image.shape[1]
        smooth, weight = random_views(torch.cat([image, target], dim=1), weight, plan.patch, views, generator)
        noisy, clean = smooth[:, :n_channels], smooth[:, n_channels:]
        if noise is not None:
            noisy, clean, importance = noise.added(clean, generator)
            noisy, clean = _varied(noisy, clean, plan.augmentation, generator)
            weight = weight * importance
        if source == "blind_spot":
            noisy, hidden = hide_pixels(noisy, generator)
            weight = weight * hidden
        yield channels_last(noisy), clean, weight


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


def _varied(
    noisy: Tensor, clean: Tensor, augmentation: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return noisy and clean in a gain and offset of their own, as no two images are normalized quite alike."""
    per_image = (len(clean), *[1] * (clean.dim() - 1))
    centred = 2 * torch.rand((2, *per_image), generator=generator, device=clean.device) - 1
    gain, offset = 1 + augmentation.gain * centred[0], augmentation.offset * centred[1]
    return gain * noisy + offset, gain * clean + offset
