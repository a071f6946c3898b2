"""A folder of images and what belongs to them, as a training's data beside the layers, or instead of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from unveil.data.annotation import Annotation
from unveil.data.sparse_labels import around_objects
from unveil.events import Monitor
from unveil.image import Image
from unveil.widgets.training_layers import Extent, Sparse, TrainingTask, background_of

Data = tuple[Sequence[Image] | None, Sequence[Annotation] | Sequence[Image] | None]


@dataclass(frozen=True, slots=True)
class FolderPairs:
    """Folders whose files pair by name.

    Attributes
    ----------
    images
        None where clean images alone teach.
    targets
        Labels or clean images; None where noisy images alone teach.
    n_dims
        What the network sees at once: 2 for planes, 3 for volumes.
    """

    images: Path | None
    targets: Path | None
    task: TrainingTask
    extent: Extent
    n_dims: int

    def read(self, monitor: Monitor) -> Data:
        """Read images and targets as the task `train` takes them, and tell how far that is.

        Raises
        ------
        InputError
            If a file cannot be read, or has no partner.
        """
        from unveil.io.paired_images import read_labelled, read_noisy_and_clean

        if not self.task.is_segmentation:
            return read_noisy_and_clean(self.images, self.targets, monitor=monitor)
        assert self.images is not None
        assert self.targets is not None
        images, annotations = read_labelled(
            self.images, self.targets, background=background_of(self.extent), monitor=monitor
        )
        if isinstance(self.extent, Sparse):
            annotations = [around_objects(annotation, self.n_dims) for annotation in annotations]
        return images, annotations


class FolderRow(QWidget):
    """A button to add a folder, and the folder that was chosen."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._task = TrainingTask.OBJECTS
        self._images: Path | None = None
        self._targets: Path | None = None
        self.line = QLabel()
        self.line.setWordWrap(True)
        self.button = QPushButton("Add a folder…")
        self.button.setToolTip("Learn from image files too; they pair with their labels or clean images by name")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line, stretch=1)
        row.addWidget(self.button)
        self.button.clicked.connect(self._press)
        self._draw()

    @property
    def is_set(self) -> bool:
        """Whether a folder is chosen."""
        return self._images is not None or self._targets is not None

    def pairs(self, extent: Extent, n_dims: int) -> FolderPairs | None:
        """Return the folders as they are to be read, or None."""
        return FolderPairs(self._images, self._targets, self._task, extent, n_dims) if self.is_set else None

    def set_task(self, task: TrainingTask) -> None:
        """Fit the row to the task; folders chosen for another are forgotten."""
        if task.target_kind != self._task.target_kind or task.has_images != self._task.has_images:
            self._images = self._targets = None
        self._task = task
        self._draw()

    def choose(self, images: Path | None, targets: Path | None) -> None:
        """Take these folders."""
        self._images, self._targets = images, targets
        self._draw()
        self.changed.emit()

    def _press(self) -> None:
        if self.is_set:
            self.choose(None, None)
            return
        images = self._ask("Folder of images") if self._task.has_images else None
        if self._task.has_images and images is None:
            return
        kind = self._task.target_kind
        targets = (
            self._ask("Folder of labels" if kind == "labels" else "Folder of clean images") if kind != "none" else None
        )
        if targets is not None or kind == "none":
            self.choose(images, targets)

    def _ask(self, title: str) -> Path | None:
        path = QFileDialog.getExistingDirectory(self, title)
        return Path(path) if path else None

    def _draw(self) -> None:
        folder = self._images or self._targets
        self.line.setText(f"and the folder '{folder.name}'" if folder is not None else "")
        self.line.setToolTip("\n".join(str(path) for path in (self._images, self._targets) if path is not None))
        self.button.setText("Remove" if self.is_set else "Add a folder…")
