"""What a training learns from, as the panel's choices: the task, how far annotation reaches, and pairs of layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias

from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Shapes

from unveil.image import ArrayLike
from unveil.widgets.layers import known_axes, possible_axes
from unveil.widgets.results import INSPECTION

TargetKind: TypeAlias = Literal["labels", "image", "none"]


class TrainingTask(Enum):
    """What a network is to learn, and from what."""

    OBJECTS = "objects"
    """Segmentation; every label is an object of its own."""
    CLASSES = "classes"
    """Segmentation; label values are classes."""
    PAIRS = "pairs"
    """Denoising from noisy images and clean ones of the same scene."""
    NOISY_ONLY = "noisy_only"
    """Denoising from noisy images alone, by blind spots."""
    ADAPT = "adapt"
    """Denoising of noisy images by a trained denoiser, once it has been fitted to them."""
    FRAMES = "frames"
    """Denoising from the frames of a stack that show the same, still scene."""
    CLEAN_ONLY = "clean_only"
    """Denoising from clean images, to which noise is added."""

    @property
    def is_segmentation(self) -> bool:
        """Whether the training learns from labels."""
        return self in (TrainingTask.OBJECTS, TrainingTask.CLASSES)

    @property
    def has_images(self) -> bool:
        """Whether a pair begins with an image to work on; clean images alone have none."""
        return self is not TrainingTask.CLEAN_ONLY

    @property
    def target_kind(self) -> TargetKind:
        """What stands beside the image."""
        if self.is_segmentation:
            return "labels"
        return "image" if self in (TrainingTask.PAIRS, TrainingTask.CLEAN_ONLY) else "none"


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole image is annotated: 0 is background."""


@dataclass(frozen=True, slots=True)
class Rectangles:
    """Only what lies inside the rectangles and polygons of a Shapes layer is annotated; 0 is background there."""

    shapes: Shapes


@dataclass(frozen=True, slots=True)
class Scribbles:
    """0 is not annotated; the number `background` is painted on the background."""

    background: int = 1


Extent: TypeAlias = Whole | Rectangles | Scribbles


@dataclass(frozen=True, slots=True)
class LayerPair:
    """An image layer and what is to be made of it.

    Attributes
    ----------
    image
        None where clean images alone teach.
    target
        A Labels layer, a clean image, or None where noisy images alone teach.
    axes
        Letters of the image's axes, in its order (of the target's where there is no image); empty for the likeliest.
    """

    image: ImageLayer | None
    target: Labels | ImageLayer | None = None
    axes: str = ""

    @property
    def shown(self) -> ImageLayer | None:
        """The image whose axes are meant."""
        return self.image if self.image is not None else self.target

    @property
    def axes_meant(self) -> str:
        """The axes, the likeliest where none are given; empty where no axes are possible."""
        return self.axes or likely_axes(self.shown)


def likely_axes(layer: ImageLayer | None) -> str:
    """Return what the axes of `layer` probably mean, or nothing where it cannot be an image."""
    if layer is None:
        return ""
    return known_axes(layer) or next(iter(possible_axes(layer.ndim, rgb=bool(layer.rgb))), "")


def what_is_missing(pair: LayerPair, task: TrainingTask, number: int) -> str:
    """Say what the pair in row `number`, counted from 1, lacks for `task`; nothing where it is complete."""
    image, target = pair.image, pair.target
    if task.has_images and image is None:
        return f"Pair {number} has no image. Choose one, or remove the pair."
    if not task.has_images and target is None:
        return f"Row {number} has no clean image. Choose one, or remove the row."
    shown = image if task.has_images else target
    assert shown is not None
    if not pair.axes_meant:
        return f"Layer '{shown.name}' has {shown.ndim} dimensions; images have 2 to 5. Choose another layer."
    if task.target_kind == "none":
        return ""
    if target is None and task.is_segmentation:
        return f"Image '{shown.name}' has no labels. Choose the labels that belong to it, or press 'New labels'."
    if target is None:
        return f"Image '{shown.name}' has no clean image. Choose the one that shows the same scene."
    if task.is_segmentation and not isinstance(target, Labels):
        return (
            f"'{target.name}' is no Labels layer; objects are painted in one. Right-click it in the layer list and "
            f"choose 'Convert to Labels'."
        )
    if not task.is_segmentation and not isinstance(target, ImageLayer):
        return f"'{target.name}' is no image layer; a clean image is needed. Choose an image."
    return ""


def pixels(layer: ImageLayer | Labels) -> ArrayLike:
    """Return the layer's array, the finest level where it has several."""
    data: ArrayLike = layer.data[0] if layer.multiscale else layer.data
    return data


def n_channels(layer: ImageLayer, axes: str) -> int:
    """Count the channels of an image layer of `axes`."""
    if layer.rgb:
        return 3
    return int(pixels(layer).shape[axes.index("C")]) if "C" in axes else 1


def role_of(layer: Layer) -> str:
    """Return what our own layers are for: "probability", "labels", "denoised", "preview", …; else nothing."""
    return str(layer.metadata.get("unveil", {}).get("role", ""))


def images_among(layers: Iterable[Layer]) -> list[ImageLayer]:
    """Return the image layers that can be learnt from, the topmost first."""
    return _topmost_first(layers, ImageLayer, ("probability", "preview", INSPECTION))


def labels_among(layers: Iterable[Layer]) -> list[Labels]:
    """Return the Labels layers that can be learnt from, the topmost first."""
    return _topmost_first(layers, Labels, ("split",))


def shapes_among(layers: Iterable[Layer]) -> list[Shapes]:
    """Return the Shapes layers that a person may have drawn, the topmost first."""
    return _topmost_first(layers, Shapes, (INSPECTION, "suggested"))


def _topmost_first(layers: Iterable[Layer], kind: type[Layer], roles_left_out: tuple[str, ...]) -> list[Any]:
    found = [layer for layer in layers if isinstance(layer, kind) and role_of(layer) not in roles_left_out]
    return found[::-1]
