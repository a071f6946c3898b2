"""Train in a process of its own: a crash costs nothing, memory comes back, and the window never waits.

::

    napari's process                                    python -m unveil.tasks.isolated_child RUN
    ────────────────                                    ─────────────────────────────────────────
    run folder  ──── images, annotations, settings ───▶ train(…)
    stdin       ──── pause, go on, stop, show ────────▶ read between steps; its end ends the process
    stdout      ◀─── events, how it ended ───────────── monitor
    run folder  ◀─── checkpoint, model, log ───────────

Qt is never imported there, nor the main module of whoever asks.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from unveil import errors
from unveil.errors import ConfigError, TrainingError, UnveilError
from unveil.events import Cancelled, Event, Monitor, StopEarly
from unveil.image import Image
from unveil.io.runs import Run
from unveil.tasks.wire import Message, receive, send
from unveil.training.child_process import end, last_words

_IN_THE_BACKGROUND = sum(getattr(subprocess, name, 0) for name in ("CREATE_NO_WINDOW", "BELOW_NORMAL_PRIORITY_CLASS"))
"""On Windows; elsewhere the process lowers its priority itself."""


class IsolatedTraining:
    """One training in a process of its own, started by `train` and steered from any thread before and meanwhile.

    Parameters
    ----------
    run
        Holds everything that the training needs, and takes what it gives.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._waiting: list[Message] = []
        self._numbers = itertools.count()
        self._is_cancelled = False

    def train(self, monitor: Monitor) -> Path:
        """Train to the end and return the model's file; blocks.

        Parameters
        ----------
        monitor
            Receives every event in the calling thread; `StopEarly` keeps the best model, `Cancelled` kills the process.

        Raises
        ------
        UnveilError
            What the training itself would raise.
        TrainingError
            If the process ends without a word, or for a reason that nobody thought of.
        ConfigError
            If another process works on the same run.
        Cancelled
            If the monitor says so, or `cancel` was called.
        """
        if self.run.is_alive:
            raise ConfigError(
                f"Another process is at work on this training ({self.run.path}). Let it end, or cancel it there."
            )
        with self.run.log.open("wb") as log:
            process = _start(self.run, log)
            try:
                self._greet(process)
                return self._listen(process, monitor)
            finally:
                self._part(process)

    def cancel(self) -> None:
        """Kill the process; `train` raises `Cancelled`. The checkpoint stays where it is."""
        with self._lock:
            self._is_cancelled = True
            if self._process is not None:
                self._process.kill()

    def pause(self) -> None:
        """Hold the training after the step at work."""
        self._tell({"say": "pause"})

    def go_on(self) -> None:
        """Let a held training go on."""
        self._tell({"say": "go on"})

    def stop(self) -> None:
        """End the training after the step at work, and keep the best model."""
        self._tell({"say": "stop"})

    def show(self, image: Image | None) -> None:
        """Let previews be of `image` from now on: one plane or volume; None shows nothing."""
        if image is None:
            self._tell({"say": "show", "file": None})
            return
        path = self.run.path / f"shown-{next(self._numbers)}.npy"  # never written twice: the other end may be reading
        np.save(path, np.asarray(image.data))
        self._tell({"say": "show", "file": path.name, "axes": image.axes})

    def _greet(self, process: subprocess.Popen[bytes]) -> None:
        """Tell the new process what was asked before it was there."""
        self.run.claim(process.pid)
        with self._lock:
            self._process = process
            for message in self._waiting:
                self._send(message)
            if self._is_cancelled:
                process.kill()

    def _tell(self, message: Message) -> None:
        """Send a message now, or as soon as the process is there."""
        with self._lock:
            if self._process is None:
                self._waiting.append(message)
            else:
                self._send(message)

    def _send(self, message: Message) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):  # the process has just ended, and `train` says how
            send(message, self._process.stdin)

    def _listen(self, process: subprocess.Popen[bytes], monitor: Monitor) -> Path:
        assert process.stdout is not None
        for message in receive(process.stdout):
            if self._is_cancelled:
                break
            if not isinstance(message, dict):
                self._hand_on(message, monitor)
            elif "failed" in message:
                raise _error(message, self.run)
            else:
                return self.run.model
        if self._is_cancelled:
            raise Cancelled
        raise TrainingError(_how_it_ended(process.wait(), self.run))

    def _hand_on(self, event: Event, monitor: Monitor) -> None:
        try:
            monitor(event)
        except StopEarly:
            self.stop()

    def _part(self, process: subprocess.Popen[bytes]) -> None:
        """End the process, which has said all that it had to say, and leave nothing of it behind."""
        with self._lock:
            self._process = None
        end(process)
        self.run.sweep()


def _start(run: Run, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: no module of the folder we are in
        [sys.executable, "-P", "-m", "unveil.tasks.isolated_child", str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        creationflags=_IN_THE_BACKGROUND,
        start_new_session=os.name == "posix",  # Ctrl-C in a terminal is napari's to answer
    )


def _error(message: Message, run: Run) -> UnveilError:
    kind = getattr(errors, message["failed"], None)
    if isinstance(kind, type) and issubclass(kind, UnveilError):
        return kind(message["message"])
    return TrainingError(
        f"The training ended with an error that nobody expected ({message['failed']}: {message['message']}). "
        f"{_saved(run)} Details are in {run.log}."
    )


def _how_it_ended(code: int, run: Run) -> str:
    """Say how the process ended, what is left, and what it said at last."""
    how = f"ended unexpectedly (code {code})"
    if code < 0:
        how = f"was killed (signal {-code}{', often because memory ran out' if code == -9 else ''})"
    return f"The training process {how}. {_saved(run)}{last_words(run.log)}"


def _saved(run: Run) -> str:
    if not run.checkpoint.exists():
        return "There is no checkpoint yet: begin anew."
    return f"The checkpoint {run.checkpoint} is kept: resume the training to go on from there."
