from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unveil.cli import demo, display
from unveil.cli.demo import choose_stage


@pytest.mark.parametrize(
    ("has_napari", "has_display", "has_virtual_display", "stage"),
    [
        (True, True, True, "window"),
        (True, False, True, "virtual"),
        (True, False, False, "files"),
        (False, True, True, "files"),
    ],
)
def test_the_best_stage_there_is(has_napari: bool, has_display: bool, has_virtual_display: bool, stage: str) -> None:
    found = choose_stage(has_napari=has_napari, has_display=has_display, has_virtual_display=has_virtual_display)

    assert found == stage


def test_without_a_screen_the_results_are_files(
    unveil: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "has_display", lambda: False)
    monkeypatch.setattr(display, "has_virtual_display", lambda: False)

    outcome = unveil("demo", "--output", tmp_path / "out")

    assert outcome.code == 0, outcome.err
    printed = [Path(line) for line in outcome.out.splitlines()]
    assert printed[0] == tmp_path / "out" / "nuclei_labels.tif"
    assert set(printed) == set((tmp_path / "out").iterdir())


def test_a_window_that_fails_gives_way_to_files(
    unveil: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "has_display", lambda: False)
    monkeypatch.setattr(demo, "_PROGRAM", "unveil.no_such_program")
    if not display.has_virtual_display():
        pytest.skip("Xvfb is not installed")

    outcome = unveil("demo", "--output", tmp_path / "out")

    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out" / "noisy_denoised.tif").exists()


def test_a_file_in_place_of_the_folder_is_told_before_napari_starts(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "has_display", lambda: True)
    monkeypatch.setattr(demo, "_in_napari", lambda *_: pytest.fail("napari was started"))
    (tmp_path / "out").touch()

    assert "a file stands where a folder is needed" in refused("demo", "--output", tmp_path / "out")
