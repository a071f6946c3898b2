"""The models at hand: those that ship with the package and the user's own; torch is not needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from unveil.errors import ConfigError, FileError, ModelFileError
from unveil.io.card_file import ENDING, read_card
from unveil.io.finding import is_file
from unveil.io.user_folders import own_models_folder
from unveil.model.card import ModelCard


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the library.

    Attributes
    ----------
    name
        The file's name without its ending: what a user types.
    card
        None where the file cannot be used; `problem` says why.
    """

    name: str
    path: Path
    origin: Literal["shipped", "own"]
    card: ModelCard | None
    problem: str | None


def list_models() -> list[ModelEntry]:
    """List the shipped models, then the own ones, each by name; broken files are listed with their problem.

    Classical filters come after the shipped models that have learned.
    """
    shipped = [_entry(path, "shipped") for path in _model_files(shipped_models_folder())]
    shipped.sort(key=lambda entry: entry.card is not None and entry.card.is_filter)
    return shipped + [_entry(path, "own") for path in _model_files(own_models_folder())]


def find_model(name_or_path: str | Path) -> Path:
    """Return the file of a model given by its name in the library, or by its path.

    Raises
    ------
    ConfigError
        If there is no model of that name, or two.
    FileError
        If a path is given and there is no file.
    """
    path = Path(name_or_path)
    is_name = isinstance(name_or_path, str) and path.name == name_or_path and path.suffix != ENDING
    folders = (shipped_models_folder(), own_models_folder())
    if is_name:
        named = [file for folder in folders for file in _model_files(folder) if file.stem == name_or_path]
        if len(named) > 1:
            raise ConfigError(
                f"Two models are called '{name_or_path}': {named[0]} and {named[1]}. Give the path of the one you mean."
            )
        if named:
            return named[0]
    if path.is_file():
        return path
    if not is_name:
        raise FileError(f"There is no model file {path}. Give the path of a {ENDING} file, or a model's name.")
    names = [file.stem for folder in folders for file in _model_files(folder)]
    known = f"There are: {', '.join(names)}" if names else f"There are none in {folders[1]}"
    raise ConfigError(f"There is no model called '{name_or_path}'. {known}; or give the path of a {ENDING} file.")


def shipped_models_folder() -> Path:
    """Return the folder of the models that ship with the package."""
    return Path(str(files("unveil") / "zoo"))


def _model_files(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if path.suffix == ENDING and not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return sorted(path for path in found if is_file(path))


def _entry(path: Path, origin: Literal["shipped", "own"]) -> ModelEntry:
    try:
        return ModelEntry(path.stem, path, origin, read_card(path), None)
    except ModelFileError as error:
        return ModelEntry(path.stem, path, origin, None, str(error))
