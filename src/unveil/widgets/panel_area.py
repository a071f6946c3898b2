"""What a panel lies in: it scrolls up and down, and mouse and keyboard do in it what people expect of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import cast

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QKeyEvent, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

_WIDTH = 300
"""Width of a panel in a fresh dock, in pixels."""
_FOCUS = """
QPushButton:focus, QToolButton:focus, QTableView:focus { outline: 1px solid palette(highlight); }
QComboBox:focus { border: 1px solid palette(highlight); padding: 2px 9px 2px 7px; }
QCheckBox::indicator:focus { border: 1px solid palette(highlight); padding: 0px; }
QSlider::handle:focus { border: 2px solid palette(highlight); }
"""
"""Shows where the keyboard is, which napari's themes do not; border and padding take as much room as theirs."""


def put_in_scroll_area(panel: QWidget, *parts: QWidget) -> None:
    """Stack `parts` in `panel`, so that a low window scrolls them instead of growing."""
    content = QWidget()
    column = QVBoxLayout(content)
    for part in parts:
        column.addWidget(part)
    column.addStretch()
    area = _Scrolled()
    area.setWidget(content)
    layout = QVBoxLayout(panel)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(area)


class _Scrolled(QScrollArea):
    """Scrolls up and down only: it is never narrower than its content needs."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # a click beside the widgets leaves the keyboard to the canvas
        self.setStyleSheet(_FOCUS)
        self._unmeant, self._known = _Unmeant(self), list[QWidget]()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Follow the content when a row appears or the font changes."""
        if watched is self.widget() and event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Polish):
            self._take_in()
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def _take_in(self) -> None:
        """Let keys and wheel do in all widgets, also in those that came later, what people expect of them."""
        widgets = list(_as_read(self.widget().layout()))
        if widgets == self._known:
            return
        self._known = widgets
        stops = [widget for widget in widgets if widget.focusPolicy() & Qt.FocusPolicy.TabFocus]
        for stop, following in pairwise(stops):
            QWidget.setTabOrder(stop, following)
        for widget in widgets:
            if isinstance(widget, QComboBox | QAbstractSpinBox | QAbstractSlider):
                widget.installEventFilter(self._unmeant)
            elif isinstance(widget, QPushButton):
                widget.setAutoDefault(True)  # else the Enter key does nothing outside of dialogs

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the width that the content and the scroll bar need."""
        return QSize(self._width(self.widget().minimumSizeHint().width()), 100)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that the content would like."""
        hint = self.widget().sizeHint()
        return QSize(max(self.minimumSizeHint().width(), _WIDTH), hint.height())

    def _width(self, content: int) -> int:
        return content + int(self.verticalScrollBar().sizeHint().width())


def _as_read(layout: QLayout) -> Iterator[QWidget]:
    """Go through the widgets of a layout in its order, and through those inside of them."""
    for n in range(layout.count()):
        item = layout.itemAt(n)
        widget = item.widget()
        inner = item.layout() if widget is None else widget.layout()
        if widget is not None:
            yield widget
        if inner is not None:
            yield from _as_read(inner)


class _Unmeant(QObject):
    """Passes on what a widget would take though it is meant for others: the choice would change, unseen.

    The wheel scrolls the panel; numbers and sliders take it once they were clicked. Letters and digits are napari's
    shortcuts; a list takes them in its popup.
    """

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Pass a turn of the wheel, or a key, on to what lies around the widget."""
        match event:
            case QWheelEvent():
                is_unmeant = isinstance(watched, QComboBox) or not cast("QWidget", watched).hasFocus()
            case QKeyEvent():
                is_unmeant = (
                    isinstance(watched, QComboBox) and event.text().isprintable() and event.text().strip() != ""
                )
            case _:
                return False
        if is_unmeant:
            event.ignore()
        return is_unmeant
