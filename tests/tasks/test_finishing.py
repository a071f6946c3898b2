"""What follows the last epoch: it tells how far it is, can be cancelled, and a stop says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest
from numpy.typing import NDArray

from unveil.events import Cancelled, EpochEnd, Event, Notice, Progress, StepEnd, StopEarly, ignore
from unveil.networks import lipschitz
from unveil.tasks import recording
from unveil.tasks.train import train
from unveil.training import magnification

Make = Callable[..., Any]

PARTS = [
    "layers for the certificate",
    "images for the calibration",
    "images for the rule of objects",
    "images for the intervals",
]
LIKENESS = ["images for the record of likeness", "groups of images for the record of likeness"]


@pytest.fixture(scope="module")
def everything(scenes: Make, segmentation: Make) -> tuple[Any, ...]:
    """Images, annotations and settings of a training after which there is all to find out."""
    return (*scenes(12, size=40, n_objects=3), segmentation(epochs=1, validation_fraction=0.75, lip1_layers=True))


@pytest.fixture(autouse=True)
def _likeness_is_recorded_roughly(monkeypatch: pytest.MonkeyPatch) -> None:
    """How well is not asked here, and it takes most of the time."""
    monkeypatch.setattr(recording, "_MOST_SCALED", 4)
    monkeypatch.setattr(magnification, "_STEPS_PER_SAMPLE", 1)


def at(unit: str, error: type[Exception], events: list[Event]) -> Callable[[Event], None]:
    def monitor(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.unit == unit:
            raise error

    return monitor


def test_everything_after_the_last_epoch_tells_how_far_it_is(everything: tuple[Any, ...]) -> None:
    events: list[Event] = []
    model = train(*everything, monitor=events.append)
    assert None not in (model.card.certificate, model.card.conformal, model.card.appearance)
    last = max(number for number, event in enumerate(events) if isinstance(event, EpochEnd))
    told = [event for event in events[last + 1 :] if isinstance(event, Progress)]
    assert [unit for unit, _ in groupby(event.unit for event in told)] == [*PARTS, *LIKENESS]
    assert all(0 <= event.done <= event.total for event in told)
    assert not any(isinstance(event, Notice) for event in events[last + 1 :])


@pytest.mark.parametrize("unit", [*PARTS, *LIKENESS])
def test_it_can_be_cancelled_at_any_time(unit: str, everything: tuple[Any, ...]) -> None:
    with pytest.raises(Cancelled):
        train(*everything, monitor=at(unit, Cancelled, []))


@pytest.mark.parametrize(("unit", "n_found"), [*zip(PARTS, range(4), strict=True), *((unit, 4) for unit in LIKENESS)])
def test_a_stop_keeps_the_model_and_says_what_is_missing(unit: str, n_found: int, everything: tuple[Any, ...]) -> None:
    events: list[Event] = []
    card = train(*everything, monitor=at(unit, StopEarly, events)).card
    assert [card.certificate is not None, card.conformal is not None] == [n_found > 0, n_found > 3]
    assert card.appearance is None
    assert card.training.ended_by == "schedule"
    said = events[-1].message
    parts = (
        "a certificate",
        "calibrated probabilities",
        "a rule of objects of its own",
        "intervals",
        "a record of what its images look like",
    )
    assert [part in said for part in parts] == [number >= n_found for number in range(5)]


def test_who_stopped_the_training_has_the_whole_record(everything: tuple[Any, ...]) -> None:
    events: list[Event] = []

    def stop(event: Event) -> None:
        events.append(event)
        if any(isinstance(event, StepEnd) for event in events):
            raise StopEarly

    card = train(*everything, monitor=stop).card
    assert card.training.ended_by == "user"
    assert None not in (card.certificate, card.conformal, card.appearance)


def test_no_kernel_is_bounded_twice(everything: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    bounded: list[bytes] = []
    bound_of = lipschitz.gram_bound

    def counted(kernel: NDArray[Any], **options: Any) -> float:
        bounded.append(kernel.tobytes())
        return bound_of(kernel, **options)

    monkeypatch.setattr(lipschitz, "gram_bound", counted)
    assert train(*everything, monitor=ignore).card.certificate is not None
    assert 0 < len(bounded) == len(set(bounded))
