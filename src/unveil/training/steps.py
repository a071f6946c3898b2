"""Optimizer steps: the part of a training that several replicas of a network can share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, distributed, nn

from unveil.training.forward import Forward, training_forward
from unveil.training.norm_limits import NormLimiter
from unveil.training.state import TrainingState

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Input ``(N, C, *spatial)``, target ``(N, K, *spatial)``, weight ``(N, K or 1, *spatial)``, on the device."""
Batches: TypeAlias = Callable[[int], Iterator[Batch]]
"""Starts an endless stream of batches from a seed."""
Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of output, target and weight."""

_MAX_GRADIENT_NORM = 1.0


def derived_seed(*numbers: int) -> int:
    """Return the seed that `numbers` stand for together."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Steps(Protocol):
    """What the training loop asks for; whether one process answers or several, it does not know."""

    def begin(self, seed: int) -> None:
        """Begin an epoch, whose batches depend on `seed` alone."""

    def take(self, rate: float) -> float:
        """Take one step at a learning rate and return the loss; none is taken where that is no number."""

    def go_back(self) -> None:
        """Return to where the epoch began, with half the learning rate."""


class OwnSteps:
    """Steps of the network of `state`, in this process.

    Parameters
    ----------
    autocast
        Dtype of the convolutions, None for float32 throughout.
    limiter
        Keeps norms of convolutions below their limits.
    is_replica
        Whether the gradient is the mean over all processes of the default process group.
    """

    def __init__(
        self,
        state: TrainingState,
        batches: Batches,
        loss: Loss,
        *,
        device: torch.device,
        autocast: torch.dtype | None,
        limiter: NormLimiter | None = None,
        is_replica: bool = False,
    ) -> None:
        self._state, self._batches, self._loss, self._limiter = state, batches, loss, limiter
        self._is_replica = is_replica
        state.network.train()
        self._forward = training_forward(state.network, device, autocast, is_replica=is_replica)
        self._stream: Iterator[Batch] = iter(())
        self._before: Mapping[str, Tensor] = {}

    def begin(self, seed: int) -> None:
        """Begin an epoch, whose batches depend on `seed` alone."""
        self._before = self._state.snapshot()
        self._stream = self._batches(seed)
        if self._limiter is not None:
            self._limiter.begin(seed)

    def take(self, rate: float) -> float:
        """Take one step at a learning rate and return the loss; none is taken where that is no number."""
        value = train_step(
            self._state, next(self._stream), self._loss, rate, self._forward, is_replica=self._is_replica
        )
        if self._limiter is not None and math.isfinite(value):
            self._limiter.apply()
        return value

    def go_back(self) -> None:
        """Return to where the epoch began, with half the learning rate."""
        self._state.go_back(self._before)

    def end(self) -> None:
        """Let go of the epoch's batches, and of the thread that draws them."""
        self._stream = iter(())


def train_step(
    state: TrainingState, batch: Batch, loss: Loss, rate: float, forward: Forward, *, is_replica: bool = False
) -> float:
    """Take one step and return the loss; none is taken where that, or its gradient, is no number.

    All replicas return the mean of their losses, and so take the step or leave it together.
    """
    image, target, weight = batch
    value = loss(forward(image), target, weight)
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), _MAX_GRADIENT_NORM)
    value = value.detach()
    if is_replica:
        distributed.all_reduce(value)
        value = value / distributed.get_world_size()
    numbers: list[float] = torch.stack([value, norm]).tolist()  # a graphics card is waited for once
    if unusable := [number for number in numbers if not math.isfinite(number)]:
        return unusable[0]
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    return numbers[0]
