"""A button that computes how far a model can move its output, layer by layer and as a whole."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from unveil.events import Monitor
from unveil.io.library import ModelEntry
from unveil.widgets.inspected import Inspected
from unveil.widgets.job_button import Assignment, JobButton
from unveil.widgets.requests import load

if TYPE_CHECKING:
    from unveil.tasks.inspect import LipschitzTable


class LipschitzSection(QWidget):
    """The numbers of the layers fill columns of the table; those of the whole are said below the button."""

    def __init__(self, inspected: Inspected) -> None:
        super().__init__()
        self._inspected = inspected
        self.numbers = JobButton("Lipschitz numbers", self._prepare, self)
        self.numbers.bar.button.setToolTip("How far each convolution, and the whole, can move its output per change")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.numbers.bar)
        inspected.changed.connect(self._draw)
        self._draw()

    def close_for_good(self) -> None:
        """End the job."""
        self.numbers.close_for_good()

    def _draw(self) -> None:
        card, norms = self._inspected.models.card, self._inspected.norms
        if card is None:
            problem = "Choose a model."
        else:
            problem = "Classical filters have no Lipschitz numbers here." if card.is_filter else ""
        self.numbers.say(norms.words if norms is not None else "")
        self.numbers.set_problem(problem)

    def _prepare(self) -> Assignment:
        entry = self._inspected.model()
        return Assignment(
            partial(_compute, entry.path), f"Lipschitz numbers of {entry.name}", partial(self._show, entry)
        )

    def _show(self, entry: ModelEntry, norms: LipschitzTable) -> str:
        self._inspected.set_norms(entry, norms)
        return norms.words if self._inspected.norms is norms else ""


def _compute(model: Path, monitor: Monitor) -> LipschitzTable:
    from unveil.tasks.inspect import lipschitz_table

    return lipschitz_table(load(model), monitor=monitor)
