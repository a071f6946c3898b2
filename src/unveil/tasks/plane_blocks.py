"""What a model makes of the blocks of images, plane by plane, and which of them a person has judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import RunOptions
from unveil.data.annotation import Annotation
from unveil.events import Event, Monitor, Notice, Progress
from unveil.image import Frame, Image, frames, n_frames
from unveil.inference.reading import NormalizedFrame, blocks, kept
from unveil.inference.tiling import Window
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.operators.acquisition import block_starts, contrast, pixel_error, sure_foreground
from unveil.tasks.matching import choose_channels
from unveil.tasks.rescaling import scale_factors, size_conflict
from unveil.tasks.running import Run, running
from unveil.tasks.seen_frame import as_seen

_JUDGED = 0.5
"""A block of which more was judged counts as annotated."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane, and what its blocks are like.

    Attributes
    ----------
    starts
        First rows, and first columns, of the blocks.
    found
        Error, foreground, contrast and sure foreground of each block, ``(4, n_y, n_x)``.
    is_annotated
        Which of them a person has judged, ``(n_y, n_x)``.
    """

    image: int
    frame: Frame
    normalized: NormalizedFrame
    scale: tuple[float, ...]
    starts: tuple[list[int], list[int]]
    found: NDArray[np.float64]
    is_annotated: NDArray[np.bool_]


def planes_of(
    images: Sequence[Image],
    model: Model,
    annotations: Sequence[Annotation | None] | None,
    block_px: int,
    options: RunOptions,
    monitor: Monitor,
) -> Iterator[Plane]:
    """Run the model over every image and yield its planes with what was found of them."""
    card, told = model.card, set[str]()
    for number, image in enumerate(images):

        def listen(event: Event, number: int = number) -> None:
            if isinstance(event, Notice):
                if event.message not in told:
                    told.add(event.message)
                    monitor(event)
            elif isinstance(event, Progress) and len(images) > 1:
                monitor(Progress(number + (event.done == event.total), len(images), "images"))
            else:
                monitor(event)

        conflict = size_conflict(image.name, image.pixel_size_um, card) if options.rescale == "auto" else None
        scale = scale_factors(image, card, "off" if conflict else options.rescale)
        count, annotation = n_frames(image, card.n_dims), annotations[number] if annotations else None
        with running(image, [model], options, scale=scale, n_frames=count, monitor=listen) as run:
            if conflict:
                run.notify(f"{conflict}. It is looked at as it is.")
            channels = choose_channels(image, card, options.channel)
            planes = [
                _look(run, number, frame, card, scale, annotation, block_px)
                for frame in frames(image, card.n_dims, channels)
            ]
            run.finish()
        yield from planes


class _BlockSums:
    """What blocks of a plane are like, from sums over the maps of tiles."""

    def __init__(
        self, starts: tuple[list[int], list[int]], shape: tuple[int, ...], block_px: int, n_classes: int
    ) -> None:
        self._spans = [
            (np.array(begin), np.minimum(np.array(begin) + block_px, length))
            for begin, length in zip(starts, shape, strict=True)
        ]
        self._n_classes = n_classes
        self._sums = np.zeros((4, *(len(begin) for begin in starts)))

    def write(self, window: Window, maps: NDArray[np.float32]) -> None:
        """Add the maps ``(K, *window)`` of a tile; the first tile of a plane begins anew, as it is when tiles halve."""
        if all(part.start == 0 for part in window):
            self._sums[:] = 0
        probabilities = maps[: self._n_classes]
        foreground = 1 - probabilities[0]
        parts = pixel_error(probabilities), foreground, foreground**2, sure_foreground(probabilities)
        summed = np.stack(parts).cumsum(1, np.float64).cumsum(2)
        below = np.pad(summed, ((0, 0), (1, 0), (1, 0)))
        (top, bottom), (left, right) = (
            [np.clip(at - part.start, 0, part.stop - part.start) for at in span]
            for span, part in zip(self._spans, window, strict=True)
        )
        rows = below[:, bottom] - below[:, top]
        self._sums += rows[:, :, right] - rows[:, :, left]

    def found(self) -> NDArray[np.float64]:
        """Return error, foreground, contrast and sure foreground of each block, ``(4, n_y, n_x)``."""
        heights, widths = (stop - start for start, stop in self._spans)
        error, foreground, squared, sure = self._sums / np.outer(heights, widths)
        return np.stack([error, foreground, contrast(foreground, squared), sure])


def _look(
    run: Run,
    number: int,
    frame: Frame,
    card: ModelCard,
    scale: tuple[float, ...],
    annotation: Annotation | None,
    block_px: int,
) -> Plane:
    height, width = frame.shape[1:]
    starts = block_starts(height, block_px), block_starts(width, block_px)
    sums = _BlockSums(starts, (height, width), block_px, len(card.classes))
    readable = kept(frame)
    found = run.predict(readable, sums.write)
    judged = _judged(frame, annotation, starts, block_px)
    normalized = as_seen(frame, found, card, lambda: blocks(readable))  # which is not held in memory for later
    return Plane(number, frame, normalized, scale, starts, sums.found(), judged)


def _judged(
    frame: Frame, annotation: Annotation | None, starts: tuple[list[int], list[int]], block_px: int
) -> NDArray[np.bool_]:
    """Return which blocks of a plane were annotated, ``(n_y, n_x)``; where scribbles were made, one pixel suffices."""
    shape = tuple(len(begin) for begin in starts)
    if annotation is None:
        return np.zeros(shape, bool)
    if annotation.mask is None:
        return np.ones(shape, bool)
    least = _JUDGED if annotation.has_outlines else 0.0
    mask, axes = annotation.mask, annotation.labels.axes

    def share(top: int, left: int) -> float:
        window = (slice(top, top + block_px), slice(left, left + block_px))
        return float(mask[frame.result_key(axes, window)].mean())

    return np.array([[share(top, left) > least for left in starts[1]] for top in starts[0]])
