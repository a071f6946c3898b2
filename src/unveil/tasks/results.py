"""What the doors return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np
from pydantic import JsonValue

from unveil.axes import in_order, without
from unveil.errors import ImageError
from unveil.image import Image
from unveil.model.card import ModelCard


class WritableArray(Protocol):
    """An array that a result is written to, piece by piece: NumPy and zarr arrays are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Type of the values."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class RunReport:
    """What was run and how, for the record."""

    model: str
    model_sha256: str
    options: dict[str, JsonValue]
    device: str
    engine: str
    precision: str
    """Number format of the convolutions: float32, float16 or bfloat16."""
    tile: tuple[int, ...]
    """Inner size of the tiles, per spatial axis, in pixels that the network saw."""
    seconds: float
    n_objects: int | None
    """None where the model does not separate objects."""
    notices: tuple[str, ...]
    versions: dict[str, str]
    scale: tuple[float, ...] = ()
    """Factors by which frames were resized before the network, per spatial axis; empty where they were not."""
    expected_iou: float | None = None
    """Segmentation: the overlap of the foreground with the truth that the probabilities themselves expect; as good as
    these are calibrated, and so for images like those that taught. None where there is no foreground."""

    def provenance(self) -> dict[str, Any]:
        """Return all fields as plain values that JSON can hold."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """An image's segmentation: labels, and the maps they were made from."""

    labels: Image
    """Axes of the image less C, int32: 0 is background; ids of objects are unique across planes and frames."""
    probabilities: Image
    """Axes of the image with one channel per foreground class, float32, 0 to 1."""
    distance: Image | None
    """Normalized distance to the object's border, axes of the image less C, float32, 0 to 1; models of objects only."""
    card: ModelCard
    report: RunReport


@dataclass(frozen=True, slots=True, eq=False)
class Denoised:
    """A denoised image."""

    image: Image
    """Axes of the input, less C where one channel was chosen; float32, in the input's grey values."""
    report: RunReport


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationSink:
    """Arrays that a segmentation is written to, for images larger than memory."""

    labels: WritableArray
    probabilities: WritableArray
    distance: WritableArray | None

    @classmethod
    def create(cls, image: Image, card: ModelCard, make: Callable[[tuple[int, ...], Any], WritableArray]) -> Self:
        """Make the arrays that a segmentation of `image` by the model of `card` needs.

        Parameters
        ----------
        make
            Called with shape and dtype of each array, such as ``numpy.zeros``.
        """
        shapes = segmentation_shapes(image, card)
        return cls(
            labels=make(shapes["labels"], np.int32),
            probabilities=make(shapes["probabilities"], np.float32),
            distance=make(shapes["labels"], np.float32) if card.objects else None,
        )

    def check(self, image: Image, card: ModelCard) -> None:
        """Refuse arrays of other shapes than a segmentation of `image` needs.

        Raises
        ------
        ImageError
            With all that does not fit.
        """
        shapes, problems = segmentation_shapes(image, card), []
        if card.objects and self.distance is None:
            problems.append("an array for the distance is missing")
        for name, array in (
            ("labels", self.labels),
            ("probabilities", self.probabilities),
            ("distance", self.distance),
        ):
            expected = shapes["probabilities" if name == "probabilities" else "labels"]
            if array is not None and tuple(array.shape) != expected:
                problems.append(f"{name} have shape {tuple(array.shape)} where {expected} is needed")
        if problems:
            raise ImageError(
                f"The arrays to write to do not fit image '{image.name}': {'; '.join(problems)}. "
                f"Make them with SegmentationSink.create."
            )


def segmentation_shapes(image: Image, card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the shapes of ``labels`` (and distance) and of ``probabilities`` of a segmentation of `image`."""
    axes = without(image.axes, "C")
    with_classes = in_order(axes + "C")
    return {
        "labels": tuple(image.size(axis) for axis in axes),
        "probabilities": tuple(len(card.classes) - 1 if axis == "C" else image.size(axis) for axis in with_classes),
    }
