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
from unveil.widgets.layers import Source, Space

_COLORS = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: (1.0, 0.69, 0.0, 1.0)}


class SplitLayer:
    """At most one layer with a tint over what is held out; after a training it stays, hidden."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer

    def show(self, held_out: Sequence[HeldOut], sources: Sequence[Source]) -> None:
        """Tint `held_out` on the images that `sources` took down; nothing where whole images judge."""
        part = next((part for part in held_out if part.image < len(sources)), None)  # images of one scene share it
        if part is None:
            self.hide()
            return
        pixels, space = _tinted(part, sources[part.image])
        place = space.layer_arguments()
        layer = self._layer()
        if layer is None:
            self._insert(pixels, place)
            return
        layer.data = pixels
        for name, value in place.items():
            setattr(layer, name, value)
        layer.editable = False  # other pixels have made it editable
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


def _tinted(part: HeldOut, source: Source) -> tuple[NDArray[np.uint8], Space]:
    """Return what is 1 where something is held out, and its space: a plane, unless some planes judge and others not."""
    size = dict(zip(source.axes, source.data.shape, strict=True))
    spans = dict(zip("ZYX"[-len(part.start) :], map(slice, part.start, part.stop), strict=True))
    axes = "".join(axis for axis, span in spans.items() if axis != "Z" or span != slice(0, size[axis]))
    tint = np.zeros([size[axis] for axis in axes], np.uint8)
    tint[tuple(spans[axis] for axis in axes)] = 1
    space = source.space.keep(axes)
    return space.arrange(tint, axes), space
