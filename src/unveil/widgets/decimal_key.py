"""Point and comma mean the same where a number is typed."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QDoubleSpinBox, QLineEdit


class DecimalKey(QObject):
    """Takes both keys for the decimal point of the box's language: Qt would read ``0.25`` as 0 in German."""

    def __init__(self, box: QDoubleSpinBox | QLineEdit) -> None:
        super().__init__(box)
        self._box = box
        box.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Write the point."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and event.text() in {".", ","}:
            line = self._box if isinstance(self._box, QLineEdit) else self._box.lineEdit()
            line.insert(self._box.locale().decimalPoint())
            return True
        return bool(super().eventFilter(watched, event))
