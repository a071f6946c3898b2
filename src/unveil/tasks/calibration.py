"""Make a model's probabilities mean what they say, on images that did not teach it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import SegmentationOptions
from unveil.errors import ImageError
from unveil.events import Monitor, Progress, ignore
from unveil.image import Image
from unveil.model.model import Model
from unveil.operators.calibration import fit_temperature
from unveil.tasks.matching import card_of
from unveil.tasks.segment import segment

_MOST_PIXELS = 200_000
"""Taken at random from each image."""


def calibrate(
    model: Model, images: Iterable[Image], references: Iterable[Image], *, monitor: Monitor = ignore
) -> Model:
    """Return `model` with the temperature at which its probabilities fit `references` best; the weights stay.

    No class changes its rank, but foreground probabilities move, and with them what a threshold means: choose the rule
    of objects afterwards.

    Parameters
    ----------
    images, references
        Whole images with all their objects, or the class of every pixel; none of them taught the model.

    Raises
    ------
    ImageError
        If there is no image.
    MismatchError
        If the model does not segment, or an image does not fit it.
    """
    rng = np.random.default_rng(0)
    drawn = []
    for number, (image, reference) in enumerate(zip(images, references, strict=True), start=1):
        drawn.append(_pixels(model, image, reference, rng))
        monitor(Progress(number, number, "images"))
    if not drawn:
        raise ImageError("No image was given to fit the temperature on. Give some with their labels.")
    probabilities, classes = (np.concatenate(parts, axis=-1) for parts in zip(*drawn, strict=True))
    card = card_of(model)
    temperature = card.temperature * fit_temperature(probabilities, classes)
    changed = {"temperature": temperature, "conformal": None}  # scores of other probabilities say nothing of these
    return Model.make(card.model_copy(update=changed), model.network, model.check_input)


def _pixels(
    model: Model, image: Image, reference: Image, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the probabilities ``(K, n)`` of all classes at some pixels, and the true class of each, ``(n,)``."""
    card = model.card
    exact = SegmentationOptions(precision="exact", skip_check=True, rescale="off")  # as the network gives them
    maps = segment(image, model, options=exact, monitor=ignore).probabilities
    foreground = np.moveaxis(np.asarray(maps.data), maps.axes.index("C"), 0).reshape(maps.size("C"), -1)
    true = np.asarray(reference.data).ravel().astype(np.intp)
    if card.objects is not None:
        true = (true > 0).astype(np.intp)
    at = rng.choice(true.size, min(_MOST_PIXELS, true.size), replace=False)
    chosen = foreground[:, at]
    return np.concatenate([1 - chosen.sum(axis=0, keepdims=True), chosen]), true[at]
