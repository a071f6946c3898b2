"""One row of the pair form: an image, what is to be made of it, and a button that removes the row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from unveil.widgets.layer_list import LayerList
from unveil.widgets.press_button import PressButton
from unveil.widgets.training_layers import LayerPair, TargetKind, TrainingTask


class PairRow(QObject):
    """The widgets of a pair, and what was chosen in them; the second choice is kept per kind of layer."""

    changed = Signal()
    removed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.image_list = LayerList("choose…", "The image to learn from")
        self.labels_list = LayerList("choose…", "The Labels layer in which its objects are painted")
        self.clean_list = LayerList("choose…", "A clean image of the scene")
        self.remove_button = PressButton("✕")
        self.remove_button.setFixedWidth(self.remove_button.fontMetrics().height() + 8)
        self.remove_button.setToolTip("Remove this row; the layers stay")
        self.image_list.currentIndexChanged.connect(self._take_image)
        for target_list in (self.labels_list, self.clean_list):
            target_list.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.remove_button.clicked.connect(lambda: self.removed.emit())

    @property
    def places(self) -> tuple[tuple[int, QWidget], ...]:
        """All widgets, each with its column; labels and clean image share one."""
        return (0, self.image_list), (1, self.labels_list), (1, self.clean_list), (2, self.remove_button)

    def fill(self, images: Sequence[ImageLayer], labels: Sequence[Labels]) -> None:
        """List the layers, and keep the choices that are among them."""
        self.image_list.fill(images)
        self.labels_list.fill(labels)
        self.clean_list.fill(images)

    def choose(self, pair: LayerPair) -> None:
        """Choose the layers of `pair` without a signal; what it does not name stays, unless it was of another image."""
        if pair.image is not None and pair.image.unique_id != self.image_list.chosen:
            self.image_list.choose(pair.image.unique_id)
            self._forget()
        if pair.target is not None:
            target_list = self.labels_list if isinstance(pair.target, Labels) else self.clean_list
            target_list.choose(pair.target.unique_id)

    def target(self, kind: TargetKind) -> Any:
        """Return the id of the target of `kind` chosen, or None."""
        return {"labels": self.labels_list.chosen, "image": self.clean_list.chosen, "none": None}[kind]

    def shown(self, task: TrainingTask) -> Any:
        """Return the id of the image whose pixels are meant: the first place that `task` has, or None."""
        return self.image_list.chosen if task.has_images else self.clean_list.chosen

    def draw(self, task: TrainingTask, *, removable: bool) -> None:
        """Show the places that `task` needs."""
        self.image_list.setVisible(task.has_images)
        self.labels_list.setVisible(task.target_kind == "labels")
        self.clean_list.setVisible(task.target_kind == "image")
        self.remove_button.setVisible(removable)

    def _take_image(self) -> None:
        self._forget()
        self.changed.emit()

    def _forget(self) -> None:
        """Forget the labels of another image; no image is its own clean one."""
        self.labels_list.choose(None)
        if self.clean_list.chosen == self.image_list.chosen:
            self.clean_list.choose(None)
