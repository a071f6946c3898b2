from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from unveil.cli.terminal import Terminal, epoch_line
from unveil.errors import UnveilWarning
from unveil.events import EpochEnd, Notice, Preview, Progress, StepEnd, TrainingStart


def test_with_json_nothing_else_reaches_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=True)

    with terminal.session(), terminal.progress() as bar:
        monitor = bar.about("an image")
        monitor(Progress(1, 2))
        monitor(Notice("Something differs."))
        print("a library talks")
        terminal.result("a line for people")
        terminal.json({"a": [1.5, float("nan"), float("inf")]})

    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": [1.5, None, None]}
    assert "a library talks" in err
    assert "a line for people" in err
    assert "Note: Something differs." in err


def test_results_for_people_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()

    terminal.result("[bold]37[/bold] objects")
    terminal.say("[red]working[/red]")

    out, err = capsys.readouterr()
    assert out == "[bold]37[/bold] objects\n"
    assert err == "[red]working[/red]\n"


def test_without_a_terminal_there_is_no_animation_and_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()

    with terminal.progress() as bar:
        monitor = bar.about("an image")
        for done in range(5):
            monitor(Progress(done, 5))

    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert not err.strip()


def test_our_warnings_are_sentences_and_come_once(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()

    with terminal.session():
        for _ in range(3):
            warnings.warn("The file is odd.", UnveilWarning, stacklevel=1)

    assert capsys.readouterr().err == "Note: The file is odd.\n"


def test_an_epoch_is_one_line() -> None:
    event = EpochEnd(3, 30, 12, 0.25, 0.5, 0.8125, "IoU", True, 12.3)

    assert epoch_line(event) == "epoch  3/30  loss 0.2500  validation 0.5000  IoU 0.812  12 s  *"
    assert "validation" not in epoch_line(EpochEnd(3, 30, 12, 0.25, None, None, "IoU", False, 12.3))


def test_a_training_says_where_it_runs_and_what_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().progress() as bar:
        monitor = bar.about("training")
        monitor(TrainingStart("cpu", "float32", 10, {"epochs": 5}, ("5 epochs of 2 steps.", "Patches of 32 px."), ()))
        monitor(StepEnd(1, 10, 0.5))
        monitor(Preview(1, np.zeros((2, 4, 4), np.float32)))

    assert capsys.readouterr().err == "Training on cpu in float32.\n5 epochs of 2 steps.\nPatches of 32 px.\n"
