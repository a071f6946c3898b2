"""Which labels, or which clean image, probably belong to which image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from unveil.errors import ImageError
from unveil.widgets.layer_roles import role_of
from unveil.widgets.layers import likely_axes, pixels
from unveil.widgets.pixel_grid import is_same_size, place_labels
from unveil.widgets.training_layers import LayerPair, TrainingTask, n_channels

Found = TypeVar("Found", bound=Layer)


def completed(
    pairs: Sequence[LayerPair],
    task: TrainingTask,
    images: Sequence[ImageLayer],
    labels: Sequence[Labels],
    *,
    active: Layer | None,
) -> list[LayerPair]:
    """Fill the empty places of `pairs` with layers that fit and stand in no other pair; others stay as they are.

    What Unveil made of an image is not filled in: a person may choose it.

    Parameters
    ----------
    active
        The layer selected in the viewer, which comes first where an image is wanted.
    """
    done = list(pairs)
    images = [image for image in images if role_of(image) == ""]
    for at, pair in enumerate(done):
        others = done[:at] + done[at + 1 :]
        if task.has_images and pair.image is None:
            pair = replace(pair, image=_free(images, [other.image for other in others], active))
        if pair.target is None and task.target_kind != "none":
            pair = replace(pair, target=_target(pair, others, task, images, labels, active))
        done[at] = pair
    return done


def _target(
    pair: LayerPair,
    others: Sequence[LayerPair],
    task: TrainingTask,
    images: Sequence[ImageLayer],
    labels: Sequence[Labels],
    active: Layer | None,
) -> Labels | ImageLayer | None:
    taken = [other.target for other in others]
    if not task.has_images:
        return _free(images, taken, active)
    if pair.image is None:
        return None
    if task.is_segmentation:
        return labels_for(pair.image, pair.axes_meant, _without(labels, taken))
    return clean_for(pair.image, _without(images, [other.image for other in others]))


def _free(images: Sequence[ImageLayer], taken: Sequence[Layer | None], active: Layer | None) -> ImageLayer | None:
    free = _without(images, taken)
    wanted = active.unique_id if active is not None else None
    return next((layer for layer in free if layer.unique_id == wanted), next(iter(free), None))


def _without(layers: Sequence[Found], taken: Sequence[Layer | None]) -> list[Found]:
    ids = {layer.unique_id for layer in taken if layer is not None}
    return [layer for layer in layers if layer.unique_id not in ids]


def labels_for(image: ImageLayer, axes: str, labels: Iterable[Labels]) -> Labels | None:
    """Return the labels that fit `image` best, or None where none have its shape.

    Those that lie on it pixel by pixel come first, then those that a person painted, then those that are named after
    the image, then those that stand first.
    """
    fitting = [layer for layer in labels if axes and is_same_size(layer, image, axes)]
    return max(fitting, key=lambda layer: _affinity(layer, image, axes), default=None)


def pair_up(images: Sequence[ImageLayer], labels: Sequence[Labels]) -> list[tuple[ImageLayer, Labels]]:
    """Give each Labels layer the image that it fits best, each image once, in the order of `labels`.

    Labels that say by their place or their name which image is theirs choose before the others.
    """
    possible = [
        (_affinity(layer, image, axes), -row, -column, image, layer)
        for row, layer in enumerate(labels)
        for column, image in enumerate(images)
        if (axes := likely_axes(image)) and is_same_size(layer, image, axes)
    ]
    pairs: dict[int, tuple[ImageLayer, Labels]] = {}
    taken = set()
    for _, row, _, image, layer in sorted(possible, key=lambda one: one[:3], reverse=True):
        if row not in pairs and image.unique_id not in taken:
            pairs[row] = (image, layer)
            taken.add(image.unique_id)
    return [pairs[row] for row in sorted(pairs, reverse=True)]


def clean_for(noisy: ImageLayer, images: Iterable[ImageLayer]) -> ImageLayer | None:
    """Return the one other image of the shape of `noisy`; None where there is none, or a choice."""
    others = [layer for layer in images if layer.unique_id != noisy.unique_id and has_same_pixels(layer, noisy)]
    return others[0] if len(others) == 1 else None


def has_same_pixels(image: ImageLayer, other: ImageLayer) -> bool:
    """Say whether two images have the same shape and channels."""
    sizes = [
        (pixels(layer).shape[: layer.ndim], n_channels(layer, likely_axes(layer)) if layer.rgb else 1)
        for layer in (image, other)
    ]
    return sizes[0] == sizes[1]


def _affinity(labels: Labels, image: ImageLayer, axes: str) -> tuple[bool, bool, float]:
    """Say how well labels of the right shape fit: by place, by whose they are, and by the likeness of the names."""
    is_named = labels.name.startswith(image.name)
    likeness = len(image.name) - len(labels.name) if is_named else -np.inf  # "cells 2 labels" are less those of "cells"
    return _lies_on(labels, image, axes), role_of(labels) == "", float(likeness)


def _lies_on(labels: Labels, image: ImageLayer, axes: str) -> bool:
    try:
        place_labels(labels, image, axes)
    except ImageError:
        return False
    return True
