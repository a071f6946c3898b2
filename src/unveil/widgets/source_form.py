"""Choose an image layer, what its axes mean, its channel, and one plane or all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout

from unveil.errors import ImageError
from unveil.model.card import ModelCard
from unveil.widgets.layer_list import Choices, LayerNames
from unveil.widgets.layer_roles import images_among
from unveil.widgets.layers import (
    Source,
    cut_axes,
    describe_axes,
    known_axes,
    labelled_axes,
    pixels,
    possible_axes,
    source_of,
)

_CHOOSE, _EACH = "choose…", "each by itself"


class SourceForm(QObject):
    """The rows of a panel that say which pixels are meant, added to `form`.

    Rows that leave no choice are hidden: axes in 2D, the channel of a one-channel image, planes of a single plane.

    Parameters
    ----------
    one_plane
        Only ever the plane (or volume, for 3D models) that is shown now: nothing is asked.
    """

    changed = Signal()

    def __init__(
        self, viewer: Any, form: QFormLayout, parent: QObject | None = None, *, one_plane: bool = False
    ) -> None:
        super().__init__(parent)
        self._one_plane = one_plane
        self._viewer = viewer
        self._card: ModelCard | None = None
        self._axes_chosen: dict[Any, str] = {}
        self._channel_chosen: dict[Any, int | None] = {}
        self._shape: tuple[int, ...] = ()
        self.layer_list = LayerNames("The image layer to work on")
        self.axes_list = Choices("What the dimensions of this layer mean")
        self.channel_list = Choices("The channel to work on")
        self.planes_list = Choices("All planes and time points, or the one shown now")
        self.planes_list.addItems(["the whole stack", "this plane only"])
        self._form = form
        for name, row in self._rows().items():
            self._form.addRow(name, row)
        self._connect()
        self._fill_layers()

    def _rows(self) -> dict[str, QComboBox]:
        return {
            "Image": self.layer_list,
            "Axes": self.axes_list,
            "Channel": self.channel_list,
            "Planes": self.planes_list,
        }

    @property
    def layer(self) -> ImageLayer | None:
        """The chosen layer, or None."""
        chosen = self.layer_list.chosen
        return next((layer for layer in images_among(self._viewer.layers) if layer.unique_id == chosen), None)

    @property
    def axes(self) -> str:
        """The chosen axes of the layer, in its order."""
        return self.axes_list.currentData() or ""

    @property
    def channel(self) -> int | None:
        """Number of the chosen channel, or None where none is needed, or each is worked on by itself."""
        return self.channel_list.currentData() if self._needs_channel() else None

    @property
    def cut(self) -> str:
        """Axes along which only the plane shown now is meant."""
        return self._possible_cut() if self._one_plane or self.planes_list.currentIndex() == 1 else ""

    def choose(self, name: str) -> None:
        """Choose the layer called `name`, if there is one."""
        self.layer_list.setCurrentIndex(max(self.layer_list.findText(name), 0))

    def set_card(self, card: ModelCard | None) -> None:
        """Fit the rows to the model: how many channels and dimensions it takes."""
        self._card = card
        self._draw()

    def source(self, point: Sequence[float] | None = None) -> Source:
        """Take down the chosen layer as it is now.

        Parameters
        ----------
        point
            Where in the world its position is taken; where the viewer's sliders stand if not given.

        Raises
        ------
        ImageError
            If there is none, or it cannot be described.
        """
        layer = self.layer
        if layer is None:
            raise ImageError("There is no image layer. Open an image, then press the button again.")
        dims = self._viewer.dims
        return source_of(layer, self.axes, tuple(dims.point if point is None else point), getattr(dims, "units", None))

    def problem(self) -> str | None:
        """Return what the user must do before a run is possible, or None."""
        layer = self.layer
        if layer is None:
            return "Open an image first: drop a file on the window, or File ▸ Open Sample ▸ Unveil."
        if not self.axes:
            return f"Layer '{layer.name}' has {layer.ndim} dimensions; images have 2 to 5. Choose another layer."
        if self._needs_channel() and self.channel is None and not self._may_take_each():
            return "Choose the channel to work on."
        return None

    def pixel_size_um(self) -> dict[str, float]:
        """Return the pixel size of the chosen layer, per spatial axis, where it is known."""
        layer = self.layer
        return source_of(layer, self.axes).space.pixel_size_um() if layer is not None and self.axes else {}

    def close_for_good(self) -> None:
        """Listen to the viewer no more."""
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.disconnect(self._fill_layers)
        for layer in self._viewer.layers:
            self._unwatch(layer)

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self._fill_layers)
        self.layer_list.currentIndexChanged.connect(self._fill_axes)
        self.axes_list.currentIndexChanged.connect(self._take_axes)
        self.channel_list.currentIndexChanged.connect(self._take_channel)
        self.planes_list.currentIndexChanged.connect(self.changed)

    def _fill_layers(self, event: Any = None) -> None:
        """List the layers as they are now and keep the choice; else the active layer is chosen, if it is listed."""
        chosen = self.layer_list.chosen
        layers = images_among(self._viewer.layers)
        for layer in layers:
            self._unwatch(layer)
            self._watch(layer)
        self.layer_list.fill(layers)
        if self.layer_list.chosen != chosen or chosen is None:
            self.layer_list.choose(getattr(self._viewer.layers.selection.active, "unique_id", None))
            self._fill_axes()
        else:
            self.changed.emit()

    def _watch(self, layer: ImageLayer) -> None:
        layer.events.name.connect(self._fill_layers)
        layer.events.axis_labels.connect(self._follow_labels)
        layer.events.data.connect(self._follow_data)
        layer.events.scale.connect(self._redraw)
        layer.events.units.connect(self._redraw)

    def _unwatch(self, layer: ImageLayer) -> None:
        events = layer.events
        for emitter in (events.name, events.axis_labels, events.data, events.scale, events.units):
            for callback in (self._fill_layers, self._follow_labels, self._follow_data, self._redraw):
                emitter.disconnect(callback)

    def _redraw(self, event: Any = None) -> None:
        self._draw()

    def _take_axes(self) -> None:
        """Remember what was chosen for this layer."""
        self._axes_chosen[self.layer_list.chosen] = self.axes
        self._fill_channels()

    def _take_channel(self) -> None:
        """Remember what was chosen for this layer."""
        self._channel_chosen[self.layer_list.chosen] = self.channel_list.currentData()
        self.changed.emit()

    def _follow_labels(self, event: Any) -> None:
        """Take the axes that the labels of a layer name; until they name some, what was chosen for it stays."""
        layer = event.source
        if labelled_axes(layer):
            self._axes_chosen.pop(layer.unique_id, None)
        if layer.unique_id == self.layer_list.chosen:
            self._fill_axes()

    def _follow_data(self, event: Any) -> None:
        """Ask anew where the pixels of the layer were replaced by others of another shape."""
        layer = event.source
        if layer.unique_id == self.layer_list.chosen and pixels(layer).shape != self._shape:
            self._fill_axes()

    def _fill_axes(self) -> None:
        """List what the axes of the layer may mean, the likeliest first, and choose what was chosen for it before."""
        layer = self.layer
        self._shape = pixels(layer).shape if layer is not None else ()
        with QSignalBlocker(self.axes_list):
            self.axes_list.clear()
            if layer is not None:
                for axes in possible_axes(layer.ndim, rgb=bool(layer.rgb), known=known_axes(layer)):
                    self.axes_list.addItem(describe_axes(axes), axes)
                self.axes_list.setCurrentIndex(max(0, self.axes_list.findData(self._axes_chosen.get(layer.unique_id))))
        self._fill_channels()

    def _fill_channels(self) -> None:
        """List the channels, and choose the one chosen for this layer before, else that of the layer shown before."""
        chosen = self._channel_chosen.get(self.layer_list.chosen, self.channel_list.currentData())
        names = self._channel_names()
        with QSignalBlocker(self.channel_list):
            self.channel_list.clear()
            self.channel_list.addItem(_CHOOSE, None)
            for number, name in enumerate(names):
                self.channel_list.addItem(name, number)
            if chosen is not None and chosen < len(names):
                self.channel_list.setCurrentIndex(chosen + 1)
        self._draw()

    def _channel_names(self) -> list[str]:
        layer, axes = self.layer, self.axes
        if layer is None or not axes:
            return []
        if layer.rgb:
            return ["red", "green", "blue"]
        return [f"{i}" for i in range(pixels(layer).shape[axes.index("C")])] if "C" in axes else []

    def _needs_channel(self) -> bool:
        n_channels = self.channel_list.count() - 1
        return n_channels > 1 and self._card is not None and self._card.in_channels == 1

    def _may_take_each(self) -> bool:
        """Say whether the model works on channels one by one: denoisers do."""
        return not self._one_plane and self._card is not None and self._card.task == "denoising"

    def _possible_cut(self) -> str:
        return cut_axes(self.axes, self._card.n_dims) if self._card is not None and self.axes else ""

    def _draw(self) -> None:
        self._show(self.axes_list, self.axes_list.count() > 1)
        self.channel_list.setItemText(0, _EACH if self._may_take_each() else _CHOOSE)
        self._show(self.channel_list, self._needs_channel())
        self._show(self.planes_list, bool(self._possible_cut()) and not self._one_plane)
        self.changed.emit()

    def _show(self, row: QComboBox, visible: bool) -> None:
        row.setVisible(visible)
        self._form.labelForField(row).setVisible(visible)
