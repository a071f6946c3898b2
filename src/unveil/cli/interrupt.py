"""Ctrl-C while a model trains: once to keep the best so far, twice to discard it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from unveil.cli.terminal import Terminal
from unveil.events import Event, Monitor, StopEarly, TrainingStart


@contextmanager
def stopping_early(monitor: Monitor, terminal: Terminal) -> Iterator[Monitor]:
    """Yield `monitor`, made to raise `StopEarly` at the first event after Ctrl-C; a second Ctrl-C interrupts.

    It is raised once: what is done with the best model afterwards is not to be stopped. Before the training has begun
    there is none, and nothing is promised.
    """
    asked, is_told, has_begun = threading.Event(), False, False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    def listen(event: Event) -> None:
        nonlocal is_told, has_begun
        monitor(event)
        has_begun |= isinstance(event, TrainingStart)
        if asked.is_set() and not is_told:
            is_told = True
            if has_begun:
                terminal.say("Stopping: the best model so far is kept (Ctrl-C again discards it).")
            raise StopEarly

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield listen
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield listen
    finally:
        signal.signal(signal.SIGINT, before)
