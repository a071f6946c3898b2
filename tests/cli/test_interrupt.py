from __future__ import annotations

import signal

import pytest

from unveil.cli.interrupt import stopping_early
from unveil.cli.terminal import Terminal
from unveil.events import Event, Progress, StopEarly, TrainingStart, ignore


def test_the_first_interrupt_stops_early_and_the_second_discards() -> None:
    events: list[Event] = []
    before = signal.getsignal(signal.SIGINT)

    with stopping_early(events.append, Terminal()) as monitor:
        monitor(Progress(1, 3))
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(StopEarly):
            monitor(Progress(2, 3))
        monitor(Progress(3, 3))  # what is done with the best model goes on
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert events == [Progress(1, 3), Progress(2, 3), Progress(3, 3)]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_best_model_is_promised_where_a_training_has_begun(
    has_begun: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with stopping_early(ignore, Terminal()) as monitor:
        if has_begun:
            monitor(TrainingStart("cpu", "float32", 3, {}, (), ()))
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(StopEarly):
            monitor(Progress(2, 3))

    assert ("best model" in capsys.readouterr().err) == has_begun
