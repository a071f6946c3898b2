"""Choose how a model separates objects, on images that did not teach it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from operator import length_hint

import numpy as np
from scipy import ndimage

from unveil.config.objects import ObjectRule
from unveil.config.options import Device, SegmentationOptions
from unveil.data.annotation import Annotation
from unveil.errors import MismatchError
from unveil.events import Monitor, Progress, ignore
from unveil.image import Image, frames, whole
from unveil.model.model import Model
from unveil.operators.instances import label_objects
from unveil.operators.metrics import ObjectTally
from unveil.tasks.segment import segment

THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
SEPARATIONS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MIN_SIZES = (0, 5, 10, 20, 40)
_MOST_PIXELS = 1 << 22
_LONGEST_PX = 1024


def fit_object_rule(
    model: Model,
    images: Iterable[Image],
    references: Iterable[Image],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    separations: Sequence[float] = SEPARATIONS,
    min_sizes: Sequence[int] = MIN_SIZES,
    is_cautious: bool = False,
    device: Device = "auto",
    monitor: Monitor = ignore,
) -> Model:
    """Return `model` with the threshold, separation and minimum size of the best mean AP on the given images.

    The network runs once per image; the rules are compared on its maps. The weights stay as they are.

    Parameters
    ----------
    images, references
        Whole images with the labels of all their objects, best such as did not teach the model; one plane or volume
        each.
    thresholds, separations, min_sizes
        What is tried, each threshold with all separations, each of these with all sizes; of equals the earlier is
        taken.
    is_cautious
        Count as equals all that are within a standard error of the best (the rule of Breiman 1984, Classification and
        Regression Trees, 3.4.3): on few objects the best is so by luck. List what is usual first.

    Raises
    ------
    MismatchError
        If the model does not separate objects.
    """
    rule = model.card.objects
    if rule is None:
        raise MismatchError(
            f"Model '{model.card.name}' gives classes, not objects; only a model of objects has a rule to choose."
        )
    rules = [
        rule.model_copy(update={"threshold": threshold, "separation": separation, "min_size": min_size})
        for threshold, separation, min_size in product(thresholds, separations, min_sizes)
    ]
    tallies = [ObjectTally() for _ in rules]
    exact = SegmentationOptions(precision="exact", device=device, rescale="off")  # the rule counts the image's pixels
    for number, (image, reference) in enumerate(zip(images, references, strict=True), start=1):
        n_images = max(number, length_hint(images))
        tell = partial(monitor, Progress(number - 1, n_images, "images for the rule of objects"))
        _count(model, image, reference, rules, tallies, exact, tell)
        monitor(Progress(number, n_images, "images for the rule of objects"))
    scores = [float(str(tally.as_dict()["ap_mean"])) for tally in tallies]
    enough = max(scores) - (_standard_error(max(scores), tallies[0].n_reference) if is_cautious else 0)
    chosen = next(rule for rule, score in zip(rules, scores, strict=True) if score >= enough)
    changed = {"objects": chosen, "conformal": None}  # scores of other objects say nothing of these
    return replace(model, card=model.card.model_copy(update=changed))


def judged_windows(pairs: Iterable[tuple[Image, Annotation]], n_dims: int) -> list[tuple[Image, Image]]:
    """Cut from each plane or volume the boxes whose objects are all annotated, as image and labels.

    Left out are areas of other shapes, lines, those without an object, scribbles, and, once there are some four
    million pixels, the rest; of a large box the middle is taken.
    """
    found: list[tuple[Image, Image]] = []
    n_pixels = 0
    for image, annotation in pairs:
        channels = tuple(range(image.size("C")))
        axes = ("C" if len(channels) > 1 else "") + "ZYX"[-n_dims:]
        both = zip(frames(image, n_dims, channels), frames(annotation.labels, n_dims, (0,)), strict=True)
        for frame, of_labels in both if annotation.has_outlines else ():
            if n_pixels > _MOST_PIXELS:
                return found
            everything = whole(frame.shape[1:])
            labels, mask = annotation.frame(of_labels.result_key(annotation.labels.axes, everything))
            for box in [everything] if mask.all() else filter(None, ndimage.find_objects(ndimage.label(mask)[0])):
                window = tuple(map(_middle, box))
                if mask[window].all() and labels[window].any() and min(labels[window].shape[-2:]) > 1:
                    grey = frame.read(window)
                    seen = Image(grey if len(channels) > 1 else grey[0], axes)
                    found.append((seen, Image(labels[window], axes[-n_dims:])))
                    n_pixels += labels[window].size
    return found


def _standard_error(share: float, n: int) -> float:
    """Return that of a share found among `n` objects, two more of them counted, one found and one not (Agresti)."""
    expected = (n * share + 1) / (n + 2)
    return math.sqrt(expected * (1 - expected) / max(n, 1))


def _middle(side: slice) -> slice:
    """Return the middle of a side that is long."""
    spare = max(0, side.stop - side.start - _LONGEST_PX)
    return slice(side.start + spare // 2, side.stop - (spare - spare // 2))


def _count(
    model: Model,
    image: Image,
    reference: Image,
    rules: list[ObjectRule],
    tallies: list[ObjectTally],
    options: SegmentationOptions,
    tell: Callable[[], None],
) -> None:
    """Add what each rule finds to its tally, and `tell` that we are at it after each tile and rule."""
    result = segment(image, model, options=options, monitor=lambda event: tell())
    assert result.distance is not None
    shape = image.spatial_shape(model.card.n_dims)
    foreground, distance = (np.asarray(m.data).reshape(shape) for m in (result.probabilities, result.distance))
    true = np.asarray(reference.data).reshape(shape)
    for rule, tally in zip(rules, tallies, strict=True):
        tell()
        tally.add(label_objects(foreground, distance, rule), true)
