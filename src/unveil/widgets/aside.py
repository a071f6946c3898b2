"""Layers of ours that come and go while somebody works: selection and active layer stay as they are."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer


def insert_aside(viewer: Any, layer: Layer) -> None:
    """Add `layer` on top without selecting it."""
    selection = viewer.layers.selection
    selected, active = list(selection), selection.active
    viewer.layers.append(layer)
    selection.clear()
    selection.update(selected)
    selection.active = active
