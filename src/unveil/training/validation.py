"""Judge a network on examples that never teach: whole frames, never augmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.data.examples import Example
from unveil.operators.losses import denoising_loss, segmentation_loss


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a validation found.

    Attributes
    ----------
    loss
        Mean over judged pixels.
    metric
        Foreground IoU pooled over all judged pixels, or the mean PSNR in dB.
    image, output
        Input and output maps of the first example, ``(C, *spatial)`` and ``(K, *spatial)``.
    """

    loss: float
    metric: float
    image: NDArray[np.float32]
    output: NDArray[np.float32]


Judge = Callable[[Callable[[Tensor], Tensor]], Verdict]
"""Judges a function from a normalized batch ``(1, C, *spatial)`` to output maps."""


def segmentation_judge(examples: Sequence[Example], *, n_classes: int, step: tuple[int, ...]) -> Judge:
    """Return the judge of a segmentation network: loss and pooled foreground IoU."""

    def judge(network: Callable[[Tensor], Tensor]) -> Verdict:
        losses, intersection, union = [], 0, 0
        outputs = [_whole(network, example, step) for example in examples]
        for example, maps in zip(examples, outputs, strict=True):
            target, weight = (torch.from_numpy(a)[None] for a in (example.target, example.weight))
            losses.append((float(segmentation_loss(maps, target, weight, n_classes=n_classes)), example.weight.sum()))
            judged = example.weight[0] > 0
            predicted = (maps[0, :n_classes].argmax(dim=0).numpy() > 0) & judged
            true = (example.target[0] > 0) & judged
            intersection += int((predicted & true).sum())
            union += int((predicted | true).sum())
        return Verdict(_mean(losses), intersection / union if union else 1.0, examples[0].image, outputs[0][0].numpy())

    return judge


def denoising_judge(examples: Sequence[Example], step: tuple[int, ...]) -> Judge:
    """Return the judge of a denoiser: mean squared error, and mean PSNR against the range of each clean image."""

    def judge(network: Callable[[Tensor], Tensor]) -> Verdict:
        losses, psnr = [], []
        outputs = [_whole(network, example, step) for example in examples]
        for example, output in zip(examples, outputs, strict=True):
            target, weight = (torch.from_numpy(a)[None] for a in (example.target, example.weight))
            error = float(denoising_loss(output, target, weight))
            losses.append((error, example.weight.sum()))
            psnr.append(10 * np.log10(max(float(np.ptp(example.target)), 1e-6) ** 2 / max(error, 1e-12)))
        return Verdict(_mean(losses), float(np.mean(psnr)), examples[0].image, outputs[0][0].numpy())

    return judge


def _whole(network: Callable[[Tensor], Tensor], example: Example, step: tuple[int, ...]) -> Tensor:
    """Run `network` on a whole example, extended by reflection to multiples of `step`, and cut to its size."""
    extra = [(0, 0), *((0, -length % s) for length, s in zip(example.spatial_shape, step, strict=True))]
    batch = torch.from_numpy(np.pad(example.image, extra, mode="reflect"))[None]
    with torch.inference_mode():
        maps = network(batch).float().cpu()
    inside: tuple[slice, ...] = tuple(slice(0, length) for length in example.spatial_shape)
    return maps[(slice(None), slice(None), *inside)]


def _mean(weighted: list[tuple[float, float]]) -> float:
    values, weights = zip(*weighted, strict=True)
    return float(np.average(values, weights=weights))


def on_device(network: nn.Module, device: torch.device, autocast: torch.dtype | None) -> Callable[[Tensor], Tensor]:
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
