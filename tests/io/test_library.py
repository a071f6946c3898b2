from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unveil.config.architecture import DnCNNConfig
from unveil.config.normalization import StandardNormalization
from unveil.errors import ConfigError, FileError
from unveil.io import library
from unveil.io.library import find_model, list_models
from unveil.io.model_file import load_model, save_model
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.build import build_network


def make_model(name: str = "test") -> Model:
    architecture = DnCNNConfig(depth=2, width=2)
    card = ModelCard.describe(architecture, name=name, task="denoising", normalization=StandardNormalization())
    return Model.make(card, build_network(architecture), np.zeros((1, 1, 8, 8), np.float32))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders for shipped and own models, with `alpha` shipped, `beta` own."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    save_model(make_model("first"), shipped / "alpha.safetensors")
    save_model(make_model("second"), own / "beta.safetensors")
    monkeypatch.setattr(library, "shipped_models_folder", lambda: shipped)
    monkeypatch.setenv("UNVEIL_MODELS", str(own))
    return shipped, own


def test_shipped_and_own_models_are_listed(folders: tuple[Path, Path]) -> None:
    entries = list_models()
    assert [(entry.name, entry.origin, entry.problem) for entry in entries] == [
        ("alpha", "shipped", None),
        ("beta", "own", None),
    ]
    assert entries[0].card is not None
    assert entries[0].card.name == "first"


def test_a_broken_file_is_listed_with_its_problem(folders: tuple[Path, Path]) -> None:
    (folders[1] / "broken.safetensors").write_bytes(b"nothing useful")
    (folders[1] / "notes.txt").write_text("no model")
    entry = next(entry for entry in list_models() if entry.name == "broken")
    assert entry.card is None
    assert "not a safetensors file" in (entry.problem or "")
    assert len(list_models()) == 3


def test_a_model_is_found_by_name_and_by_path(folders: tuple[Path, Path]) -> None:
    shipped, own = folders
    assert find_model("alpha") == shipped / "alpha.safetensors"
    assert find_model("beta") == own / "beta.safetensors"
    assert find_model(str(own / "beta.safetensors")) == own / "beta.safetensors"
    assert load_model("beta").card.name == "second"


def test_an_unknown_name_lists_the_names_there_are(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"'gamma'\. There are: alpha, beta"):
        find_model("gamma")
    with pytest.raises(FileError, match=r"no model file gamma\.safetensors"):
        find_model("gamma.safetensors")


def test_two_models_of_one_name_are_not_guessed_between(folders: tuple[Path, Path]) -> None:
    save_model(make_model(), folders[1] / "alpha.safetensors")
    with pytest.raises(ConfigError, match="Two models are called 'alpha'"):
        find_model("alpha")


def test_a_folder_of_own_models_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNVEIL_MODELS", str(tmp_path / "nowhere"))
    assert all(entry.origin == "shipped" for entry in list_models())


def test_every_shipped_model_is_sound() -> None:
    assert [entry.problem for entry in list_models() if entry.origin == "shipped" and entry.problem] == []
