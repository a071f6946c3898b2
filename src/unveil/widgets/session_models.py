"""Model files opened in this session by dropping or browsing: they join the library's models in every panel."""

from __future__ import annotations

from pathlib import Path

from psygnal import Signal

from unveil.io.card_file import read_card
from unveil.io.library import ModelEntry, list_models


class SessionModels:
    """The models that this process can offer, and word of new ones."""

    opened = Signal(ModelEntry)
    """A model file was opened; the lists of all panels offer it."""

    def __init__(self) -> None:
        self._opened: dict[Path, ModelEntry] = {}

    def open(self, path: Path) -> ModelEntry:
        """Read the card at `path` and offer the model everywhere.

        Raises
        ------
        ModelFileError
            If the file is no model, or broken.
        """
        path = path.resolve()
        entry = ModelEntry(path.stem, path, "own", read_card(path), None)
        self._opened[path] = entry
        self.opened.emit(entry)
        return entry

    def entries(self, task: str | None) -> list[ModelEntry]:
        """List the models for `task`, or for any, of library and session; broken library files come last."""
        library = list_models()
        known = {entry.path.resolve() for entry in library}
        entries = library + [entry for path, entry in self._opened.items() if path not in known]
        fitting = [entry for entry in entries if entry.card is not None and task in (None, entry.card.task)]
        return fitting + [entry for entry in entries if entry.card is None]


session_models = SessionModels()
"""The one list of this process."""
