"""Annotations are written down while the Train panel is open, so that a crash costs half a minute of painting."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from unveil.image import Image
from unveil.io.runs import runs_folder
from unveil.widgets.job import Job
from unveil.widgets.notify import tell_failure

_PERIOD_MS = 30_000
_SESSIONS_KEPT = 10


class Autosave(QObject):
    """Writes the watched layers that have changed, every half minute, in a thread.

    Each session of the panel has a folder of its own in ``autosave`` beside the training runs; the latest ten are kept.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = runs_folder().parent / "autosave" / datetime.now().strftime("%Y%m%d-%H%M%S-%f")
        self._layers: list[Labels] = []
        self._changed: dict[Any, Labels] = {}
        self._job: Job | None = None
        self._has_failed = False
        self._timer = QTimer(self)
        self._timer.setInterval(_PERIOD_MS)
        self._timer.timeout.connect(self.save)
        self._timer.start()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being written."""
        return self._job is None

    def watch(self, layers: Sequence[Labels]) -> None:
        """Take care of `layers` from now on, and of no others; what has changed before is still written."""
        for layer in self._layers:
            for emitter in (layer.events.paint, layer.events.data):
                emitter.disconnect(self._note)
        self._layers = list(dict.fromkeys(layers))
        for layer in self._layers:
            for emitter in (layer.events.paint, layer.events.data):
                emitter.connect(self._note)

    def save(self) -> None:
        """Write what has changed since the last time; nothing is painted, nothing is written."""
        changed = list(self._changed.values())
        if not changed or self._job is not None:
            return
        self._changed.clear()
        copies = {_file_name(layer): np.array(layer.data) for layer in changed}
        job = Job(lambda monitor: _write(self.folder, copies), "Saving annotations", self, in_activity_dock=False)
        self._job = job
        job.failed.connect(self._tell_once)
        job.finished.connect(partial(self._end, job))
        job.start()

    def close_for_good(self) -> None:
        """Stop watching; what was written stays."""
        self._timer.stop()
        self.watch([])

    def _note(self, event: Any) -> None:
        self._changed[event.source.unique_id] = event.source

    def _tell_once(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            tell_failure(error)

    def _end(self, job: Job) -> None:
        self._job = None
        job.deleteLater()


def _write(folder: Path, copies: dict[str, np.ndarray[Any, Any]]) -> None:
    from unveil.io.writing import write_labels

    is_new = not folder.exists()
    for name, labels in copies.items():
        axes = "TCZYX"[-labels.ndim :] if labels.ndim != 3 else "ZYX"
        write_labels(folder / name, Image(labels.astype(np.int64), axes, name=name))
    if is_new:
        _prune(folder.parent)


def _prune(folder: Path) -> None:
    for old in sorted(folder.iterdir())[:-_SESSIONS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _file_name(layer: Labels) -> str:
    """Return a name that no other layer has, however alike their names are."""
    plain = re.sub(r"[^\w.-]+", "-", layer.name)[-60:]  # names often differ at the end
    return f"{plain}_{layer.unique_id.hex[:8]}.tif"
