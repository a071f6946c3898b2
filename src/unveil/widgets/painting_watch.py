"""Notices when something was painted or drawn, once the brush has rested."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from unveil.widgets.layer_roles import labels_among, role_of, shapes_among

_REST_MS = 1000


class PaintingWatch(QObject):
    """Tells of strokes on the Labels layers of a viewer and of shapes in its Shapes layers, a second later.

    What listens may take a tenth of a second or two, which would show in the midst of a stroke.
    """

    rested = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._watched: list[Layer] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(self._tell)
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed):
            emitter.connect(self._watch)
        self._watch()

    def catch_up(self) -> None:
        """Tell at once what would be told soon."""
        if self._timer.isActive():
            self._timer.stop()
            self.rested.emit()

    def close_for_good(self) -> None:
        """Notice nothing any more."""
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed):
            emitter.disconnect(self._watch)
        self._timer.stop()
        self._listen_to([])

    def _watch(self, event: Any = None) -> None:
        layers = self._viewer.layers
        painted = [layer for layer in labels_among(layers) if role_of(layer) == ""]
        self._listen_to([*painted, *shapes_among(layers)])

    def _listen_to(self, layers: list[Layer]) -> None:
        for layer in self._watched:
            for emitter in _emitters(layer):
                emitter.disconnect(self._note)
        self._watched = layers
        for layer in layers:
            for emitter in _emitters(layer):
                emitter.connect(self._note)

    def _note(self, event: Any) -> None:
        self._timer.start()

    def _tell(self) -> None:
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._timer.start()
        else:
            self.rested.emit()


def _emitters(layer: Layer) -> list[Any]:
    events = layer.events
    return [events.paint, events.data] if isinstance(layer, Labels) else [events.data]
