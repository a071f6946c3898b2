"""A prediction as an annotation that a person corrects."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from unveil.data.classes import numbers_of_classes
from unveil.widgets.layers import pixels, placement


def to_correct(predicted: Labels, image: ImageLayer) -> Labels:
    """Return a copy of labels predicted on `image`, in which a class has the number that it was painted with."""
    return Labels(_as_painted(predicted), name=f"{image.name} corrected", **placement(predicted))


def _as_painted(predicted: Labels) -> NDArray[Any]:
    labels = np.array(pixels(predicted))
    if "class" not in predicted.features:
        return labels
    numbers = numbers_of_classes([str(name) for name in predicted.features["class"]])
    painted = np.arange(max(len(numbers), int(labels.max()) + 1))
    painted[: len(numbers)] = numbers
    kept: NDArray[Any] = painted.astype(np.promote_types(labels.dtype, np.min_scalar_type(painted.max())))[labels]
    return kept
