"""Which layers a training learns from: rows of an image and its labels, or its clean image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from unveil.axes import without
from unveil.widgets.axes_form import AxesForm
from unveil.widgets.layer_roles import images_among, labels_among
from unveil.widgets.layers import pixels, source_of
from unveil.widgets.pair_row import PairRow
from unveil.widgets.pairing import completed
from unveil.widgets.press_button import PressButton
from unveil.widgets.training_layers import (
    LayerPair,
    TrainingTask,
    what_is_missing,
)

_HEADINGS = {
    TrainingTask.OBJECTS: ("Image", "Labels"),
    TrainingTask.CLASSES: ("Image", "Labels"),
    TrainingTask.PAIRS: ("Noisy image", "Clean image"),
    TrainingTask.NOISY_ONLY: ("Noisy image", ""),
    TrainingTask.ADAPT: ("Noisy image", ""),
    TrainingTask.FRAMES: ("Stack of frames", ""),
    TrainingTask.CLEAN_ONLY: ("", "Clean image"),
}


class PairForm(QWidget):
    """Rows of layers that follow the viewer; a row's empty places are filled with what fits.

    The second place of a row is for labels, for a clean image or for nothing, as the task needs.
    """

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._task = TrainingTask.OBJECTS
        self._watched: list[Layer] = []
        self._were_chosen = False
        self._ids: dict[str, Any] = {}
        self.rows: list[PairRow] = []
        self.headings = (QLabel(), QLabel())
        self.add_button = PressButton("")
        self.labels_button = PressButton("New labels")
        self.axes_form = AxesForm()
        self._lay_out()
        self._add_row()
        self._connect()
        self._follow_layers()

    def pairs(self) -> list[LayerPair]:
        """Return one pair per row as it stands; places that are still empty are None."""
        layers = {layer.unique_id: layer for layer in self._viewer.layers}
        return [self._pair(row, layers) for row in self.rows]

    def problem(self) -> str | None:
        """Return in one sentence what is missing, or None."""
        if not images_among(self._viewer.layers):
            return "Open an image first: drop a file on the window, or File ▸ Open Sample ▸ Unveil."
        lacks = (what_is_missing(pair, self._task, number) for number, pair in enumerate(self.pairs(), start=1))
        return next(filter(None, lacks), None)

    def image_of(self, layer_id: Any, name: str) -> ImageLayer | None:
        """Return the image of an id, or else the one called `name`, now or when the form last saw one of that name."""
        found: ImageLayer | None = self._layer(layer_id) or self._layer(self._ids.get(name))
        return found

    def set_task(self, task: TrainingTask) -> None:
        """Show the places that `task` needs; what was chosen in the others is kept for later."""
        self._task = task
        self._refresh()

    def set_pairs(self, pairs: Sequence[LayerPair]) -> None:
        """Show `pairs` in place of all rows, and none that are proposed later; an empty row where there are none."""
        self._were_chosen = True
        self._show(pairs)

    def propose(self, pairs: Sequence[LayerPair]) -> None:
        """Show `pairs` in place of all rows, until somebody has chosen some."""
        if not self._were_chosen and pairs and list(pairs) != self.pairs():
            self._show(pairs)

    def keep(self) -> None:
        """Keep the rows as they are, whatever is proposed later."""
        self._were_chosen = True

    def add_pair(self) -> None:
        """Add a row, for an image that is in no row yet if there is one."""
        self._were_chosen = True
        self._add_row()
        self._refresh()

    def _show(self, pairs: Sequence[LayerPair]) -> None:
        pairs = pairs or [LayerPair(None)]
        for row in self.rows[len(pairs) :]:
            self._drop_row(row)
        while len(self.rows) < len(pairs):
            self._add_row()
        for row, pair in zip(self.rows, pairs, strict=True):
            row.choose(pair)
            if pair.axes and pair.shown is not None:
                self.axes_form.choose(pair.shown, pair.axes)
        self._refresh()

    def new_labels(self) -> None:
        """Make empty labels for an image, put them beside it, and take up the brush.

        It is the first image that has none; else the active one; else the last.
        """
        row = self._row_for_labels()
        image = self._layer(row.image_list.chosen) if row is not None else None
        if row is None or image is None:
            return
        self._were_chosen = True
        layer = empty_labels(image, self.axes_form.axes_of(image))
        self._viewer.layers.append(layer)
        row.labels_list.choose(layer.unique_id)
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        self._refresh()

    def close_for_good(self) -> None:
        """Listen to the viewer no more."""
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.disconnect(self._follow_layers)
        self._watch([])

    def _lay_out(self) -> None:
        self.add_button.setToolTip("Learn from one more image")
        self.labels_button.setToolTip("Make an empty Labels layer that fits the image, and paint in it")
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1)
        for column, heading in enumerate(self.headings):
            self._grid.addWidget(heading, 0, column)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.labels_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._grid)
        layout.addLayout(buttons)
        layout.addWidget(self.axes_form)

    def _connect(self) -> None:
        self.add_button.clicked.connect(self.add_pair)
        self.labels_button.clicked.connect(self.new_labels)
        self.axes_form.changed.connect(self._take)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self._follow_layers)

    def _add_row(self) -> PairRow:
        row = PairRow(self)
        row.changed.connect(self._take)
        row.removed.connect(partial(self._remove_row, row))
        row.fill(images_among(self._viewer.layers), labels_among(self._viewer.layers))
        self.rows.append(row)
        at = self._grid.rowCount()
        for column, widget in row.places:
            self._grid.addWidget(widget, at, column)
        return row

    def _drop_row(self, row: PairRow) -> None:
        self.rows.remove(row)
        for _, widget in row.places:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        row.deleteLater()

    def _remove_row(self, row: PairRow) -> None:
        self._drop_row(row)
        self._take()

    def _take(self) -> None:
        """Keep the rows as somebody has just made them."""
        self._were_chosen = True
        self._refresh()

    def _follow_layers(self, event: Any = None) -> None:
        """List the layers as they are now; a row whose image is gone goes, too."""
        self._watch(list(self._viewer.layers))
        images, labels = images_among(self._viewer.layers), labels_among(self._viewer.layers)
        self._ids |= {layer.name: layer.unique_id for layer in images}
        ids = {layer.unique_id for layer in images}
        gone = [row for row in self.rows if row.shown(self._task) not in (None, *ids)]
        if not any(row.shown(self._task) in ids for row in self.rows):  # nothing of a choice is left
            self._were_chosen = False
        for row in gone[: len(self.rows) - 1]:
            self._drop_row(row)
        for row in self.rows:
            row.fill(images, labels)
        self._refresh()

    def _watch(self, layers: list[Layer]) -> None:
        for layer in self._watched:
            layer.events.name.disconnect(self._follow_layers)
            layer.events.axis_labels.disconnect(self._follow_layers)
        self._watched = layers
        for layer in layers:
            layer.events.name.connect(self._follow_layers)
            layer.events.axis_labels.connect(self._follow_layers)

    def _refresh(self) -> None:
        """Fill empty places with what fits, and draw."""
        layers = self._viewer.layers
        pairs = completed(
            self.pairs(), self._task, images_among(layers), labels_among(layers), active=layers.selection.active
        )
        for row, pair in zip(self.rows, pairs, strict=True):
            row.choose(pair)
        self._draw()
        self.changed.emit()

    def _draw(self) -> None:
        for heading, text in zip(self.headings, _HEADINGS[self._task], strict=True):
            heading.setText(text)
            heading.setVisible(bool(text))
        for row in self.rows:
            row.draw(self._task, removable=len(self.rows) > 1)
        has_first, has_second = map(bool, _HEADINGS[self._task])
        self._grid.setColumnStretch(0, has_first)
        self._grid.setColumnStretch(1, has_second)
        self.add_button.setText("Add a pair" if has_first and has_second else "Add an image")
        self.labels_button.setVisible(self._task.is_segmentation)
        layers = {layer.unique_id: layer for layer in self._viewer.layers}
        shown = [layers[chosen] for row in self.rows if (chosen := row.shown(self._task)) in layers]
        self.labels_button.setEnabled(bool(shown))
        self.axes_form.set_layers(shown)

    def _pair(self, row: PairRow, layers: Mapping[Any, Any]) -> LayerPair:
        image = layers.get(row.image_list.chosen) if self._task.has_images else None
        shown = layers.get(row.shown(self._task))
        axes = self.axes_form.axes_of(shown) if shown is not None else ""
        return LayerPair(image, layers.get(row.target(self._task.target_kind)), axes)

    def _layer(self, unique_id: Any) -> Any:
        return next((layer for layer in self._viewer.layers if layer.unique_id == unique_id), None)

    def _row_for_labels(self) -> PairRow | None:
        with_image = [row for row in self.rows if row.image_list.chosen is not None]
        bare = [row for row in with_image if row.labels_list.chosen is None]
        active = getattr(self._viewer.layers.selection.active, "unique_id", None)
        chosen = [row for row in with_image if row.image_list.chosen == active]
        return next(iter(bare + chosen + with_image[::-1]), None)


def empty_labels(image: ImageLayer, axes: str) -> Labels:
    """Make a Labels layer that lies on `image` and has its shape, one for all the channels that `axes` name."""
    size = dict(zip(axes, pixels(image).shape, strict=False))
    space = source_of(image, axes).result_space(without(axes, "C"))
    shape = tuple(1 if letter == "C" else size[letter] for letter in space.axes)
    return Labels(np.zeros(shape, np.int32), name=f"{image.name} labels", **space.layer_arguments())
