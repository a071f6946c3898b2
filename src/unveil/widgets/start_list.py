"""Which model a training starts from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker

from unveil.config.training import TrainingSettings
from unveil.tasks.default_parent import default_parent
from unveil.widgets.layer_list import Names
from unveil.widgets.session_models import session_models
from unveil.widgets.training_layers import TrainingTask

_AUTOMATIC, _SCRATCH = "automatic", "scratch"


class StartList(Names):
    """A list of the models of the task's kind, with those that are opened meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._task = TrainingTask.OBJECTS
        self.setToolTip(
            "Begin with what a model has learnt, as far as its layers fit; automatic takes simulated cells for planes, "
            "and the fluorescence denoiser where there are clean images or where one is adapted"
        )
        session_models.opened.connect(self._fill)
        # where the window goes with all in it, nobody closes the panel
        self.destroyed.connect(partial(session_models.opened.disconnect, self._fill, missing_ok=True))

    def set_task(self, task: TrainingTask) -> None:
        """List the models that can learn `task`, and keep the choice where it is among them."""
        self._task = task
        self._fill()

    def choose(self, model: Path) -> None:
        """Choose the model to start from."""
        self._fill()
        self.setCurrentIndex(max(self.findData(str(model.resolve())), 0))

    def parent_of(self, settings: TrainingSettings) -> Path | None:
        """Return the model that a training with `settings` starts from; None from scratch."""
        chosen = self.currentData()
        if chosen == _AUTOMATIC:
            return default_parent(settings, has_clean_images=self._task.target_kind == "image")
        return None if chosen == _SCRATCH else Path(chosen)

    def close_for_good(self) -> None:
        """Listen to nothing any more."""
        session_models.opened.disconnect(self._fill, missing_ok=True)

    def _fill(self, event: Any = None) -> None:
        chosen = self.currentData()
        entries = session_models.entries("segmentation" if self._task.is_segmentation else "denoising")
        with QSignalBlocker(self):
            self.clear()
            self.addItem("automatic", _AUTOMATIC)
            if self._task is not TrainingTask.ADAPT:
                self.addItem("scratch", _SCRATCH)
            for entry in entries:
                if entry.card is not None and not entry.card.is_filter:
                    self.addItem(entry.name, str(entry.path.resolve()))
            self.setCurrentIndex(max(self.findData(chosen), 0))
