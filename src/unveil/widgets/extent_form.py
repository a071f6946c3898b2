"""How far the annotation reaches: the whole image, the areas of a Shapes layer, or scribbles."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QSpinBox, QWidget

from unveil.widgets.layer_list import Names
from unveil.widgets.layer_roles import shapes_among
from unveil.widgets.training_layers import ANNOTATED, Extent, Rectangles, Scribbles, Sparse, Whole, rectangles_among

_KINDS = {
    Whole: "the whole image",
    Rectangles: "only inside shapes",
    Sparse: "only near objects",
    Scribbles: "scribbles",
}


class ExtentForm(QObject):
    """Rows added to a panel's form: the kind of annotation, and what that kind needs to know."""

    changed = Signal()

    def __init__(self, viewer: Any, form: QFormLayout, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._form = viewer, form
        self._is_visible = True
        self._was_chosen = False
        self._groups: dict[Any, Rectangles] = {}
        self._watched: list[Shapes] = []
        self.kind_list, self.shapes_list, self.background = Names(), Names(), QSpinBox()
        for kind, words in _KINDS.items():
            self.kind_list.addItem(words, kind)
        self.kind_list.setToolTip(
            "Which pixels you have judged; the others teach nothing.\n"
            "Whole image and shapes: 0 is background. Near objects: 0 is background near them alone.\n"
            "Scribbles: 0 is not annotated."
        )
        self.shapes_list.setToolTip(
            "The Shapes layer with the rectangles inside which everything is annotated.\n"
            "It counts for every image; annotated blocks, each for the image that it was suggested for."
        )
        self.background.setRange(1, 65535)
        self.background.setToolTip("The label number that you painted on the background")
        form.addRow("Annotated", self.kind_list)
        form.addRow("Shapes", self.shapes_list)
        form.addRow("Background is", self.background)
        self._fill_shapes()
        self._connect()
        self._draw()

    def extent(self) -> Extent | None:
        """Return the choice; None where shapes are meant and there are none."""
        kind = self.kind_list.currentData()
        if kind is Scribbles:
            return Scribbles(self.background.value())
        if kind is Whole:
            return Whole()
        groups = rectangles_among(self._viewer.layers)
        return Sparse(groups.get(ANNOTATED)) if kind is Sparse else groups.get(self.shapes_list.currentData())

    def choose(self, extent: Extent) -> None:
        """Show `extent`, and no other that is proposed later."""
        self.kind_list.setCurrentIndex(list(_KINDS).index(type(extent)))
        if isinstance(extent, Rectangles):
            groups = rectangles_among(self._viewer.layers).items()
            key = next((key for key, group in groups if extent.layers[0] in group.layers), None)
            self.shapes_list.setCurrentIndex(self.shapes_list.findData(key))
        elif isinstance(extent, Scribbles):
            self.background.setValue(extent.background)
        self._was_chosen = True

    def propose(self, extent: Extent) -> None:
        """Show `extent`, until somebody has chosen one."""
        if not self._was_chosen:
            self.choose(extent)
            self._was_chosen = False

    def forget(self) -> None:
        """Take what is proposed from now on."""
        self._was_chosen = False

    def set_visible(self, visible: bool) -> None:
        """Show the rows, or hide them where nothing is segmented."""
        self._is_visible = visible
        self._draw()

    def problem(self) -> str | None:
        """Return what is missing, or None."""
        if self._is_visible and self.extent() is None:
            return "There is no Shapes layer: add one, and draw rectangles around what you have annotated."
        return None

    def close_for_good(self) -> None:
        """Listen to the viewer no more."""
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.disconnect(self._fill_shapes)
        self._watch([])

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self._fill_shapes)
        self.kind_list.currentIndexChanged.connect(self._take)
        self.kind_list.activated.connect(self._take)  # what is chosen where it stands already is chosen, too
        self.shapes_list.currentIndexChanged.connect(self._take)
        self.background.valueChanged.connect(self._take)

    def _fill_shapes(self, event: Any = None) -> None:
        """List the layers by their present names, and keep the choice; a name makes a layer one of annotated blocks."""
        self._watch(shapes_among(self._viewer.layers))
        chosen, before = self.shapes_list.currentData(), self._groups
        self._groups = groups = rectangles_among(self._viewer.layers)
        if chosen not in groups and chosen in before:
            chosen = next((key for key, group in groups.items() if _have_in_common(group, before[chosen])), None)
        with QSignalBlocker(self.shapes_list):
            self.shapes_list.clear()
            for key, group in groups.items():
                self.shapes_list.addItem(group.name, key)
            self.shapes_list.setCurrentIndex(max(self.shapes_list.findData(chosen), min(0, len(groups) - 1)))
        self.changed.emit()

    def _watch(self, layers: list[Shapes]) -> None:
        for layer in self._watched:
            layer.events.name.disconnect(self._fill_shapes)
        self._watched = layers
        for layer in layers:
            layer.events.name.connect(self._fill_shapes)

    def _take(self) -> None:
        self._was_chosen = True
        self._draw()

    def _draw(self) -> None:
        kind = self.kind_list.currentData()
        self._show(self.kind_list, self._is_visible)
        self._show(self.shapes_list, self._is_visible and kind is Rectangles)
        self._show(self.background, self._is_visible and kind is Scribbles)
        self.changed.emit()

    def _show(self, row: QWidget, visible: bool) -> None:
        row.setVisible(visible)
        self._form.labelForField(row).setVisible(visible)


def _have_in_common(group: Rectangles, other: Rectangles) -> bool:
    return any(layer in other.layers for layer in group.layers)
