"""Folders for what is the user's: named by a variable, or those of the system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unveil.io.user_folders import cache_folder, own_models_folder, results_folder, runs_folder


@pytest.mark.parametrize(
    ("folder", "variable"),
    [
        (own_models_folder, "UNVEIL_MODELS"),
        (runs_folder, "UNVEIL_RUNS"),
        (results_folder, "UNVEIL_RESULTS"),
        (cache_folder, "UNVEIL_CACHE"),
    ],
)
def test_a_folder_is_the_one_that_is_named_or_the_user_s_own(
    folder: Callable[[], Path], variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    assert folder() == tmp_path / "nowhere"
    monkeypatch.setenv(variable, "")
    own = folder()
    assert own.is_absolute()
    assert "unveil" in own.parts
    monkeypatch.delenv(variable)
    assert folder() == own


def test_no_two_folders_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MODELS", "RUNS", "RESULTS", "CACHE"):
        monkeypatch.delenv(f"UNVEIL_{variable}", raising=False)
    folders = {own_models_folder(), runs_folder(), results_folder(), cache_folder()}
    assert len(folders) == 4
