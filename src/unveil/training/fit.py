"""The training loop: it yields what happens and knows nothing of who listens."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

import torch

from unveil.errors import TrainingError
from unveil.events import EpochEnd, Notice, StepEnd
from unveil.training.plan import Plan
from unveil.training.state import TrainingState
from unveil.training.steps import Steps, derived_seed
from unveil.training.validation import Judge, Verdict, on_device

Told = TypeVar("Told", StepEnd, EpochEnd, Notice)

_WARM_UP = 0.03
_MOST_SETBACKS = 5
"""How often a training whose loss is no number goes back before it gives up."""


def fit(
    state: TrainingState,
    steps: Steps,
    judge: Judge | None,
    plan: Plan,
    *,
    seed: int,
    device: torch.device,
    autocast: torch.dtype | None,
    metric_name: str,
) -> Generator[StepEnd | EpochEnd | Notice, None, None]:
    """Train ``state.network`` with Adam from where `state` stands, yielding after each step and each epoch.

    The state is that of the moment whenever this yields; keeping the best is the caller's. The batches of an epoch
    depend on `seed` and its number alone, so that a training goes on from an epoch's end as if nothing had happened.
    Time that the caller takes between events (a pause) does not count, unless it adds
    it to ``state.seconds`` itself. Where a time budget is nearly used up, the learning rate falls sooner than planned.

    Parameters
    ----------
    steps
        Of the network of `state`.
    judge
        Validates after each epoch; None trains without validation.
    autocast
        Dtype of the convolutions while validating, None for float32 throughout.

    Raises
    ------
    TrainingError
        If the loss is no number again and again.
    """
    clock = _Clock(state)
    while state.epoch < plan.stop_after:
        if ending := _ending(state, plan, clock, "validation" if judge else "training"):
            yield ending
            return
        losses: list[float] = []
        steps.begin(derived_seed(seed, state.epoch, state.n_setbacks))  # after a setback other batches are tried
        for step in range(state.epoch * plan.steps_per_epoch, (state.epoch + 1) * plan.steps_per_epoch):
            if losses and clock.share_of(plan.time_budget_s) >= 1:
                break
            progress = max(step / plan.n_steps, clock.share_of(plan.time_budget_s))
            rate = plan.learning_rate * state.rate_factor * _rate(progress, plan.schedule)
            losses.append(steps.take(rate))
            if not math.isfinite(losses[-1]):
                break
            yield from clock.paused(StepEnd(step + 1, plan.n_steps_to_take, losses[-1]))
        if math.isfinite(losses[-1]):
            yield from clock.paused(_end_epoch(state, losses, judge, plan, device, autocast, metric_name, clock))
        else:
            yield from clock.paused(_go_back(state, steps, rate))


def _ending(state: TrainingState, plan: Plan, clock: _Clock, which: str) -> Notice | None:
    """Say why training ends before its schedule does, and note it; None where it goes on."""
    if state.is_stuck(plan.patience):
        state.ended_by = "patience"
        return Notice(
            f"The {which} loss has not improved for {plan.patience} epochs: training ends, and the model of epoch "
            f"{state.kept_epoch} is kept."
        )
    if state.epoch and clock.share_of(plan.time_budget_s) >= 1:
        state.ended_by = "time"
        return Notice(
            f"The time is up after epoch {state.epoch} of {plan.epochs}: the computer was slower than it seemed at "
            f"first. The model of epoch {state.kept_epoch} is kept."
        )
    return None


def _end_epoch(
    state: TrainingState,
    losses: list[float],
    judge: Judge | None,
    plan: Plan,
    device: torch.device,
    autocast: torch.dtype | None,
    metric_name: str,
    clock: _Clock,
) -> EpochEnd:
    """Validate, and move `state` on."""
    verdict: Verdict | None = judge(on_device(state.network, device, autocast)) if judge else None
    training_loss = sum(losses) / len(losses)
    state.epoch += 1
    is_kept = state.note_score(verdict.loss, verdict.losses) if verdict else state.note_score(training_loss)
    return EpochEnd(
        epoch=state.epoch,
        n_epochs=plan.stop_after,
        step=state.epoch * plan.steps_per_epoch,
        training_loss=training_loss,
        validation_loss=verdict.loss if verdict else None,
        metric=verdict.metric if verdict else None,
        metric_name=metric_name,
        is_kept=is_kept,
        seconds=clock.read(),
    )


def _go_back(state: TrainingState, steps: Steps, rate: float) -> Notice:
    """Return to where the epoch began, with half the learning rate, and say so."""
    steps.go_back()
    if state.n_setbacks > _MOST_SETBACKS:
        raise TrainingError(
            f"The loss became infinite or no number {state.n_setbacks} times, at last with a learning rate of "
            f"{rate:.1g}. Look for extreme pixel values, or choose another normalization."
        )
    where = f"the end of epoch {state.epoch}" if state.epoch else "its beginning"
    return Notice(f"The loss became infinite or no number; training goes back to {where}, with half the learning rate.")


class _Clock:
    """Counts seconds of work into the state, without those in which the caller kept an event to itself."""

    def __init__(self, state: TrainingState) -> None:
        self._state, self._since = state, time.monotonic()

    def read(self) -> float:
        """Bring the state's seconds up to now, and return them."""
        now = time.monotonic()
        self._state.seconds += now - self._since
        self._since = now
        return self._state.seconds

    def share_of(self, budget_s: float | None) -> float:
        """Return which part of the budget is used up; 0 without one."""
        return self.read() / budget_s if budget_s is not None else 0.0

    def paused(self, event: Told) -> Iterator[Told]:
        """Yield `event`, and do not count how long that takes."""
        self.read()
        yield event
        self._since = time.monotonic()


def _rate(progress: float, schedule: str) -> float:
    """Return the learning rate as a share of its peak, at a `progress` of 0 to 1."""
    if schedule == "constant":
        return 1.0
    if progress < _WARM_UP:
        return max(progress, _WARM_UP / 10) / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
