"""One frame of a segmentation in the arrays of the whole image: maps are put there, and labels made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.axes import in_order, without
from unveil.config.objects import ObjectRule
from unveil.config.options import SegmentationOptions
from unveil.image import Frame, Image, whole
from unveil.inference.hands import Hands
from unveil.inference.labelling import Labelled, label_frame
from unveil.inference.memory import largest_block
from unveil.inference.tiling import Tile, Tiling, Window, fit_tiling, worthwhile_window
from unveil.model.card import ModelCard
from unveil.operators.calibration import ExpectedOverlap
from unveil.operators.classical import two_textures
from unveil.operators.instances import label_classes
from unveil.operators.uncertainty import NAMES
from unveil.tasks.results import SegmentationSink


class FrameCanvas:
    """Where the results of one frame lie in the arrays of the whole image."""

    def __init__(self, sink: SegmentationSink, image: Image, frame: Frame, card: ModelCard) -> None:
        self._sink = replace(sink, make=np.zeros)  # what the caller makes arrays with need not travel
        self._frame, self._card = frame, card
        self._axes = without(image.axes, "C")
        self._shape = image.spatial_shape(card.n_dims)
        self._grain = sink.grain(card.n_dims)

    def write_maps(self, window: Window, maps: NDArray[np.float32]) -> None:
        """Put maps ``(K, *window)``: probabilities, distance and uncertainty where there are such; or features."""
        if self._sink.features is not None:
            self._sink.features[self._with_classes(window)] = np.moveaxis(maps, 0, self._class_axis())
            return
        if self._sink.uncertainty is not None:
            unsure = maps[-len(NAMES) :]
            self._sink.uncertainty[self._with_classes(window)] = np.moveaxis(unsure, 0, self._class_axis())
        n_classes = len(self._card.classes)
        self._sink.probabilities[self._with_classes(window)] = np.moveaxis(maps[1:n_classes], 0, self._class_axis())
        if self._sink.distance is not None and self._card.objects is not None:
            self._sink.distance[self._key(window)] = maps[n_classes]

    def write_nothing(self) -> None:
        """Say that there is background alone."""
        for block in self._blocks(halo_px=0):
            shape = [part.stop - part.start for part in block.inner]
            n_maps = self._card.n_maps + len(NAMES) * (self._sink.uncertainty is not None)
            self.write_maps(block.inner, np.zeros((n_maps, *shape), np.float32))

    def write_textures(self) -> None:
        """Divide the pixels in two by the features written, where there are any."""
        if self._sink.features is not None:
            key, classes_at = self._with_classes(whole(self._shape)), self._class_axis()
            features = np.moveaxis(np.asarray(self._sink.features[key]), classes_at, 0)
            self._sink.probabilities[key] = np.expand_dims(two_textures(features), classes_at)

    def make_labels(
        self, options: SegmentationOptions, scale: tuple[float, ...], n_before: int, hands: Hands
    ) -> Labelled:
        """Make labels from the maps written; ids begin after `n_before`."""
        if self._card.objects is not None:
            rule = chosen_rule(self._card.objects, options, scale)
            return label_frame(self, rule, self._blocks(rule.context_px(len(self._shape))), n_before, hands)
        threshold = self._card.threshold if options.threshold is None else options.threshold
        overlap = ExpectedOverlap()
        for part in hands(_write_classes, self._blocks(halo_px=0), self, threshold):
            overlap.include(part)
        return Labelled(0, overlap)

    def read_foreground(self, window: Window) -> NDArray[np.float32]:
        """Return probabilities of the foreground, 0 to 1, float32."""
        return np.asarray(self.read_probabilities(window).sum(axis=0))

    def read_distance(self, window: Window) -> NDArray[np.float32]:
        """Return normalized distances, 0 to 1, float32."""
        assert self._sink.distance is not None
        return np.asarray(self._sink.distance[self._key(window)])

    def read_labels(self, window: Window) -> NDArray[np.int32]:
        """Return a copy of the labels as they are."""
        return np.array(self._sink.labels[self._key(window)])

    def write_labels(self, window: Window, labels: NDArray[np.int32]) -> None:
        """Put labels."""
        self._sink.labels[self._key(window)] = labels

    def read_probabilities(self, window: Window) -> NDArray[np.float32]:
        """Return the probabilities of all classes but the background, ``(K − 1, *window)``."""
        return np.moveaxis(np.asarray(self._sink.probabilities[self._with_classes(window)]), self._class_axis(), 0)

    def _blocks(self, halo_px: int) -> Tiling:
        n_dims = len(self._shape)
        halo = (halo_px,) * n_dims
        most = max(largest_block(n_dims), worthwhile_window(self._shape, halo, self._grain))
        return fit_tiling(self._shape, (1,) * n_dims, halo, most, self._grain)

    def _key(self, window: Window) -> tuple[Any, ...]:
        return self._frame.result_key(self._axes, window)

    def _with_classes(self, window: Window) -> tuple[Any, ...]:
        return self._frame.result_key(in_order(self._axes + "C"), window)

    def _class_axis(self) -> int:
        """Return where the classes stand among the axes that one frame of the probabilities keeps."""
        kept = [axis for axis in in_order(self._axes + "C") if axis not in self._frame.index]
        return kept.index("C")


def _write_classes(canvas: FrameCanvas, threshold: float, block: Tile) -> ExpectedOverlap:
    """Name the class of each pixel of a block."""
    foreground, overlap = canvas.read_probabilities(block.inner), ExpectedOverlap()
    background = 1 - foreground.sum(axis=0, keepdims=True)
    labels = label_classes(np.concatenate([background, foreground]), threshold)
    canvas.write_labels(block.inner, labels)
    overlap.add(foreground.sum(axis=0), labels > 0)
    return overlap


def chosen_rule(rule: ObjectRule, options: SegmentationOptions, scale: tuple[float, ...] = ()) -> ObjectRule:
    """Return the model's rule in the image's pixels, with what the user chose instead."""
    chosen = {
        name: value for name in ("threshold", "separation", "min_size") if (value := getattr(options, name)) is not None
    }
    return rule.on_grid(scale).model_copy(update=chosen)
