"""A line that says why an image is unlike those that taught the model, and a button that does something about it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from unveil.events import Unlike


class WarningRow(QWidget):
    """Hidden until there is something to warn of."""

    rescale = Signal(float)
    """The button was pressed: the image is to be resized by this factor."""

    def __init__(self) -> None:
        super().__init__()
        self._factor: float | None = None
        self.line = QLabel()
        self.line.setWordWrap(True)
        self.button = QPushButton()
        self.button.setToolTip("Set 'rescale' (under Advanced) to this factor and run again; results keep their size")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.button)
        self.button.clicked.connect(self._press)
        self.clear()

    def warn(self, event: Unlike) -> None:
        """Show what `event` says."""
        self._factor = event.suggested_rescale
        self.line.setText(f"⚠ {event.message}")
        self.button.setText("" if self._factor is None else f"Rescale by {self._factor:g}")
        self.button.setVisible(self._factor is not None)
        self.setVisible(True)

    def clear(self) -> None:
        """Warn of nothing."""
        self._factor = None
        self.setVisible(False)

    def _press(self) -> None:
        if self._factor is not None:
            self.rescale.emit(self._factor)
