"""The Train panel: from painted layers to a model, watched while it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QMessageBox, QVBoxLayout, QWidget

from unveil.axes import without
from unveil.errors import ImageError, InputError, NoSplitError
from unveil.events import EpochEnd, Event, Preview, Progress, StepEnd, TrainingStart
from unveil.io.runs import Run
from unveil.widgets.after_training import AfterTraining, metric_title
from unveil.widgets.autosave import Autosave
from unveil.widgets.closing_watch import ClosingWatch
from unveil.widgets.docks import open_panel
from unveil.widgets.job import Job
from unveil.widgets.layers import Source
from unveil.widgets.model_picker import pickers_for
from unveil.widgets.next_blocks import NextBlocks
from unveil.widgets.notify import tell, tell_failure
from unveil.widgets.panel_area import put_in_scroll_area
from unveil.widgets.preview_layer import PreviewLayer
from unveil.widgets.resume_row import ResumeRow
from unveil.widgets.session_models import session_models
from unveil.widgets.split_layer import SplitLayer
from unveil.widgets.train_bar import TrainBar, TrainState
from unveil.widgets.train_form import TrainForm
from unveil.widgets.train_work import Trained, TrainingRequest, TrainingWork
from unveil.widgets.training_pace import TrainingPace

if TYPE_CHECKING:
    import napari

    from unveil.widgets.loss_plot import LossPlot

_SHOW_AFTER_MS = 300
"""The plane in view is sent to the trainer when it has rested so long."""


class TrainPanel(QWidget):
    """Choose what to learn from, press Train, watch, stop, use."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._work: TrainingWork | None = None
        self._job: Job | None = None
        self._state = TrainState.READY
        self._last_words = ""
        self._task = "segmentation"
        self._architecture: Mapping[str, Any] | None = None
        self._taught: Sequence[Source] = ()
        self._pace = TrainingPace()
        self.form = TrainForm(napari_viewer)
        self.bar = TrainBar()
        self._plot: LossPlot | None = None
        self._plot_place = QWidget()
        QVBoxLayout(self._plot_place).setContentsMargins(0, 0, 0, 0)
        self.after = AfterTraining()
        self.next = NextBlocks(napari_viewer, self.form, self._trained_model)
        self.resume = ResumeRow()
        self.preview = PreviewLayer(napari_viewer)
        self.split = SplitLayer(napari_viewer)
        self.autosave = Autosave(self)
        self._show_timer = QTimer(self)
        self._show_timer.setSingleShot(True)
        self._show_timer.setInterval(_SHOW_AFTER_MS)
        put_in_scroll_area(self, self.resume, self.form, self.next, self.bar, self._plot_place, self.after)
        self._connect()
        self._on_form_changed()

    @property
    def plot(self) -> LossPlot:
        """The live curves; made when they are first needed, since pyqtgraph takes its time."""
        if self._plot is None:
            from unveil.widgets.loss_plot import LossPlot

            self._plot = LossPlot()
            layout = self._plot_place.layout()
            assert layout is not None
            layout.addWidget(self._plot)
        return self._plot

    @property
    def is_training(self) -> bool:
        """Whether a training is under way."""
        return self._job is not None

    def start(self) -> None:
        """Train with the form as it stands."""
        try:
            request = self.form.request()
        except InputError as error:
            tell_failure(error)
            return
        self._begin(request)

    def go_on_with(self, run: Run) -> None:
        """Go on with a training that was interrupted."""
        self._begin(run)

    def pause(self) -> None:
        """Hold the training after the step at work."""
        if self._work is not None:
            self._work.pause()
            self._draw(TrainState.PAUSED)

    def go_on(self) -> None:
        """Let a held training go on."""
        if self._work is not None:
            self._work.go_on()
            self._pace.restart()
            self._draw(TrainState.RUNNING)

    def stop(self) -> None:
        """End the training after the step at work, and keep the best model."""
        if self._work is not None:
            self._work.stop()
            self._draw(TrainState.STOPPING, "Stopping; the best model is kept…")

    def cancel(self) -> None:
        """End the training at once and keep nothing of it."""
        if self._job is not None and self._work is not None:
            self._draw(TrainState.CANCELLING, "Cancelling…")
            self._work.give_up()
            self._job.cancel()

    def close_for_good(self) -> None:
        """Interrupt the training, which can be resumed, and listen to nothing any more: the panel is gone."""
        job, self._job, self._work = self._job, None, None
        if job is not None:
            job.cancel()
            self.preview.remove()
            self.split.hide()
        self._show_timer.stop()
        for emitter in self._moved():
            emitter.disconnect(self._on_view_changed)
        self.form.close_for_good()
        self.next.close_for_good()
        self.autosave.close_for_good()
        if self._plot is not None:
            self._plot.close_for_good()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Look for interrupted trainings when the panel comes to the front."""
        super().showEvent(event)
        self.resume.refresh()

    def _connect(self) -> None:
        self.form.changed.connect(self._on_form_changed)
        self.bar.start.connect(self.start)
        self.bar.pause.connect(self.pause)
        self.bar.go_on.connect(self.go_on)
        self.bar.stop.connect(self.stop)
        self.bar.cancel.connect(self.cancel)
        self.resume.resume.connect(self.go_on_with)
        self.after.use.connect(self._use)
        self.after.correct.connect(self.form.correct_prediction)
        self.after.train_on.connect(self._train_on)
        for emitter in self._moved():
            emitter.connect(self._on_view_changed)
        self._show_timer.timeout.connect(self._show_plane)
        self._watch = ClosingWatch(self, self.close_for_good)

    def _begin(self, order: TrainingRequest | Run) -> None:
        if self._job is not None:
            return
        if isinstance(order, TrainingRequest):
            name, self._task, self._taught = order.settings.name, order.settings.task, order.taught
            if order.shown is not None:
                self.preview.begin(*order.shown)
        else:  # what a run goes on with may be here no more
            name, self._task, self._taught = order.facts["title"], order.facts["task"], ()
        self._work = work = TrainingWork(order)
        # napari's sign of activity repaints the window all the time, which without a graphics card takes a core
        self._job = job = Job(work, f"Training {name}", self, interrupt=work.interrupt, in_activity_dock=False)
        self._last_words, self._architecture = "", None
        job.progressed.connect(partial(self._on_progress, job))
        job.happened.connect(partial(self._on_events, job))
        job.noticed.connect(tell)
        job.succeeded.connect(partial(self._on_success, job))
        job.failed.connect(partial(self._on_failure, job, order))
        job.cancelled.connect(partial(self._on_cancelled, job))
        job.finished.connect(partial(self._on_finish, job))
        self._draw(TrainState.STARTING, "Preparing…")
        job.start()

    def _on_progress(self, job: Job, progress: Progress) -> None:
        """Show how far that is which takes its time before the first step, or after the last one."""
        if job is self._job and progress.total:
            self.bar.show_steps(progress.done, progress.total, f"{progress.done} of {progress.total} {progress.unit}")

    def _on_events(self, job: Job, events: list[Event]) -> None:
        if job is not self._job:
            return
        for event in events:
            match event:
                case TrainingStart():
                    self._on_start(event)
                case StepEnd():
                    self._pace.note_step(event)
                    self.plot.add_steps([event.step], [event.loss])
                case EpochEnd():
                    self._pace.note_epoch(event)
                    self.plot.add_epoch(
                        event.step,
                        validation_loss=event.validation_loss,
                        metric=event.metric,
                        is_kept=event.is_kept,
                    )
                case Preview():
                    self.preview.update(event, self._task)
        if self._state in (TrainState.RUNNING, TrainState.PAUSED) and self._pace.step:
            self.bar.show_steps(self._pace.step, self._pace.n_steps, self._pace.sentence())

    def _on_start(self, event: TrainingStart) -> None:
        """Show what was chosen, and what is held out."""
        self._pace, self._architecture = TrainingPace(event), event.settings["architecture"]
        self.plot.clear(metric_title("IoU" if self._task == "segmentation" else "PSNR"))
        self.form.show_choices(event)
        self.split.show(event.held_out, self._taught)
        self._draw(TrainState.RUNNING)
        words = f"On {event.device} in {event.precision}. {' '.join(event.reasons)}"
        self.bar.show_steps(0, event.n_steps, words)

    def _on_success(self, job: Job, trained: Trained) -> None:
        if job is self._job:
            entry = session_models.open(trained.model)
            for picker in pickers_for(entry, self._viewer):
                picker.choose(entry.path)
            self.after.show_model(trained)

    def _on_failure(self, job: Job, order: TrainingRequest | Run, error: Exception) -> None:
        if job is not self._job:
            return
        if isinstance(error, NoSplitError) and isinstance(order, TrainingRequest):
            QTimer.singleShot(0, partial(self._ask_about_split, order, error))
        else:
            tell_failure(error)

    def _on_cancelled(self, job: Job) -> None:
        if job is self._job:
            self._last_words = "Cancelled."

    def _on_finish(self, job: Job) -> None:
        if job is not self._job:
            return
        self._job = self._work = None
        self.preview.remove()
        self.split.hide()
        self.resume.refresh()
        self._on_form_changed()

    def _ask_about_split(self, request: TrainingRequest, error: NoSplitError) -> None:
        """Let the user agree to a training whose result nobody can judge."""
        question = f"{error}\n\nTrain without a validation score?"
        answer = QMessageBox.question(self, "Too little to validate", question)
        if answer == QMessageBox.StandardButton.Yes:
            self._begin(request.without_validation())

    def _use(self, trained: Trained) -> None:
        """Open the panel of the model's task with it, and run it on the first image."""
        name = "Segment" if trained.card.task == "segmentation" else "Denoise"
        panel = open_panel(self._viewer, name)
        if panel.runner.is_running:
            tell(f"The {name} panel is at work. Press the button again when it has ended, or cancel it there.")
            return
        panel.form.models.refresh()
        panel.form.models.choose(trained.model)
        image, axes = self.form.first_image()
        source = panel.form.source
        source.choose(image)
        source.axes_list.setCurrentIndex(max(source.axes_list.findData(axes), 0))
        panel.runner.start()

    def _train_on(self, trained: Trained) -> None:
        self.form.start_from(trained.model)
        self.start()

    def _trained_model(self) -> Path | None:
        """Return the last trained model, unless it is for another task now."""
        trained = self.after.trained
        return trained.model if trained is not None and trained.card.task == "segmentation" else None

    def _on_form_changed(self) -> None:
        self.autosave.watch(self.form.label_layers())
        self.next.draw()
        if self._job is None:
            problem = self.form.problem()
            words = "\n".join(text for text in (self._last_words, problem) if text)
            self._draw(TrainState.BLOCKED if problem else TrainState.READY, words)

    def _moved(self) -> tuple[Any, Any]:
        """Return what tells that another plane is in view, or that the image lies elsewhere or has another scale."""
        events = self._viewer.dims.events
        return events.current_step, events.range

    def _on_view_changed(self, event: Any = None) -> None:
        if self._job is not None:
            self._show_timer.start()

    def _show_plane(self) -> None:
        """Send the plane now in view to the trainer, if the network in training can see it."""
        if self._work is not None and self._architecture is None:  # what it can see is not known yet
            self._show_timer.start()
            return
        with suppress(ImageError):  # of a layer that came meanwhile and is no image to learn from
            shown = self.form.shown()
            if self._work is not None and shown is not None and self._can_see(*shown):
                self._work.show(self.preview.begin(*shown))

    def _can_see(self, source: Source, cut: str) -> bool:
        """Say whether the network in training takes what the form shows now: other layers may stand there meanwhile."""
        assert self._architecture is not None
        plane = source.image(cut)
        has_channels = self._task == "denoising" or plane.size("C") == self._architecture["in_channels"]
        return has_channels and len(without(plane.axes, "C")) == int(self._architecture["n_dims"])

    def _draw(self, state: TrainState, text: str | None = None) -> None:
        self._state = state
        self.bar.draw(state, text)
        self.form.setEnabled(self._job is None)
        self.next.setEnabled(self._job is None)
        self.resume.setEnabled(self._job is None)
        self.after.setEnabled(self._job is None)
