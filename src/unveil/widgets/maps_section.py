"""Buttons that show what the chosen layer makes of the image, and the filters that it has learned."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QVBoxLayout, QWidget

from unveil.events import Monitor
from unveil.widgets.inspected import Inspected
from unveil.widgets.inspection_layers import filters_layer, maps_layer
from unveil.widgets.job_button import Assignment, JobButton
from unveil.widgets.layer_table import times
from unveil.widgets.layers import Source
from unveil.widgets.requests import load
from unveil.widgets.results import ResultLayers

if TYPE_CHECKING:
    from unveil.tasks.inspect import FeatureMaps

_CHOOSE = "Choose a layer in the table."


class MapsSection(QWidget):
    """Feature maps and filters of the chosen layer, as layers; the same again replaces them."""

    def __init__(self, inspected: Inspected) -> None:
        super().__init__()
        self._inspected = inspected
        self._layers = ResultLayers(inspected.viewer)
        self.maps = JobButton("Show feature maps", self._prepare_maps, self)
        self.maps.bar.button.setToolTip(
            "What the chosen layer makes of the middle of the view, 512 × 512 pixels at most (64 along each axis in 3D)"
        )
        self.filters = JobButton("Show filters", self._prepare_filters, self)
        self.filters.bar.button.setToolTip("The kernels that the chosen layer has learned, a row per output channel")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.maps.bar)
        layout.addWidget(self.filters.bar)
        inspected.changed.connect(self._draw)
        self._draw()

    def close_for_good(self) -> None:
        """End all jobs."""
        self.maps.close_for_good()
        self.filters.close_for_good()

    def _draw(self) -> None:
        layer, source = self._inspected.layer, self._inspected.source
        if layer is None:
            self.maps.set_problem(_CHOOSE)
            self.filters.set_problem(_CHOOSE)
            return
        self.maps.set_problem(source.problem())
        has_filters = bool(layer.kernel and layer.n_parameters)
        self.filters.set_problem(None if has_filters else f"{layer.kind} has no filters: choose a convolution.")

    def _prepare_maps(self) -> Assignment:
        inspected = self._inspected
        source, entry = inspected.source_in_view(), inspected.model()
        image, layer = inspected.source.layer, inspected.layer
        assert image is not None
        assert layer is not None
        cut, key = inspected.source.cut, ("maps", image.unique_id, entry.path, layer.name)
        work = partial(_compute_maps, source, cut, entry.path, layer.name, inspected.source.channel)
        return Assignment(work, f"Feature maps of {layer.name}", partial(self._show_maps, source, cut, entry.name, key))

    def _show_maps(self, source: Source, cut: str, model: str, key: tuple[Any, ...], maps: FeatureMaps) -> str:
        self._layers.insert([maps_layer(source, cut, maps, model)], key, replace=True)
        n_maps, *size = maps.maps.shape
        return f"{n_maps} maps of {times(size)} pixels: the slider below the image goes through them"

    def _prepare_filters(self) -> Assignment:
        inspected = self._inspected
        entry, layer = inspected.model(), inspected.layer
        assert layer is not None
        source = inspected.source.source() if inspected.source.problem() is None else None
        show = partial(self._show_filters, source, entry.name, layer.name, ("filters", entry.path, layer.name))
        return Assignment(partial(_read_filters, entry.path, layer.name), f"Filters of {layer.name}", show)

    def _show_filters(
        self,
        source: Source | None,
        model: str,
        layer: str,
        key: tuple[Any, ...],
        found: tuple[tuple[int, ...], NDArray[np.float32]],
    ) -> str:
        (n_out, n_in, *taps), sheet = found
        self._layers.insert([filters_layer(source, sheet, model, layer)], key, replace=True)
        return f"{n_out} × {n_in} filters of {times(taps)}, at the right side of the image"


def _compute_maps(
    source: Source, cut: str, model: Path, layer: str, channel: int | None, monitor: Monitor
) -> FeatureMaps:
    from unveil.tasks.inspect import feature_maps

    loaded = load(model)
    centre = [source.position[axis] for axis in "ZYX"[-loaded.card.n_dims :]]
    return feature_maps(source.image(cut), loaded, layer, centre=centre, channel=channel, monitor=monitor)


def _read_filters(model: Path, layer: str, monitor: Monitor) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    from unveil.tasks.inspect import layer_filters, montage

    filters = layer_filters(load(model), layer)
    return filters.shape, montage(filters)
