"""The receptive field under the cursor: a rectangle that follows the mouse over the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from unveil.operators.layer_fields import AxisField
from unveil.widgets.aside import insert_aside
from unveil.widgets.inspected import Inspected
from unveil.widgets.layer_roles import INSPECTION, marked
from unveil.widgets.layers import index_at, pixels, source_of

_FOLLOW_MS = 40
"""The rectangle is drawn at most so often."""
_LINES_PER_IMAGE = 250


@dataclass(frozen=True, slots=True, eq=False)
class _Rectangle:
    """Corners in pixels of the image layer, and what the layer of the rectangle depends on besides."""

    corners: NDArray[np.float64]
    """``(4, n)``"""
    place: tuple[Any, ...]
    """The image layer, and where in the world it lies."""


class FieldSection(QWidget):
    """A check box; while it is ticked a layer of ours is there."""

    def __init__(self, inspected: Inspected) -> None:
        super().__init__()
        self._inspected, self._viewer = inspected, inspected.viewer
        self._layer_id: Any = None
        self._place: tuple[Any, ...] = ()
        self._is_aside = False
        self.box = QCheckBox("Receptive field at the cursor")
        self.box.setToolTip(
            "Draw around the pixel under the mouse which part of the image the chosen layer sees there; "
            "the whole network where no layer is chosen"
        )
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_FOLLOW_MS)
        self._timer.timeout.connect(self._draw)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        self.box.toggled.connect(self._switch)
        inspected.changed.connect(self._follow)
        self._viewer.layers.events.removed.connect(self._on_removed)

    @property
    def layer(self) -> Shapes | None:
        """The layer with the rectangle, while there is one."""
        return next((layer for layer in self._viewer.layers if layer.unique_id == self._layer_id), None)

    def close_for_good(self) -> None:
        """Remove the rectangle and listen to nothing any more."""
        self.box.setChecked(False)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _switch(self, is_on: bool) -> None:
        moved = self._viewer.cursor.events.position
        if is_on:
            moved.connect(self._follow)
            self._follow()
        else:
            moved.disconnect(self._follow)
            self._timer.stop()
            self._remove()

    def _follow(self, event: Any = None) -> None:
        """Draw soon; many moves of the mouse make one drawing."""
        if self.box.isChecked() and not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        rectangle, layer = self._rectangle(), self.layer
        if rectangle is None and self._inspected.source.layer is not None:
            self._set_aside(layer)
            return
        if layer is not None and (rectangle is None or rectangle.place != self._place or not self._is_on_top()):
            self._remove()
            layer = None
        if rectangle is None:
            return
        if layer is None:
            self._insert(rectangle)
            return
        if not np.array_equal(layer.data[0], rectangle.corners):
            layer.data = [rectangle.corners]
        if self._is_aside:
            self._is_aside, layer.visible = False, True

    def _set_aside(self, layer: Shapes | None) -> None:
        """Hide the rectangle while the mouse is elsewhere: napari takes a quarter of a second to remove a layer."""
        if layer is not None and layer.visible:
            self._is_aside, layer.visible = True, False

    def _is_on_top(self) -> bool:
        return bool(self._viewer.layers[-1].unique_id == self._layer_id)

    def _insert(self, rectangle: _Rectangle) -> None:
        source = self._inspected.source
        image = source.layer
        assert image is not None
        layer = Shapes(
            [rectangle.corners],
            shape_type="rectangle",
            edge_color="yellow",
            face_color="transparent",
            edge_width=max(0.2, min(_shape(image)[-2:]) / _LINES_PER_IMAGE),
            name="receptive field",
            metadata=marked(INSPECTION),
            **source_of(image, source.axes).space.layer_arguments(),
        )
        self._layer_id, self._place, self._is_aside = layer.unique_id, rectangle.place, False
        insert_aside(self._viewer, layer)

    def _remove(self) -> None:
        layer, self._layer_id = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        """Somebody has removed the rectangle: it is not wanted any more."""
        if self._layer_id is not None and event.value.unique_id == self._layer_id:
            self._layer_id = None
            self.box.setChecked(False)

    def _rectangle(self) -> _Rectangle | None:
        """Return the field at the cursor, cut off at the image's edges; nothing where the cursor is elsewhere."""
        image, axes = self._inspected.source.layer, self._inspected.source.axes
        summary, dims = self._inspected.summary, self._viewer.dims
        if image is None or summary is None or len(axes) != image.ndim or dims.ndisplay != 2:
            return None
        shown = [axis - dims.ndim + image.ndim for axis in dims.displayed]
        at = index_at(image, self._viewer.cursor.position, getattr(dims, "units", None))
        sizes = _shape(image)
        if min(shown) < 0 or not all(-0.5 <= at[axis] < sizes[axis] - 0.5 for axis in shown):
            return None
        layer = self._inspected.layer or summary.layers[-1]
        fields = dict(zip("ZYX"[-len(layer.fields) :], layer.fields, strict=True))
        corners = np.repeat(np.rint(at)[np.newaxis], 4, axis=0)
        for axis, ends in zip(shown, ((0, 0, 1, 1), (0, 1, 1, 0)), strict=True):
            sides = _sides(fields.get(axes[axis]), round(at[axis]), sizes[axis])
            corners[:, axis] = [sides[end] for end in ends]
        return _Rectangle(corners, (image.unique_id, axes, *_where(image)))


def _sides(field: AxisField | None, pixel: int, size: int) -> tuple[float, float]:
    """Return where the field of the layer's pixel over `pixel` begins and ends; one pixel along other axes."""
    first, last = field.window(pixel // field.stride) if field is not None else (pixel, pixel)
    return max(first, 0) - 0.5, min(last, size - 1) + 0.5


def _where(image: ImageLayer) -> tuple[float, ...]:
    """Return where two pixels lie in the world: they lie elsewhere once the image is moved or scaled."""
    return (*image.data_to_world(np.zeros(image.ndim)), *image.data_to_world(np.arange(1, image.ndim + 1)))


def _shape(image: ImageLayer) -> tuple[int, ...]:
    return tuple(pixels(image).shape[: image.ndim])
