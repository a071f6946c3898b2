"""Interrupted trainings are offered as long as they can go on."""

from __future__ import annotations

import os

import numpy as np
from qtpy.QtCore import Qt

from unveil.config.training import DenoisingTraining
from unveil.image import Image
from unveil.io.runs import create_run
from unveil.widgets.resume_row import ResumeRow


def test_a_training_that_another_window_has_ended_does_not_begin_anew(
    qtbot, tmp_path, monkeypatch, notifications
) -> None:
    monkeypatch.setenv("UNVEIL_RUNS", str(tmp_path))
    runs = [create_run([Image(np.zeros((8, 8)))], None, DenoisingTraining(name=name)) for name in ("a", "b")]
    for run in runs:
        run.checkpoint.touch()
    row, resumed = ResumeRow(), []
    qtbot.addWidget(row)
    row.resume.connect(resumed.append)
    row.refresh()
    assert [row.list.itemText(at).split(" ")[0] for at in range(row.list.count())] == ["b", "a"]
    runs[1].discard()
    qtbot.mouseClick(row.resume_button, Qt.MouseButton.LeftButton)
    assert not resumed
    ((severity, said),) = notifications
    assert (severity, said.startswith("Training b ("), "in another window" in said) == ("info", True, True)
    assert row.list.count() == 1
    row.resume_button.click()
    assert resumed == [runs[0]]
    runs[0].claim(os.getpid())
    row.discard_button.click()
    assert runs[0].checkpoint.exists()
    assert not row.isVisibleTo(None)
