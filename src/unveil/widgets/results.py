"""Results as layers: made and inserted in the main thread."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from unveil.axes import without
from unveil.config.options import SegmentationOptions
from unveil.data.classes import numbers_of_classes
from unveil.image import Image
from unveil.widgets.aside import insert_aside, is_worked_in
from unveil.widgets.layer_roles import GROWING, LABELS, PROBABILITY, marked
from unveil.widgets.requests import Request, Restored, Segmented, Stored

if TYPE_CHECKING:
    import pandas as pd

    from unveil.tasks.results import Denoised, RunReport, Segmentation

_USUAL_DISAGREEMENT = 0.25
"""Of the largest there can be: the contrast of its layer."""


class ResultLayers:
    """The result layers of one panel in the viewer, known by what they are a result of."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._last: dict[Hashable, set[Any]] = {}
        self._spared: set[Any] = set()
        self._files: dict[Hashable, Path] = {}

    def insert(
        self, layers: Sequence[Layer], key: Hashable, *, replace: bool, stored: Stored | None = None
    ) -> list[Layer]:
        """Insert `layers`; with `replace`, in place of those that the last run with the same `key` inserted.

        They are selected, unless somebody paints in another layer meanwhile: the stroke would end, and the keys would
        reach the new layers.

        Parameters
        ----------
        stored
            Where the result lies on the disk, if it does.

        Returns
        -------
        spared
            Layers of the last run that stay, below the new ones.
        """
        ids = self._last.get(key, set()) if replace else set()
        spared = [layer for layer in self._viewer.layers if layer.unique_id in ids & self._spared]
        old = [layer for layer in self._viewer.layers if layer.unique_id in ids - self._spared]
        first = [] if spared else [self._viewer.layers.index(layer) for layer in old]
        for layer in old:
            self._viewer.layers.remove(layer)
        place = min(first, default=len(self._viewer.layers))
        is_painting = is_worked_in(self._viewer.layers.selection.active)
        for at, layer in enumerate(layers, start=place):
            if is_painting:
                insert_aside(self._viewer, layer, at)
            else:
                self._viewer.layers.insert(at, layer)
        self._last[key] = {layer.unique_id for layer in layers}
        self._files.pop(key, None)
        if stored is not None:
            self._files[key] = stored.file
        return spared

    def spare(self, layer: Layer) -> None:
        """Let no later run replace `layer`: a person has changed it."""
        self._spared.add(layer.unique_id)

    def file_of(self, key: Hashable) -> Path | None:
        """Return where the last result with `key` lies on the disk, if it does."""
        return self._files.get(key)

    def holds(self, layer: Layer) -> bool:
        """Say whether `layer` is in the viewer."""
        return any(other.unique_id == layer.unique_id for other in self._viewer.layers)


def segmentation_layers(request: Request, segmented: Segmented) -> list[Layer]:
    """Return a layer per feature and a probability layer per foreground class, hidden, and above them the labels.

    Where it was asked for, the uncertainty lies just below the labels.
    """
    result, stored = segmented.segmentation, segmented.stored
    named = f"{request.source.name} · {result.card.name}"
    metadata = _metadata(request, LABELS, result.report, stored)
    labels = Labels(
        **_placed(request, [result.labels] if stored is None else stored.labels),
        name=f"{named} labels",
        features=_features_of(segmented),
        metadata=metadata,
    )
    _color_as_painted(labels, result.card.classes)
    if stored is not None:
        labels.editable = False
    levels = [result.probabilities] if stored is None else stored.image
    metadata = _metadata(request, PROBABILITY, result.report, stored)
    probabilities = _probability_layers(request, levels, named, metadata=metadata, visible=False)
    return [
        *_feature_layers(request, result, named),
        *probabilities,
        *_unsure_layers(request, segmented, named),
        labels,
    ]


def _color_as_painted(labels: Labels, classes: Sequence[str]) -> None:
    """Show each class in the colour of the number that it was painted with."""
    numbers = numbers_of_classes(classes)
    if numbers == list(range(len(numbers))):
        return
    usual = labels.colormap
    colors = np.array(usual.colors)
    colors[1 : len(numbers)] = usual.map(np.array(numbers[1:]))
    labels.colormap = CyclicLabelColormap(colors=colors, seed=usual.seed, background_value=usual.background_value)


def _probability_layers(request: Request, levels: Sequence[Image], named: str, **looks: Any) -> list[Layer]:
    """Return a layer per foreground class from the levels of the probabilities, the finest first."""
    names = levels[0].channel_names
    return [
        ImageLayer(
            **_placed(request, [_channel(level, number) for level in levels]),
            name=f"{named} probability" + (f" of {names[number]}" if len(names) > 1 else ""),
            contrast_limits=(0, 1),
            colormap="magma",
            blending="additive",
            **looks,
        )
        for number in range(levels[0].size("C"))
    ]


def _feature_layers(request: Request, result: Segmentation, named: str) -> list[Layer]:
    if result.features is None:
        return []
    metadata = _metadata(request, "feature", result.report)
    return [
        ImageLayer(
            **_placed(request, [_channel(result.features, number)]),
            name=f"{named} {name}",
            visible=False,
            metadata=metadata,
        )
        for number, name in enumerate(result.features.channel_names)
    ]


def _unsure_layers(request: Request, segmented: Segmented, named: str) -> list[Layer]:
    """Return a layer of the entropy and, hidden below it, one of the disagreement, both in bits."""
    result, stored = segmented.segmentation, segmented.stored
    if result.uncertainty is None:
        return []
    levels = [result.uncertainty] if stored is None else stored.uncertainty
    names, most = result.uncertainty.channel_names, float(np.log2(len(result.card.classes)))
    layers = [
        ImageLayer(
            **_placed(request, [_channel(level, number) for level in levels]),
            name=f"{named} {word} (bits)",
            contrast_limits=(0, most * share),
            colormap="inferno",
            blending="additive",
            visible=number == 0,
            metadata=_metadata(request, names[number], result.report, stored),
        )
        for number, (word, share) in enumerate({"uncertainty": 1.0, "disagreement": _USUAL_DISAGREEMENT}.items())
    ]
    return layers[::-1]


def denoised_layers(request: Request, restored: Restored) -> list[Layer]:
    """Return the denoised image, shown with the contrast of its source, and hidden below it what was removed.

    One layer per channel if there are several.
    """
    denoised, stored = restored.denoised, restored.stored
    named = f"{request.source.name} · {denoised.report.model}"
    levels = [denoised.image] if stored is None else stored.image
    metadata = _metadata(request, "denoised", denoised.report, stored)
    looks = {"metadata": metadata, **_looks(request)}
    layers = _layers_of(request, levels, f"{named} denoised", **looks)
    if denoised.residual is None:
        return layers
    metadata = _metadata(request, "residual", denoised.report)
    removed = _layers_of(request, [denoised.residual], f"{named} residual", metadata=metadata, visible=False)
    return [*_autocorrelation_layer(request, denoised), *removed, *layers]


def growing_layers(request: Request) -> list[Layer]:
    """Return what is there of a result that grows on the disk: the probabilities, or the denoised image."""
    levels, metadata = request.growth.levels, marked(GROWING, source=request.source.name)
    if not levels:
        return []
    named = f"{request.source.name} · {request.growth.model}"
    if isinstance(request.options, SegmentationOptions):
        return _probability_layers(request, levels, named, metadata=metadata)
    return _layers_of(request, levels, f"{named} denoised", metadata=metadata, **_looks(request))


def _looks(request: Request) -> dict[str, Any]:
    source = request.source
    return {"contrast_limits": source.contrast_limits, "colormap": source.colormap, "blending": source.blending}


def _autocorrelation_layer(request: Request, denoised: Denoised) -> list[Layer]:
    """Return how what was removed correlates with itself, as a small image whose middle is no shift."""
    if denoised.autocorrelation is None:
        return []
    plane = request.source.space.keep("YX")
    return [
        ImageLayer(
            denoised.autocorrelation,
            name=f"{request.source.name} · {denoised.report.model} residual autocorrelation",
            contrast_limits=(-1, 1),
            colormap="PiYG",
            visible=False,
            scale=plane.scale,
            units=plane.units,
            metadata=_metadata(request, "autocorrelation", denoised.report),
        )
    ]


def _layers_of(request: Request, levels: Sequence[Image], named: str, **looks: Any) -> list[Layer]:
    """Return a layer per channel of an image, from its levels, the finest first."""
    finest = levels[0]
    if "C" not in finest.axes:
        return [ImageLayer(**_placed(request, levels), name=named, **looks)]
    names = finest.channel_names or tuple(str(n) for n in range(finest.size("C")))
    return [
        ImageLayer(
            **_placed(request, [_channel(level, number) for level in levels]),
            name=f"{named} {name}" if len(names) > 1 else named,
            **looks,
        )
        for number, name in enumerate(names)
    ]


def _placed(request: Request, levels: Sequence[Image]) -> dict[str, Any]:
    """Return the arguments that make a layer of `levels` in the space of the source.

    A single level is no multiscale layer, for which napari keeps what it has read of the coarsest level.
    """
    both = [request.source.place(level, request.cut) for level in levels]
    data, is_multiscale = [data for data, _ in both], len(levels) > 1
    return {"data": data if is_multiscale else data[0], "multiscale": is_multiscale, **both[0][1]}


def update_labels(layer: Labels, request: Request, segmented: Segmented) -> None:
    """Put other objects into a labels layer that is there already."""
    layer.data = np.asarray(request.source.place(segmented.segmentation.labels, request.cut)[0])
    update_features(layer, segmented)
    layer.metadata = layer.metadata | _metadata(request, LABELS, segmented.segmentation.report)


def update_features(layer: Labels, segmented: Segmented) -> None:
    """Give a labels layer the measurements of its objects."""
    layer.features = _features_of(segmented)


def features(table: dict[str, NDArray[Any]]) -> pd.DataFrame:
    """Return measurements as napari's features: row k belongs to label k, and row 0, the background, is empty.

    napari's table selects the label whose number is the row's. Of a number that a person has painted on several planes
    the first object is shown.
    """
    import pandas as pd

    measured = pd.DataFrame(table).set_index("index").astype(float)
    measured = measured[~measured.index.duplicated()]
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


def _metadata(request: Request, role: str, report: RunReport, stored: Stored | None = None) -> dict[str, Any]:
    where = {} if stored is None else {"file": str(stored.file)}
    return marked(role, **report.provenance(), source=request.source.name, layer=request.layer_id, **where)
