"""How fast a training will go, measured on copies, so that nothing of it is changed."""

from __future__ import annotations

import copy
import time

import torch
from torch import nn

from unveil.training.forward import training_forward
from unveil.training.plan import Pace
from unveil.training.state import TrainingState
from unveil.training.steps import Batches, Loss, train_step

_FORWARD_SHARE = 1 / 3
"""Part of a step's time in which the network is applied; the gradient takes twice as long."""


def measure_pace(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    *,
    device: torch.device,
    autocast: torch.dtype | None,
    n_validated: int,
) -> Pace:
    """Take one step to warm up and one to measure, on a copy of `network`; what a validation takes follows from it.

    Parameters
    ----------
    n_validated
        Pixels to which the network is applied after each epoch.
    """
    begun = time.monotonic()
    state = TrainingState.begin(copy.deepcopy(network).train())
    stream = batches(0)
    forward = training_forward(state.network, device, autocast)
    train_step(state, next(stream), loss, 0.0, forward)
    started = time.monotonic()
    batch = next(stream)
    train_step(state, batch, loss, 0.0, forward)
    now = time.monotonic()
    n_taught = batch[0][:, 0].numel()
    step_s = now - started
    return Pace(step_s, step_s * _FORWARD_SHARE * n_validated / n_taught, spent_s=now - begun)
