"""The training loop: it yields what happens and knows nothing of who listens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias

import torch
from torch import Tensor, nn

from unveil.config.training import TrainingSchedule
from unveil.events import EpochEnd, Preview, StepEnd
from unveil.training.validation import Judge, on_device

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Input ``(N, C, *spatial)``, target ``(N, K, *spatial)``, weight ``(N, 1, *spatial)``, on the device."""
Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of output, target and weight."""

_WARM_UP = 0.03
_MAX_GRADIENT_NORM = 1.0


def fit(
    network: nn.Module,
    batches: Iterator[Batch],
    loss: Loss,
    judge: Judge | None,
    schedule: TrainingSchedule,
    *,
    device: torch.device,
    autocast: torch.dtype | None,
    metric_name: str,
) -> Generator[StepEnd | Preview | EpochEnd, None, None]:
    """Train `network` in place with Adam, yielding after each step and each epoch.

    The network is at its state of that moment whenever this yields; keeping the best is the caller's.

    Parameters
    ----------
    judge
        Validates after each epoch; None trains without validation.
    autocast
        Dtype of the convolutions, None for float32 throughout.
    """
    started = time.monotonic()
    n_steps = schedule.epochs * schedule.steps_per_epoch
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, n_steps, schedule.schedule))
    best = math.inf
    network.train()
    for epoch in range(schedule.epochs):
        losses = []
        for step in range(epoch * schedule.steps_per_epoch, (epoch + 1) * schedule.steps_per_epoch):
            losses.append(_step(network, next(batches), loss, optimizer, device, autocast))
            rate.step()
            yield StepEnd(step + 1, n_steps, losses[-1])
        verdict = judge(on_device(network, device, autocast)) if judge else None
        score = verdict.loss if verdict else sum(losses) / len(losses)
        if verdict:
            yield Preview(verdict.image.copy(), verdict.output.copy())
        yield EpochEnd(
            epoch=epoch + 1,
            n_epochs=schedule.epochs,
            training_loss=sum(losses) / len(losses),
            validation_loss=verdict.loss if verdict else None,
            metric=verdict.metric if verdict else None,
            metric_name=metric_name,
            is_best=score < best,
            seconds=time.monotonic() - started,
        )
        best = min(best, score)


def _step(
    network: nn.Module,
    batch: Batch,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    autocast: torch.dtype | None,
) -> float:
    image, target, weight = batch
    with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
        output = network(image)
    value = loss(output, target, weight)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT_NORM)
    optimizer.step()
    return float(value.detach())


def _rate(step: int, n_steps: int, schedule: str) -> float:
    """Return the learning rate at `step` as a share of its peak."""
    if schedule == "constant":
        return 1.0
    n_warm_up = max(1, round(_WARM_UP * n_steps))
    if step < n_warm_up:
        return (step + 1) / n_warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm_up) / max(1, n_steps - n_warm_up)))
