"""A model file dropped on the viewer: it is offered, and chosen, in the panel of its task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from unveil.errors import ModelFileError
from unveil.io.card_file import ENDING
from unveil.model.card import ModelCard

LayerData: TypeAlias = "list[tuple[Any, ...]]"

_PANELS = {"segmentation": "Segment", "denoising": "Denoise"}
_NO_LAYERS: LayerData = [(None,)]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], LayerData] | None:
    """Return what opens model files, or None for other files."""
    paths = [path] if isinstance(path, str) else path
    return open_models if all(Path(p).suffix.lower() == ENDING for p in paths) else None


def open_models(path: str | list[str]) -> LayerData:
    """Open model files; they make no layers. A broken one is named in a notification."""
    from unveil.widgets.notify import tell, tell_failure
    from unveil.widgets.session_models import session_models

    for file in [path] if isinstance(path, str) else path:
        try:
            entry = session_models.open(Path(file))
        except ModelFileError as error:
            tell_failure(error)
            continue
        assert entry.card is not None
        panel = _PANELS[entry.card.task]
        _show_panel(panel, entry.card)
        tell(f"Model '{entry.name}' is chosen in the {panel} panel.")
    return _NO_LAYERS


def _show_panel(panel: str, card: ModelCard) -> None:
    """Bring the panel that the model belongs to to the front; open it where there is none."""
    import napari
    from qtpy.QtWidgets import QApplication, QDockWidget

    from unveil.widgets.model_picker import ModelPicker

    viewer = napari.current_viewer()
    if viewer is None:
        return
    for widget in QApplication.allWidgets():
        if isinstance(widget, ModelPicker) and widget.task == card.task:
            while widget is not None and not isinstance(widget, QDockWidget):
                widget = widget.parentWidget()
            if widget is not None:
                widget.show()
                widget.raise_()
                return
    viewer.window.add_plugin_dock_widget("napari-unveil", panel)
