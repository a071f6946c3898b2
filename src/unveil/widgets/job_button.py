"""A button that runs one job at a time and cancels it, with its progress and a line about how it went."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from qtpy.QtCore import QObject, Signal

from unveil.errors import InputError
from unveil.events import Progress
from unveil.widgets.job import Job, Work
from unveil.widgets.notify import tell, tell_failure
from unveil.widgets.run_bar import PanelState, RunBar


class Assignment(NamedTuple):
    """What one press of the button starts."""

    work: Work
    """Runs in the job's thread."""
    title: str
    """What is done, for the activity dock: "Computing feature maps"."""
    show: Callable[[Any], str]
    """Shows the answer, in the main thread, and returns a sentence about it."""
    left: Callable[[], str] = str
    """Says what a job that was cancelled leaves behind; nothing by default."""


class JobButton(QObject):
    """A `bar` with a button, and at most one job.

    Parameters
    ----------
    verb
        What the button says: "Show feature maps".
    prepare
        Takes down what is to be done, in the main thread; it may raise an `InputError`, which the user is told.
    hint
        Says what the button will do, where there is nothing to say of the last job; nothing by default.
    """

    began = Signal(object)
    """The `Job` that is about to start."""
    ended = Signal()
    """A job has ended, one way or another, and its answer is shown."""

    def __init__(
        self, verb: str, prepare: Callable[[], Assignment], parent: QObject, *, hint: Callable[[], str] = str
    ) -> None:
        super().__init__(parent)
        self._prepare, self._hint = prepare, hint
        self._job: Job | None = None
        self._problem = self._last_words = ""
        self.bar = RunBar(verb)
        self.bar.run.connect(self.start)
        self.bar.cancel.connect(self.cancel)
        self._draw()

    @property
    def is_running(self) -> bool:
        """Whether a job is at work."""
        return self._job is not None

    def set_problem(self, problem: str | None) -> None:
        """Say what the user must do before the button can be pressed; nothing where it can."""
        self._problem = problem or ""
        self._draw()

    def say(self, words: str) -> None:
        """Show `words` under the button until the next job."""
        self._last_words = words
        self._draw()

    def start(self) -> None:
        """Begin a job, unless one is at work."""
        if self._job is not None:
            return
        try:
            assignment = self._prepare()
        except InputError as error:
            self.say("")
            tell_failure(error)
            return
        self.begin(assignment)

    def begin(self, assignment: Assignment) -> None:
        """Begin another job than the one that a press starts, unless one is at work."""
        if self._job is not None:
            return
        work, title, show, left = assignment
        job = self._job = Job(work, title, self)
        self._last_words = ""
        self.began.emit(job)
        job.progressed.connect(partial(self._on_progress, job))
        job.noticed.connect(tell)
        job.succeeded.connect(partial(self._on_success, job, show))
        job.failed.connect(partial(self._on_failure, job))
        job.cancelled.connect(partial(self._on_cancelled, job, left))
        job.finished.connect(partial(self._on_finish, job))
        job.start()
        self._draw()

    def cancel(self) -> None:
        """End the job at its next event."""
        if self._job is not None:
            self._job.cancel()
            self._draw()

    def close_for_good(self) -> None:
        """End the job; its answer is dropped."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def _draw(self) -> None:
        if self._job is not None:
            state = PanelState.CANCELLING if self._job.is_cancelling else PanelState.RUNNING
            if state is not self.bar.state:
                self.bar.draw(state, "Starting…" if state is PanelState.RUNNING else "")
        elif self._problem:
            self.bar.draw(PanelState.BLOCKED, "\n".join(words for words in (self._last_words, self._problem) if words))
        else:
            self.bar.draw(PanelState.READY, self._last_words or self._hint())

    def _on_progress(self, job: Job, progress: Progress) -> None:
        if job is self._job:
            self._draw()
            self.bar.show_progress(progress)

    def _on_success(self, job: Job, show: Callable[[Any], str], answer: Any) -> None:
        if job is self._job:
            self._last_words = show(answer)

    def _on_failure(self, job: Job, error: Exception) -> None:
        if job is self._job:
            tell_failure(error)

    def _on_cancelled(self, job: Job, left: Callable[[], str]) -> None:
        if job is self._job:
            self._last_words = f"Cancelled.{left()}"

    def _on_finish(self, job: Job) -> None:
        if job is self._job:
            self._job = None
            self._draw()
            self.ended.emit()
