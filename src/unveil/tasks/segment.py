"""The door `segment`: an image and a model in, labels and probabilities out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from unveil.axes import in_order, without
from unveil.config.objects import ObjectRule
from unveil.config.options import SegmentationOptions
from unveil.events import Monitor, warn_only
from unveil.image import Frame, Image, frames, n_frames
from unveil.inference.tiling import Window
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.operators.calibration import ExpectedOverlap
from unveil.operators.classical import TEXTURE_FEATURES, two_textures
from unveil.operators.instances import label_classes, label_objects
from unveil.tasks.denoising_first import decide, denoised
from unveil.tasks.filters import with_chosen_size
from unveil.tasks.matching import card_of, check_match, choose_channels
from unveil.tasks.rescaling import scale_factors
from unveil.tasks.results import RunReport, Segmentation, SegmentationSink, WritableArray
from unveil.tasks.running import running

_DEFAULTS = SegmentationOptions()


def segment(
    image: Image,
    model: Model,
    *,
    options: SegmentationOptions = _DEFAULTS,
    into: SegmentationSink | None = None,
    monitor: Monitor = warn_only,
) -> Segmentation:
    """Segment every plane (2D models) or volume (3D models) of `image`.

    Parameters
    ----------
    into
        Arrays to write to, for results larger than memory; new NumPy arrays if not given.
    monitor
        Called at least once per tile; it may raise `Cancelled`, which ends the work.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image cannot be used, does not fit the model, or an option names what is not there; nothing is
        written then.
    EngineError
        If the engine fails, or memory does not suffice for the smallest tile.
    """
    check_match(image, card_of(model), "segmentation")
    model = with_chosen_size(model, options)
    card = model.card
    channels = choose_channels(image, card, options.channel)
    scale = scale_factors(image, card, options.rescale)
    sink = into or SegmentationSink.create(image, card, np.zeros)
    sink.check(image, card)
    options = decide(image, card, channels, options, monitor)
    if options.denoise_first == "on":
        image = denoised(image, options, monitor)
        channels = choose_channels(image, card, None)
    count = n_frames(image, card.n_dims)
    n_objects, overlap = 0, ExpectedOverlap()
    with running(image, model, options, scale=scale, n_frames=count, monitor=monitor) as run:
        if card.objects is None and (options.separation is not None or options.min_size is not None):
            run.notify(f"Model '{card.name}' does not separate objects: separation and min_size change nothing.")
        for frame in frames(image, card.n_dims, channels):
            target = _FrameTarget(sink, image, frame, card)
            if run.predict(frame, target.write_maps).is_constant:
                target.write_nothing()
            target.write_textures()
            n_objects += target.write_labels(options, scale, n_objects, overlap)
        report = run.finish(n_objects if card.objects else None, None if card.is_filter else overlap.iou)
    return _segmentation(image, card, sink, report)


def separate(segmentation: Segmentation, options: SegmentationOptions) -> Segmentation:
    """Make the labels anew with other threshold, separation or minimum size, without the network.

    Maps and card are those of `segmentation`, and so is its report but for these options and the number of objects.
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
        target = _FrameTarget(sink, labels, frame, card)
        n_objects += target.write_labels(options, report.scale, n_objects, overlap)
    changed = options.model_dump(mode="json", include={"threshold", "separation", "min_size"})
    new_report = replace(
        report,
        options=report.options | changed,
        n_objects=n_objects if card.objects else report.n_objects,
        expected_iou=None if card.is_filter else overlap.iou,
    )
    return replace(segmentation, labels=labels.like(sink.labels, labels.axes, name=labels.name), report=new_report)


class _FrameTarget:
    """Where the results of one frame lie in the arrays of the whole image."""

    def __init__(self, sink: SegmentationSink, image: Image, frame: Frame, card: ModelCard) -> None:
        self._sink, self._frame, self._card = sink, frame, card
        self._axes = without(image.axes, "C")
        self._whole = tuple(slice(0, size) for size in image.spatial_shape(card.n_dims))

    def write_maps(self, window: Window, maps: NDArray[np.float32]) -> None:
        """Put maps ``(K, *window)``: the foreground's probabilities and the distance, if there is one; or features."""
        if self._sink.features is not None:
            self._sink.features[self._with_classes(window)] = np.moveaxis(maps, 0, self._class_axis())
            return
        n_classes = len(self._card.classes)
        self._sink.probabilities[self._with_classes(window)] = np.moveaxis(maps[1:n_classes], 0, self._class_axis())
        if self._sink.distance is not None and self._card.objects is not None:
            self._sink.distance[self._key(window)] = maps[n_classes]

    def write_nothing(self) -> None:
        """Say that there is background alone."""
        shape = tuple(s.stop for s in self._whole)
        maps = np.zeros((self._card.n_maps, *shape), np.float32)
        self.write_maps(self._whole, maps)

    def write_textures(self) -> None:
        """Divide the pixels in two by the features written, where there are any."""
        if self._sink.features is not None:
            features = np.moveaxis(
                np.asarray(self._sink.features[self._with_classes(self._whole)]), self._class_axis(), 0
            )
            stronger = np.expand_dims(two_textures(features), self._class_axis())
            self._sink.probabilities[self._with_classes(self._whole)] = stronger

    def write_labels(
        self, options: SegmentationOptions, scale: tuple[float, ...], n_before: int, overlap: ExpectedOverlap
    ) -> int:
        """Make labels from the maps written; ids begin after `n_before`. Return how many objects there are."""
        probabilities = np.moveaxis(
            np.asarray(self._sink.probabilities[self._with_classes(self._whole)]), self._class_axis(), 0
        )
        if self._card.objects is not None and self._sink.distance is not None:
            distance = np.asarray(self._sink.distance[self._key(self._whole)])
            labels = label_objects(probabilities[0], distance, chosen_rule(self._card.objects, options, scale))
            n_objects = int(labels.max(initial=0))
            labels[labels > 0] += n_before
        else:
            threshold = self._card.threshold if options.threshold is None else options.threshold
            background = 1 - probabilities.sum(axis=0, keepdims=True)
            labels, n_objects = label_classes(np.concatenate([background, probabilities]), threshold), 0
        overlap.add(probabilities.sum(axis=0), labels > 0)
        self._sink.labels[self._key(self._whole)] = labels
        return n_objects

    def _key(self, window: Window) -> tuple[Any, ...]:
        return self._frame.result_key(self._axes, window)

    def _with_classes(self, window: Window) -> tuple[Any, ...]:
        return self._frame.result_key(in_order(self._axes + "C"), window)

    def _class_axis(self) -> int:
        """Return where the classes stand among the axes that one frame of the probabilities keeps."""
        kept = [axis for axis in in_order(self._axes + "C") if axis not in self._frame.index]
        return kept.index("C")


def chosen_rule(rule: ObjectRule, options: SegmentationOptions, scale: tuple[float, ...] = ()) -> ObjectRule:
    """Return the model's rule with what the user chose instead, its reach brought to the image's pixels."""
    chosen = {
        name: value for name in ("threshold", "separation", "min_size") if (value := getattr(options, name)) is not None
    }
    if scale:
        chosen["reach_px"] = max(1, round(rule.reach_px / min(scale)))
    return rule.model_copy(update=chosen)


def _segmentation(image: Image, card: ModelCard, sink: SegmentationSink, report: RunReport) -> Segmentation:
    axes = without(image.axes, "C")
    return Segmentation(
        labels=image.like(sink.labels, axes),
        probabilities=image.like(sink.probabilities, in_order(axes + "C"), channel_names=card.classes[1:]),
        distance=None if sink.distance is None else image.like(sink.distance, axes),
        card=card,
        report=report,
        features=None
        if sink.features is None
        else image.like(sink.features, in_order(axes + "C"), channel_names=TEXTURE_FEATURES),
    )
