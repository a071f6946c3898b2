"""One task off the main thread: its events become Qt signals.

A job ends in exactly one of `succeeded`, `failed` and `cancelled`, and then always emits `finished`. The thread never
touches Qt: it leaves its events in a mailbox, which the main thread empties ten times a second. What has finished
deletes itself.
"""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from napari.qt.threading import FunctionWorker, create_worker
from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QTimer, Signal

from unveil.events import Cancelled, Event, Monitor, Notice, Progress, Unlike
from unveil.widgets.triton_first import load_triton

Work: TypeAlias = Callable[[Monitor], Any]
"""What runs in the thread; it calls its monitor often, and the monitor may raise `Cancelled`."""

_DELIVERY_MS = 100
_TURN_S = 5e-4


@dataclass(frozen=True, slots=True)
class _Succeeded:
    value: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class Job(QObject):
    """Run `work` in a thread, shown in napari's activity dock and known to napari's list of tasks.

    Parameters
    ----------
    title
        What is done, for the activity dock and for napari's question when it closes: "Segmenting nuclei".
    in_activity_dock
        Show a bar in the activity dock.
    interrupt
        Called when the end is asked for, by any thread: wakes work that waits for something else than its monitor.
    """

    progressed = Signal(object)
    """`Progress`, at most ten times a second."""
    noticed = Signal(str)
    happened = Signal(list)
    """All other events since the last time, in order, at most ten times a second."""
    succeeded = Signal(object)
    """What `work` returned."""
    failed = Signal(object)
    """The exception that `work` raised."""
    cancelled = Signal()
    finished = Signal()

    def __init__(
        self,
        work: Work,
        title: str,
        parent: QObject | None = None,
        *,
        in_activity_dock: bool = True,
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(parent)
        self._in_activity_dock = in_activity_dock
        self._errand = _Errand(work, title, interrupt)
        self._timer = QTimer(self)
        self._timer.setInterval(_DELIVERY_MS)
        self._timer.timeout.connect(self._deliver)
        self._bar = bar = _ActivityBar()
        self._ended = False
        # a deleted job (its panel is gone) cannot be asked any more, but its thread and its bar must end
        self._at_deletion = self._errand.stop, lambda: bar.close()
        for end in self._at_deletion:
            self.destroyed.connect(end)

    def start(self) -> None:
        """Start the thread and return at once."""
        worker = create_worker(self._errand, _worker_class=_Worker, _ignore_errors=True)
        if self._in_activity_dock:
            self._bar.open(self._errand.title)
        worker.signals.finished.connect(self._finish)
        self._timer.start()
        worker.start()

    def cancel(self) -> None:
        """Ask the work to end at its next event; `cancelled` follows when it did."""
        self._errand.stop()
        self._bar.close()

    @property
    def is_cancelling(self) -> bool:
        """Whether the end was asked for, here or by napari."""
        return self._errand.is_stopped

    def _deliver(self) -> None:
        """Emit what lies in the mailbox."""
        if self._bar.is_cancelled:
            self._errand.stop()
        if self._errand.is_stopped:  # here, in the activity dock, or by napari that closes
            self._bar.close()
        progress, notices, events = self._errand.collect()
        if progress is not None and not self._errand.is_stopped:
            self._bar.show(progress)
            if self._ended:  # the activity dock lets Qt work through its events
                return
            self.progressed.emit(progress)
        for message in notices:
            self.noticed.emit(message)
        if events and not self._errand.is_stopped:
            self.happened.emit(events)

    def _finish(self) -> None:
        """Emit how the work ended; called once, in the main thread, after the thread's last word."""
        self._timer.stop()
        if not self._errand.is_stopped:
            self._deliver()
        self._ended = True
        self._bar.close()
        for end in self._at_deletion:  # nothing is left to end, and Qt calls back while it tears a window down
            self.destroyed.disconnect(end)
        outcome = self._errand.take_outcome()
        if isinstance(outcome, _Failed):
            self.failed.emit(outcome.error)
        elif outcome is None or self._errand.is_stopped:  # a result that came too late is dropped
            self.cancelled.emit()
        else:
            self.succeeded.emit(outcome.value)
        self.deleteLater()
        self.finished.emit()


class _Errand:
    """What the thread is sent to do, and the mailbox it leaves its events in.

    napari's list of tasks keeps every errand until napari closes, so one that is done holds neither images nor results.
    """

    def __init__(self, work: Work, title: str, interrupt: Callable[[], None] | None) -> None:
        self.title = title
        self._outcome: _Succeeded | _Failed | None = None
        self._work: Work | None = work
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._notices: list[str] = []
        self._events: list[Event] = []
        self._interrupt = interrupt

    def __str__(self) -> str:
        return self.title

    def __call__(self) -> None:
        """Work in a thread of its own, for which the one of Qt's pool waits.

        What Python knows of a thread of Qt's ends with each task, while the thread goes on to the next. PyTorch before
        2.13, imported in one, remembers what has ended, and a later task there waits for it for ever.
        """
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)  # superqt shows all others, and restores the filters
        thread = threading.Thread(target=self._do, name=self.title)
        thread.start()
        thread.join()

    def _do(self) -> None:
        """Work, and keep how it ended: superqt would turn some exceptions into silence."""
        work, self._work = self._work, None
        assert work is not None
        with _quick_turns():
            try:
                self._monitor(Progress(0, 0))
                load_triton()
                self._outcome = _Succeeded(work(self._monitor))
            except Cancelled:
                self._stop.set()
            except Exception as error:
                self._outcome = _Failed(error)
            finally:
                self._interrupt = None

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self, *_: object) -> None:
        self._stop.set()
        interrupt = self._interrupt
        if interrupt is not None:
            interrupt()

    def take_outcome(self) -> _Succeeded | _Failed | None:
        """Return how the work ended, or None where it was cancelled, and keep it no longer."""
        outcome, self._outcome = self._outcome, None
        return outcome

    def collect(self) -> tuple[Progress | None, list[str], list[Event]]:
        """Empty the mailbox: the latest progress, and all notices and other events since the last time."""
        with self._lock:
            collected = self._progress, self._notices, self._events
            self._progress, self._notices, self._events = None, [], []
        return collected

    def _monitor(self, event: Event) -> None:
        if self._stop.is_set():
            raise Cancelled
        with self._lock:
            if isinstance(event, Progress):
                self._progress = event
            elif isinstance(event, Notice) and not isinstance(event, Unlike):
                self._notices.append(event.message)
            else:
                self._events.append(event)


_turns_lock = threading.Lock()
_turns: list[float] = []


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Let threads take turns ten times as often as Python does by itself, while any job is at work.

    Painting calls OpenGL hundreds of times and waits for its turn after each call, up to 5 ms while another thread
    computes in Python: the window would stall for a second.
    """
    with _turns_lock:
        before = _turns[0] if _turns else sys.getswitchinterval()
        _turns.append(before)
        sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        with _turns_lock:
            _turns.pop()
            if not _turns:
                sys.setswitchinterval(before)


class _Worker(FunctionWorker):
    """A worker whose `quit`, called by napari when it closes, reaches the work."""

    def __init__(self, errand: _Errand) -> None:
        super().__init__(errand)
        self._errand = errand

    def quit(self) -> None:
        """Ask the work to end."""
        super().quit()
        self._errand.stop()


class _ActivityBar:
    """A bar in napari's activity dock, with a Cancel button."""

    def __init__(self) -> None:
        self._bar: Any = None

    @property
    def is_cancelled(self) -> bool:
        return self._bar is not None and self._bar.is_canceled

    def open(self, title: str) -> None:
        self._bar = cancelable_progress(desc=title, total=0, file=io.StringIO())  # the terminal stays silent

    def show(self, progress: Progress) -> None:
        if self._bar is not None:
            if self._bar.total != progress.total:
                self._bar.total = progress.total
            self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(KeyError):  # napari closes all bars with its window
                bar.close()
