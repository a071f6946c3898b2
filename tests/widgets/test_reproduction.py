"""The command that repeats a training, where the shell quotes otherwise."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from unveil.config.training import DenoisingTraining
from unveil.image import Image
from unveil.io.runs import create_run
from unveil.widgets import reproduction


def test_on_windows_a_path_with_a_space_stands_in_double_quotes(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNVEIL_RUNS", str(tmp_path / "my runs"))
    run = create_run([Image(np.zeros((8, 8), np.uint8))], None, DenoisingTraining())
    monkeypatch.setattr(reproduction, "os", SimpleNamespace(name="nt"))
    command = reproduction.command_of(run, "quiet")
    assert f'--images "{run.images}" ' in command
    assert command.endswith(f'--config "{run.resolved_settings_file}" --output quiet.safetensors')
