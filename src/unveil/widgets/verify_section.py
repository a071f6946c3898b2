"""A button that checks on this computer what is promised of the model, and writes the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from unveil.config.options import EngineOptions
from unveil.errors import InputError
from unveil.events import Monitor
from unveil.widgets.inspected import Inspected, Subject
from unveil.widgets.job_button import Assignment, JobButton
from unveil.widgets.notify import tell_failure

if TYPE_CHECKING:
    from unveil.tasks.verification import Verification

_MARKS = {True: "✓", False: "✗ FAILED", None: "–"}


class VerifySection(QWidget):
    """One sentence below the button, a line per check, and a button for the report.

    Without an image a sample is taken.
    """

    def __init__(self, inspected: Inspected) -> None:
        super().__init__()
        self._inspected = inspected
        self.result: Verification | None = None
        self.button = JobButton("Verify on this computer", self._prepare, self)
        self.button.bar.button.setToolTip(
            "Check weights, tiles, engine, labels and bound of this model here, on the middle of this image"
        )
        self.lines = QLabel()
        self.lines.setWordWrap(True)
        self.lines.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.save_button = QPushButton("Save report…")
        self.save_button.setToolTip("Write the report to send along with a paper, as Markdown or JSON")
        self.save_button.clicked.connect(self._ask_where)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button.bar, self.lines, self.save_button):
            layout.addWidget(widget)
        self._forget()

    def set_problem(self, problem: str | None) -> None:
        """Say what the user must do first, or nothing; what was found before may be about something else."""
        if not self.button.is_running:
            self._forget()
        self.button.set_problem(problem)

    def save(self, path: Path) -> None:
        """Write the report of the last verification; the user is told where that fails."""
        from unveil.tasks.verification import write_report

        if self.result is None:
            return
        try:
            write_report(path, [self.result])
        except InputError as error:
            tell_failure(error)

    def close_for_good(self) -> None:
        """End the job."""
        self.button.close_for_good()

    def _forget(self) -> None:
        self.result = None
        self.button.say("")
        self.lines.setText("")
        self.lines.hide()
        self.save_button.hide()

    def _prepare(self) -> Assignment:
        subject = self._inspected.subject()
        self._forget()
        return Assignment(partial(_compute, subject), f"Verifying {subject.model_name}", self._show)

    def _show(self, found: Verification) -> str:
        self.result = found
        self.lines.setText("\n".join(f"{_MARKS[check.passed]} {check.name}: {check.words}" for check in found.checks))
        self.lines.show()
        self.save_button.show()
        return found.sentence

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", "verification.md", "Reports (*.md *.json)")
        if path:
            self.save(Path(path) if Path(path).suffix else Path(path).with_suffix(".md"))


def _compute(subject: Subject, monitor: Monitor) -> Verification:
    from unveil.io.model_file import read_model
    from unveil.io.samples import sample_for
    from unveil.tasks.verify import verify

    model = read_model(subject.model)
    image = subject.image() or sample_for(model.card)
    return verify(model, image, options=EngineOptions(channel=subject.channel), monitor=monitor)
