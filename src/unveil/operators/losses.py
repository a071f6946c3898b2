"""What training minimizes; pixels nobody judged count nowhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_DISTANCE_WEIGHT = 20.0
"""An error of 0.2, usual while it learns, counts 0.8 (decision 0018)."""
_NEGLIGIBLE_ERROR = 1e-6
"""Mean squared error, in normalized intensity, below which nothing is gained: 60 dB."""


def segmentation_loss(
    maps: Tensor, target: Tensor, weight: Tensor, *, n_classes: int, overlap: bool = False, temperature: float = 1.0
) -> Tensor:
    """Cross entropy of the classes plus twenty times the squared error of the normalized distance where there is one.

    With `overlap`, how far the classes other than the background fall short of overlapping is added: 1 − soft Dice
    (Milletari 2016, arXiv 1606.04797), as nnU-Net does. Where objects cover little, cross entropy alone is slow to
    find them.

    Parameters
    ----------
    maps
        Network output before activation, ``(N, n_classes + d, *spatial)`` with d 0 or 1.
    target
        ``(N, 1 + d, *spatial)`` float32: the class index, then the distance in 0 … 1.
    weight
        ``(N, 1 + d, *spatial)`` float32: 1 where a person judged the class, and where the distance is known, else 0.
    temperature
        Of the softmax over the classes.
    """
    maps = maps.float()
    scores = maps[:, :n_classes] / temperature
    entropy = functional.cross_entropy(scores, target[:, 0].long(), reduction="none")[:, None]
    loss = _weighted_mean(entropy, weight[:, :1])
    if overlap:
        loss = loss + 1 - _soft_dice(scores, target[:, :1], weight[:, :1])
    if target.shape[1] > 1:
        error = _weighted_mean((maps[:, n_classes:] - target[:, 1:]).square(), weight[:, 1:])
        loss = loss + _DISTANCE_WEIGHT * error
    return loss


def denoising_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of `output` from the clean `target`, both ``(N, C, *spatial)``."""
    return _weighted_mean((output.float() - target).square(), weight)


def relative_denoising_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over patches of the logarithm of each one's mean squared error: PSNR turned into a loss.

    Every noise level counts alike; in a plain mean the noisiest patches outweigh all others.
    """
    axes = tuple(range(1, output.dim()))
    weight = weight.expand_as(target)
    error = ((output.float() - target).square() * weight).sum(axes) / weight.sum(axes).clamp(min=1)
    return (error + _NEGLIGIBLE_ERROR).log().mean()


def _soft_dice(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the classes but the background of twice their overlap over their sizes, pooled over the batch."""
    axes = (0, *range(2, scores.dim()))
    probabilities = scores.softmax(dim=1)[:, 1:]
    classes = torch.arange(1, scores.shape[1], device=scores.device).view(1, -1, *[1] * (scores.dim() - 2))
    true = (target == classes).to(probabilities.dtype)
    overlap = (probabilities * true * weight).sum(axes)
    sizes = ((probabilities + true) * weight).sum(axes)
    return ((2 * overlap + 1) / (sizes + 1)).mean()


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean over the pixels of weight 1; 0 where there are none."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / torch.clamp(weight.sum(), min=1)
