"""How fast a training will go, measured on copies, so that nothing of it is changed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import nn

from unveil.training.fit import Batches, Loss, train_step
from unveil.training.plan import Pace
from unveil.training.state import TrainingState
from unveil.training.validation import Apply, Judge, on_device

_N_STEPS = 2


def measure_pace(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    judge: Judge | None,
    *,
    device: torch.device,
    autocast: torch.dtype | None,
    show: Callable[[Apply], object] | None = None,
) -> Pace:
    """Take one step to warm up and two to measure, then validate once, all on a copy of `network`.

    Parameters
    ----------
    show
        What else is done with the network after each validation: its preview.
    """
    begun = time.monotonic()
    state = TrainingState.begin(copy.deepcopy(network).train())
    stream = batches(0)
    train_step(state, next(stream), loss, 0.0, device, autocast)
    started = time.monotonic()
    for _ in range(_N_STEPS):
        train_step(state, next(stream), loss, 0.0, device, autocast)
    step_s = (time.monotonic() - started) / _N_STEPS
    started = time.monotonic()
    for use in (judge, show):
        if use is not None:
            use(on_device(state.network, device, autocast))
    now = time.monotonic()
    return Pace(step_s=step_s, validation_s=now - started, spent_s=now - begun)
