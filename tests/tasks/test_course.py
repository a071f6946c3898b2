"""Checkpoints and previews: a training that was interrupted goes on as if nothing had happened."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.config.options import SegmentationOptions
from unveil.data.annotation import Annotation
from unveil.errors import ConfigError
from unveil.events import Cancelled, EpochEnd, Event, Notice, Preview, StepEnd, StopEarly, TrainingStart, ignore
from unveil.image import Image
from unveil.model.model import Model
from unveil.tasks.segment import segment
from unveil.tasks.train import train

Make = Callable[..., Any]


class Kept:
    """Checkpoints in memory, as a file would give them back."""

    def __init__(self) -> None:
        self.last: tuple[dict[str, Tensor], str] | None = None
        self.n_saved = 0

    def load(self) -> tuple[Mapping[str, Tensor], dict[str, Any]] | None:
        return None if self.last is None else (copy.deepcopy(self.last[0]), json.loads(self.last[1]))

    def save(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        self.last = {name: tensor.clone() for name, tensor in tensors.items()}, json.dumps(record, allow_nan=False)
        self.n_saved += 1


class Crash(Exception):
    """What a monitor would never raise."""


def listen(events: list[Event], *, crash_at_step: int = 0, stop_at_step: int = 0) -> Callable[[Event], None]:
    def monitor(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepEnd) and event.step == crash_at_step:
            raise Crash
        if isinstance(event, StepEnd) and event.step == stop_at_step:
            raise StopEarly

    return monitor


def steps(events: list[Event]) -> list[StepEnd]:
    return [event for event in events if isinstance(event, StepEnd)]


def weights(model: Model) -> dict[str, list[float]]:
    return {name: tensor.tolist() for name, tensor in model.network.state_dict().items()}


@pytest.fixture(params=["segmentation", "a block of one image", "clean only", "adapting", "auto"])
def training(request: pytest.FixtureRequest, scenes: Make, segmentation: Make, denoising: Make) -> Callable[..., Model]:
    """Return a training of five epochs of four steps."""
    start = None
    match request.param:
        case "segmentation":
            data, config = scenes(3), segmentation(epochs=5)
        case "a block of one image":
            data, config = scenes(1, 128, 30), segmentation(epochs=5)
        case "clean only":
            data, config = (None, scenes(3)[0]), denoising(epochs=5)
        case "adapting":
            start = train(None, scenes(3)[0], denoising(epochs=1, steps_per_epoch=1), monitor=ignore)
            data, config = (scenes(1)[0], None), denoising(epochs=5, noisy_only="adapt")
        case _:
            data, config = scenes(3), segmentation(epochs=5, patch_px=None, batch_size=None, learning_rate=None)
    return partial(train, *data, config, start=start)


@pytest.mark.parametrize("crash_at_step", [9, 12, 17], ids=["begins epoch 3", "ends epoch 3", "in epoch 5"])
def test_a_resumed_training_equals_an_uninterrupted_one(training: Callable[..., Model], crash_at_step: int) -> None:
    whole: list[Event] = []
    expected = training(monitor=listen(whole))
    kept, before, after = Kept(), [], []
    with pytest.raises(Crash):
        training(checkpoints=kept, monitor=listen(before, crash_at_step=crash_at_step))
    n_epochs = (crash_at_step - 1) // 4
    assert kept.n_saved == n_epochs
    model = training(checkpoints=kept, monitor=listen(after))
    assert steps(before) == steps(whole)[:crash_at_step]
    assert steps(after) == steps(whole)[4 * n_epochs :]
    assert weights(model) == weights(expected)
    assert model.card.weights_sha256 == expected.card.weights_sha256
    assert model.card.training.history == expected.card.training.history
    assert model.card.training.config == expected.card.training.config
    assert model.card.training.seconds >= 0


def test_a_resumed_training_keeps_the_plan_of_its_beginning(scenes: Make, segmentation: Make) -> None:
    data, kept = scenes(3), Kept()
    plans: list[TrainingStart] = []

    def monitor(event: Event) -> None:
        if isinstance(event, TrainingStart):
            plans.append(event)
        if isinstance(event, StepEnd) and kept.n_saved:
            raise Crash

    config = segmentation(epochs=None, steps_per_epoch=4, time_budget_s=600)
    for _ in range(2):
        with pytest.raises(Crash):
            train(*data, config, checkpoints=kept, monitor=monitor)
    assert plans[0].settings == plans[1].settings
    assert plans[0].n_steps == plans[1].n_steps > 1


def test_a_resumed_training_has_only_what_is_left_of_its_time(scenes: Make, segmentation: Make) -> None:
    data, config, kept = scenes(3), segmentation(epochs=50, time_budget_s=1000), Kept()
    with pytest.raises(Crash):
        train(*data, config, checkpoints=kept, monitor=listen([], crash_at_step=10))
    assert kept.last is not None
    tensors, record = kept.last[0], json.loads(kept.last[1])
    record["numbers"]["seconds"] = 1000.0
    kept.last = tensors, json.dumps(record)
    told: list[Event] = []
    model = train(*data, config, checkpoints=kept, monitor=listen(told))
    assert not steps(told)
    assert model.card.training.ended_by == "time"
    assert len(model.card.training.history) == kept.n_saved


def test_what_an_earlier_process_did_is_told_again(scenes: Make, segmentation: Make) -> None:
    data, config = scenes(3), segmentation(epochs=5)
    kept, before, after = Kept(), [], []
    with pytest.raises(Crash):
        train(*data, config, checkpoints=kept, monitor=listen(before, crash_at_step=10))
    train(*data, config, checkpoints=kept, monitor=listen(after))
    start = next(i for i, event in enumerate(after) if isinstance(event, TrainingStart))
    assert after[start + 1] == Notice("Training goes on after epoch 2.")
    told, done = (
        [event for event in events if isinstance(event, EpochEnd)] for events in (after[start + 2 : start + 4], before)
    )
    assert len(told) == len(done) == 2
    for again, first in zip(told, done, strict=True):
        for name in ("epoch", "n_epochs", "step", "training_loss", "validation_loss", "metric", "metric_name"):
            assert getattr(again, name) == getattr(first, name)
    assert [event.seconds for event in told] == sorted(event.seconds for event in told)
    assert [event for event in after if isinstance(event, EpochEnd)][2].seconds > told[-1].seconds


def test_a_training_that_ended_is_not_trained_further(scenes: Make, segmentation: Make) -> None:
    data, kept, events = scenes(3), Kept(), []
    config = segmentation(epochs=9, steps_per_epoch=1, learning_rate=0.3, schedule="constant", patience=2)
    first = train(*data, config, checkpoints=kept, monitor=ignore)
    assert first.card.training.ended_by == "patience"
    again = train(*data, config, checkpoints=kept, monitor=listen(events))
    assert steps(events) == []
    assert again.card.weights_sha256 == first.card.weights_sha256
    assert again.card.training.history == first.card.training.history
    assert again.card.training.ended_by == "patience"


def test_a_setback_survives_the_interruption(scenes: Make, segmentation: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import unveil.training.lesson as lesson

    def faulty(n_calls: list[int]) -> Callable[..., Tensor]:
        real = lesson.segmentation_loss

        def loss(*tensors: Tensor, **options: Any) -> Tensor:
            n_calls[0] += tensors[0].requires_grad
            value = real(*tensors, **options)
            return value * float("nan") if n_calls[0] == 6 else value

        return loss

    data, config = scenes(3), segmentation(epochs=4)
    whole, kept, before, after = [], Kept(), [], []
    with monkeypatch.context() as patch:
        patch.setattr(lesson, "segmentation_loss", faulty([0]))
        expected = train(*data, config, monitor=listen(whole))
    with monkeypatch.context() as patch:
        patch.setattr(lesson, "segmentation_loss", faulty([0]))
        with pytest.raises(Crash):
            train(*data, config, checkpoints=kept, monitor=listen(before, crash_at_step=11))
    assert any(isinstance(event, Notice) and "half the learning rate" in event.message for event in before)
    model = train(*data, config, checkpoints=kept, monitor=listen(after))
    assert steps(after) == [event for event in steps(whole) if event.step > 8]
    assert weights(model) == weights(expected)


@pytest.mark.parametrize("what", ["settings", "images or annotations", "parent model", "settings and other images"])
def test_a_checkpoint_of_something_else_is_refused(what: str, scenes: Make, segmentation: Make) -> None:
    (images, annotations), config, kept = scenes(3), segmentation(), Kept()
    parent = train(images, annotations, segmentation(epochs=1, seed=3), monitor=ignore)
    train(images, annotations, config, start=parent, checkpoints=kept, monitor=ignore)
    if "settings" in what:
        config = segmentation(learning_rate=1e-4)
    if "images" in what:
        changed = np.array(annotations[1].labels.data)
        changed[0, 0] += 1
        annotations = [annotations[0], Annotation(Image(changed)), annotations[2]]
    with pytest.raises(ConfigError, match=f"made with other {what}"):
        train(
            images, annotations, config, start=None if what == "parent model" else parent, checkpoints=kept,
            monitor=ignore,
        )  # fmt: skip


def test_a_checkpoint_is_left_after_each_validation_even_when_cancelled(scenes: Make, segmentation: Make) -> None:
    kept, events = Kept(), []

    def monitor(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochEnd):
            assert kept.n_saved == event.epoch
            if event.epoch == 2:
                raise Cancelled

    with pytest.raises(Cancelled):
        train(*scenes(3), segmentation(epochs=5), checkpoints=kept, monitor=monitor)
    assert kept.load()[1]["numbers"]["epoch"] == 2  # type: ignore[index]


def test_stopping_a_resumed_training_keeps_the_best_of_both(scenes: Make, segmentation: Make) -> None:
    data, kept = scenes(3), Kept()
    config = segmentation(epochs=6, steps_per_epoch=2, learning_rate=0.3, schedule="constant", seed=3)
    with pytest.raises(Crash):
        train(*data, config, checkpoints=kept, monitor=listen([], crash_at_step=9))
    stopped = train(*data, config, checkpoints=kept, monitor=listen([], stop_at_step=9))
    losses = [line.validation_loss for line in stopped.card.training.history]
    best = int(np.argmin(losses)) + 1
    assert len(losses) == 4
    assert best < 4, "the last epoch is the best: the test shows nothing"
    until_best = train(*data, type(config).model_validate(config.model_dump() | {"stop_after": best}), monitor=ignore)
    assert stopped.card.weights_sha256 == until_best.card.weights_sha256
    assert stopped.card.training.ended_by == "user"


def test_a_preview_follows_each_validation(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    data, other = scenes(3), scenes(1, 50)[0][0]
    shown = iter([data[0][0], None, other])
    train(*data, segmentation(epochs=3), preview=lambda: next(shown), monitor=events.append)
    previews = [event for event in events if isinstance(event, Preview)]
    assert [(preview.epoch, preview.maps.shape) for preview in previews] == [(1, (2, 48, 48)), (3, (2, 50, 50))]
    for preview in previews:
        np.testing.assert_allclose(preview.maps.sum(axis=0), 1, atol=1e-6)
        assert isinstance(events[events.index(preview) - 1], EpochEnd)


def test_previews_change_nothing(scenes: Make, segmentation: Make) -> None:
    data = scenes(3)
    with_previews = train(*data, segmentation(), preview=lambda: data[0][1], monitor=ignore)
    without = train(*data, segmentation(), monitor=ignore)
    assert with_previews.card.weights_sha256 == without.card.weights_sha256


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_last_preview_is_what_the_model_gives(dtype: Any, scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    data = scenes(3)
    image = Image(np.asarray(scenes(4)[0][3].data).astype(dtype))
    config = segmentation(epochs=1, validation_fraction=0)
    model = train(*data, config, preview=lambda: image, monitor=events.append)
    (preview,) = (event for event in events if isinstance(event, Preview))
    options = SegmentationOptions(precision="exact", engine="torch", device="cpu")
    found = segment(image, model, options=options).probabilities
    assert found is not None
    np.testing.assert_allclose(preview.maps[1], np.asarray(found.data)[0], atol=1e-5)


def test_a_preview_that_cannot_be_computed_is_said_once_and_training_goes_on(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    data = scenes(3)
    colours = Image(np.zeros((3, 48, 48), np.uint8), "CYX")
    shown = iter([colours, colours, data[0][0]])
    train(*data, segmentation(epochs=3), preview=lambda: next(shown), monitor=events.append)
    (notice,) = (event.message for event in events if isinstance(event, Notice) and "preview" in event.message)
    assert "has 3 channels; the network in training takes 1" in notice
    assert [event.epoch for event in events if isinstance(event, Preview)] == [3]


def test_a_denoised_preview_is_in_grey_values(scenes: Make, denoising: Make) -> None:
    events: list[Event] = []
    images, _ = scenes(3)
    train(None, images, denoising(), preview=lambda: images[0], monitor=events.append)
    previews = [event for event in events if isinstance(event, Preview)]
    assert len(previews) == 2
    grey = np.asarray(images[0].data)
    for preview in previews:
        assert preview.maps.shape == (1, 48, 48)
        assert preview.maps.dtype == np.float32
        assert np.corrcoef(preview.maps.ravel(), grey.ravel())[0, 1] > 0.9
        assert abs(np.median(preview.maps) - np.median(grey)) < 10


def test_the_global_random_state_stays_as_it_is(scenes: Make, segmentation: Make) -> None:
    kept, data = Kept(), scenes(3)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(*data, segmentation(epochs=1), checkpoints=kept, preview=lambda: data[0][0], monitor=ignore)
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_checkpoint_of_another_version_is_refused_in_words(scenes: Make, segmentation: Make) -> None:
    kept = Kept()
    with pytest.raises(Crash):
        train(*scenes(3), segmentation(epochs=3), checkpoints=kept, monitor=listen([], crash_at_step=5))
    assert kept.last is not None
    tensors, record = kept.last
    numbers = json.loads(record)["numbers"]
    del numbers["kept_epoch"]
    kept.last = tensors, json.dumps({**json.loads(record), "numbers": numbers})
    with pytest.raises(ConfigError, match=r"another version of Unveil\. Begin a new training"):
        train(*scenes(3), segmentation(epochs=3), checkpoints=kept, monitor=ignore)
