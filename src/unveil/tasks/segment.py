"""The door `segment`: an image and a model in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from unveil.axes import in_order, without
from unveil.config.options import SegmentationOptions
from unveil.events import Monitor, warn_only
from unveil.image import Image, frames, n_frames
from unveil.inference.hands import one_by_one
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.operators.calibration import ExpectedOverlap
from unveil.operators.classical import TEXTURE_FEATURES
from unveil.operators.uncertainty import NAMES
from unveil.tasks.denoising_first import decide, denoised
from unveil.tasks.filters import with_chosen_size
from unveil.tasks.frame_canvas import FrameCanvas
from unveil.tasks.intervals import is_as_recorded, with_intervals
from unveil.tasks.matching import card_of, check_ensemble, check_match, choose_channels
from unveil.tasks.rescaling import scale_factors
from unveil.tasks.results import Journal, RunReport, Segmentation, SegmentationSink, WritableArray
from unveil.tasks.running import running

_DEFAULTS = SegmentationOptions()


def segment(
    image: Image,
    model: Model,
    *,
    options: SegmentationOptions | Mapping[str, Any] = _DEFAULTS,
    others: Sequence[Model] = (),
    into: SegmentationSink | None = None,
    journal: Journal | None = None,
    cluster: str | None = None,
    monitor: Monitor = warn_only,
) -> Segmentation:
    """Segment every plane (2D models) or volume (3D models) of `image`.

    Parameters
    ----------
    image
        Intensities of any integer or float dtype, ``([T,] [C,] [Z,] Y, X)``.
    model
        A segmentation model, as `load_model` or `train` returns it.
    options
        Where and how to compute, and the rule that separates objects.
    others
        Further models of the same kind as `model`, such as trainings from other seeds: the result is the mean of all
        (Lakshminarayanan 2017, arXiv 1612.01474), and the uncertainty that of all together.
    into
        Arrays to write to, for results larger than memory; new NumPy arrays if not given.
    journal
        Which tiles the arrays hold from a run of the same image, model and options that was ended: they are not
        computed again. Those that are computed now are added.
    cluster
        Address of a dask.distributed scheduler, such as ``tcp://host:8786``: its workers compute, read what `image`
        holds and write to `into`, zarr arrays in a folder that all of them see.
    monitor
        Called at least once per tile; it may raise `Cancelled`, which ends the work.

    Returns
    -------
    segmentation
        Labels, probabilities and the report of the run, in the space of the image.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image cannot be used, does not fit the model, or an option names what is not there; nothing is
        written then.
    EngineError
        If the engine fails, or memory does not suffice for the smallest tile.
    Cancelled
        From the monitor.
    """
    options = SegmentationOptions.from_values(options)
    check_match(image, card_of(model), "segmentation")
    model = with_chosen_size(model, options)
    card = model.card
    channels = choose_channels(image, card, options.channel)
    scale = scale_factors(image, card, options.rescale)
    check_ensemble(card, [card_of(other) for other in others])
    sink = into or SegmentationSink.create(image, card, np.zeros, options)
    sink.check(image, card, options)
    if not card.gives_uncertainty(options):
        sink = replace(sink, uncertainty=None)
    asked = options
    options = decide(image, card, channels, options, monitor)
    if options.denoise_first == "on":
        image = denoised(image, options, sink.make, monitor)
        channels = choose_channels(image, card, None)
    count = n_frames(image, card.n_dims)
    n_objects, overlap = 0, ExpectedOverlap()
    with running(
        image,
        [model, *others],
        options,
        scale=scale,
        n_frames=count,
        journal=journal,
        cluster=cluster,
        arrays=sink.arrays,
        monitor=monitor,
    ) as run:
        for notice in _unused(options, card):
            run.notify(notice)
        if not options.skip_check:
            run.compare([channels])
        for frame in frames(image, card.n_dims, channels):
            canvas = FrameCanvas(sink, image, frame, card)
            if run.predict(frame, canvas.write_maps).is_constant:
                canvas.write_nothing()
            canvas.write_textures()
            found = canvas.make_labels(options, scale, n_objects, run.hands)
            n_objects += found.n_objects
            overlap.include(found.overlap)
        report = run.finish(n_objects if card.objects else None, None if card.is_filter else overlap.iou)
    if is_as_recorded(asked, report, count):
        report = with_intervals(report, card)
    return _segmentation(image, card, sink, report)


def separate(segmentation: Segmentation, options: SegmentationOptions) -> Segmentation:
    """Make the labels anew with other threshold, separation or minimum size, without the network.

    Maps and card are those of `segmentation`, and so is its report but for these options, the number of objects and
    what is expected of them.

    Parameters
    ----------
    segmentation
        What `segment` returned.
    options
        Only ``threshold``, ``separation`` and ``min_size`` count; None stands for the model's own value.
    """
    card, labels, report = segmentation.card, segmentation.labels, segmentation.report
    distance = segmentation.distance
    sink = SegmentationSink(
        labels=np.zeros(labels.shape, np.int32),
        probabilities=cast(WritableArray, segmentation.probabilities.data),  # read, frame by frame
        distance=None if distance is None else cast(WritableArray, distance.data),
    )
    n_objects, overlap = 0, ExpectedOverlap()
    for frame in frames(labels, card.n_dims, (0,)):
        canvas = FrameCanvas(sink, labels, frame, card)
        found = canvas.make_labels(options, report.scale, n_objects, one_by_one)
        n_objects += found.n_objects
        overlap.include(found.overlap)
    changed = options.model_dump(mode="json", include={"threshold", "separation", "min_size"})
    new_report = replace(
        report,
        iou_interval=None,
        n_objects_interval=None,
        options=report.options | changed,
        n_objects=n_objects if card.objects else report.n_objects,
        expected_iou=None if card.is_filter else overlap.iou,
    )
    if is_as_recorded(options, new_report, n_frames(labels, card.n_dims)):
        new_report = with_intervals(new_report, card)
    return replace(segmentation, labels=labels.like(sink.labels, labels.axes, name=labels.name), report=new_report)


def _unused(options: SegmentationOptions, card: ModelCard) -> Iterator[str]:
    """Say which options mean nothing for the model."""
    if card.objects is None and (options.separation is not None or options.min_size is not None):
        yield f"Model '{card.name}' does not separate objects: separation and min_size change nothing."
    if card.objects is None and len(card.classes) > 2 and options.threshold is not None:
        yield f"Model '{card.name}' gives each pixel its likeliest class: threshold changes nothing."
    if options.uncertainty and card.is_filter:
        yield f"'{card.name}' is a classical filter and gives no uncertainty."


def _segmentation(image: Image, card: ModelCard, sink: SegmentationSink, report: RunReport) -> Segmentation:
    axes = without(image.axes, "C")
    return Segmentation(
        labels=image.like(sink.labels, axes),
        probabilities=image.like(sink.probabilities, in_order(axes + "C"), channel_names=card.classes[1:]),
        distance=None if sink.distance is None else image.like(sink.distance, axes),
        card=card,
        report=report,
        uncertainty=None
        if sink.uncertainty is None
        else image.like(sink.uncertainty, in_order(axes + "C"), channel_names=NAMES),
        features=None
        if sink.features is None
        else image.like(sink.features, in_order(axes + "C"), channel_names=TEXTURE_FEATURES),
    )
