"""What a training needs, prepared from images and targets, whatever the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.config.architecture import Architecture, UNetConfig
from unveil.config.objects import ObjectRule
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation
from unveil.data.examples import Example, denoising_examples, digest_of, segmentation_examples
from unveil.data.split import split_images
from unveil.errors import ConfigError, ImageError
from unveil.image import Image
from unveil.operators.losses import denoising_loss, relative_denoising_loss, segmentation_loss
from unveil.operators.receptive_field import size_step
from unveil.operators.targets import largest_radius
from unveil.training.batches import denoising_batches, segmentation_batches, synthetic_noise
from unveil.training.fit import Batch, Loss
from unveil.training.validation import Judge, denoising_judge, segmentation_judge

Targets: TypeAlias = Sequence[Annotation] | Sequence[Image]
_Pair: TypeAlias = tuple[Image, Annotation | Image]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """All that the loop and the record need.

    Attributes
    ----------
    batches
        Starts the endless stream of training batches on a device.
    judge
        Validates on the held-out examples; None where nothing is held out.
    card_fields
        What the model's card says of the data: task, classes, objects, pixel size, channels.
    check
        The example from which the model's check input is cut.
    """

    architecture: Architecture
    batches: Callable[[torch.device], Iterator[Batch]]
    loss: Loss
    judge: Judge | None
    metric_name: Literal["IoU", "PSNR"]
    card_fields: dict[str, Any]
    check: Example
    data_sha256: str
    n_images: int
    n_validation_images: int


def prepare_lesson(
    images: Sequence[Image] | None,
    targets: Targets,
    config: SegmentationTraining | DenoisingTraining,
    validation: tuple[Sequence[Image], Targets] | None,
) -> Lesson:
    """Check and split the data and make examples of them.

    Parameters
    ----------
    images
        None where synthetic noise is added to clean `targets`.
    validation
        Images and targets to judge by; None holds out `config.validation_fraction` of the images.

    Raises
    ------
    InputError
        If images, targets and settings do not fit each other.
    """
    inputs = images if images is not None else [t for t in targets if isinstance(t, Image)]
    if not inputs or len(inputs) != len(targets):
        raise ImageError(
            f"There are {len(inputs)} images and {len(targets)} targets; training needs one target for each image. "
            f"Choose them again."
        )
    pairs: list[_Pair] = list(zip(inputs, targets, strict=True))
    if validation is None:
        teaching, judging = split_images(pairs, config.validation_fraction, config.seed)
    else:
        teaching, judging = pairs, list(zip(*validation, strict=True))
        pairs = pairs + judging
    if isinstance(config, SegmentationTraining):
        lesson = _segmentation_lesson(_annotated(teaching), _annotated(judging), config)
    else:
        lesson = _denoising_lesson(_clean(teaching), _clean(judging), config, add_noise=images is None)
    return replace(lesson, data_sha256=digest_of(_arrays(pair) for pair in pairs))


def _annotated(pairs: Sequence[_Pair]) -> list[tuple[Image, Annotation]]:
    annotated = [(image, target) for image, target in pairs if isinstance(target, Annotation)]
    if len(annotated) < len(pairs):
        raise ConfigError("Segmentation learns from annotations, and images were given. Wrap labels in Annotation.")
    return annotated


def _clean(pairs: Sequence[_Pair]) -> list[tuple[Image, Image]]:
    clean = [(image, target) for image, target in pairs if isinstance(target, Image)]
    if len(clean) < len(pairs):
        raise ConfigError("Denoising learns from clean images, and annotations were given. Give images.")
    return clean


def _segmentation_lesson(
    teaching: Sequence[tuple[Image, Annotation]],
    judging: Sequence[tuple[Image, Annotation]],
    config: SegmentationTraining,
) -> Lesson:
    architecture = _segmentation_architecture(config, teaching[0][0])
    make = partial(
        segmentation_examples,
        normalization=config.normalization,
        n_dims=architecture.n_dims,
        objects=config.objects,
    )
    examples, held_out = make(teaching), make(judging)
    _check_examples(examples, config)
    n_classes, step = len(config.classes), size_step(architecture)
    size = _patch_size(config, architecture)
    return Lesson(
        architecture=architecture,
        batches=lambda device: segmentation_batches(examples, config, size, device),
        loss=partial(segmentation_loss, n_classes=n_classes),
        judge=segmentation_judge(held_out, n_classes=n_classes, step=step) if held_out else None,
        metric_name="IoU",
        card_fields={
            "task": "segmentation",
            "classes": config.classes,
            "objects": _object_rule(teaching) if config.objects else None,
            "pixel_size_um": _common_pixel_size([image for image, _ in teaching]),
            "channel_names": teaching[0][0].channel_names,
        },
        check=(held_out or examples)[0],
        data_sha256="",
        n_images=len(teaching),
        n_validation_images=len(judging),
    )


def _denoising_lesson(
    teaching: Sequence[tuple[Image, Image]],
    judging: Sequence[tuple[Image, Image]],
    config: DenoisingTraining,
    *,
    add_noise: bool,
) -> Lesson:
    architecture = config.architecture
    make = partial(denoising_examples, normalization=config.normalization, n_dims=architecture.n_dims)
    examples, held_out = make(teaching), make(judging)
    if add_noise:
        generator = torch.Generator().manual_seed(config.seed)
        held_out = [_with_noise(example, config, generator) for example in held_out]
    size, step = _patch_size(config, architecture), size_step(architecture)
    return Lesson(
        architecture=architecture,
        batches=lambda device: denoising_batches(examples, config, size, device, add_noise=add_noise),
        loss=denoising_loss if config.loss == "mse" else relative_denoising_loss,
        judge=denoising_judge(held_out, step) if held_out else None,
        metric_name="PSNR",
        card_fields={"task": "denoising", "pixel_size_um": _common_pixel_size([image for image, _ in teaching])},
        check=(held_out or examples)[0],
        data_sha256="",
        n_images=len(teaching),
        n_validation_images=len(judging),
    )


def _segmentation_architecture(config: SegmentationTraining, image: Image) -> UNetConfig:
    n_maps = len(config.classes) + config.objects
    n_channels = image.size("C")
    needed = {"in_channels": n_channels, "out_channels": n_maps}
    architecture = config.architecture or UNetConfig()
    wrong = [
        name for name in needed if name in architecture.model_fields_set and getattr(architecture, name) != needed[name]
    ]
    if wrong:
        raise ConfigError(
            f"The network has {architecture.in_channels} input channel(s) and {architecture.out_channels} output maps; "
            f"the images and classes need {n_channels} and {n_maps}. Leave {' and '.join(wrong)} out."
        )
    return architecture.model_copy(update=needed)


def _check_examples(examples: Sequence[Example], config: SegmentationTraining) -> None:
    if not examples:
        raise ImageError("No pixel is annotated; training needs some. Annotate part of an image.")
    highest = max(int(example.target[0].max()) for example in examples)
    if highest == 0:
        raise ImageError("The labels hold background only; training needs objects as well. Label at least one.")
    if highest >= len(config.classes):
        raise ImageError(
            f"The labels go up to {highest}, but there are {len(config.classes)} classes "
            f"({', '.join(config.classes)}). Name one class per label value, or train on objects."
        )


def _object_rule(pairs: Sequence[tuple[Image, Annotation]]) -> ObjectRule:
    """Derive the growth reach from the largest training object: its radius, and half as much for larger ones."""
    radius = max(largest_radius(np.asarray(annotation.labels.data)) for _, annotation in pairs)
    return ObjectRule(reach_px=max(8, int(np.ceil(1.5 * radius))))


def _patch_size(config: SegmentationTraining | DenoisingTraining, architecture: Architecture) -> tuple[int, ...]:
    wanted = (config.patch_z, config.patch_px, config.patch_px)[-architecture.n_dims :]
    return tuple(-(-edge // step) * step for edge, step in zip(wanted, size_step(architecture), strict=True))


def _common_pixel_size(images: Sequence[Image]) -> dict[str, float]:
    """Return the pixel size that all images share; axes on which they differ or know nothing are left out."""
    first = images[0].pixel_size_um
    return {
        axis: um
        for axis, um in first.items()
        if all(np.isclose(image.pixel_size_um.get(axis, 0), um, rtol=0.01) for image in images)
    }


def _with_noise(example: Example, config: DenoisingTraining, generator: torch.Generator) -> Example:
    noisy, clean = synthetic_noise(torch.from_numpy(example.target)[None], config.noise, generator)
    return replace(example, image=noisy[0].numpy(), target=clean[0].numpy())


def _arrays(pair: _Pair) -> Iterator[NDArray[Any]]:
    image, target = pair
    yield np.asarray(image.data)
    yield np.asarray(target.labels.data if isinstance(target, Annotation) else target.data)
