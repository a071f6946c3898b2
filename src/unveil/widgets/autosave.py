"""Annotations are written down while the Train panel is open, so that a crash costs half a minute of painting."""

from __future__ import annotations

import re
import shutil
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from unveil.image import Image
from unveil.io.user_folders import runs_folder
from unveil.widgets.job import Job
from unveil.widgets.notify import tell_failure

_PERIOD_MS = 30_000
_SESSIONS_KEPT = 10

_Content: TypeAlias = tuple[tuple[int, ...], int]
"""Shape and checksum."""


class Autosave(QObject):
    """Writes the watched layers that have changed, every half minute, in a thread, and once more at the end.

    What cannot be written is told, and tried again the next time. Each session of the panel has a folder of its own in
    ``autosave`` beside the training runs; the latest ten are kept.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = runs_folder().parent / "autosave" / datetime.now().strftime("%Y%m%d-%H%M%S-%f")
        self._layers: list[Labels] = []
        self._changed: dict[Any, Labels] = {}
        self._painted: set[Any] = set()
        self._written: dict[str, _Content] = {}
        self._copies: dict[str, np.ndarray[Any, Any]] = {}
        self._writing = threading.Lock()
        self._job: Job | None = None
        self._last_told = ""
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
            layer.events.set_data.disconnect(self._note_undo)
        self._layers = list(dict.fromkeys(layers))
        for layer in self._layers:
            for emitter in (layer.events.paint, layer.events.data):
                emitter.connect(self._note)
            layer.events.set_data.connect(self._note_undo)

    def save(self) -> None:
        """Write what has changed since the last time; nothing is painted, nothing is written."""
        if not self._changed or self._job is not None:
            return
        layers, self._copies = self._take()
        write = partial(self._write, self._copies)
        self._job = job = Job(lambda _: write(), "Saving annotations", self, in_activity_dock=False)
        job.failed.connect(self._tell_once)
        job.finished.connect(partial(self._end, layers, self._copies))
        job.start()

    def close_for_good(self) -> None:
        """Write what has changed, and stop watching; what was written stays."""
        self._timer.stop()
        self.watch([])
        with self._writing:  # a thread that writes goes first; one that comes later finds nothing left to write
            left = dict(self._copies)
            self._copies.clear()
        try:
            self._write(left | self._take()[1])
        except Exception as error:  # shown as before; the panel ends all the same
            self._tell_once(error)

    def _take(self) -> tuple[dict[str, Labels], dict[str, np.ndarray[Any, Any]]]:
        """Return what has changed by the names of its files, with copies of the pixels."""
        layers = {_file_name(layer): layer for layer in self._changed.values()}
        self._changed.clear()
        return layers, {name: np.array(layer.data, order="C") for name, layer in layers.items()}

    def _write(self, copies: dict[str, np.ndarray[Any, Any]]) -> None:
        with self._writing:
            _write(self.folder, copies, self._written)

    def _note(self, event: Any) -> None:
        self._changed[event.source.unique_id] = event.source
        self._painted.add(event.source.unique_id)

    def _note_undo(self, event: Any) -> None:
        """Note what is drawn anew after it was painted: napari tells no more of an undo."""
        if event.source.unique_id in self._painted:
            self._note(event)

    def _tell_once(self, error: Exception) -> None:
        if str(error) != self._last_told:
            self._last_told = str(error)
            tell_failure(error)

    def _end(self, layers: Mapping[str, Labels], left: Iterable[str]) -> None:
        self._job = None
        for name in left:
            self._changed.setdefault(layers[name].unique_id, layers[name])


def _write(folder: Path, copies: dict[str, np.ndarray[Any, Any]], written: dict[str, _Content]) -> None:
    """Write all `copies` that can be written and are not `written` yet, and leave those that cannot in it.

    Raises
    ------
    Exception
        The first that came in the way of a copy, once all were tried.
    """
    is_new = not folder.exists()
    failures = []
    for name in list(copies):
        content = copies[name].shape, zlib.crc32(copies[name].data)
        try:
            if written.get(name) != content:
                _write_one(folder / name, copies[name])
        except Exception as error:
            failures.append(error)
        else:
            written[name] = content
            del copies[name]
    if is_new and folder.exists():
        _prune(folder.parent)
    if failures:
        raise failures[0]


def _write_one(path: Path, labels: np.ndarray[Any, Any]) -> None:
    from unveil.io.writing import write_labels

    axes = "TCZYX"[-labels.ndim :] if labels.ndim != 3 else "ZYX"
    write_labels(path, Image(labels.astype(np.int64), axes, name=path.name))


def _prune(folder: Path) -> None:
    for old in sorted(folder.iterdir())[:-_SESSIONS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _file_name(layer: Labels) -> str:
    """Return a name that no other layer has, however alike their names are."""
    plain = re.sub(r"[^\w.-]+", "-", layer.name)[-60:]  # names often differ at the end
    return f"{plain}_{layer.unique_id.hex[:8]}.tif"
