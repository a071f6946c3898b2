"""What a training says: what it chose, what judges, and what a colleague would notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unveil.errors import ConfigError, NoSplitError, UnveilWarning
from unveil.events import Event, Notice, Progress, StepEnd, TrainingStart, ignore
from unveil.tasks.train import train

Make = Callable[..., Any]


def test_it_is_said_what_was_chosen_and_why(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    config = segmentation(patch_px=None, epochs=None, steps_per_epoch=None, time_budget_s=2)
    model = train(*scenes(2), config, monitor=events.append)
    (start,) = (event for event in events if isinstance(event, TrainingStart))
    steps = [event for event in events if isinstance(event, StepEnd)]
    assert events.index(start) < events.index(steps[0])
    assert (start.device, start.precision) == ("cpu", "float32")
    assert start.n_steps == steps[0].n_steps >= len(steps)  # fewer where the time is up before
    assert start.settings | {"stop_after": None} == model.card.training.config | {"stop_after": None}
    assert start.settings["epochs"] * start.settings["steps_per_epoch"] == start.n_steps
    assert start.settings["time_budget_s"] is None
    assert start.settings["patch_px"] == 48
    assert len(start.reasons) == 3
    assert "what 2 s allow" in start.reasons[1]
    assert start.reasons[2] == f"Judged by {model.card.training.validation_images[0]}."
    assert start.held_out == ()
    assert model.card.training.seconds < 6


def test_a_block_that_judges_is_reported(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    model = train(*scenes(1, 128, 30), segmentation(epochs=1), monitor=events.append)
    (start,) = (event for event in events if isinstance(event, TrainingStart))
    (part,) = start.held_out
    assert part.image == 0
    assert sorted((part.stop[0] - part.start[0], part.stop[1] - part.start[1]))[1] == 128
    assert (model.card.training.n_images, model.card.training.n_validation_images) == (1, 1)
    assert model.card.training.history[0].metric is not None


def test_too_little_for_a_validation_is_said_and_may_be_agreed_to(scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(1, 40, 3)
    with pytest.raises(NoSplitError, match="validation_fraction 0"):
        train(images, annotations, segmentation())
    model = train(images, annotations, segmentation(validation_fraction=0), monitor=ignore)
    assert model.card.training.n_validation_images == 0
    assert {(line.validation_loss, line.metric) for line in model.card.training.history} == {(None, None)}


def test_advice_comes_before_anything_else_and_only_with_cause(scenes: Make, segmentation: Make) -> None:
    def notices(n_objects: int) -> list[str]:
        events: list[Event] = []
        data = scenes(2, 64, n_objects)
        train(*data, segmentation(epochs=1, steps_per_epoch=1), monitor=events.append)
        first = next(i for i, event in enumerate(events) if isinstance(event, TrainingStart))
        told = [event for event in events[:first] if not isinstance(event, Progress)]
        assert [event for event in events if isinstance(event, Notice)] == told
        return [event.message for event in told]

    assert ["objects are annotated" in notice for notice in notices(3)] == [True]
    assert not any("objects are annotated" in notice for notice in notices(8))


def test_a_loss_that_does_not_fall_is_noticed(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    config = segmentation(epochs=4, steps_per_epoch=50, learning_rate=1e-9, batch_size=1)
    train(*scenes(2), config, monitor=events.append)
    said = [event.message for event in events if isinstance(event, Notice) and "does not fall" in event.message]
    assert len(said) == 1


def test_advice_and_notices_are_warnings_by_default(scenes: Make, segmentation: Make) -> None:
    with pytest.warns(UnveilWarning, match="Only 6 objects"):
        train(*scenes(2, 64, 3), segmentation(epochs=1, steps_per_epoch=1))


def test_a_device_that_is_not_there_is_said_before_anything_is_looked_at(
    scenes: Make, segmentation: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unveil.tasks.train.prepare_lesson", None)
    device = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(ConfigError, match=f"'{device}' is not available"):
        train(*scenes(1), segmentation(device=device))
