"""Lists that show long names in a narrow dock; those of layers keep their choice by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QEvent, QSignalBlocker, Qt
from qtpy.QtGui import QHelpEvent, QPaintEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip

_SCROLL_BAR_PX = 24


class Names(QComboBox):
    """A list of names that may be longer than there is room."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)

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


class Choices(Names):
    """A list whose tooltip ends with what is chosen, in full."""

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.setToolTip(tooltip)

    def event(self, event: QEvent) -> bool:
        """Show the tooltip."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), f"{self.toolTip()}: {self.currentText()}", self)
            return True
        return bool(super().event(event))


class LayerNames(Names):
    """A list of layers, one of which is chosen while there is any."""

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self._tooltip = tooltip
        self.currentIndexChanged.connect(self._name_whole)
        self._name_whole()

    @property
    def chosen(self) -> Any:
        """The `unique_id` of the layer chosen, or None."""
        return self.currentData()

    def fill(self, layers: Sequence[Layer]) -> None:
        """List `layers` and keep the choice, if it is among them, without a signal."""
        chosen = self.chosen
        with QSignalBlocker(self):
            self.clear()
            for layer in layers:
                self.addItem(layer.name, layer.unique_id)
            self._choose(chosen)
        self._name_whole()

    def choose(self, unique_id: Any) -> None:
        """Choose the layer of that id without a signal; the first item where it is not listed."""
        with QSignalBlocker(self):
            self._choose(unique_id)
        self._name_whole()

    def _choose(self, unique_id: Any) -> None:
        ids = [self.itemData(row) for row in range(self.count())]
        self.setCurrentIndex(ids.index(unique_id) if unique_id in ids else 0)

    def _name_whole(self) -> None:
        name = self.currentText() if self.chosen is not None else ""
        self.setToolTip("\n".join(text for text in (name, self._tooltip) if text))


class LayerList(LayerNames):
    """A list of layers, none of which need be chosen.

    Parameters
    ----------
    placeholder
        The first item, which says that no layer is chosen.
    """

    def __init__(self, placeholder: str, tooltip: str) -> None:
        super().__init__(tooltip)
        self._placeholder = placeholder
        self.setMinimumContentsLength(4)
        self.fill([])

    def clear(self) -> None:
        """Leave nothing but the placeholder."""
        super().clear()
        self.addItem(self._placeholder, None)
