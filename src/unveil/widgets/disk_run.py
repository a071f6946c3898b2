"""A request whose results are larger than memory: computed in a job's thread into OME-Zarr, no Qt, no layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.axes import in_order, without
from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.events import Monitor, Notice
from unveil.image import Image
from unveil.widgets.growing_levels import GrowingArray
from unveil.widgets.layer_traits import layer_traits
from unveil.widgets.lazy_view import LazyView
from unveil.widgets.requests import Request, Restored, Segmented, Stored, load, measure

if TYPE_CHECKING:
    from unveil.io.growing_result import GrowingResult
    from unveil.model.card import ModelCard
    from unveil.tasks.results import Segmentation

MOST_MEASURED = 500_000
"""Of more objects no table is made: napari keeps it in memory as a whole."""


def segment_on_disk(request: Request, monitor: Monitor) -> Segmented:
    """Segment, or go on with a segmentation that was left, and measure."""
    from unveil.tasks.growing import segmentation_sink
    from unveil.tasks.segment import segment

    options, model = request.options, load(request.model)
    assert isinstance(options, SegmentationOptions)
    image = request.source.image(request.cut)
    with _begun(request, image, model.card, monitor) as growing:
        sink = segmentation_sink(growing, image, model.card, options)
        shown = _shown(growing, sink.probabilities, monitor)
        names = model.card.classes[1:]
        request.growth.begin(
            shown, image.like(shown, in_order(without(image.axes, "C") + "C"), channel_names=names), model.card.name
        )
        result = segment(
            image,
            model,
            options=options,
            into=replace(sink, probabilities=shown),
            journal=growing.journal,
            monitor=monitor,
        )
        table = _measured(result, image, request.plane, monitor)
        growing.finish(result.report.provenance(), monitor)
        request.growth.is_whole = True
    assert request.target is not None
    result, stored = _in_its_place(result, request.target)
    return Segmented(result, image, table, stored, request.plane)


def denoise_on_disk(request: Request, monitor: Monitor) -> Restored:
    """Denoise, or go on with a denoising that was left."""
    from unveil.tasks.denoise import denoise
    from unveil.tasks.growing import denoised_array

    options, model = request.options, load(request.model)
    assert isinstance(options, DenoisingOptions)
    image = request.source.image(request.cut)
    if options.residual:
        monitor(Notice("What was removed is not shown where the result is written to the disk."))
        options = options.model_copy(update={"residual": False})
        request = replace(request, options=options)
    with _begun(request, image, model.card, monitor) as growing:
        array = denoised_array(growing, image, model.card, options)
        shown = _shown(growing, array, monitor)
        axes = image.axes if options.channel is None else without(image.axes, "C")
        names = image.channel_names if "C" in axes else ()
        request.growth.begin(shown, image.like(shown, axes, channel_names=names), model.card.name)
        denoised = denoise(image, model, options=options, into=shown, journal=growing.journal, monitor=monitor)
        growing.finish(denoised.report.provenance(), monitor)
        request.growth.is_whole = True
    assert request.target is not None
    levels = _levels(request.target, denoised.image)
    return Restored(replace(denoised, image=levels[0]), Stored(request.target, levels))


@contextmanager
def _begun(request: Request, image: Image, card: ModelCard, monitor: Monitor) -> Iterator[GrowingResult]:
    """Begin the result, or go on with it; one that fails before its first tile leaves nothing behind."""
    from unveil.tasks.growing import begin, identity
    from unveil.tasks.matching import check_fit
    from unveil.tasks.running import check_device

    check_device(request.options)  # before what another run has left is thrown away
    check_fit(image, card, request.options.channel)
    assert request.target is not None
    traits = layer_traits(request.source, request.cut, monitor)
    with begin(request.target, identity(traits, card, request.options), monitor) as growing:
        try:
            yield growing
        except BaseException:
            request.growth.goes_on = len(growing.journal) > 0
            if not request.growth.goes_on:
                growing.discard()
            raise


def _shown(growing: GrowingResult, array: Any, monitor: Monitor) -> GrowingArray:
    """Return `array` with the levels that show it while it grows."""
    shown = GrowingArray(array)
    if growing.resumed:
        shown.fill(monitor)
    return shown


def _in_its_place(result: Segmentation, folder: Path) -> tuple[Segmentation, Stored]:
    """Return a finished result as it lies in `folder`: the arrays of the folder in which it grew are gone."""
    from unveil.tasks.growing import LABELS, UNCERTAINTY

    stored = Stored(
        folder,
        _levels(folder, result.probabilities),
        _levels(folder / "labels" / LABELS, result.labels),
        () if result.uncertainty is None else _levels(folder / UNCERTAINTY, result.uncertainty),
    )
    found = replace(
        result,
        labels=stored.labels[0],
        probabilities=stored.image[0],
        uncertainty=next(iter(stored.uncertainty), None),
        distance=None,
        features=None,
    )
    return found, stored


def _measured(found: Segmentation, image: Image, plane: Mapping[str, int], monitor: Monitor) -> dict[str, Any]:
    n_objects = found.report.n_objects
    if n_objects is None:
        return {}
    if n_objects > MOST_MEASURED:
        monitor(Notice(f"{n_objects:,} objects are too many for a table; `unveil segment --table` writes one."))
        return {}
    return measure(found, image, plane)


def _levels(folder: Path, like: Image) -> tuple[Image, ...]:
    """Return all levels of a finished image as images like the finest one, read when they are shown."""
    from unveil.io.pyramid import read_levels

    return tuple(
        like.like(LazyView(level), like.axes, channel_names=like.channel_names) for level in read_levels(folder)
    )
