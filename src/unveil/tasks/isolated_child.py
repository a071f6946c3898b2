"""The other end of `unveil.tasks.isolated`: the process that trains, says what happens, and does as it is told."""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO

import numpy as np

from unveil.events import EpochEnd, Event, StepEnd, StopEarly
from unveil.image import Image
from unveil.io.runs import Run
from unveil.tasks.wire import Message, receive, send, send_event
from unveil.training.child_process import ABANDONED, leave_with_parent

_NICENESS = 10


class _Desk:
    """Takes messages in a thread of its own, and answers between steps."""

    def __init__(self, run: Run, out: IO[bytes]) -> None:
        self._run, self._out = run, out
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._image: Image | None = None
        self._is_stopping = self._has_begun = False
        threading.Thread(target=self._read, daemon=True).start()
        leave_with_parent()

    def monitor(self, event: Event) -> None:
        """Send `event`, then do what was asked for meanwhile; a stop waits for the first step."""
        send_event(event, self._out)
        is_paused = False
        while is_paused or not self._messages.empty():
            message = self._messages.get()
            match message["say"]:
                case "pause":
                    is_paused = True
                case "go on":
                    is_paused = False
                case "stop":
                    self._is_stopping, is_paused = True, False
                case "show":
                    self._image = self._load(message)
        self._has_begun |= isinstance(event, StepEnd | EpochEnd)
        if self._is_stopping and self._has_begun:
            raise StopEarly

    def preview(self) -> Image | None:
        """Return the image to show."""
        return self._image

    def _load(self, message: Message) -> Image | None:
        if message["file"] is None:
            return None
        path = self._run.path / message["file"]
        pixels = np.load(path)
        path.unlink()
        return Image(pixels, message["axes"])

    def _read(self) -> None:
        for message in receive(sys.stdin.buffer):
            assert isinstance(message, dict)
            self._messages.put(message)
        os._exit(ABANDONED)  # whoever asked for this training is gone


def _work(run: Run, desk: _Desk) -> None:
    images, targets = run.data()
    settings = run.settings()

    from unveil.io.checkpoint_file import CheckpointFile
    from unveil.io.model_file import load_model, save_model
    from unveil.tasks.train import train

    model = train(
        images,
        targets,
        settings,
        start=load_model(run.parent) if run.parent is not None else None,
        checkpoints=CheckpointFile(run.checkpoint),
        preview=desk.preview,
        monitor=desk.monitor,
    )
    save_model(model, run.model)
    run.discard()


def main(folder: str) -> int:
    """Train what lies in the run `folder`; events go to what was standard output, everything printed to the log."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    run = Run(Path(folder))
    try:
        _work(run, _Desk(run, out))
    except BaseException as error:
        import traceback

        traceback.print_exc()
        send({"failed": type(error).__name__, "message": str(error)}, out)
        return 1
    send({"done": True}, out)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    os._exit(code)  # at once: a thread still reads, and libraries take their time to go
