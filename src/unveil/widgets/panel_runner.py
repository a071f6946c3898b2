"""Run a request in a job and show how it goes: what the Segment and the Denoise panel have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton

from unveil.errors import InputError
from unveil.events import Event, Monitor, Unlike
from unveil.widgets.folder import FolderReport, FolderRequest
from unveil.widgets.growing_layer import GrowingLayers
from unveil.widgets.job import Job
from unveil.widgets.job_button import Assignment, JobButton
from unveil.widgets.notify import tell_failure
from unveil.widgets.requests import Request
from unveil.widgets.result_choice import sentence
from unveil.widgets.results import ResultLayers
from unveil.widgets.run_form import RunForm
from unveil.widgets.warning_row import WarningRow

_MAX_NAME = 24


class PanelRunner(QObject):
    """A form, a button, and at most one job.

    Parameters
    ----------
    verb, doing
        "Segment" on the button, "Segmenting" in the activity dock.
    layers
        What earlier runs have inserted.
    compute, compute_on_disk
        Turn a request into an answer, in the job's thread; the second where its results go to the disk.
    show
        Shows the answer to a request, in the main thread, and returns a sentence about it.
    compute_folder
        Runs a model over a folder, in the job's thread.
    more_options
        Gives options that are asked beside the form.
    """

    def __init__(
        self,
        viewer: Any,
        form: RunForm,
        *,
        verb: str,
        doing: str,
        layers: ResultLayers,
        compute: Callable[[Request, Monitor], Any],
        compute_on_disk: Callable[[Request, Monitor], Any],
        show: Callable[[Request, Any], str],
        compute_folder: Callable[[FolderRequest, Monitor], FolderReport],
        more_options: Callable[[], dict[str, Any]],
    ) -> None:
        super().__init__(form)
        self._viewer, self._verb, self._doing, self._layers = viewer, verb, doing, layers
        self._compute, self._compute_on_disk = compute, compute_on_disk
        self._show, self._more_options = show, more_options
        self._compute_folder = compute_folder
        self._request: Request | None = None
        self._chosen: tuple[Any, ...] = ()
        self._growing: GrowingLayers | None = None
        self.form = form
        self.replace = QCheckBox("Replace my previous result")
        self.replace.setToolTip("The same run again replaces its layers instead of adding new ones")
        self.warning = WarningRow()
        self.folder_button = QPushButton("Run on a folder…")
        self.folder_button.setToolTip("Run this model on every image of a folder and write the results as files")
        self.button = JobButton(verb, self._prepare, self, hint=self._sentence)
        self.bar, self.ended = self.button.bar, self.button.ended
        self.button.began.connect(self._on_begin)
        self.button.ended.connect(self._on_end)
        form.changed.connect(self._on_form_changed)
        self.replace.toggled.connect(self._on_form_changed)
        self.warning.rescale.connect(self._rescale)
        self.folder_button.clicked.connect(self._ask_for_folder)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        self._draw()

    @property
    def is_running(self) -> bool:
        """Whether a job is at work."""
        return self.button.is_running

    def start(self) -> None:
        """Run the form's request; its answer becomes layers."""
        self.button.start()

    def start_folder(self, images: Path, output: Path) -> None:
        """Run the chosen model on every image of a folder; results become files."""
        entry = self.form.models.entry
        if entry is None or self.is_running:
            return
        try:
            options = self.form.options(**self._more_options())
        except InputError as error:
            tell_failure(error)
            return
        folder = FolderRequest(images, output, entry.path, options)
        self._request = None
        self.button.begin(
            Assignment(
                partial(self._compute_folder, folder), f"{self._doing} folder {_short(images.name)}", _show_folder
            )
        )

    def cancel(self) -> None:
        """End the job after the tile at work."""
        self.button.cancel()

    def say(self, words: str) -> None:
        """Show `words` under the button until the next run."""
        self.button.say(words)

    def close_for_good(self) -> None:
        """End the job and listen to nothing any more; its answer is dropped."""
        self.button.close_for_good()
        self._request = None
        self._end_growing()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.form.close_for_good()

    def _prepare(self) -> Assignment:
        request = self._request = self._asked()
        compute = self._compute if request.target is None else self._compute_on_disk
        return Assignment(
            partial(compute, request),
            f"{self._doing} {_short(request.source.name)}",
            partial(self._show_whole, request),
            self._left_on_disk,
        )

    def _asked(self) -> Request:
        """Take down the form's request, and where its results are to lie."""
        request = self.form.request(**self._more_options())
        earlier = self._layers.file_of(request.key) if self.replace.isChecked() else None
        return replace(request, target=self.form.results.target(request, self.form.models.card, earlier))

    def _sentence(self) -> str:
        """Say where the next results go to, if they go to the disk."""
        if self.form.problem() is not None:
            return ""
        try:
            return sentence(self._asked(), self.form.models.card)
        except InputError:
            return ""

    def _end_growing(self) -> None:
        """Remove the layers of a result that is whole now, or does not go on."""
        growing, self._growing = self._growing, None
        if growing is not None:
            growing.end()

    def _draw(self) -> None:
        """Derive the state from what is there, and show it."""
        self.button.set_problem(self.form.problem())
        self.form.setEnabled(not self.is_running)
        self.warning.button.setEnabled(not self.is_running)
        self.folder_button.setEnabled(not self.is_running and self.form.models.entry is not None)

    def _on_form_changed(self) -> None:
        """Drop the words about the last run where something else is chosen now: they may not fit it."""
        before, self._chosen = self._chosen, (self.form.chosen(), self.replace.isChecked())
        if not self.is_running and self._chosen != before:
            self.say("")
            self.warning.clear()
        self._draw()

    def _on_begin(self, job: Job) -> None:
        self.warning.clear()
        job.happened.connect(self._on_events)
        if self._request is not None and self._request.target is not None:
            self._growing = GrowingLayers(self._viewer, self._request, job)
            job.finished.connect(self._end_growing)
        self._draw()

    def _on_end(self) -> None:
        self._request = None  # it holds the image
        self._draw()

    def _on_events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Unlike):
                self.warning.warn(event)

    def _rescale(self, factor: float) -> None:
        """Run again with the image resized by `factor`."""
        self.form.advanced.set_values({"rescale": factor})
        self.start()

    def _show_whole(self, request: Request, answer: Any) -> str:
        self._end_growing()
        return self._show(request, answer)

    def _left_on_disk(self) -> str:
        return self._growing.last_words(self._verb) if self._growing is not None else ""

    def _on_layer_removed(self, event: Any) -> None:
        """End the run whose image is gone: its answer is pointless."""
        if self._request is not None and event.value.unique_id == self._request.layer_id:
            self.cancel()

    def _ask_for_folder(self) -> None:
        images = QFileDialog.getExistingDirectory(self.form, "Folder of images")
        output = QFileDialog.getExistingDirectory(self.form, "Folder for the results") if images else ""
        if output:
            self.start_folder(Path(images), Path(output))


def _short(name: str) -> str:
    """Cut a long name in its middle, so that the activity dock has room for the bar."""
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME // 2]}…{name[-_MAX_NAME // 2 + 1 :]}"


def _show_folder(report: FolderReport) -> str:
    return report.sentence
