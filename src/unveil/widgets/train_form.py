"""What the Train panel asks: what to learn, from which layers, from which model, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from unveil.config.architecture import UNetConfig
from unveil.config.training import TrainingSettings
from unveil.data.classes import class_names
from unveil.errors import ConfigError, ImageError
from unveil.events import TrainingStart
from unveil.widgets.correction import to_correct
from unveil.widgets.extent_form import ExtentForm
from unveil.widgets.folder_pairs import FolderRow
from unveil.widgets.layer_list import Names
from unveil.widgets.layer_roles import LABELS, facts_of, is_by_product, labels_among, role_of
from unveil.widgets.layers import Source, cut_axes, source_of
from unveil.widgets.notify import tell, warn
from unveil.widgets.painting_watch import PaintingWatch
from unveil.widgets.pair_form import PairForm
from unveil.widgets.proposal import Proposal, propose_from_labels, propose_task
from unveil.widgets.start_list import StartList
from unveil.widgets.time_list import TimeList
from unveil.widgets.train_settings import TrainSettings
from unveil.widgets.train_work import TrainingRequest, free_name
from unveil.widgets.training_data import TrainingData, training_data
from unveil.widgets.training_layers import (
    LayerPair,
    Scribbles,
    Sparse,
    TrainingTask,
    Whole,
    what_is_missing,
)

_TASKS = {
    TrainingTask.OBJECTS: "Segment objects",
    TrainingTask.CLASSES: "Segment classes",
    TrainingTask.PAIRS: "Denoise: noisy and clean",
    TrainingTask.NOISY_ONLY: "Denoise: noisy only",
    TrainingTask.ADAPT: "Denoise: adapt to images",
    TrainingTask.FRAMES: "Denoise: frames of a still scene",
    TrainingTask.CLEAN_ONLY: "Denoise: clean only, add noise",
}
_NOISY_ONLY = {
    TrainingTask.NOISY_ONLY: "blind_spot",
    TrainingTask.ADAPT: "adapt",
    TrainingTask.FRAMES: "frames",
}
_TWO = ("background", "foreground")


class TrainForm(QWidget):
    """The inputs of one training, collected into a `TrainingRequest`."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._was_chosen = False
        self._proposal: Proposal | None = None
        self.task_list, self.sees_list = Names(), Names()
        self.start_list, self.time_list = StartList(), TimeList()
        self.reason = _small_print()
        self.choices = _small_print()
        self.pairs = PairForm(viewer)
        self.folder = FolderRow()
        self.name = QLineEdit()
        self.painting = PaintingWatch(viewer, self)
        self.settings = TrainSettings(self._asked)
        self._lay_out()
        self._fill()
        self._connect()
        self._propose()

    @property
    def task(self) -> TrainingTask:
        """What is to be learnt."""
        return TrainingTask(self.task_list.currentData())

    @property
    def n_dims(self) -> Literal[2, 3]:
        """What the network sees at once: planes or volumes."""
        return 3 if self.sees_list.isVisibleTo(self) and self.sees_list.currentIndex() == 1 else 2

    def problem(self) -> str | None:
        """Return what the user must do before a training is possible, or None."""
        if self.folder.is_set and not self._complete_pairs():
            return None
        return self.pairs.problem() or self.extent.problem()

    def request(self) -> TrainingRequest:
        """Take down everything that a training needs; the layers can be painted on meanwhile.

        Raises
        ------
        InputError
            If something is missing or contradicts something else; all problems are told together.
        """
        self.painting.catch_up()
        extent = self.extent.extent() if self.task.is_segmentation else Whole()
        if extent is None:
            raise ConfigError(self.extent.problem() or "Choose what is annotated.")
        pairs = self._complete_pairs() if self.folder.is_set else self.pairs.pairs()
        is_bare = self.folder.is_set and not pairs
        data = TrainingData(None, None) if is_bare else training_data(pairs, self.task, extent, n_dims=self.n_dims)
        settings = self._settings(data)
        self.pairs.keep()
        return TrainingRequest(
            data.images,
            data.targets,
            settings,
            parent=self.start_list.parent_of(settings),
            taught=[self._source(pair) for pair in pairs],
            shown=self.shown(),
            notices=data.notices,
            folder=self.folder.pairs(extent, self.n_dims),
            class_numbers=data.class_numbers,
        )

    def shown(self) -> tuple[Source, str] | None:
        """Return the first image as it is in view, and the axes along which only the plane in view is meant."""
        pair = next((pair for pair in self.pairs.pairs() if pair.shown is not None), None)
        if pair is None or self.task is TrainingTask.CLEAN_ONLY:
            return None
        return self._source(pair), cut_axes(pair.axes_meant, self.n_dims)

    def first_image(self) -> tuple[str, str]:
        """Return name and axes of the first image, or nothing."""
        found = ((pair.shown.name, pair.axes_meant) for pair in self.pairs.pairs() if pair.shown is not None)
        return next(found, ("", ""))

    def label_layers(self) -> list[Labels]:
        """Return the annotations that are chosen."""
        return [pair.target for pair in self.pairs.pairs() if isinstance(pair.target, Labels)]

    def model_to_start_from(self) -> Path | None:
        """Return the model that a training would start from, or None.

        Raises
        ------
        ConfigError
            If the settings contradict each other.
        """
        return self.start_list.parent_of(self.settings.config())

    def start_from(self, model: Path) -> None:
        """Choose the model to start from."""
        self.start_list.choose(model)

    def adapt(self, image: ImageLayer, axes: str, denoiser: Path) -> None:
        """Offer to adapt `denoiser` to `image` alone."""
        self.folder.choose(None, None)
        self.task_list.setCurrentIndex(self.task_list.findData(TrainingTask.ADAPT.value))
        self.pairs.set_pairs([LayerPair(image, axes=axes)])
        self.start_from(denoiser)

    def show_choices(self, event: TrainingStart) -> None:
        """Say what the recipe chose, and why."""
        self.choices.setText(" ".join(event.reasons))
        self.choices.setVisible(bool(event.reasons))

    def correct_prediction(self) -> None:
        """Copy the topmost predicted labels into an annotation of their whole image, ready to be corrected."""
        predicted = next((layer for layer in labels_among(self._viewer.layers) if role_of(layer) == LABELS), None)
        image = self._image_of(predicted)
        if predicted is None or image is None:
            tell("There is no prediction to correct: press 'Segment with it' first.")
            return
        extent = self.extent.extent()
        layer = to_correct(predicted, image)
        self._viewer.layers.append(layer)
        others = [pair for pair in self.pairs.pairs() if pair.image is not None and pair.image != image]
        self.pairs.set_pairs([*others, LayerPair(image, layer)])
        if isinstance(extent, Scribbles):
            self._end_scribbles(extent.background, others)
        elif isinstance(extent, Sparse) and not others:
            self.extent.choose(Whole())
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"

    def _end_scribbles(self, background: int, others: Sequence[LayerPair]) -> None:
        """Let 0 be background from now on, and say where it was none."""
        self.extent.choose(Whole())
        scribbles = ", ".join(f"'{pair.target.name}'" for pair in others if pair.target is not None)
        if scribbles:
            warn(
                f"'Annotated' is 'the whole image' now, since corrected labels are; {scribbles} still hold scribbles. "
                f"Remove their pairs, or correct predictions of their images, too."
            )
        else:
            tell(f"'Annotated' is 'the whole image' now; 0 is its background: erase, and paint {background} no more.")

    def close_for_good(self) -> None:
        """Listen to nothing any more."""
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed):
            emitter.disconnect(self._propose)
        self.painting.close_for_good()
        self.start_list.close_for_good()
        self.pairs.close_for_good()
        self.extent.close_for_good()

    def _settings(self, data: TrainingData) -> TrainingSettings:
        others = {**self._asked(), "name": free_name(self.name.text().strip() or self.name.placeholderText())}
        if self.task.is_segmentation:
            numbers = () if others["objects"] else data.class_numbers
            others["classes"] = class_names(numbers) if numbers else _TWO
        return self.settings.config(**others)

    def _asked(self) -> dict[str, Any]:
        """Return the settings that are asked beside the fold, but for what the layers tell."""
        asked: dict[str, Any] = {"time_budget_s": self.time_list.seconds}
        if self.n_dims == 3:
            network = self.settings.architecture() or _volume_unet(self._n_planes())
            asked["architecture"] = network.model_copy(update={"n_dims": 3})
        if self.task.is_segmentation:
            return {**asked, "objects": self.task is TrainingTask.OBJECTS}
        # always given, since settings that were loaded may be for other data
        return {**asked, "noisy_only": _NOISY_ONLY.get(self.task, "blind_spot")}

    def _n_planes(self) -> int:
        """Return of how many planes the thinnest stack consists."""
        stacks = ((pair.shown, pair.axes_meant) for pair in self.pairs.pairs())
        return min(
            int(layer.level_shapes[0][axes.index("Z")]) for layer, axes in stacks if layer is not None and "Z" in axes
        )

    def _show_loaded(self, settings: TrainingSettings) -> None:
        """Let the lists say what a file asks for."""
        network = settings.architecture
        self.time_list.choose(settings.time_budget_s)
        self.sees_list.setCurrentIndex(int(network is not None and network.n_dims == 3))

    def _complete_pairs(self) -> list[LayerPair]:
        """Return the pairs that lack nothing."""
        numbered = enumerate(self.pairs.pairs(), start=1)
        return [pair for number, pair in numbered if not what_is_missing(pair, self.task, number)]

    def _source(self, pair: LayerPair) -> Source:
        layer = pair.shown
        if layer is None:
            raise ImageError("There is no image layer. Open an image, then press the button again.")
        dims = self._viewer.dims
        return source_of(layer, pair.axes_meant, tuple(dims.point), getattr(dims, "units", None))

    def _image_of(self, predicted: Any) -> ImageLayer | None:
        if predicted is None:
            return None
        made = facts_of(predicted)
        return self.pairs.image_of(made.get("layer"), made.get("source", ""))

    def _propose(self, event: Any = None) -> None:
        """Offer a task and its layers, until the user has chosen a task, and how far their annotation reaches.

        What else was chosen stays. Results that come or go change nothing that could be offered.
        """
        if event is not None and is_by_product(event.value):
            return
        if self._was_chosen:
            self._propose_extent()
            return
        self._proposal = proposal = propose_task(self._viewer.layers, self.pairs.pairs())
        if not proposal.pairs:  # nothing is left of what a choice was about
            self.extent.forget()
        with QSignalBlocker(self.task_list):
            self.task_list.setCurrentIndex(list(_TASKS).index(proposal.task))
        self.pairs.propose(proposal.pairs)
        self.extent.propose(proposal.extent)
        self._take_task()

    def _propose_extent(self) -> None:
        if self.task.is_segmentation:
            self._proposal = propose_from_labels(self.pairs.pairs(), self._viewer.layers)
            self.extent.propose(self._proposal.extent)
            self._draw()

    def _choose_task(self) -> None:
        self._was_chosen = True
        self._take_task()
        self._propose_extent()

    def _take_folder(self) -> None:
        """Keep the task that the folder was chosen for, whatever the layers look like."""
        self._was_chosen = self._was_chosen or self.folder.is_set
        self._draw()

    def _reason(self) -> str:
        """Return why the task was proposed, while it is that of the proposal and the rows are those it is about."""
        if self._proposal is None or self._proposal.task is not self.task:
            return ""
        about, shown = (
            {(pair.image, pair.target) for pair in pairs if pair.shown is not None}
            for pairs in (self._proposal.pairs, self.pairs.pairs())
        )
        return self._proposal.words(self.extent.extent()) if about == shown else ""

    def _take_task(self) -> None:
        self.pairs.set_task(self.task)
        self.folder.set_task(self.task)
        self.extent.set_visible(self.task.is_segmentation)
        self.settings.set_kind("segmentation" if self.task.is_segmentation else "denoising")
        self.start_list.set_task(self.task)
        self._draw()

    def _draw(self) -> None:
        is_open = self.task is not TrainingTask.ADAPT  # what is adapted goes on seeing what it saw
        has_depth = is_open and any("Z" in pair.axes_meant for pair in self.pairs.pairs())
        self.sees_list.setVisible(has_depth)
        self._rows.labelForField(self.sees_list).setVisible(has_depth)
        self.reason.setText(self._reason())
        self.reason.setVisible(bool(self.reason.text()))
        self.choices.setVisible(False)
        self.name.setPlaceholderText(_default_name(self.first_image()[0], self.task))
        self.changed.emit()

    def _fill(self) -> None:
        for task, words in _TASKS.items():
            self.task_list.addItem(words, task.value)
        self.sees_list.addItems(["planes, one by one", "volumes (3D)"])
        self.name.setToolTip("What the model will be called in every list")

    def _connect(self) -> None:
        self.task_list.currentIndexChanged.connect(self._choose_task)
        self.pairs.changed.connect(self._draw)
        self.folder.changed.connect(self._take_folder)
        self.extent.changed.connect(self._draw)
        self.settings.changed.connect(self.changed)
        self.settings.loaded.connect(self._show_loaded)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed):
            emitter.connect(self._propose)
        self.painting.rested.connect(self._propose)

    def _lay_out(self) -> None:
        top, self._rows = _form(), _form()
        top.addRow("Learn to", self.task_list)
        self.extent = ExtentForm(self._viewer, self._rows, self)
        self._rows.addRow("Network sees", self.sees_list)
        self._rows.addRow("Start from", self.start_list)
        self._rows.addRow("Time", self.time_list)
        self._rows.addRow("Name", self.name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addWidget(self.reason)
        column.addWidget(self.pairs)
        column.addWidget(self.folder)
        column.addLayout(self._rows)
        column.addWidget(self.settings)
        column.addWidget(self.choices)


def _volume_unet(n_planes: int) -> UNetConfig:
    """Return a network for volumes; thin ones are pooled less along Z."""
    along_z = min(3, max(0, int(np.log2(max(n_planes, 1) / 4)))) if n_planes >= 4 else 0
    return UNetConfig(n_dims=3, poolings=(along_z, 3, 3))


def _default_name(image: str, task: TrainingTask) -> str:
    """Return a name for a model: of its image, and what it does."""
    return f"{'-'.join(image.split()) or 'my'}-{'segmenter' if task.is_segmentation else 'denoiser'}"


def _form() -> QFormLayout:
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _small_print() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
