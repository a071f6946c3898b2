"""Train a model from images and annotations, or from noisy and clean images."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import nn

from unveil import __version__
from unveil.config.architecture import Architecture, UNetConfig
from unveil.config.objects import ObjectRule
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation
from unveil.data.examples import Example, denoising_examples, digest_of, segmentation_examples
from unveil.data.split import split_images
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import EpochEnd, Monitor, Notice, StopEarly, warn_only
from unveil.image import Image
from unveil.model.card import Epoch, ModelCard, TrainingRecord
from unveil.model.model import Model
from unveil.operators.losses import denoising_loss, segmentation_loss
from unveil.operators.receptive_field import size_step
from unveil.operators.targets import largest_radius
from unveil.training.batches import denoising_batches, segmentation_batches, synthetic_noise
from unveil.training.device import training_device, training_dtype
from unveil.training.fit import Batch, Loss, fit
from unveil.training.initial_weights import inherit, random_network
from unveil.training.validation import Judge, denoising_judge, segmentation_judge

Pairs = tuple[Sequence[Image], Sequence[Annotation] | Sequence[Image]]

_MAX_HISTORY = 500
_CHECK_EDGE_PX = 64


def train(
    images: Sequence[Image] | None,
    targets: Sequence[Annotation] | Sequence[Image],
    config: SegmentationTraining | DenoisingTraining,
    *,
    start: Model | None = None,
    validation: Pairs | None = None,
    monitor: Monitor = warn_only,
) -> Model:
    """Train a network and return it as a model with its full record.

    Parameters
    ----------
    images
        Inputs; None trains a denoiser from clean images alone, to which synthetic noise is added.
    targets
        Segmentation: one annotation per image. Denoising: one clean image per image.
    start
        Begin with the weights of this model wherever they fit.
    validation
        Images and targets to judge by; by default `config.validation_fraction` of the images is held out.
    monitor
        Receives every event; `StopEarly` keeps the best model so far, `Cancelled` discards it.

    Raises
    ------
    InputError
        If images, targets, settings and parent model do not fit each other.
    """
    lesson = _prepare(images, targets, config, validation)
    device = training_device(config.device)
    autocast = training_dtype(device, config.precision)
    monitor(Notice(f"Training on {device} in {'bfloat16 and float32' if autocast else 'float32'}."))
    network = _starting_network(lesson.architecture, config.seed, start, monitor)
    network = network.to(device, memory_format=_memory_format(lesson.architecture))
    events = fit(
        network,
        lesson.batches(device),
        lesson.loss,
        lesson.judge,
        config,
        device=device,
        autocast=autocast,
        metric_name=lesson.metric_name,
    )
    with closing(events):
        outcome = _drain(events, network, monitor)
    network.load_state_dict(outcome.weights)
    return _sealed(network, lesson, config, outcome, start)


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    """All that a training needs, whatever its task."""

    architecture: Architecture
    batches: Callable[[torch.device], Iterator[Batch]]
    loss: Loss
    judge: Judge | None
    metric_name: Literal["IoU", "PSNR"]
    card_fields: dict[str, object]
    check: Example
    data_sha256: str
    n_images: int
    n_validation_images: int


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    weights: dict[str, torch.Tensor]
    history: tuple[Epoch, ...]
    seconds: float
    ended_by: Literal["schedule", "user"]


def _drain(events: Iterator[object], network: nn.Module, monitor: Monitor) -> _Outcome:
    """Hand every event on, keep the best weights, and end when the loop or the monitor does."""
    best: dict[str, torch.Tensor] | None = None
    history: list[Epoch] = []
    seconds = 0.0
    ended_by: Literal["schedule", "user"] = "schedule"
    try:
        for event in events:
            if isinstance(event, EpochEnd):
                seconds = event.seconds
                history.append(
                    Epoch(
                        epoch=event.epoch,
                        training_loss=event.training_loss,
                        validation_loss=event.validation_loss,
                        metric=event.metric,
                    )
                )
                if event.is_best:
                    best = _copy(network)
            monitor(event)  # type: ignore[arg-type]
    except StopEarly:
        ended_by = "user"
    return _Outcome(best or _copy(network), tuple(history), seconds, ended_by)


def _prepare(
    images: Sequence[Image] | None,
    targets: Sequence[Annotation] | Sequence[Image],
    config: SegmentationTraining | DenoisingTraining,
    validation: Pairs | None,
) -> _Lesson:
    inputs = images if images is not None else [t for t in targets if isinstance(t, Image)]
    if not inputs or len(inputs) != len(targets):
        raise ImageError(
            f"There are {len(inputs)} images and {len(targets)} targets; training needs one target for each image. "
            f"Choose them again."
        )
    pairs = list(zip(inputs, targets, strict=True))
    if validation is None:
        teaching, judging = split_images(pairs, config.validation_fraction, config.seed)
    else:
        teaching, judging = pairs, list(zip(*validation, strict=True))
    digest = digest_of(np.asarray(image.data) for pair in pairs + judging for image in _arrays(pair))
    if isinstance(config, SegmentationTraining):
        lesson = _segmentation_lesson(teaching, judging, config)
    else:
        lesson = _denoising_lesson(teaching, judging, config, add_noise=images is None)
    return replace(lesson, data_sha256=digest)


def _segmentation_lesson(
    teaching: Iterable[tuple[Image, Annotation]],
    judging: Iterable[tuple[Image, Annotation]],
    config: SegmentationTraining,
) -> _Lesson:
    teaching, judging = list(teaching), list(judging)
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
    return _Lesson(
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
    teaching: Iterable[tuple[Image, Image]],
    judging: Iterable[tuple[Image, Image]],
    config: DenoisingTraining,
    *,
    add_noise: bool,
) -> _Lesson:
    teaching, judging = list(teaching), list(judging)
    architecture = config.architecture
    make = partial(denoising_examples, normalization=config.normalization, n_dims=architecture.n_dims)
    examples, held_out = make(teaching), make(judging)
    if add_noise:
        generator = torch.Generator().manual_seed(config.seed)
        held_out = [_with_noise(example, config, generator) for example in held_out]
    size, step = _patch_size(config, architecture), size_step(architecture)
    return _Lesson(
        architecture=architecture,
        batches=lambda device: denoising_batches(examples, config, size, device, add_noise=add_noise),
        loss=denoising_loss,
        judge=denoising_judge(held_out, step) if held_out else None,
        metric_name="PSNR",
        card_fields={"task": "denoising", "pixel_size_um": _common_pixel_size([image for image, _ in teaching])},
        check=(held_out or examples)[0],
        data_sha256="",
        n_images=len(teaching),
        n_validation_images=len(judging),
    )


def _sealed(
    network: nn.Module,
    lesson: _Lesson,
    config: SegmentationTraining | DenoisingTraining,
    outcome: _Outcome,
    start: Model | None,
) -> Model:
    thinning = max(1, -(-len(outcome.history) // _MAX_HISTORY))
    record = TrainingRecord(
        config=config.model_dump(mode="json"),
        data_sha256=lesson.data_sha256,
        n_images=lesson.n_images,
        n_validation_images=lesson.n_validation_images,
        metric_name=lesson.metric_name,
        history=outcome.history[::thinning],
        seed=config.seed,
        versions={"unveil": __version__, "torch": torch.__version__, "python": platform.python_version()},
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(outcome.seconds, 1),
        ended_by=outcome.ended_by,
        parent_sha256=start.card.weights_sha256 if start else None,
    )
    card = ModelCard.describe(
        lesson.architecture,
        name=config.name,
        normalization=config.normalization,
        training=record,
        **lesson.card_fields,
    )
    network = network.to("cpu", memory_format=torch.contiguous_format)
    return Model.make(card, network, _check_input(lesson.check, size_step(lesson.architecture)))


def _starting_network(architecture: Architecture, seed: int, start: Model | None, monitor: Monitor) -> nn.Module:
    network = random_network(architecture, seed)
    if start is None:
        return network
    if start.card.architecture.kind != architecture.kind or start.card.n_dims != architecture.n_dims:
        raise MismatchError(
            f"Model '{start.card.name}' is a {start.card.n_dims}D {start.card.architecture.kind}; this training needs a "
            f"{architecture.n_dims}D {architecture.kind}. Choose another model to start from, or none."
        )
    left_out = inherit(network, start.network)
    if left_out:
        monitor(Notice(f"Starting from '{start.card.name}', but these layers start anew: {', '.join(left_out)}."))
    return network


def _segmentation_architecture(config: SegmentationTraining, image: Image) -> UNetConfig:
    n_maps = len(config.classes) + config.objects
    n_channels = image.size("C")
    if config.architecture is None:
        return UNetConfig(in_channels=n_channels, out_channels=n_maps)
    if (config.architecture.in_channels, config.architecture.out_channels) != (n_channels, n_maps):
        raise ConfigError(
            f"The network has {config.architecture.in_channels} input channel(s) and {config.architecture.out_channels} "
            f"output maps; the images and classes need {n_channels} and {n_maps}. Change the architecture or leave it out."
        )
    return config.architecture


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


def _object_rule(pairs: Iterable[tuple[Image, Annotation]]) -> ObjectRule:
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


def _check_input(example: Example, step: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Cut the middle of `example`, at most 64 pixels wide and a multiple of `step`, as ``(1, C, *spatial)``."""
    window, padding = [slice(None)], [(0, 0)]
    for length, s in zip(example.spatial_shape, step, strict=True):
        edge = min(_CHECK_EDGE_PX, length)
        window.append(slice((length - edge) // 2, (length - edge) // 2 + edge))
        padding.append((0, -edge % s))
    return np.ascontiguousarray(np.pad(example.image[tuple(window)], padding, mode="reflect")[None])


def _with_noise(example: Example, config: DenoisingTraining, generator: torch.Generator) -> Example:
    noisy = synthetic_noise(torch.from_numpy(example.target)[None], config.noise, generator)
    return replace(example, image=noisy[0].numpy())


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _memory_format(architecture: Architecture) -> torch.memory_format:
    return torch.channels_last if architecture.n_dims == 2 else torch.channels_last_3d


def _arrays(pair: tuple[Image, Annotation | Image]) -> tuple[Image, Image]:
    image, target = pair
    return image, target.labels if isinstance(target, Annotation) else target
