"""The button that runs and cancels, and how far the run is: one state, drawn by one method."""

from __future__ import annotations

import time
from enum import Enum, auto

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from unveil.events import Progress
from unveil.widgets.press_button import focus_kept, main_button


class PanelState(Enum):
    """What a panel can do now."""

    BLOCKED = auto()
    """Something is missing; a line says what to do."""
    READY = auto()
    RUNNING = auto()
    CANCELLING = auto()
    """Cancel was pressed; the tile at work is not finished yet."""


class RunBar(QWidget):
    """A button, a progress bar and a line of text.

    Parameters
    ----------
    verb
        What the button says when it can be pressed: "Segment".
    """

    run = Signal()
    cancel = Signal()

    def __init__(self, verb: str) -> None:
        super().__init__()
        self._verb = verb
        self._state = PanelState.BLOCKED
        self._started = 0.0
        self.button = main_button(verb)
        self.bar = QProgressBar()
        self.line = QLabel()
        self.line.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.bar, self.line):
            layout.addWidget(widget)
        self.button.clicked.connect(self._press)
        self.draw(PanelState.BLOCKED)

    @property
    def state(self) -> PanelState:
        """The state drawn last."""
        return self._state

    def draw(self, state: PanelState, text: str = "") -> None:
        """Show `state`; `text` is what is missing, or how the last run went."""
        is_running = state in (PanelState.RUNNING, PanelState.CANCELLING)
        if state is PanelState.RUNNING and self._state is not PanelState.RUNNING:
            self._started = time.monotonic()
            # an empty bar, not a moving one: without a graphics card each repaint of the window takes 50 ms
            self.bar.setRange(0, 1)
            self.bar.setValue(0)
        self._state = state
        self.button.setText({PanelState.RUNNING: "Cancel", PanelState.CANCELLING: "Cancelling…"}.get(state, self._verb))
        with focus_kept(self, self.button):
            self.button.setEnabled(state in (PanelState.READY, PanelState.RUNNING))
        self.bar.setVisible(is_running)
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def show_progress(self, progress: Progress) -> None:
        """Show how much is done and how long the rest will take."""
        if self._state is not PanelState.RUNNING or progress.total == 0:
            return
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        text = f"{progress.done} of {progress.total} {progress.unit}"
        if 0 < progress.done < progress.total:
            elapsed = time.monotonic() - self._started
            left = elapsed / progress.done * (progress.total - progress.done)
            text += f", {format_seconds(left)} left"
        self.line.setText(text)
        self.line.setVisible(True)

    def _press(self) -> None:
        (self.cancel if self._state is PanelState.RUNNING else self.run).emit()


def format_seconds(seconds: float) -> str:
    """Return a duration for people: ``12 s``, ``3:05 min``, ``1:30 h``."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
