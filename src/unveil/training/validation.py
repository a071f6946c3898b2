"""Judge a network on examples that never teach: never augmented, tile by tile where they are large."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from unveil.config.architecture import Architecture
from unveil.data.examples import Example
from unveil.events import Monitor, ignore, told
from unveil.inference.tiling import fit_tiling
from unveil.operators.blind_spot import hide_pixels
from unveil.operators.calibration import fit_temperature
from unveil.operators.losses import denoising_loss
from unveil.operators.receptive_field import extension, halo, size_step
from unveil.training.steps import Loss

Apply = Callable[[Tensor], Tensor]
"""A network as a function from a normalized batch ``(1, C, *spatial)`` to maps ``(1, K, *spatial)``."""

_MOST_PIXELS = 1 << 20
"""Largest window that is computed at once."""
_HIDDEN_SHARE = 0.04
_LEAST_ERROR = 1e-12
"""Mean squared error, in parts of the squared peak, below which a PSNR says no more."""
_LEAST_TO_CALIBRATE = 10_000
_TEMPERATURES = (0.5, 4.0)
"""What a few held-out windows may ask for, in units of the training's: a network without an error on them would be made
as sure as can be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a validation found.

    Attributes
    ----------
    losses
        Of each held-out example: mean over its judged pixels, and their number.
    metric
        Foreground IoU pooled over all judged pixels, or the mean PSNR in dB; None where no clean image is known.
    """

    losses: tuple[tuple[float, float], ...]
    metric: float | None

    @property
    def loss(self) -> float:
        """Mean over judged pixels."""
        values, weights = zip(*self.losses, strict=True)
        return float(np.average(values, weights=weights))


Judge = Callable[[Apply], Verdict]


def segmentation_judge(examples: Sequence[Example], architecture: Architecture, loss: Loss, *, n_classes: int) -> Judge:
    """Return the judge of a segmentation network: loss and pooled foreground IoU."""

    def judge(network: Apply) -> Verdict:
        losses: list[tuple[float, float]] = []
        intersection = union = 0
        for example in examples:
            maps = torch.from_numpy(maps_of(network, example.image, architecture))[None]
            target, weight = (torch.from_numpy(a)[None] for a in (example.target, example.weight))
            losses.append((float(loss(maps, target, weight)), float(example.weight[0].sum())))
            judged = example.weight[0] > 0
            predicted = (maps[0, :n_classes].argmax(dim=0).numpy() > 0) & judged
            true = (example.target[0] > 0) & judged
            intersection += int((predicted & true).sum())
            union += int((predicted | true).sum())
        return Verdict(tuple(losses), intersection / union if union else 1.0)

    return judge


def temperature_of(
    network: Apply,
    examples: Sequence[Example],
    architecture: Architecture,
    *,
    n_classes: int,
    learnt_at: float = 1.0,
    monitor: Monitor = ignore,
) -> float:
    """Return the temperature at which the probabilities of a segmentation network fit `examples` best.

    At most some million pixels of them, as many as a validation may take; `learnt_at`, the temperature of the training,
    where all judged pixels are of one class, or too few to say. `monitor` is told image by image how far this is.
    """
    scores, classes, n_seen = [], [], 0
    for example in told(examples, monitor, "images for the calibration"):
        if n_seen > _MOST_PIXELS:
            break
        judged = example.weight[0] > 0
        scores.append(maps_of(network, example.image, architecture)[:n_classes, judged])
        classes.append(example.target[0][judged].astype(np.intp))
        n_seen += judged.size
    maps, true = np.concatenate(scores, axis=1), np.concatenate(classes)
    if len(true) < _LEAST_TO_CALIBRATE or len(np.unique(true)) < 2:
        return learnt_at
    low, high = _TEMPERATURES
    return learnt_at * float(np.clip(fit_temperature(softmax(maps / learnt_at, axis=0), true), low, high))


def denoising_judge(examples: Sequence[Example], architecture: Architecture, loss: Loss = denoising_loss) -> Judge:
    """Return the judge of a denoiser: its loss, and the mean PSNR (dB) over the clean images that have a range.

    The PSNR is that of `evaluate`, in grey values; where noise is synthetic, in normalized intensity.
    """

    def judge(network: Apply) -> Verdict:
        losses, psnr = [], []
        for example in examples:
            output = maps_of(network, example.image, architecture)
            losses.append((_error(output, example, example.weight, loss), float(example.weight.sum())))
            if np.ptp(example.target) > 0:
                psnr.append(_psnr(output, example))
        return Verdict(tuple(losses), float(np.mean(psnr)) if psnr else None)

    return judge


def noisy_judge(
    examples: Sequence[Example], architecture: Architecture, loss: Loss = denoising_loss, *, hide: bool
) -> Judge:
    """Return the judge of a denoiser where every target is noisy: a loss, and no PSNR, which would mean nothing.

    Parameters
    ----------
    hide
        Judge the pixels hidden from the network, always the same ones; otherwise all.
    """
    generator = torch.Generator().manual_seed(0)
    seen: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for example in examples:
        image, weight = example.image, example.weight
        while hide and image is example.image:  # of a tiny image none may be hidden at first
            changed, hidden = hide_pixels(torch.from_numpy(example.image)[None], generator, share=_HIDDEN_SHARE)
            if (judged := hidden[0].numpy() * example.weight).any():
                image, weight = changed[0].numpy(), judged
        seen.append((image, weight))

    def judge(network: Apply) -> Verdict:
        losses = [
            (_error(maps_of(network, image, architecture), example, weight, loss), float(weight.sum()))
            for example, (image, weight) in zip(examples, seen, strict=True)
        ]
        return Verdict(tuple(losses), None)

    return judge


def maps_of(network: Apply, image: NDArray[np.float32], architecture: Architecture) -> NDArray[np.float32]:
    """Run `network` over a whole normalized image ``(C, *spatial)``; tiles bound the memory and change nothing."""
    spatial = image.shape[1:]
    tiling = fit_tiling(spatial, size_step(architecture), halo(architecture), _MOST_PIXELS)
    extra = [(0, 0), *((0, whole - length) for whole, length in zip(tiling.extended, spatial, strict=True))]
    extended = np.pad(image, extra, mode=extension(architecture))
    maps = np.empty((architecture.out_channels, *spatial), np.float32)
    with torch.inference_mode():
        for tile in tiling:
            batch = torch.from_numpy(np.ascontiguousarray(extended[(slice(None), *tile.window)]))[None]
            maps[(slice(None), *tile.inner)] = network(batch).float().cpu().numpy()[0][(slice(None), *tile.crop)]
    return maps


def on_device(network: nn.Module, device: torch.device, autocast: torch.dtype | None) -> Apply:
    """Return `network` as a function of batches on any device, in evaluation mode while it runs."""

    def run(batch: Tensor) -> Tensor:
        was_training = network.training
        network.eval()
        try:
            with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
                output: Tensor = network(batch.to(device))
        finally:
            network.train(was_training)
        return output

    return run


def _psnr(output: NDArray[np.float32], example: Example) -> float:
    """Return the PSNR of the judged pixels, in dB."""
    target, peak = example.target, float(np.ptp(example.target))
    if example.grey is not None:
        restore, peak = example.grey.intensities.restore, example.grey.peak
        output, target = restore(output), restore(target)
    weight = np.broadcast_to(example.weight, target.shape)
    error = float(np.average((output.astype(np.float64) - target) ** 2 / peak**2, weights=weight))
    return 10 * math.log10(1 / max(error, _LEAST_ERROR))


def _error(output: NDArray[np.float32], example: Example, weight: NDArray[np.float32], loss: Loss) -> float:
    maps, target, judged = (torch.from_numpy(a)[None] for a in (output, example.target, weight))
    return float(loss(maps, target, judged))
