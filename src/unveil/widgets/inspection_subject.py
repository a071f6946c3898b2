"""The model and the image that a section of a panel is about, as they stand when its button is pressed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from unveil.errors import ConfigError
from unveil.image import Image
from unveil.widgets.layers import Source
from unveil.widgets.model_picker import ModelPicker
from unveil.widgets.source_form import SourceForm


class Subject(NamedTuple):
    """What a job needs to know."""

    model: Path
    model_name: str
    source: Source | None
    """None where no image can be used."""
    layer_id: Any
    """The layer's `unique_id`."""
    cut: str
    """Axes along which only the plane shown is meant."""
    channel: int | None

    def image(self) -> Image | None:
        """Return the image, if there is one; nothing lazy is read."""
        return None if self.source is None else self.source.image(self.cut)


AskSubject: TypeAlias = Callable[[], Subject]
"""May raise an `InputError`, which the user is told."""


def subject_of(models: ModelPicker, source: SourceForm) -> Subject:
    """Take down what is chosen.

    Raises
    ------
    ConfigError
        If no model is.
    """
    entry = models.entry
    if entry is None:
        raise ConfigError("No model is chosen. Press Open… or drop a model file on the window.")
    layer = source.layer if source.problem() is None else None
    if layer is None:
        return Subject(entry.path, entry.name, None, None, "", None)
    return Subject(entry.path, entry.name, source.source(), layer.unique_id, source.cut, source.channel)
