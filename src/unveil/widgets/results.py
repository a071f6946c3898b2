"""Results as layers: made and inserted in the main thread."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from unveil.axes import without
from unveil.image import Image
from unveil.widgets.requests import Request, Segmented

if TYPE_CHECKING:
    import pandas as pd

    from unveil.tasks.results import Denoised, RunReport, Segmentation

_METADATA = "unveil"


class ResultLayers:
    """The result layers of one panel in the viewer, known by what they are a result of."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._last: dict[Hashable, set[Any]] = {}

    def insert(self, layers: Sequence[Layer], key: Hashable, *, replace: bool) -> None:
        """Insert `layers`; with `replace`, in place of those that the last run with the same `key` inserted."""
        ids = self._last.get(key, set()) if replace else set()
        old = [layer for layer in self._viewer.layers if layer.unique_id in ids]
        place = min((self._viewer.layers.index(layer) for layer in old), default=len(self._viewer.layers))
        for layer in old:
            self._viewer.layers.remove(layer)
        for offset, layer in enumerate(layers):
            self._viewer.layers.insert(place + offset, layer)
        self._last[key] = {layer.unique_id for layer in layers}

    def holds(self, layer: Layer) -> bool:
        """Say whether `layer` is in the viewer."""
        return any(other.unique_id == layer.unique_id for other in self._viewer.layers)


def segmentation_layers(request: Request, segmented: Segmented) -> list[Layer]:
    """Return a layer per feature and a probability layer per foreground class, hidden, and above them the labels."""
    result, source = segmented.segmentation, request.source
    named = f"{source.name} · {result.card.name}"
    layers = _feature_layers(request, result, named)
    names = result.probabilities.channel_names
    for number in range(result.probabilities.size("C")):
        data, place = source.place(_channel(result.probabilities, number), request.cut)
        layers.append(
            ImageLayer(
                data,
                name=f"{named} probability" + (f" of {names[number]}" if len(names) > 1 else ""),
                contrast_limits=(0, 1),
                colormap="magma",
                blending="additive",
                visible=False,
                metadata=_metadata(source.name, "probability", result.report),
                **place,
            )
        )
    data, place = source.place(result.labels, request.cut)
    labels = Labels(
        np.asarray(data),
        name=f"{named} labels",
        features=_features_of(segmented),
        metadata=_metadata(source.name, "labels", result.report),
        **place,
    )
    return [*layers, labels]


def _feature_layers(request: Request, result: Segmentation, named: str) -> list[Layer]:
    if result.features is None:
        return []
    layers: list[Layer] = []
    for number, name in enumerate(result.features.channel_names):
        data, place = request.source.place(_channel(result.features, number), request.cut)
        metadata = _metadata(request.source.name, "feature", result.report)
        layers.append(ImageLayer(data, name=f"{named} {name}", visible=False, metadata=metadata, **place))
    return layers


def denoised_layers(request: Request, denoised: Denoised) -> list[Layer]:
    """Return the denoised image, shown with the contrast of its source, and hidden below it what was removed.

    One layer per channel if there are several.
    """
    source = request.source
    looks = {"contrast_limits": source.contrast_limits, "colormap": source.colormap, "blending": source.blending}
    layers = _layers_of(request, denoised.image, "denoised", denoised.report, **looks)
    if denoised.residual is None:
        return layers
    removed = _layers_of(request, denoised.residual, "residual", denoised.report, visible=False)
    return [*_autocorrelation_layer(request, denoised), *removed, *layers]


def _autocorrelation_layer(request: Request, denoised: Denoised) -> list[Layer]:
    """Return how what was removed correlates with itself, as a small image whose middle is no shift."""
    if denoised.autocorrelation is None:
        return []
    _, place = request.source.place(denoised.image, request.cut)
    return [
        ImageLayer(
            denoised.autocorrelation,
            name=f"{request.source.name} · {denoised.report.model} residual autocorrelation",
            contrast_limits=(-1, 1),
            colormap="PiYG",
            visible=False,
            scale=place["scale"][-2:],
            units=place["units"][-2:],
            metadata=_metadata(request.source.name, "autocorrelation", denoised.report),
        )
    ]


def _layers_of(request: Request, image: Image, role: str, report: RunReport, **looks: Any) -> list[Layer]:
    """Return a layer per channel of `image`."""
    named = f"{request.source.name} · {report.model} {role}"
    channels = [_channel(image, n) for n in range(image.size("C"))] if "C" in image.axes else [image]
    names = image.channel_names or tuple(str(n) for n in range(len(channels)))
    layers: list[Layer] = []
    for channel, channel_name in zip(channels, names, strict=True):
        data, place = request.source.place(channel, request.cut)
        name = f"{named} {channel_name}" if len(channels) > 1 else named
        metadata = _metadata(request.source.name, role, report)
        layers.append(ImageLayer(data, name=name, metadata=metadata, **looks, **place))
    return layers


def update_labels(layer: Labels, request: Request, segmented: Segmented) -> None:
    """Put other objects into a labels layer that is there already."""
    layer.data = np.asarray(request.source.place(segmented.segmentation.labels, request.cut)[0])
    layer.features = _features_of(segmented)
    layer.metadata = layer.metadata | _metadata(request.source.name, "labels", segmented.segmentation.report)


def features(table: dict[str, NDArray[Any]]) -> pd.DataFrame:
    """Return measurements as napari's features: row k belongs to label k, and row 0, the background, is empty.

    napari's table selects the label whose number is the row's.
    """
    import pandas as pd

    measured = pd.DataFrame(table).set_index("index").astype(float)
    rows = measured.reindex(range(int(measured.index.max() if len(measured) else 0) + 1))
    return rows.reset_index(names="index")


def _features_of(segmented: Segmented) -> pd.DataFrame:
    """Return measurements of objects, or the names of classes: napari shows them under the mouse."""
    import pandas as pd

    if segmented.table:
        return features(segmented.table)
    classes = segmented.segmentation.card.classes
    return pd.DataFrame({"index": range(len(classes)), "class": classes})


def _channel(image: Image, number: int) -> Image:
    """Return one channel of `image`, without the C axis and without copying."""
    at = image.axes.index("C")
    data = image.data[(slice(None),) * at + (number,)]
    return image.like(data, without(image.axes, "C"))


def _metadata(source: str, role: str, report: RunReport) -> dict[str, Any]:
    return {_METADATA: {**report.provenance(), "source": source, "role": role}}
