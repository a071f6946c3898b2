"""Run a request in a job and show how it goes: what the Segment and the Denoise panel have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton

from unveil.errors import InputError
from unveil.events import Event, Monitor, Progress, Unlike
from unveil.widgets.folder import FolderReport, FolderRequest
from unveil.widgets.growing_layer import GrowingLayers
from unveil.widgets.job import Job, Work
from unveil.widgets.notify import tell, tell_failure
from unveil.widgets.requests import Request
from unveil.widgets.result_choice import sentence
from unveil.widgets.results import ResultLayers
from unveil.widgets.run_bar import PanelState, RunBar
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

    ended = Signal()
    """A job has ended, one way or another, and its answer is shown."""

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
        self._job: Job | None = None
        self._layer_id: Any = None
        self._last_words = ""
        self._chosen: tuple[Any, ...] = ()
        self._growing: GrowingLayers | None = None
        self.form = form
        self.replace = QCheckBox("Replace my previous result")
        self.replace.setToolTip("The same run again replaces its layers instead of adding new ones")
        self.bar = RunBar(verb)
        self.warning = WarningRow()
        self.folder_button = QPushButton("Run on a folder…")
        self.folder_button.setToolTip("Run this model on every image of a folder and write the results as files")
        form.changed.connect(self._on_form_changed)
        self.replace.toggled.connect(self._on_form_changed)
        self.bar.run.connect(self.start)
        self.bar.cancel.connect(self.cancel)
        self.warning.rescale.connect(self._rescale)
        self.folder_button.clicked.connect(self._ask_for_folder)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        self._draw()

    @property
    def is_running(self) -> bool:
        """Whether a job is at work."""
        return self._job is not None

    def start(self) -> None:
        """Run the form's request; its answer becomes layers."""
        if self._job is not None:
            return
        try:
            request = self._request()
        except InputError as error:
            tell_failure(error)
            return
        is_on_disk = request.target is not None
        self.start_job(
            partial(self._compute_on_disk if is_on_disk else self._compute, request),
            f"{self._doing} {_short(request.source.name)}",
            partial(self._show, request),
            layer_id=request.layer_id,
        )
        if is_on_disk and self._job is not None:
            self._growing = GrowingLayers(self._viewer, request, self._job)

    def start_folder(self, images: Path, output: Path) -> None:
        """Run the chosen model on every image of a folder; results become files."""
        entry = self.form.models.entry
        if entry is None:
            return
        try:
            options = self.form.options(**self._more_options())
        except InputError as error:
            tell_failure(error)
            return
        request = FolderRequest(images, output, entry.path, options)
        self.start_job(
            partial(self._compute_folder, request), f"{self._doing} folder {_short(images.name)}", _show_folder
        )

    def start_job(self, work: Work, title: str, show: Callable[[Any], str], *, layer_id: Any = None) -> None:
        """Run `work`; `show` shows its answer and returns a sentence about it.

        Parameters
        ----------
        layer_id
            `unique_id` of the layer without which the answer is pointless.
        """
        if self._job is not None:
            return
        job = Job(work, title, self)
        self._job, self._layer_id, self._last_words = job, layer_id, ""
        self.warning.clear()
        job.progressed.connect(partial(self._on_progress, job))
        job.noticed.connect(tell)
        job.happened.connect(partial(self._on_events, job))
        job.succeeded.connect(partial(self._on_success, job, show))
        job.failed.connect(partial(self._on_failure, job))
        job.cancelled.connect(partial(self._on_cancelled, job))
        job.finished.connect(partial(self._on_finish, job))
        job.start()
        self._draw()

    def cancel(self) -> None:
        """End the job after the tile at work."""
        if self._job is not None:
            self._job.cancel()
            self._draw()

    def say(self, words: str) -> None:
        """Show `words` under the button until the next run."""
        self._last_words = words
        self._draw()

    def close_for_good(self) -> None:
        """End the job and listen to nothing any more; its answer is dropped."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        self._end_growing()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.form.close_for_good()

    def _request(self) -> Request:
        """Take down the form's request, and where its results are to lie."""
        request = self.form.request(**self._more_options())
        earlier = self._layers.file_of(request.key) if self.replace.isChecked() else None
        return replace(request, target=self.form.results.target(request, self.form.models.card, earlier))

    def _sentence(self) -> str:
        """Say where the next results go to, if they go to the disk."""
        try:
            return sentence(self._request(), self.form.models.card)
        except InputError:
            return ""

    def _end_growing(self) -> None:
        """Remove the layers of a result that is whole now, or does not go on."""
        growing, self._growing = self._growing, None
        if growing is not None:
            growing.end()

    def _draw(self) -> None:
        """Derive the state from what is there, and show it."""
        problem = self.form.problem()
        if self._job is not None:
            state = PanelState.CANCELLING if self._job.is_cancelling else PanelState.RUNNING
            if state is not self.bar.state:
                self.bar.draw(state, "Starting…" if state is PanelState.RUNNING else "")
        elif problem is not None:
            self.bar.draw(PanelState.BLOCKED, "\n".join(words for words in (self._last_words, problem) if words))
        else:
            self.bar.draw(PanelState.READY, self._last_words or self._sentence())
        self.form.setEnabled(self._job is None)
        self.warning.button.setEnabled(self._job is None)
        self.folder_button.setEnabled(self._job is None and self.form.models.entry is not None)

    def _on_form_changed(self) -> None:
        """Drop the words about the last run where something else is chosen now: they may not fit it."""
        before, self._chosen = self._chosen, (self.form.chosen(), self.replace.isChecked())
        if self._job is None and self._chosen != before:
            self._last_words = ""
            self.warning.clear()
        self._draw()

    def _on_progress(self, job: Job, progress: Progress) -> None:
        if job is self._job:
            self._draw()
            self.bar.show_progress(progress)

    def _on_events(self, job: Job, events: list[Event]) -> None:
        if job is self._job:
            for event in events:
                if isinstance(event, Unlike):
                    self.warning.warn(event)

    def _rescale(self, factor: float) -> None:
        """Run again with the image resized by `factor`."""
        self.form.advanced.set_values({"rescale": factor})
        self.start()

    def _on_success(self, job: Job, show: Callable[[Any], str], answer: Any) -> None:
        if job is self._job:
            self._end_growing()
            self._last_words = show(answer)

    def _on_failure(self, job: Job, error: Exception) -> None:
        if job is self._job:
            tell_failure(error)

    def _on_cancelled(self, job: Job) -> None:
        if job is self._job:
            left = self._growing.last_words(self._verb) if self._growing is not None else ""
            self._last_words = f"Cancelled.{left}"

    def _on_finish(self, job: Job) -> None:
        if job is self._job:
            self._end_growing()
            self._job = None
            self._draw()
            self.ended.emit()

    def _on_layer_removed(self, event: Any) -> None:
        if self._job is not None and self._layer_id is not None and event.value.unique_id == self._layer_id:
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
    for problem in report.problems:
        tell(problem)
    return report.sentence
