"""The buttons that steer a training, and how far it is: one state, drawn by one method."""

from __future__ import annotations

from enum import Enum, auto

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QProgressBar, QWidget

from unveil.widgets.press_button import PressButton, focus_kept, main_button


class TrainState(Enum):
    """What a training can do now."""

    BLOCKED = auto()
    """Something is missing; a line says what to do."""
    READY = auto()
    STARTING = auto()
    RUNNING = auto()
    PAUSED = auto()
    STOPPING = auto()
    """Stop was pressed; the step at work is not finished yet."""
    CANCELLING = auto()


_IDLE = (TrainState.BLOCKED, TrainState.READY)


class TrainBar(QWidget):
    """Start, Pause, Stop and Cancel, a progress bar and a line of text."""

    start = Signal()
    pause = Signal()
    go_on = Signal()
    stop = Signal()
    cancel = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._state = TrainState.BLOCKED
        self.start_button = main_button("Train")
        self.pause_button = PressButton("Pause")
        self.stop_button = PressButton("Stop, keep best")
        self.stop_button.setToolTip("End the training now and keep the best model so far")
        self.cancel_button = PressButton("Cancel")
        self.cancel_button.setToolTip("End the training now and keep nothing of it")
        self.bar = QProgressBar()
        self.line = QLabel()
        self.line.setWordWrap(True)
        self._lay_out()
        self.start_button.clicked.connect(self.start)
        self.pause_button.clicked.connect(self._press_pause)
        self.stop_button.clicked.connect(self.stop)
        self.cancel_button.clicked.connect(self.cancel)
        self.draw(TrainState.BLOCKED)

    @property
    def state(self) -> TrainState:
        """The state drawn last."""
        return self._state

    def draw(self, state: TrainState, text: str | None = None) -> None:
        """Show `state`; `text` replaces the line below the bar."""
        if state is TrainState.STARTING and self._state is not TrainState.STARTING:
            self.bar.setRange(0, 1)
            self.bar.setValue(0)
        self._state = state
        with focus_kept(self, self.start_button, self.pause_button, self.stop_button, self.cancel_button):
            self._draw_buttons()
        if text is not None:
            self.line.setText(text)
        self.line.setVisible(bool(self.line.text()))

    def show_steps(self, step: int, n_steps: int, text: str) -> None:
        """Show how many steps are done."""
        if self.bar.maximum() != n_steps:
            self.bar.setRange(0, n_steps)
        self.bar.setValue(step)
        self.line.setText(text)
        self.line.setVisible(True)

    def _draw_buttons(self) -> None:
        is_idle = self._state in _IDLE
        self.start_button.setVisible(is_idle)
        self.start_button.setEnabled(self._state is TrainState.READY)
        for widget in (self.pause_button, self.stop_button, self.cancel_button, self.bar):
            widget.setVisible(not is_idle)
        can_steer = self._state in (TrainState.RUNNING, TrainState.PAUSED)
        self.pause_button.setText("Continue" if self._state is TrainState.PAUSED else "Pause")
        self.pause_button.setEnabled(can_steer)
        self.stop_button.setEnabled(can_steer)
        self.cancel_button.setEnabled(can_steer or self._state in (TrainState.STARTING, TrainState.STOPPING))

    def _press_pause(self) -> None:
        (self.go_on if self._state is TrainState.PAUSED else self.pause).emit()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.start_button, 0, 0, 1, 3)
        for column, button in enumerate((self.pause_button, self.stop_button, self.cancel_button)):
            grid.addWidget(button, 1, column)
        grid.addWidget(self.bar, 2, 0, 1, 3)
        grid.addWidget(self.line, 3, 0, 1, 3)
