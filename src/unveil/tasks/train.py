"""Train a model from images and annotations, or from noisy and clean images."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unveil import __version__
from unveil.config.architecture import Architecture
from unveil.config.training import TrainingSettings, training_of
from unveil.data.examples import Example, digest_of
from unveil.errors import ConfigError
from unveil.events import Cancelled, Monitor, Notice, StopEarly, TrainingStart, warn_only
from unveil.image import Image
from unveil.inference.engines import choose_device
from unveil.model.card import ModelCard, TrainingRecord
from unveil.model.lipschitz import with_certificate
from unveil.model.model import MAX_CHECK_VALUES, Model
from unveil.networks.lipschitz import layer_bound
from unveil.operators.receptive_field import extension, size_step
from unveil.tasks.adaptation import adaptation
from unveil.tasks.course import AskPreview, Checkpoints, Course
from unveil.tasks.finishing import Finish
from unveil.tasks.inheritance import starting_network, with_settings_of
from unveil.tasks.matching import card_of
from unveil.training.advice import advise
from unveil.training.forward import to_device
from unveil.training.lesson import Lesson, prepare_lesson
from unveil.training.norm_limits import norm_limits
from unveil.training.pace import measure_pace
from unveil.training.pairs import Targets, annotated_pairs, arrays_of, as_lists, pair_up
from unveil.training.plan import Facts, Pace, Plan, choose_patches, complete, needs_pace, with_recipe
from unveil.training.precision import number_format, training_dtype
from unveil.training.replicas import check_replicas
from unveil.words import count, listed

_CHECK_EDGE_PX = {2: 128, 3: 48}
_MOST_NAMED, _MOST_NAMED_IN_CARD = 5, 1000


def train(
    images: Sequence[Image] | None,
    targets: Targets | None,
    config: TrainingSettings | Mapping[str, Any],
    *,
    start: Model | None = None,
    validation: tuple[Sequence[Image], Targets | None] | None = None,
    checkpoints: Checkpoints | None = None,
    preview: AskPreview | None = None,
    monitor: Monitor = warn_only,
) -> Model:
    """Train a network and return it as a model with its full record.

    Parameters
    ----------
    images
        Inputs; None trains a denoiser from clean images alone, to which synthetic noise is added.
    targets
        Segmentation: one annotation per image. Denoising: one clean image per image; None trains from noisy images
        alone, as `config.noisy_only` says.
    config
        What to learn and how; what it leaves open, its recipe chooses.
    start
        Begin with the weights of this model wherever they fit; its network and normalization are kept where `config`
        asks for no others.
    validation
        Images and targets to judge by (None as targets: noisy images, judged as they teach where nothing clean does);
        by default `config.validation_fraction` is held out: whole images, or a block of a single one. Nothing judges a
        denoiser that is adapted.
    checkpoints
        Where the state is kept after each validation; a training that was interrupted goes on from there.
    preview
        Asked after each validation, for the events `Preview`.
    monitor
        Receives every event; `StopEarly` keeps the best model so far, `Cancelled` discards it.

    Raises
    ------
    InputError
        If images, targets, settings, parent model and checkpoint do not fit each other.
    NoSplitError
        If too little is annotated to hold some of it out for validation.
    TrainingError
        If the loss is no number again and again.
    Cancelled
        If the monitor says so, or asks to stop before the first step.
    """
    config = training_of(config)
    images, targets = as_lists(images, targets)
    validation = None if validation is None else as_lists(*validation)
    parent = card_of(start) if start is not None else None
    device = torch.device(choose_device(config.device))
    check_replicas(device, config.replicas)
    with _nothing_to_keep_yet():
        settled = with_recipe(with_settings_of(parent, config, images, monitor))
        lesson, settled = _lesson(images, targets, settled, start, validation, monitor)
    settled = settled.model_copy(update={"architecture": lesson.architecture})
    autocast = training_dtype(device, config.precision, lesson.architecture.n_dims)
    with _nothing_to_keep_yet():
        network = to_device(starting_network(lesson, config, start, monitor), device)
    course = Course(network, config, lesson, checkpoints, parent=parent, device=device, autocast=autocast)
    if course.settings is not None:  # it goes on with the steps chosen then, in the time that was allowed
        settled = course.settings.model_copy(update={"time_budget_s": config.time_budget_s})
    facts = _facts(lesson, device, is_fine_tuning=start is not None)
    patches = choose_patches(settled, lesson.architecture, facts)
    with _nothing_to_keep_yet(), number_format(device, autocast):
        for advice in advise(lesson, parent, pair_up(images, targets)):
            monitor(Notice(advice))
        share = patches.share(settled.replicas)
        pace = _pace(share, lesson, network, device, autocast, preview) if needs_pace(settled) else None
        plan = complete(patches, settled, facts, pace)
        course.settings = plan.settings(settled)
        course.state.seconds += pace.spent_s if pace is not None else 0.0
        monitor(_opening(plan, course.settings, lesson, device, autocast, parent))
    course.take(plan, preview, monitor)
    finish = Finish(monitor, is_stopped=course.state.ended_by == "user")
    model = _sealed(course, lesson, start, finish)
    if model.card.objects is not None:
        pairs = annotated_pairs(pair_up(*(validation or (images, targets))))
        model = finish.rule(model, pairs, lesson.objects, config.device)
    model = finish.record(model, lesson.judged, config.device)
    model = finish.appearance(model, images, targets, config, lesson.objects)
    finish.say_what_is_missing()
    return model


def _lesson(
    images: Sequence[Image] | None,
    targets: Targets | None,
    settled: TrainingSettings,
    start: Model | None,
    validation: tuple[Sequence[Image], Targets | None] | None,
    monitor: Monitor,
) -> tuple[Lesson, TrainingSettings]:
    """Prepare what is to be learnt, and the settings for it: a denoiser that is adapted learns its own results."""
    if settled.task == "segmentation":
        return prepare_lesson(images, targets, settled, validation, monitor=monitor), settled
    if targets is not None and settled.noisy_only != "blind_spot":
        raise ConfigError(
            f"noisy_only is '{settled.noisy_only}', which says how noisy images alone teach, and clean images are "
            f"given. Leave out the one or the other."
        )
    if settled.noisy_only != "adapt" or images is None:
        return prepare_lesson(images, targets, settled, validation, monitor=monitor), settled
    if validation is not None:
        raise ConfigError(
            f"Found {count(len(validation[0]), 'image')} to judge by, and a denoiser that is adapted learns from all, "
            f"judged by none. Leave validation out."
        )
    clean, settled = adaptation(images, start, settled, monitor)
    noisy = digest_of(arrays_of(pair) for pair in pair_up(images, None))
    lesson = prepare_lesson(None, clean, settled, None, monitor=monitor)
    return replace(lesson, data_sha256=noisy, is_adaptation=True), settled


@contextmanager
def _nothing_to_keep_yet() -> Iterator[None]:
    """Take a request to stop for one to cancel: there is no model so far."""
    try:
        yield
    except StopEarly as request:
        raise Cancelled from request


def _pace(
    plan: Plan,
    lesson: Lesson,
    network: nn.Module,
    device: torch.device,
    autocast: torch.dtype | None,
    preview: AskPreview | None,
) -> Pace:
    """Measure how fast steps are, and reckon what validations and previews take."""
    image = preview() if preview is not None else None
    return measure_pace(
        network,
        lesson.batches(plan, device),
        lesson.loss,
        device=device,
        autocast=autocast,
        n_validated=lesson.n_validation_px + (math.prod(image.shape) // image.size("C") if image is not None else 0),
    )


def _facts(lesson: Lesson, device: torch.device, *, is_fine_tuning: bool) -> Facts:
    return Facts(
        device=device.type,
        shapes=[example.spatial_shape for example in lesson.teaching],
        n_judged=sum(int((example.weight[0] > 0).sum()) for example in lesson.teaching),
        largest_object_px=2 * lesson.objects.largest_radius_px,
        is_fine_tuning=is_fine_tuning,
        is_adaptation=lesson.is_adaptation,
    )


def _opening(
    plan: Plan,
    settings: TrainingSettings,
    lesson: Lesson,
    device: torch.device,
    autocast: torch.dtype | None,
    parent: ModelCard | None,
) -> TrainingStart:
    judges = lesson.validation_images
    return TrainingStart(
        device=str(device) if settings.replicas == 1 else f"{settings.replicas} × {device}",
        precision="bfloat16 and float32" if autocast else "float32",
        n_steps=plan.n_steps_to_take,
        settings=settings.model_dump(mode="json"),
        reasons=(
            *([f"Starts from what '{parent.name}' has learnt."] if parent else []),
            *plan.reasons,
            *([f"Judged by {listed(judges, _MOST_NAMED)}."] if judges else []),
        ),
        held_out=lesson.held_out,
    )


def _sealed(course: Course, lesson: Lesson, start: Model | None, finish: Finish) -> Model:
    settings = course.settings
    assert settings is not None
    if course.state.ended_by != "schedule" and course.state.epoch:
        settings = settings.model_copy(update={"stop_after": course.state.epoch})
    record = TrainingRecord(
        config=settings.model_dump(mode="json"),
        data_sha256=lesson.data_sha256,
        n_images=lesson.n_images,
        n_validation_images=lesson.n_validation_images,
        validation_images=lesson.validation_images[:_MOST_NAMED_IN_CARD],
        metric_name=lesson.metric_name,
        history=tuple(course.history),
        seed=settings.seed,
        versions={"unveil": __version__, "torch": torch.__version__, "python": platform.python_version()},
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(course.state.seconds, 1),
        ended_by=course.state.ended_by,
        kept_epoch=course.state.kept_epoch or None,
        parent_sha256=start.card.weights_sha256 if start else None,
    )
    network = course.kept_network()
    bounds = finish.bounds(norm_limits(network, lip1_layers=settings.lip1_layers))
    card = ModelCard.describe(
        lesson.architecture,
        name=settings.name,
        normalization=lesson.normalization,
        temperature=finish.temperature(lesson, network),
        training=record,
        **lesson.card_fields,
    )
    model = Model.make(card, network, _check_input(lesson.check, lesson.architecture))
    return with_certificate(model, lambda layer: bounds.get(layer) or layer_bound(layer)) if bounds else model


def _check_input(example: Example, architecture: Architecture) -> NDArray[np.float32]:
    """Cut the window of `example` with the strongest contrast, sizes multiples of the step, as ``(1, C, *spatial)``.

    On a flat piece of ground nothing could go wrong: half precision and other machines would always agree with it.
    """
    shape = example.spatial_shape
    n_most, steps = MAX_CHECK_VALUES / len(example.image), size_step(architecture)
    longest = _CHECK_EDGE_PX[len(shape)]
    while math.prod(-(-min(longest, n) // step) * step for n, step in zip(shape, steps, strict=True)) > n_most:
        longest //= 2
    edges = [min(longest, length) for length in shape]
    starts = [
        sorted({*range(0, length - edge, max(1, edge // 2)), length - edge})
        for length, edge in zip(shape, edges, strict=True)
    ]
    windows = [
        (slice(None), *(slice(start, start + edge) for start, edge in zip(corner, edges, strict=True)))
        for corner in product(*starts)
    ]
    strongest = max(windows, key=lambda window: float(example.image[window].std()))
    padding = [(0, 0), *((0, -edge % s) for edge, s in zip(edges, steps, strict=True))]
    return np.ascontiguousarray(np.pad(example.image[strongest], padding, mode=extension(architecture))[None])
