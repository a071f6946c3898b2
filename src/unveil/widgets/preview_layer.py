"""The layer in which a network in training shows what it makes of the plane in view."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from numpy.typing import NDArray

from unveil.axes import without
from unveil.events import Preview
from unveil.image import Image
from unveil.widgets.aside import insert_aside
from unveil.widgets.layer_roles import PREVIEW, marked
from unveil.widgets.layers import Source


class PreviewLayer:
    """At most one layer; its first appearance and every update leave camera, dims and selection as they are."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer_id: Any = None
        self._shown: tuple[Source, str] | None = None
        self._shape: tuple[int, ...] = ()
        self._was_removed = self._is_placed = False

    def begin(self, source: Source, cut: str) -> Image:
        """Show from now on what the network makes of `source`, cut to the plane in view; return that plane."""
        self._shown = source, cut
        self._was_removed = self._is_placed = False
        plane = source.image(cut)
        self._shape = tuple(plane.size(letter) for letter in without(plane.axes, "C"))
        return plane

    def update(self, preview: Preview, task: str) -> None:
        """Show `preview`: the probability of the foreground, or the first denoised channel.

        A layer that the user has removed does not come back in this training. What was computed of another plane or
        volume before this one was shown is dropped where it has another shape.
        """
        if self._shown is None or self._was_removed or preview.maps.shape[1:] != self._shape:
            return
        source, cut = self._shown
        maps = preview.maps
        pixels = 1 - maps[0] if task == "segmentation" else maps[0]
        data, place = source.place(Image(pixels, "YX" if pixels.ndim == 2 else "ZYX", name=source.name), cut)
        layer = self._layer()
        if layer is None and self._layer_id is not None:
            self._was_removed = True
        elif layer is None:
            self._insert(np.asarray(data), place, source, task)
        else:
            layer.data = np.asarray(data)
            for name, value in place.items() if not self._is_placed else ():
                setattr(layer, name, value)
        self._is_placed = True

    def remove(self) -> None:
        """Remove the layer."""
        layer = self._layer()
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._layer_id = self._shown = None

    def _insert(self, data: NDArray[Any], place: dict[str, Any], source: Source, task: str) -> None:
        look: dict[str, Any] = (
            {"colormap": "magma", "contrast_limits": (0, 1), "blending": "additive", "opacity": 0.7}
            if task == "segmentation"
            else {"colormap": source.colormap, "contrast_limits": source.contrast_limits, "blending": "translucent"}
        )
        layer = ImageLayer(data, name=f"{source.name} · training preview", metadata=marked(PREVIEW), **look, **place)
        self._layer_id = layer.unique_id
        insert_aside(self._viewer, layer)

    def _layer(self) -> Layer | None:
        return next((layer for layer in self._viewer.layers if layer.unique_id == self._layer_id), None)
