"""Record how far the expected overlap and the number of objects are off, on images whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from operator import length_hint
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import Device, SegmentationOptions
from unveil.errors import ImageError
from unveil.events import Event, Monitor, Progress, ignore
from unveil.image import Image, n_frames
from unveil.model.card import ConformalRecord
from unveil.model.model import Model
from unveil.operators.conformal import count_score, least_images, overlap_score
from unveil.tasks.segment import segment


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was expected of an image, and what is true of it."""

    expected_iou: float
    iou: float
    n_found: int | None
    """None where the model gives no objects, as `n_true`."""
    n_true: int | None


def outcomes(
    model: Model,
    images: Iterable[Image],
    references: Iterable[Image],
    *,
    device: Device = "auto",
    monitor: Monitor = ignore,
) -> Iterable[Outcome | None]:
    """Segment each image and compare it with its reference; None where nothing is expected of it.

    Raises
    ------
    ImageError
        If an image has several planes or volumes.
    """
    options = SegmentationOptions(device=device, rescale="off")  # intervals hold for what is not resized
    for number, (image, reference) in enumerate(zip(images, references, strict=True), start=1):
        if n_frames(image, model.card.n_dims) > 1:
            raise ImageError(
                f"Image '{image.name}' has several planes or volumes; intervals are recorded for one each. Cut it."
            )
        far = Progress(number - 1, max(number, length_hint(images)), "images for the intervals")
        result = segment(image, model, options=options, monitor=partial(_tell, monitor, far))
        expected = result.report.expected_iou
        yield (
            None
            if expected is None
            else _outcome(expected, np.asarray(result.labels.data), np.asarray(reference.data), result.report.n_objects)
        )


def record_intervals(
    model: Model,
    images: Iterable[Image],
    references: Iterable[Image],
    *,
    data: str,
    device: Device = "auto",
    monitor: Monitor = ignore,
) -> Model:
    """Return `model` with a record of how far off it is on `images`, from which `segment` makes intervals.

    Parameters
    ----------
    images, references
        Whole images of one plane or volume with the labels of all their objects (or the class of every pixel), none of
        which taught the model; drawn as those will be for which the intervals shall hold.
    data
        The images in words, for the card.

    Raises
    ------
    ImageError
        If there are too few images for any interval, or one has several planes.
    MismatchError
        If the model does not segment, or an image does not fit it.
    """
    record = record_of(outcomes(model, images, references, device=device, monitor=monitor), data)
    if len(record.iou) < least_images():
        raise ImageError(
            f"{len(record.iou)} images cannot say what holds for 9 in 10; at least {least_images()} are needed. "
            f"Give more."
        )
    return replace(model, card=model.card.model_copy(update={"conformal": record}))


def record_of(outcomes: Iterable[Outcome | None], data: str) -> ConformalRecord:
    """Score all outcomes but those of images of which nothing was expected."""
    found = [outcome for outcome in outcomes if outcome is not None]
    counts = [(one.n_found, one.n_true) for one in found]
    return ConformalRecord(
        data=data,
        iou=tuple(sorted(overlap_score(one.expected_iou, one.iou) for one in found)),
        n_objects=tuple(sorted(count_score(f, t) for f, t in counts if f is not None and t is not None)),
    )


def _tell(monitor: Monitor, far: Progress, event: Event) -> None:
    """Say how far the images are instead of how far one of them is."""
    monitor(far)


def _outcome(expected: float, labels: NDArray[Any], reference: NDArray[Any], n_found: int | None) -> Outcome:
    is_found, is_true = labels > 0, reference.reshape(labels.shape) > 0
    union = int(np.count_nonzero(is_found | is_true))
    iou = int(np.count_nonzero(is_found & is_true)) / max(1, union)
    n_true = None if n_found is None else np.unique(reference[reference > 0]).size
    return Outcome(expected, iou, n_found, n_true)
