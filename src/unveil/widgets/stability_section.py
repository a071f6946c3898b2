"""A button that says how far the model's output moves on the image, and shows where it is sensitive."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from unveil.config.options import StabilityOptions
from unveil.errors import ImageError
from unveil.events import Monitor
from unveil.tasks.stability_report import first_centre
from unveil.widgets.config_form import ConfigForm
from unveil.widgets.inspected import Inspected, Subject
from unveil.widgets.job_button import Assignment, JobButton
from unveil.widgets.layer_roles import INSPECTION, marked
from unveil.widgets.requests import load
from unveil.widgets.results import ResultLayers

if TYPE_CHECKING:
    from unveil.tasks.stability_report import Stability

_BRIGHTEST = 99.8
"""Percentile of the sensitivity that is shown brightest."""


class StabilitySection(QWidget):
    """One sentence below the button, the figures below it, and a layer if it is wanted."""

    def __init__(self, inspected: Inspected) -> None:
        super().__init__()
        self._inspected, self._layers = inspected, ResultLayers(inspected.viewer)
        self.result: Stability | None = None
        self.form = ConfigForm(StabilityOptions, ("strength",))
        self.layer = QCheckBox("Show where it is sensitive")
        self.layer.setToolTip("Add a layer that says how far the whole output moves with each pixel of the region")
        self.layer.setChecked(True)
        self.button = JobButton("Stability report", self._prepare, self)
        self.button.bar.button.setToolTip("How far the output moves if the image changes a little; up to some minutes")
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.figures.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.form.native, self.layer, self.button.bar, self.figures):
            layout.addWidget(widget)
        self._forget()

    def set_problem(self, problem: str | None) -> None:
        """Say what the user must do first, or nothing; what was found before may be about something else."""
        if not self.button.is_running:
            self._forget()
        self.button.set_problem(problem)

    def close_for_good(self) -> None:
        """End the job."""
        self.button.close_for_good()

    def _forget(self) -> None:
        self.result = None
        self.button.say("")
        self.figures.setText("")
        self.figures.hide()

    def _prepare(self) -> Assignment:
        subject = self._inspected.subject()
        if subject.source is None:
            raise ImageError("There is no image layer that can be used. Open an image, then press the button again.")
        self._forget()
        options = self.form.config(channel=subject.channel)
        return Assignment(
            partial(_compute, subject, options), f"Stability of {subject.model_name}", partial(self._show, subject)
        )

    def _show(self, subject: Subject, found: Stability) -> str:
        self.result = found
        self.figures.setText("\n".join(f"{name}: {words}" for name, words in found.details.items()))
        self.figures.show()
        if self.layer.isChecked() and found.sensitivity is not None:
            key = ("sensitivity", subject.layer_id, subject.model)
            self._layers.insert([sensitivity_layer(subject, found)], key, replace=True)
        assert subject.source is not None
        return f"'{subject.model_name}' on '{subject.source.name}': {found.sentence}"


def sensitivity_layer(subject: Subject, found: Stability) -> ImageLayer:
    """Return the sensitivity of a region as a layer that lies over it, at the plane that was looked at."""
    source, image = subject.source, found.sensitivity
    assert source is not None
    assert image is not None
    covered = list(zip(image.axes, image.shape, found.region, strict=True))
    corner = {axis: first_centre(start, stop, n) for axis, n, (start, stop) in covered}
    at = {letter: source.position[letter] for letter in subject.cut} | dict(found.frame)
    plane = {letter: float(index) for letter, index in at.items() if letter in source.space.axes}
    space = source.result_space(image.axes + "".join(plane)).starting_at(plane | corner)
    space = space.coarser({axis: (stop - start) / n for axis, n, (start, stop) in covered})
    data = np.asarray(image.data)
    dark, bright = float(data.min()), float(np.percentile(data, _BRIGHTEST))
    return ImageLayer(
        space.arrange(data, image.axes),
        name=f"{source.name} · {subject.model_name} sensitivity",
        colormap="inferno",
        blending="additive",
        contrast_limits=(dark, bright) if bright > dark else (dark, dark + 1),
        metadata=marked(INSPECTION, source=source.name, **found.as_dict()),
        **space.layer_arguments(),
    )


def _compute(subject: Subject, options: StabilityOptions, monitor: Monitor) -> Stability:
    from unveil.tasks.stability import stability

    image = subject.image()
    assert image is not None
    return stability(image, load(subject.model), options=options, monitor=monitor)
