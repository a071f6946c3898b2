"""Which model and image are looked at: what all sections of the Inspect panel are about."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from unveil.errors import ConfigError
from unveil.events import Monitor
from unveil.image import Image
from unveil.io.library import ModelEntry
from unveil.model.card import ModelCard
from unveil.widgets.job import Job
from unveil.widgets.layers import Source, pixels
from unveil.widgets.model_picker import ModelPicker
from unveil.widgets.notify import tell_failure
from unveil.widgets.source_form import SourceForm

if TYPE_CHECKING:
    from unveil.networks.summary import LayerSummary, NetworkSummary
    from unveil.tasks.inspect import LipschitzTable


class Subject(NamedTuple):
    """What is chosen when the button of a section is pressed: all that its job needs to know."""

    model: Path
    model_name: str
    source: Source | None
    """None where no image can be used."""
    layer_id: Any
    """The layer's `unique_id`."""
    cut: str
    """Axes along which only the plane shown is meant."""
    channel: int | None

    def image(self) -> Image | None:
        """Return the image, if there is one; nothing lazy is read."""
        return None if self.source is None else self.source.image(self.cut)


class Inspected(QWidget):
    """The rows that ask for a model and an image, and what is known of them so far.

    Attributes
    ----------
    summary
        The layers of the model's network for images as large as this one; None until they are listed.
    norms
        The model's Lipschitz numbers, once somebody has computed them.
    """

    changed = Signal()
    """Another model, image or layer is chosen, or more is known of them."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.summary: NetworkSummary | None = None
        self.norms: LipschitzTable | None = None
        self._layer_name = ""
        self._listed: tuple[Any, ...] = ()
        self._job: Job | None = None
        self.models = ModelPicker(None)
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Model", self.models)
        rows.addRow(self.models.summary)
        self.source = SourceForm(viewer, rows, self, one_plane=True)
        self.source.changed.connect(self._update)
        self.models.changed.connect(self._take_model)
        self._take_model()

    @property
    def entry(self) -> ModelEntry | None:
        """The chosen model."""
        return self.models.entry

    @property
    def layer(self) -> LayerSummary | None:
        """The layer chosen in the table."""
        layers = self.summary.layers if self.summary is not None else ()
        return next((layer for layer in layers if layer.name == self._layer_name), None)

    def choose_layer(self, name: str) -> None:
        """Choose a layer by its name; none where it is empty."""
        if name != self._layer_name:
            self._layer_name = name
            self.changed.emit()

    def set_norms(self, entry: ModelEntry, norms: LipschitzTable) -> None:
        """Take the Lipschitz numbers of a model, if it is still the chosen one."""
        if self.entry == entry:
            self.norms = norms
            self.changed.emit()

    def source_in_view(self) -> Source:
        """Take down the chosen image; its position is the middle of the view.

        Raises
        ------
        ImageError
            If there is none, or it cannot be described.
        """
        dims = self.viewer.dims
        point, shown = list(dims.point), list(dims.displayed)
        camera = getattr(self.viewer, "scene", self.viewer).camera  # napari before 0.9 has no scene
        for axis, where in zip(shown, camera.center[-len(shown) :], strict=True):
            point[axis] = where
        return self.source.source(point)

    def model(self) -> ModelEntry:
        """Return the chosen model.

        Raises
        ------
        ConfigError
            If there is none.
        """
        if self.entry is None:
            raise ConfigError("No model is chosen. Press Open… or drop a model file on the window.")
        return self.entry

    def subject(self) -> Subject:
        """Take down what is chosen.

        Raises
        ------
        ConfigError
            If no model is.
        """
        entry, source = self.model(), self.source
        layer = source.layer if source.problem() is None else None
        if layer is None:
            return Subject(entry.path, entry.name, None, None, "", None)
        return Subject(entry.path, entry.name, source.source(), layer.unique_id, source.cut, source.channel)

    def close_for_good(self) -> None:
        """Listen to nothing any more."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        self.source.close_for_good()
        self.models.close_for_good()

    def _take_model(self) -> None:
        self.source.set_card(self.models.card)

    def _update(self) -> None:
        """List the layers anew where model or size of the image are others."""
        card = self.models.card
        wanted = (card, self._shape(card)) if card is not None else ()
        if wanted != self._listed:
            if card is None or not self._listed or card != self._listed[0]:
                self.summary, self.norms = None, None
            self._listed = wanted
            self._list_layers()
        self.changed.emit()

    def _shape(self, card: ModelCard) -> tuple[int, ...]:
        """Return the image's sizes along the axes that the model sees; nothing where it lacks one."""
        layer, axes = self.source.layer, self.source.axes
        if layer is None or not axes:
            return ()
        sizes = dict(zip(axes, pixels(layer).shape, strict=False))
        seen = "ZYX"[-card.n_dims :]
        return tuple(int(sizes[axis]) for axis in seen) if set(seen) <= sizes.keys() else ()

    def _list_layers(self) -> None:
        """Ask for the table in a job: the first in a session imports PyTorch, which takes seconds."""
        if not self._listed or self._job is not None:
            return  # the job at work looks again when it ends
        listed = self._listed
        job = self._job = Job(partial(_summary, *listed), "Listing layers", self, in_activity_dock=False)
        job.succeeded.connect(partial(self._take_summary, listed))
        job.failed.connect(tell_failure)
        job.finished.connect(partial(self._end, job, listed))
        job.start()

    def _take_summary(self, listed: tuple[Any, ...], summary: NetworkSummary) -> None:
        if listed == self._listed and self._job is not None:
            self.summary = summary
            self.changed.emit()

    def _end(self, job: Job, listed: tuple[Any, ...]) -> None:
        if job is self._job:
            self._job = None
            if listed != self._listed:
                self._list_layers()


def _summary(card: ModelCard, shape: tuple[int, ...], monitor: Monitor) -> NetworkSummary:
    from unveil.tasks.inspect import summarize

    return summarize(card, shape=shape)
