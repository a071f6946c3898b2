"""Train a model from images and annotations, or from noisy and clean images."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unveil import __version__
from unveil.config.architecture import Architecture
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.data.examples import Example
from unveil.errors import MismatchError
from unveil.events import EpochEnd, Event, Monitor, Notice, StopEarly, warn_only
from unveil.image import Image
from unveil.inference.engines import choose_device
from unveil.model.card import Epoch, ModelCard, TrainingRecord
from unveil.model.model import Model
from unveil.operators.receptive_field import size_step
from unveil.tasks.matching import card_of
from unveil.training.fit import fit
from unveil.training.initial_weights import inherit, random_network
from unveil.training.lesson import Lesson, Targets, prepare_lesson
from unveil.training.precision import training_dtype

_CHECK_EDGE_PX = {2: 128, 3: 48}


def train(
    images: Sequence[Image] | None,
    targets: Targets,
    config: SegmentationTraining | DenoisingTraining,
    *,
    start: Model | None = None,
    validation: tuple[Sequence[Image], Targets] | None = None,
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
    if start is not None:
        card_of(start)
    lesson = prepare_lesson(images, targets, config, validation)
    device = torch.device(choose_device(config.device))
    autocast = training_dtype(device, config.precision)
    monitor(Notice(f"Training on {device} in {'bfloat16 and float32' if autocast else 'float32'}."))
    network = _starting_network(lesson.architecture, config.seed, start, monitor)
    network = network.to(device)
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
class _Outcome:
    weights: dict[str, torch.Tensor]
    history: tuple[Epoch, ...]
    seconds: float
    ended_by: Literal["schedule", "user"]


def _drain(events: Iterator[Event], network: nn.Module, monitor: Monitor) -> _Outcome:
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
            monitor(event)
    except StopEarly:
        ended_by = "user"
    return _Outcome(best or _copy(network), tuple(history), seconds, ended_by)


def _sealed(
    network: nn.Module,
    lesson: Lesson,
    config: SegmentationTraining | DenoisingTraining,
    outcome: _Outcome,
    start: Model | None,
) -> Model:
    record = TrainingRecord(
        config=config.model_dump(mode="json"),
        data_sha256=lesson.data_sha256,
        n_images=lesson.n_images,
        n_validation_images=lesson.n_validation_images,
        metric_name=lesson.metric_name,
        history=outcome.history,
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
    return Model.make(card, network, _check_input(lesson.check, size_step(lesson.architecture)))


def _starting_network(architecture: Architecture, seed: int, start: Model | None, monitor: Monitor) -> nn.Module:
    network = random_network(architecture, seed)
    if start is None:
        return network
    if start.card.architecture.kind != architecture.kind or start.card.n_dims != architecture.n_dims:
        raise MismatchError(
            f"Model '{start.card.name}' is a {start.card.n_dims}D {start.card.architecture.kind}; this training needs "
            f"a {architecture.n_dims}D {architecture.kind}. Choose another model to start from, or none."
        )
    left_out = inherit(network, start.network)
    if left_out:
        monitor(Notice(f"Starting from '{start.card.name}', but these layers start anew: {', '.join(left_out)}."))
    return network


def _check_input(example: Example, step: tuple[int, ...]) -> NDArray[np.float32]:
    """Cut the window of `example` with the strongest contrast, sizes multiples of `step`, as ``(1, C, *spatial)``.

    On a flat piece of ground nothing could go wrong: half precision and other machines would always agree with it.
    """
    shape = example.spatial_shape
    edges = [min(_CHECK_EDGE_PX[len(shape)], length) for length in shape]
    starts = [
        sorted({*range(0, length - edge, max(1, edge // 2)), length - edge})
        for length, edge in zip(shape, edges, strict=True)
    ]
    windows = [
        (slice(None), *(slice(start, start + edge) for start, edge in zip(corner, edges, strict=True)))
        for corner in product(*starts)
    ]
    strongest = max(windows, key=lambda window: float(example.image[window].std()))
    padding = [(0, 0), *((0, -edge % s) for edge, s in zip(edges, step, strict=True))]
    return np.ascontiguousarray(np.pad(example.image[strongest], padding, mode="reflect")[None])


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
