"""What a training learns from, as the panel's choices: the task, how far annotation reaches, and pairs of layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias

from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Shapes

from unveil.widgets.layer_roles import BLOCKS, facts_of, role_of, shapes_among
from unveil.widgets.layers import likely_axes, pixels

TargetKind: TypeAlias = Literal["labels", "image", "none"]
ANNOTATED = "annotated blocks"
"""What layers with blocks that were annotated are called, each with the name of its image behind it."""


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
    """Only what lies inside the shapes of Shapes layers is annotated; 0 is background there.

    Attributes
    ----------
    layers
        One that a person drew, which counts for every image; or all with annotated blocks, each of which counts for its
        own image.
    """

    layers: tuple[Shapes, ...]

    @property
    def name(self) -> str:
        """What the layers are called together."""
        return ANNOTATED if is_of_blocks(self.layers[0]) else str(self.layers[0].name)

    def on(self, image: ImageLayer) -> list[Shapes]:
        """Return the layers that count for `image`."""
        return [
            layer
            for layer in self.layers
            if not is_of_blocks(layer) or holds_blocks_of(layer, image.unique_id, image.name)
        ]


@dataclass(frozen=True, slots=True)
class Scribbles:
    """0 is not annotated; the number `background` is painted on the background."""

    background: int = 1


@dataclass(frozen=True, slots=True)
class Sparse:
    """Only some of the objects are painted; 0 is background near them alone, and inside annotated blocks.

    Attributes
    ----------
    blocks
        Layers with annotated blocks; None without any.
    """

    blocks: Rectangles | None = None


Extent: TypeAlias = Whole | Rectangles | Scribbles | Sparse


def background_of(extent: Extent) -> int | None:
    """Return the number that scribbles have on the background; None where the annotation is no scribbles."""
    return extent.background if isinstance(extent, Scribbles) else None


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
        return self.target if self.image is None and not isinstance(self.target, Labels) else self.image

    @property
    def axes_meant(self) -> str:
        """The axes, the likeliest where none are given; empty where no axes are possible."""
        return self.axes or likely_axes(self.shown)


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


def n_channels(layer: ImageLayer, axes: str) -> int:
    """Count the channels of an image layer of `axes`."""
    if layer.rgb:
        return 3
    return int(pixels(layer).shape[axes.index("C")]) if "C" in axes else 1


def rectangles_among(layers: Iterable[Layer]) -> dict[Any, Rectangles]:
    """Return what may say which part is annotated, the topmost first: each Shapes layer by its id, blocks as one."""
    groups: dict[Any, tuple[Shapes, ...]] = {}
    for layer in shapes_among(layers):
        key = ANNOTATED if is_of_blocks(layer) else layer.unique_id
        groups[key] = (*groups.get(key, ()), layer)
    return {key: Rectangles(group) for key, group in groups.items()}


def is_of_blocks(layer: Layer) -> bool:
    """Say whether `layer` holds annotated blocks, of this session or opened from a file."""
    return role_of(layer) == BLOCKS or (isinstance(layer, Shapes) and layer.name.startswith(blocks_name("")))


def holds_blocks_of(layer: Layer, image_id: Any, image_name: str) -> bool:
    """Say whether the annotated blocks in `layer` are those of an image: by its id, or its name if it was reopened."""
    is_same = role_of(layer) == BLOCKS and facts_of(layer)["image"] == image_id
    return bool(is_same or layer.name == blocks_name(image_name))


def blocks_name(image: str) -> str:
    """Return what the layer with the annotated blocks of an image is called."""
    return f"{ANNOTATED} · {image}"
