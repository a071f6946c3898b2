"""The settings of a training behind a fold: every knob, from and to a YAML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from unveil.config.training import DenoisingTraining, SegmentationTraining, TrainingSettings
from unveil.errors import InputError
from unveil.io.settings import read_settings, write_settings
from unveil.widgets.config_form import ConfigForm
from unveil.widgets.fold import advanced_fold
from unveil.widgets.notify import tell, tell_failure

_COMMON = (
    *("recipe", "device", "precision", "learning_rate", "schedule", "epochs", "steps_per_epoch", "patience"),
    *(
        "batch_size",
        "patch_px",
        "patch_z",
        "validation_fraction",
        "seed",
        "normalization",
        "augmentation",
        "lip1_layers",
    ),
)
_FIELDS = {"segmentation": (*_COMMON, "loss", "architecture"), "denoising": (*_COMMON, "loss", "noise", "architecture")}
_KINDS: dict[str, type[SegmentationTraining] | type[DenoisingTraining]] = {
    "segmentation": SegmentationTraining,
    "denoising": DenoisingTraining,
}

Kind = Literal["segmentation", "denoising"]


class TrainSettings(QWidget):
    """A fold with a form for each kind of training; fields without a row come from a settings file.

    A form is made when it is first needed: its two dozen rows take a quarter of a second.

    Parameters
    ----------
    asked
        Returns what is asked beside the fold, to be saved with the rest.
    """

    changed = Signal()
    loaded = Signal(object)
    """A file's settings, those that are asked beside the fold among them."""

    def __init__(self, asked: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._asked = asked
        self._kind: Kind = "segmentation"
        self._loaded: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
        self._forms: dict[str, ConfigForm[Any]] = {}
        self._place = QVBoxLayout()
        self.fold = advanced_fold()
        self.load_button = QPushButton("Load settings…")
        self.load_button.setToolTip("Take all settings from a YAML file, also those that have no row here")
        self.save_button = QPushButton("Save settings…")
        self.save_button.setToolTip("Write all settings into a YAML file, as `unveil train --config` reads it")
        self._lay_out()
        self.load_button.clicked.connect(self._ask_load)
        self.save_button.clicked.connect(self._ask_save)
        self.fold.toggled.connect(self._draw)

    def form(self, kind: Kind) -> ConfigForm[Any]:
        """Return the form for `kind` of training."""
        if kind not in self._forms:
            form: ConfigForm[Any] = ConfigForm(_KINDS[kind], _FIELDS[kind])
            self._forms[kind] = form
            form.native.setVisible(False)
            self._place.addWidget(form.native)
        return self._forms[kind]

    def set_kind(self, kind: Kind) -> None:
        """Show the settings for `kind` of training."""
        self._kind = kind
        self._draw()

    def config(self, **others: Any) -> TrainingSettings:
        """Return the settings, `others` being what is asked elsewhere in the panel.

        Raises
        ------
        ConfigError
            If the values contradict each other.
        """
        settings: TrainingSettings = self.form(self._kind).config(**{**self._loaded[self._kind], **others})
        return settings

    def load(self, file: Path) -> None:
        """Take all settings from `file`; one that cannot be used is refused with a notification."""
        try:
            given = read_settings(file)
            config = _KINDS[self._kind].from_values(given) if given.get("task", self._kind) == self._kind else None
        except InputError as error:
            tell_failure(error)
            return
        if config is None:
            tell_failure(InputError(f"{file.name} is for {given['task']}. Choose that task above, then load it again."))
            return
        values = {name: getattr(config, name) for name in type(config).model_fields}
        self.form(self._kind).set_values(values)
        self._loaded[self._kind] = {name: value for name, value in values.items() if name not in _FIELDS[self._kind]}
        self.loaded.emit(config)
        self.changed.emit()

    def architecture(self) -> Any:
        """Return the network that is chosen, None for the recipe's own.

        Raises
        ------
        ConfigError
            If its values contradict each other.
        """
        return self.form(self._kind).values()["architecture"]

    def save(self, file: Path) -> None:
        """Write all settings into `file`."""
        try:
            write_settings(file, self.config(**self._asked()))
        except InputError as error:
            tell_failure(error)
        else:
            tell(f"The settings are in {file}.")

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load settings", "", "Settings (*.yaml *.yml)")
        if path:
            self.load(Path(path))

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save settings", "training.yaml", "Settings (*.yaml)")
        if path:
            self.save(Path(path))

    def _draw(self) -> None:
        is_new = self.fold.isExpanded() and self._kind not in self._forms
        if is_new:
            self.form(self._kind)
        for kind, form in self._forms.items():
            form.native.setVisible(kind == self._kind)
        if is_new:
            self.fold.expand()  # it measured its content before the form was there

    def _lay_out(self) -> None:
        forms, buttons = QWidget(), QWidget()
        self._place.setContentsMargins(0, 0, 0, 0)
        forms.setLayout(self._place)
        self.fold.addWidget(forms)
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.load_button)
        row.addWidget(self.save_button)
        self.fold.addWidget(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
