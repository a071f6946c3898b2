"""The loop: setbacks, patience, pauses, and where it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unveil.config.training import AugmentationConfig
from unveil.errors import TrainingError
from unveil.events import EpochEnd, Notice, StepEnd
from unveil.training.fit import fit
from unveil.training.pace import measure_pace
from unveil.training.plan import Plan
from unveil.training.state import TrainingState
from unveil.training.steps import Batch, OwnSteps
from unveil.training.validation import Judge, Verdict

CPU = torch.device("cpu")


def line() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(1, 1, 1)


def batches(seed: int) -> Iterator[Batch]:
    """Twice the input, and one more."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        image = torch.randn(4, 1, 4, 4, generator=generator)
        yield image, 2 * image + 1, torch.ones(4, 1, 4, 4)


def squared(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return ((output - target).square() * weight).mean()


def scores(*losses: float) -> Judge:
    """Give these verdicts, one per epoch, whatever the network says."""
    rest = iter(losses)
    return lambda network: Verdict(((next(rest), 1.0),), 0.5)


def plan(**changes: Any) -> Plan:
    numbers = {
        "patch": (4, 4), "batch_size": 4, "learning_rate": 0.01, "schedule": "constant",
        "augmentation": AugmentationConfig(), "epochs": 4, "steps_per_epoch": 3, "stop_after": 4,
    }  # fmt: skip
    return Plan(**numbers | changes)


def run(
    state: TrainingState, plan: Plan, *, loss: Any = squared, judge: Judge | None = None
) -> Iterator[StepEnd | EpochEnd | Notice]:
    steps = OwnSteps(state, batches, loss, device=CPU, autocast=None)
    return fit(state, steps, judge, plan, seed=5, device=CPU, autocast=None, metric_name="PSNR")


class Faulty:
    """The squared error, which is no number at some calls."""

    def __init__(self, *calls: int, always_after: int = 10**9, in_gradient: bool = False) -> None:
        self.n_calls, self.calls, self.always_after, self.in_gradient = 0, calls, always_after, in_gradient

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        self.n_calls += 1
        value = squared(output, target, weight)
        if self.n_calls not in self.calls and self.n_calls <= self.always_after:
            return value
        if self.in_gradient:
            return value + 0 * (output * 0).abs().sqrt().sum()  # 0, with a slope of 0 · infinity
        return value * math.nan


def test_steps_and_epochs_come_in_order() -> None:
    events = list(run(TrainingState.begin(line()), plan(), judge=scores(4, 3, 2, 1)))
    assert [type(event) for event in events] == [*[StepEnd] * 3, EpochEnd] * 4
    steps = [event for event in events if isinstance(event, StepEnd)]
    epochs = [event for event in events if isinstance(event, EpochEnd)]
    assert [step.step for step in steps] == list(range(1, 13))
    assert {step.n_steps for step in steps} == {12}
    assert [(epoch.epoch, epoch.step, epoch.n_epochs) for epoch in epochs] == [(i, 3 * i, 4) for i in (1, 2, 3, 4)]
    assert [epoch.validation_loss for epoch in epochs] == [4, 3, 2, 1]
    for number, epoch in enumerate(epochs):
        mine = [step.loss for step in steps[3 * number : 3 * number + 3]]
        assert epoch.training_loss == pytest.approx(sum(mine) / 3)


def test_it_learns_the_line() -> None:
    network = line()
    list(run(TrainingState.begin(network), plan(epochs=60, stop_after=60, learning_rate=0.05)))
    assert network.weight.item() == pytest.approx(2, abs=0.05)
    assert network.bias.item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("in_gradient", [False, True], ids=["loss", "gradient"])
@pytest.mark.parametrize("call", [4, 5, 6])
def test_a_loss_that_is_no_number_goes_back_with_half_the_rate(call: int, in_gradient: bool) -> None:
    state = TrainingState.begin(line())
    events, weights = [], {}
    for event in run(state, plan(), loss=Faulty(call, in_gradient=in_gradient)):
        events.append(event)
        if isinstance(event, EpochEnd):
            weights[event.epoch] = state.network.weight.item()
            assert state.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 if event.epoch == 1 else 0.005)
        if isinstance(event, Notice):
            assert "half the learning rate" in event.message
            assert "end of epoch 1" in event.message
            assert state.network.weight.item() == weights[1]
    assert sum(isinstance(event, Notice) for event in events) == 1
    assert [event.epoch for event in events if isinstance(event, EpochEnd)] == [1, 2, 3, 4]
    assert (state.n_setbacks, state.rate_factor) == (1, 0.5)
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, StepEnd))
    assert math.isfinite(state.network.weight.item())


def test_after_a_setback_other_batches_are_tried() -> None:
    seeds: list[int] = []

    def noted(seed: int) -> Iterator[Batch]:
        seeds.append(seed)
        return batches(seed)

    state = TrainingState.begin(line())
    steps = OwnSteps(state, noted, Faulty(4), device=CPU, autocast=None)
    list(fit(state, steps, None, plan(), seed=5, device=CPU, autocast=None, metric_name="IoU"))
    assert len(seeds) == len(set(seeds)) == 5


def test_a_training_that_never_gives_a_number_is_given_up() -> None:
    notices = []
    state = TrainingState.begin(line())
    with pytest.raises(TrainingError, match=r"6 times.*Look for extreme pixel values"):
        notices.extend(event for event in run(state, plan(), loss=Faulty(always_after=4)) if isinstance(event, Notice))
    assert state.epoch == 1
    assert math.isfinite(state.network.weight.item())


def test_patience_ends_it() -> None:
    state = TrainingState.begin(line())
    losses = [3, 2, 2.5, 2.6, 2.1, 9, 9, 9]
    events = list(run(state, plan(epochs=8, stop_after=8, patience=3), judge=scores(*losses)))
    epochs = [event for event in events if isinstance(event, EpochEnd)]
    assert [epoch.is_kept for epoch in epochs] == [True, True, False, False, False]
    assert isinstance(events[-1], Notice)
    assert "validation loss has not improved for 3 epochs" in events[-1].message
    assert "model of epoch 2" in events[-1].message
    assert state.ended_by == "patience"
    assert list(run(state, plan(epochs=8, stop_after=8, patience=3), judge=scores(0)))[-1] == events[-1], (
        "a training that ended goes on when it is resumed"
    )


def test_endless_patience_and_an_end_by_schedule() -> None:
    state = TrainingState.begin(line())
    events = list(run(state, plan(patience=0), judge=scores(1, 2, 3, 4)))
    assert sum(isinstance(event, EpochEnd) for event in events) == 4
    assert state.ended_by == "schedule"


def test_without_validation_the_training_loss_decides() -> None:
    events = list(run(TrainingState.begin(line()), plan()))
    epochs = [event for event in events if isinstance(event, EpochEnd)]
    assert {epoch.validation_loss for epoch in epochs} == {epoch.metric for epoch in epochs} == {None}
    best = [min(epochs[: i + 1], key=lambda e: e.training_loss) is epochs[i] for i in range(4)]
    assert [epoch.is_kept for epoch in epochs] == best


def test_stop_after_ends_earlier_and_changes_nothing_before() -> None:
    long, short = (TrainingState.begin(line()) for _ in range(2))
    whole = list(run(long, plan(schedule="cosine")))
    part = list(run(short, plan(schedule="cosine", stop_after=2)))
    steps = [[event for event in events if isinstance(event, StepEnd)] for events in (whole, part)]
    assert [(step.step, step.loss) for step in steps[1]] == [(step.step, step.loss) for step in steps[0][:6]]
    assert {step.n_steps for step in steps[1]} == {6}
    assert {event.n_epochs for event in part if isinstance(event, EpochEnd)} == {2}
    assert short.epoch == 2
    assert short.ended_by == "schedule"


@pytest.mark.parametrize("kind", [StepEnd, EpochEnd, Notice])
def test_a_pause_does_not_count(kind: type) -> None:
    seconds, is_first = 0.0, True
    started = time.monotonic()
    for event in run(TrainingState.begin(line()), plan(), loss=Faulty(2)):
        if isinstance(event, kind) and is_first:
            time.sleep(0.5)
            is_first = False
        if isinstance(event, EpochEnd):
            seconds = event.seconds
    assert not is_first
    assert 0 < seconds < time.monotonic() - started - 0.4


def test_seconds_go_on_where_they_stood() -> None:
    state = TrainingState.begin(line())
    state.seconds = 100
    epochs = [event for event in run(state, plan()) if isinstance(event, EpochEnd)]
    assert 100 < epochs[0].seconds < epochs[-1].seconds < 130
    assert state.seconds == pytest.approx(epochs[-1].seconds, abs=0.5)


def rates(plan: Plan) -> list[float]:
    state = TrainingState.begin(line())
    return [state.optimizer.param_groups[0]["lr"] for event in run(state, plan) if isinstance(event, StepEnd)]


def test_the_rate_stays_or_warms_up_and_falls() -> None:
    assert rates(plan()) == [0.01] * 12
    cosine = rates(plan(schedule="cosine", epochs=25, stop_after=25, steps_per_epoch=4))
    peak = cosine.index(max(cosine))
    assert max(cosine) == pytest.approx(0.01)
    assert 1 <= peak <= 5
    assert cosine[: peak + 1] == sorted(cosine[: peak + 1])
    assert cosine[peak:] == sorted(cosine[peak:], reverse=True)
    assert cosine[-1] < 1e-4


def test_measuring_the_pace_changes_nothing() -> None:
    network = line()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    pace = measure_pace(network, batches, squared, device=CPU, autocast=None, n_validated=0)
    assert torch.equal(torch.rand(2), expected)
    assert pace.step_s > 0
    assert pace.spent_s > pace.step_s
    assert pace.validation_s == 0
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_validation_takes_a_third_of_a_step_for_as_many_pixels() -> None:
    batch = next(batches(0))
    n_px = 6 * batch[0].numel() // batch[0].shape[1]
    pace = measure_pace(line(), batches, squared, device=CPU, autocast=None, n_validated=n_px)
    assert pace.validation_s == pytest.approx(2 * pace.step_s)


def test_a_time_that_is_up_ends_the_training_and_keeps_the_best() -> None:
    state = TrainingState.begin(line())
    state.seconds = 10
    events = list(run(state, plan(epochs=60, stop_after=60, time_budget_s=10.0)))
    assert state.ended_by == "time"
    assert [event.epoch for event in events if isinstance(event, EpochEnd)] == [1]
    assert len([event for event in events if isinstance(event, StepEnd)]) == 1
    assert state.kept_weights
    (notice,) = (event.message for event in events if isinstance(event, Notice))
    assert "time is up after epoch 1 of 60" in notice


def test_where_time_runs_out_the_rate_falls_with_it() -> None:
    def rates(seconds: float) -> list[float]:
        state = TrainingState.begin(line())
        state.seconds = seconds
        found = []
        for event in run(state, plan(schedule="cosine", epochs=4, stop_after=4, time_budget_s=1000.0)):
            if isinstance(event, StepEnd):
                found.append(state.optimizer.param_groups[0]["lr"])
        return found

    early, late = rates(0.0), rates(900.0)
    assert max(early) > 0.8 * 0.01
    assert max(late) < 0.1 * 0.01
