"""Feature maps and filters as napari layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray

from unveil.widgets.layer_roles import INSPECTION, marked
from unveil.widgets.layers import Source, Space

if TYPE_CHECKING:
    from unveil.tasks.inspect import FeatureMaps

_GAP = 0.05
"""Between an image and the filters beside it, in widths of the image."""
_BRIGHTEST = 99.8
"""Percentile of the maps that is shown brightest."""


def maps_layer(source: Source, cut: str, maps: FeatureMaps, model: str) -> ImageLayer:
    """Return maps ``(C, *spatial)`` as one layer that lies over the image, with a slider for its maps.

    ::

        image            0 1 2 3 4 5 6 7      the maps start at pixel 4, with stride 2:
        maps                     0   1        their pixel 0 lies in the middle of 4 and 5

    Parameters
    ----------
    cut
        Axes along which only the plane shown was computed: there the layer has length 1.
    """
    spatial = maps.axes[1:]
    plane = {letter: source.position[letter] for letter in cut if letter in source.space.axes}
    stride = dict(zip(spatial, maps.stride, strict=True))
    start = {axis: first + (stride[axis] - 1) / 2 for axis, first in zip(spatial, maps.start, strict=True)}
    space = source.result_space(spatial + "".join(plane)).starting_at(start | plane)
    own = [letter for letter in space.axes if letter in spatial]
    data = maps.maps.transpose([0, *(1 + spatial.index(letter) for letter in own)])
    data = data[(slice(None), *(slice(None) if letter in own else None for letter in space.axes))]
    dark, bright = float(maps.maps.min()), float(np.percentile(maps.maps, _BRIGHTEST))
    return ImageLayer(
        data,
        name=f"{source.name} · {model} {maps.layer}",
        colormap="viridis",
        contrast_limits=(dark, bright) if bright > dark else (dark, dark + 1),
        metadata=marked(INSPECTION, source=source.name, model=model, layer=maps.layer),
        **with_outer_axis(space.coarser(stride).layer_arguments(), "map"),
    )


def filters_layer(source: Source | None, sheet: NDArray[np.float32], model: str, layer: str) -> ImageLayer:
    """Return a sheet of filters ``(height, width)`` or ``(taps in depth, height, width)``, at the image's right side.

    It is as high as the image; without an image it lies where it likes.
    """
    largest = float(np.nanmax(np.abs(sheet))) or 1.0
    place = _beside(source, sheet.shape[-2:]) if source is not None else {}
    if sheet.ndim == 3 and place:
        place = with_outer_axis(place, "depth of the filters")
    return ImageLayer(
        sheet,
        name=f"{model} {layer} filters",
        colormap="PiYG",
        contrast_limits=(-largest, largest),
        interpolation2d="nearest",
        metadata=marked(INSPECTION, model=model, layer=layer),
        **place,
    )


def with_outer_axis(arguments: dict[str, Any], label: str) -> dict[str, Any]:
    """Return the arguments of a layer that has one axis more, in front, which moves nothing."""
    return {
        "scale": (1.0, *arguments["scale"]),
        "translate": (0.0, *arguments["translate"]),
        **{name: _widened(arguments[name]) for name in ("rotate", "shear", "affine")},
        "units": ("pixel", *arguments["units"]),
        "axis_labels": (label, *arguments["axis_labels"]),
    }


def _widened(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    wide = np.eye(len(matrix) + 1)
    wide[1:, 1:] = matrix
    return wide


def _beside(source: Source, sheet: tuple[int, ...]) -> dict[str, Any]:
    plane: Space = source.space.keep("YX")
    size = dict(zip(source.axes, source.data.shape, strict=False))
    factor = size["Y"] / sheet[0]
    start = {"Y": (factor - 1) / 2, "X": size["X"] * (1 + _GAP) + (factor - 1) / 2}
    return plane.starting_at(start).coarser({"Y": factor, "X": factor}).layer_arguments()
