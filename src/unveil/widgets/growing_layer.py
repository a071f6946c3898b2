"""Layers of a result that grows on the disk: shown from its first tile on, and read again as tiles arrive."""

from __future__ import annotations

import time
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer

from unveil.widgets.aside import insert_aside
from unveil.widgets.job import Job
from unveil.widgets.requests import Request
from unveil.widgets.results import growing_layers

PAUSE_MS = 1000
"""Between two readings, at least."""
_SHARE_OF_READING = 0.1
"""Of the main thread's time, at most: where much is in view the pauses grow."""


class GrowingLayers(QObject):
    """The layers of one run, as long as its job lives."""

    def __init__(self, viewer: Any, request: Request, job: Job) -> None:
        super().__init__(job)
        self._viewer, self._request, self._job = viewer, request, job
        self._layers: list[Layer] = []
        self._n_shown = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        self._timer.start(PAUSE_MS)

    def last_words(self, verb: str) -> str:
        """Say what a run that was cancelled has left on the disk, and what pressing `verb` does with it."""
        if self._request.growth.is_whole:
            return f" It was too late: the result is whole, and lies in {self._request.target}."
        if self._request.growth.goes_on:
            return f" What is computed stays on the disk: press {verb} to go on."
        return ""

    def end(self) -> None:
        """Remove the layers: the run has ended."""
        self._timer.stop()
        for layer in self._present():
            self._viewer.layers.remove(layer)
        self._layers = []

    def _look(self) -> None:
        """Show what was written since the last time, and look again after a pause."""
        if self._job.is_cancelling:  # perhaps since the window is closing
            return
        began, array = time.monotonic(), self._request.growth.array
        if array is not None and not self._layers:
            self._n_shown, self._layers = array.n_written, growing_layers(self._request)
            for layer in self._layers:
                insert_aside(self._viewer, layer)
        elif array is not None and array.n_written != self._n_shown:
            self._n_shown = array.n_written
            for layer in self._present():
                layer.refresh(extent=False)
        took_ms = 1000 * (time.monotonic() - began)
        self._timer.start(max(PAUSE_MS, round(took_ms / _SHARE_OF_READING)))

    def _present(self) -> list[Layer]:
        ids = {layer.unique_id for layer in self._viewer.layers}
        return [layer for layer in self._layers if layer.unique_id in ids]
