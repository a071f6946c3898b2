"""Our panels in the docks of a viewer: one of a kind, whoever opens it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qtpy.QtWidgets import QDockWidget, QWidget

_PANELS = {
    "Segment": ("segment_panel", "SegmentPanel"),
    "Denoise": ("denoise_panel", "DenoisePanel"),
    "Train": ("train_panel", "TrainPanel"),
    "Inspect": ("inspect_panel", "InspectPanel"),
}


def open_panel(viewer: Any, name: str) -> Any:
    """Bring the panel called `name` to the front and return it; where `viewer` has none, open it as the menu does.

    napari's menu and its `add_plugin_dock_widget` title the same dock differently, and know nothing of each other's.
    """
    module, kind = _PANELS[name]
    panel_class = getattr(import_module(f"unveil.widgets.{module}"), kind)
    panel = next((panel for panel in docked(viewer) if isinstance(panel, panel_class)), None)
    if panel is None:
        panel = panel_class(viewer)
        viewer.window.add_dock_widget(panel, name=f"{name} (Unveil)", tabify=True)  # below, it would shrink the others
    dock = _dock_of(panel)
    dock.show()
    dock.raise_()
    return panel


def docked(viewer: Any) -> list[QWidget]:
    """Return what lies in the docks of `viewer`."""
    return [widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, QWidget)]


def _dock_of(widget: QWidget) -> QDockWidget:
    """Return the dock around `widget`."""
    around = widget.parentWidget()
    while around is not None and not isinstance(around, QDockWidget):
        around = around.parentWidget()
    assert around is not None
    return around
