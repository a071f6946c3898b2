"""Trainings that were interrupted, to go on with or to give up."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from unveil.io.runs import Run, resumable_runs
from unveil.widgets.layer_list import Names
from unveil.widgets.notify import tell
from unveil.widgets.press_button import PressButton


class ResumeRow(QWidget):
    """A list of interrupted trainings with a button to go on; hidden where there are none."""

    resume = Signal(object)
    """Go on with this `Run`."""

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[Run] = []
        self.list = Names()
        self.resume_button = PressButton("Resume")
        self.discard_button = PressButton("Discard")
        self.discard_button.setToolTip("Give this training up; the annotations in its folder stay")
        label = QLabel("A training was interrupted:")
        row = QHBoxLayout()
        row.addWidget(self.list, stretch=1)
        row.addWidget(self.resume_button)
        row.addWidget(self.discard_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(label)
        column.addLayout(row)
        self.resume_button.clicked.connect(self._resume)
        self.discard_button.clicked.connect(self._discard)
        self.setVisible(False)

    def refresh(self) -> None:
        """Look for interrupted trainings again."""
        self._runs = resumable_runs()
        self.list.clear()
        for run in self._runs:
            self.list.addItem(f"{run.facts['title']} ({run.path.name[:15]})")
        self.setVisible(bool(self._runs))

    def _resume(self) -> None:
        run = self._runs[self.list.currentIndex()]
        if run.is_resumable:
            self.resume.emit(run)
        else:  # it would begin anew
            tell(f"Training {self.list.currentText()} goes on in another window, or has ended there.")
            self.refresh()

    def _discard(self) -> None:
        run = self._runs[self.list.currentIndex()]
        if run.is_resumable:  # else it goes on in another window
            run.discard()
        self.refresh()
