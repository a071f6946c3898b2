"""Choose how a model separates objects, on images that did not teach it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import numpy as np

from unveil.config.objects import ObjectRule
from unveil.config.options import SegmentationOptions
from unveil.errors import MismatchError
from unveil.events import Monitor, Progress, ignore
from unveil.image import Image
from unveil.model.model import Model
from unveil.operators.instances import label_objects
from unveil.operators.metrics import ObjectTally
from unveil.tasks.segment import segment

THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
SEPARATIONS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MIN_SIZES = (0, 5, 10, 20, 40)


def fit_object_rule(
    model: Model, images: Iterable[Image], references: Iterable[Image], *, monitor: Monitor = ignore
) -> Model:
    """Return `model` with the threshold, separation and minimum size of the best mean AP on the given images.

    The network runs once per image; the rules are compared on its maps. The weights stay as they are.

    Parameters
    ----------
    images, references
        Whole images with the labels of all their objects, none of which taught the model; one plane or volume each.

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
        for threshold, separation, min_size in product(THRESHOLDS, SEPARATIONS, MIN_SIZES)
    ]
    tallies = [ObjectTally() for _ in rules]
    for number, (image, reference) in enumerate(zip(images, references, strict=True), start=1):
        _count(model, image, reference, rules, tallies)
        monitor(Progress(number, number, "images"))
    best = max(range(len(rules)), key=lambda i: float(str(tallies[i].as_dict()["ap_mean"])))
    return replace(model, card=model.card.model_copy(update={"objects": rules[best]}))


def _count(model: Model, image: Image, reference: Image, rules: list[ObjectRule], tallies: list[ObjectTally]) -> None:
    exact = SegmentationOptions(precision="exact")
    result = segment(image, model, options=exact, monitor=ignore)
    assert result.distance is not None
    shape = image.spatial_shape(model.card.n_dims)
    foreground, distance = (np.asarray(m.data).reshape(shape) for m in (result.probabilities, result.distance))
    true = np.asarray(reference.data).reshape(shape)
    for rule, tally in zip(rules, tallies, strict=True):
        tally.add(label_objects(foreground, distance, rule), true)
