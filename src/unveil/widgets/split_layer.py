"""The layer that shows which part of an image judges instead of teaching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from unveil.events import HeldOut
from unveil.widgets.aside import insert_aside
from unveil.widgets.layer_roles import SPLIT, marked, role_of
from unveil.widgets.layers import Source

_COLORS = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: (1.0, 0.69, 0.0, 1.0)}


class SplitLayer:
    """At most one layer with a tint over what is held out; after a training it stays, hidden."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer

    def show(self, held_out: Sequence[HeldOut], sources: Sequence[Source]) -> None:
        """Tint `held_out` on the images that `sources` took down; nothing where whole images judge."""
        parts = [part for part in held_out if part.image < len(sources)]
        if not parts:
            self.hide()
            return
        source = sources[parts[0].image]
        pixels, place = _tinted(parts, source), source.space.keep("YX").layer_arguments()
        layer = self._layer()
        if layer is None:
            self._insert(pixels, place)
            return
        layer.data = pixels
        for name, value in place.items():
            setattr(layer, name, value)
        layer.visible = True

    def hide(self) -> None:
        """Hide the layer."""
        layer = self._layer()
        if layer is not None:
            layer.visible = False

    def _insert(self, pixels: NDArray[np.uint8], place: dict[str, Any]) -> None:
        layer = Labels(
            pixels,
            name="held out for validation",
            colormap=DirectLabelColormap(color_dict=_COLORS),
            opacity=0.25,
            metadata=marked(SPLIT),
            **place,
        )
        layer.editable = False
        insert_aside(self._viewer, layer)

    def _layer(self) -> Labels | None:
        return next((layer for layer in self._viewer.layers if role_of(layer) == SPLIT), None)


def _tinted(parts: Sequence[HeldOut], source: Source) -> NDArray[np.uint8]:
    """Return a plane ``(Y, X)`` in the layer's order of axes that is 1 where something is held out."""
    size = {axis: int(source.data.shape[source.axes.index(axis)]) for axis in "YX"}
    plane = np.zeros((size["Y"], size["X"]), np.uint8)
    for part in parts:
        plane[tuple(slice(start, stop) for start, stop in zip(part.start[-2:], part.stop[-2:], strict=True))] = 1
    return plane if source.axes.index("Y") < source.axes.index("X") else plane.T
