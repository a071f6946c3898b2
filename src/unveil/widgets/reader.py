"""A model file dropped on the viewer: it is offered, and chosen, in the panel of its task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from unveil.errors import ModelFileError
from unveil.io.card_file import ENDING

if TYPE_CHECKING:
    from unveil.io.library import ModelEntry

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
        _show_panel(panel, entry)
        tell(f"Model '{entry.name}' is chosen in the {panel} panel.")
    return _NO_LAYERS


def _show_panel(panel: str, entry: ModelEntry) -> None:
    """Choose the model in the viewer in use, and bring its panel to the front."""
    import napari

    from unveil.widgets.docks import open_panel
    from unveil.widgets.model_picker import pickers_for

    viewer = napari.current_viewer()
    if viewer is None:
        return
    open_panel(viewer, panel)
    for picker in pickers_for(entry, viewer):
        picker.choose(entry.path)
