"""Layers of ours that come and go while somebody works: selection and active layer stay as they are."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer


def insert_aside(viewer: Any, layer: Layer, at: int | None = None) -> None:
    """Add `layer`, on top unless `at` says where, without selecting it."""
    selection = viewer.layers.selection
    selected, active = list(selection), selection.active
    viewer.layers.insert(len(viewer.layers) if at is None else at, layer)
    selection.clear()
    selection.update(selected)
    selection.active = active


def is_worked_in(layer: Layer | None) -> bool:
    """Say whether somebody paints, draws or moves something in `layer`, the active one."""
    return layer is not None and str(layer.mode) != "pan_zoom"
