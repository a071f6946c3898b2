"""Pairs of an image and what a network should make of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, ImageError
from unveil.image import Image, check_is_image
from unveil.words import count

Targets: TypeAlias = Sequence[Annotation] | Sequence[Image]
Pair: TypeAlias = tuple[Image, Annotation | Image]

_MOST_TOLD = 5


def as_lists(images: Iterable[Image] | None, targets: Iterable[Annotation | Image] | None) -> tuple[Any, Any]:
    """Return images and targets as lists, whatever they come in; None stays None.

    Raises
    ------
    ImageError
        If a single one is given where several are expected, or an array where an image is.
    """
    lists = []
    for given in (images, targets):
        if isinstance(given, Image | Annotation):
            raise ImageError(f"Found a single {type(given).__name__} where a list is expected. Give a list of one.")
        lists.append(None if given is None else list(given))
    inputs, outputs = lists
    for one in (*(inputs or ()), *(target for target in outputs or () if not isinstance(target, Annotation))):
        check_is_image(one)
    return inputs, outputs


def pair_up(images: Sequence[Image] | None, targets: Targets | None) -> list[Pair]:
    """Pair images with targets; a missing side is stood in for by the other."""
    inputs = images if images is not None else [t for t in targets or () if isinstance(t, Image)]
    outputs: Sequence[Annotation | Image] = targets if targets is not None else inputs
    if not inputs or len(inputs) != len(outputs):
        raise ImageError(
            f"Found {count(len(inputs), 'image')} and {count(len(outputs), 'target')}; training needs "
            f"one target for each image. Choose them again."
        )
    return list(zip(inputs, outputs, strict=True))


def annotated_pairs(pairs: Sequence[Pair]) -> list[tuple[Image, Annotation]]:
    """Return `pairs` as what segmentation learns from."""
    annotated = [(image, target) for image, target in pairs if isinstance(target, Annotation)]
    if len(annotated) < len(pairs):
        raise ConfigError("Segmentation learns from annotations, and images were given. Wrap labels in Annotation.")
    return annotated


def image_pairs(pairs: Sequence[Pair]) -> list[tuple[Image, Image]]:
    """Return `pairs` as what denoising learns from."""
    clean = [(image, target) for image, target in pairs if isinstance(target, Image)]
    if len(clean) < len(pairs):
        raise ConfigError("Denoising learns from clean images, and annotations were given. Give images.")
    return clean


def check_pairs(pairs: Sequence[tuple[Image, Annotation]] | Sequence[tuple[Image, Image]], n_dims: int) -> None:
    """Refuse images that a network of `n_dims` spatial dimensions cannot learn from together.

    Raises
    ------
    ImageError
        All problems together.
    """
    n_channels, problems = pairs[0][0].size("C"), []
    for image, target in pairs:
        other, one = (pairs[0][0], image) if isinstance(target, Annotation) else (image, target)
        if _differ_in_order(other.channel_names, one.channel_names):
            theirs, ours = ", ".join(one.channel_names), ", ".join(other.channel_names)
            problems.append(f"the channels of image '{one.name}' are {theirs}, those of '{other.name}' {ours}")
        n_wanted = n_channels if isinstance(target, Annotation) else target.size("C")
        if n_dims == 3 and "Z" not in image.axes:
            problems.append(f"image '{image.name}' has axes {image.axes}, and a network for volumes needs Z")
        if image.size("C") != n_wanted:
            named = pairs[0][0].name if isinstance(target, Annotation) else target.name
            problems.append(
                f"image '{image.name}' has {count(image.size('C'), 'channel')} and '{named}' has {n_wanted}"
            )
    if problems:
        told = "; ".join(problems[:_MOST_TOLD])
        more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        raise ImageError(f"The images do not fit: {told}{more}. Choose images that do, or another network.")


def check_truth(judging: Sequence[tuple[Image, Image]]) -> None:
    """Refuse noisy images alone as what judges a denoiser that learns from clean ones.

    Raises
    ------
    ConfigError
        If an image is its own clean image.
    """
    alone = [noisy.name for noisy, clean in judging if clean is noisy]
    if alone:
        raise ConfigError(
            f"{len(alone)} of {len(judging)} validation images have no clean image ('{alone[0]}' first), and a "
            f"training from pairs is judged by clean ones. Give the clean images to judge by."
        )


def _differ_in_order(names: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return names != others and sorted(names) == sorted(others)


def as_foreground(pairs: Sequence[tuple[Image, Annotation]]) -> list[tuple[Image, Annotation]]:
    """Make one class of all objects, whatever their numbers."""

    def flat(labels: Image) -> Image:
        return labels.like(np.minimum(np.asarray(labels.data), 1), labels.axes)

    return [(image, replace(annotation, labels=flat(annotation.labels))) for image, annotation in pairs]


def arrays_of(pair: Pair) -> Iterator[NDArray[Any]]:
    """Yield all arrays of `pair`, for its digest; one that stands for both sides comes once."""
    image, target = pair
    yield np.asarray(image.data)
    if isinstance(target, Annotation):
        yield np.asarray(target.labels.data)
        if target.mask is not None:
            yield target.mask
        if not target.has_outlines:
            yield np.empty(0)  # the same strokes, taken for outlines, teach something else
    elif target is not image:
        yield np.asarray(target.data)
