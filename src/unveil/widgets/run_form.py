"""What both panels ask: image, model, device, whether to rescale, and the rest behind a fold."""

from __future__ import annotations

import sys
from typing import Any, get_args

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QVBoxLayout, QWidget

from unveil.config.architecture import Architecture, FilterConfig
from unveil.config.options import Device, RunOptions
from unveil.errors import ConfigError
from unveil.model.card import Task
from unveil.tasks.rescaling import factors_to_model, size_problem
from unveil.widgets.config_form import ConfigForm
from unveil.widgets.fold import advanced_fold
from unveil.widgets.layers import format_pixel_size
from unveil.widgets.model_picker import ModelPicker
from unveil.widgets.requests import Request
from unveil.widgets.result_choice import ResultChoice
from unveil.widgets.source_form import SourceForm

_OF_FILTERS = ("size_px", "strength")
_ADVANCED = ("accurate", "engine", "precision", "tile", "rescale")
_DEVICES = {"auto": "automatic", "cpu": "processor (cpu)", "cuda": "graphics card (cuda)", "mps": "Apple GPU (mps)"}


class RunForm(QWidget):
    """The inputs of one run, collected into a `Request`."""

    changed = Signal()

    def __init__(self, viewer: Any, task: Task, options: type[RunOptions]) -> None:
        super().__init__()
        self._rows = QFormLayout()
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.source = SourceForm(viewer, self._rows, self)
        self.models = ModelPicker(task)
        self.filter = ConfigForm(options, _OF_FILTERS)
        self._shown_architecture: Architecture | None = None
        self.device = QComboBox()
        for name in get_args(Device):
            if name not in _foreign_devices():
                self.device.addItem(_DEVICES[name], name)
        self.device.setToolTip(RunOptions.model_fields["device"].description)
        self.rescale = QCheckBox()
        more = ("denoise_first", "uncertainty") if task == "segmentation" else ()
        self.advanced = ConfigForm(options, (*more, *_ADVANCED))
        self.results = ResultChoice()
        self.fold = advanced_fold()
        self._lay_out()
        self.source.changed.connect(self._draw)
        self.models.changed.connect(self._take_model)
        self.rescale.toggled.connect(lambda on: self.advanced.set_values({"rescale": "auto" if on else "off"}))
        self.advanced.widgets["rescale"].changed.connect(lambda *_: self._draw())
        self.results.list.currentIndexChanged.connect(self.changed)
        self._take_model()

    def problem(self) -> str | None:
        """Return what the user must do before a run is possible, or None."""
        problem = self.source.problem()
        if problem is None and self.models.entry is None:
            return "Choose a model: press Open… or drop a model file on the window."
        return problem or self._size_problem()

    def chosen(self) -> tuple[Any, ...]:
        """Return all that is chosen, so that it can be told whether something else is."""
        source, entry = self.source, self.models.entry
        pixels = source.layer_list.chosen, source.axes, source.channel, source.cut
        settings = self.device.currentData(), self.filter.values(), self.advanced.values()
        return pixels, entry and entry.path, settings, self.results.list.currentIndex()

    def options(self, **others: Any) -> RunOptions:
        """Return the options of a run, `others` being what the panel asks beside this form.

        Raises
        ------
        ConfigError
            If the values contradict each other.
        """
        of_filter = {name: self.filter.values()[name] for name in self._filter_settings()}
        channel, device = self.source.channel, self.device.currentData()
        return self.advanced.config(device=device, channel=channel, **of_filter, **others)

    def request(self, **others: Any) -> Request:
        """Take down everything that a run needs.

        Raises
        ------
        InputError
            If something is missing, or contradicts something else.
        """
        layer, entry = self.source.layer, self.models.entry
        source = self.source.source()
        if layer is None or entry is None:
            raise ConfigError(self.problem() or "Choose an image and a model.")
        return Request(layer.unique_id, source, self.source.cut, entry.path, self.options(**others))

    def close_for_good(self) -> None:
        """Listen to nothing any more."""
        self.source.close_for_good()
        self.models.close_for_good()

    def _lay_out(self) -> None:
        self._rows.addRow("Model", self.models)
        self._rows.addRow(self.models.summary)
        self._rows.addRow(self.filter.native)
        self._rows.addRow("Device", self.device)
        self.advanced.add_row("Results", self.results.list)
        self.fold.addWidget(self.advanced.native)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._rows)
        layout.addWidget(self.rescale)
        layout.addWidget(self.fold)

    def _take_model(self) -> None:
        self.source.set_card(self.models.card)
        own = self._filter_settings()
        architecture = self.models.card.architecture if self.models.card is not None else None
        if architecture != self._shown_architecture:  # the list is read anew without a change, too
            self._shown_architecture = architecture
            self.filter.set_values(own)
        self.filter.show_only(own)
        self._draw()

    def _filter_settings(self) -> dict[str, float]:
        """Return what may be chosen of a classical filter, at its own values; nothing for other models."""
        own = self.models.card.architecture if self.models.card is not None else None
        if not isinstance(own, FilterConfig):
            return {}
        return {name: getattr(own, name) for name in own.choices}

    def _size_problem(self) -> str | None:
        """Say why the image is not resized as the box promises, or None."""
        layer, card, rescale = self.source.layer, self.models.card, self.advanced.values()["rescale"]
        if layer is None or card is None or card.task == "denoising" or rescale != "auto":
            return None
        return size_problem(layer.name, self.source.pixel_size_um(), card)

    def _draw(self) -> None:
        image, card = self.source.pixel_size_um(), self.models.card
        # a denoiser's image is never resized by pixel size, since that would change the noise
        differ = card is not None and card.task == "segmentation" and factors_to_model(image, card) != ()
        self.rescale.setVisible(differ)
        if card is not None and differ:
            found, wanted = ({a: size[a] for a in "ZYX"[-card.n_dims :]} for size in (image, card.pixel_size_um))
            self.rescale.setText(
                f"Rescale: image {format_pixel_size(found)},\nmodel {format_pixel_size(wanted)} per pixel"
            )
            self.rescale.setToolTip(
                "Resize the image to the scale that the model was trained on; results keep their size"
            )
        with QSignalBlocker(self.rescale):
            self.rescale.setChecked(self.advanced.values()["rescale"] != "off")
        self.changed.emit()


def _foreign_devices() -> set[str]:
    """Return the devices that this operating system never has."""
    return {"cuda"} if sys.platform == "darwin" else {"mps"}
