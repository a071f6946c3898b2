"""A list of layers that keeps its choice by id, and shows long names in a narrow dock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

_SCROLL_BAR_PX = 24


class LayerList(QComboBox):
    """A list of layers.

    Parameters
    ----------
    placeholder
        What it says while no layer is chosen.
    """

    def __init__(self, placeholder: str, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._placeholder, self._tooltip = placeholder, tooltip
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(4)
        self.currentIndexChanged.connect(self._name_whole)
        self.fill([])

    @property
    def chosen(self) -> Any:
        """The `unique_id` of the layer chosen, or None."""
        return self.currentData()

    def fill(self, layers: Sequence[Layer]) -> None:
        """List `layers` and keep the choice, if it is among them."""
        chosen = self.chosen
        with QSignalBlocker(self):
            self.clear()
            self.addItem(self._placeholder, None)
            for layer in layers:
                self.addItem(layer.name, layer.unique_id)
            self._choose(chosen)
        self._name_whole()

    def choose(self, unique_id: Any) -> None:
        """Choose the layer of that id without a signal; none where it is not listed."""
        with QSignalBlocker(self):
            self._choose(unique_id)
        self._name_whole()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Leave out the middle of a name that is too long: names often differ at the end."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - 4
        )
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def showPopup(self) -> None:  # noqa: N802
        """Open as wide as the names are."""
        self.view().setMinimumWidth(max(self.width(), self.view().sizeHintForColumn(0) + _SCROLL_BAR_PX))
        super().showPopup()

    def _choose(self, unique_id: Any) -> None:
        ids = [self.itemData(row) for row in range(self.count())]
        self.setCurrentIndex(ids.index(unique_id) if unique_id in ids else 0)

    def _name_whole(self) -> None:
        name = self.currentText() if self.chosen is not None else ""
        self.setToolTip("\n".join(text for text in (name, self._tooltip) if text))
