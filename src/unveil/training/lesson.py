"""What a training needs, prepared from images and targets, whatever the task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from unveil.config.architecture import Architecture
from unveil.config.normalization import (
    FixedNormalization,
    GlobalNormalization,
    NoiseNormalization,
    Normalization,
    PercentileNormalization,
    StabilizedNormalization,
)
from unveil.config.training import DenoisingTraining, SegmentationTraining, TrainingSettings
from unveil.data.annotation import Annotation
from unveil.data.examples import (
    Example,
    denoising_examples,
    digest_of,
    fit_fixed,
    segmentation_examples,
    successive_frames,
)
from unveil.errors import ImageError
from unveil.events import HeldOut, Monitor, ignore, told
from unveil.image import Image
from unveil.operators.losses import denoising_loss, relative_denoising_loss, segmentation_loss
from unveil.operators.objects import ObjectFacts
from unveil.training.architectures import denoising_architecture, segmentation_architecture
from unveil.training.batches import Source, denoising_batches, segmentation_batches, window_source
from unveil.training.description import common_channel_names, common_pixel_size, object_rule, objects_of
from unveil.training.division import Division, divide
from unveil.training.norm_limits import LIP1_TEMPERATURE
from unveil.training.pairs import (
    Targets,
    annotated_pairs,
    arrays_of,
    as_foreground,
    check_pairs,
    check_truth,
    image_pairs,
    pair_up,
)
from unveil.training.plan import Plan
from unveil.training.steps import Batches, Loss
from unveil.training.synthetic_noise import UNIT_RANGE, SyntheticNoise, intensity_range
from unveil.training.validation import (
    Judge,
    denoising_judge,
    noisy_judge,
    segmentation_judge,
    temperature_of,
)

_NO_OBJECTS = ObjectFacts()


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """All that the loop and the record need.

    Attributes
    ----------
    normalization
        As the card will keep it.
    batches
        Gives, for a plan and a device, what starts a stream of training batches; can be pickled, as can `loss`.
    judge
        Validates on the held-out examples; None where nothing is held out.
    card_fields
        What the model's card says of the data: task, classes, objects, pixel size, channels.
    teaching
        The examples that teach.
    check
        The example from which the model's check input is cut.
    held_out
        Which part of which image judges; empty where whole images do.
    objects
        What the annotated objects are like; nothing where there are none.
    learnt_at
        Temperature of the softmax over classes while a segmentation network learns.
    temperature
        Finds the temperature of the finished one (an `Apply`) on what was held out, telling a `monitor`; None where
        nothing was.
    judged
        The images that judge a segmentation as a whole, with their annotations.
    is_adaptation
        Whether a denoiser is fitted to these images and no others.
    """

    architecture: Architecture
    normalization: Normalization
    batches: Callable[[Plan, torch.device], Batches]
    loss: Loss
    judge: Judge | None
    metric_name: Literal["IoU", "PSNR"]
    card_fields: dict[str, Any]
    teaching: Sequence[Example]
    check: Example
    data_sha256: str
    n_images: int
    n_validation_images: int
    validation_images: tuple[str, ...]
    n_validation_px: int
    held_out: tuple[HeldOut, ...]
    objects: ObjectFacts = _NO_OBJECTS
    learnt_at: float = 1.0
    temperature: Callable[..., float] | None = None
    judged: Sequence[tuple[Image, Annotation]] = ()
    is_adaptation: bool = False


def prepare_lesson(
    images: Sequence[Image] | None,
    targets: Targets | None,
    config: TrainingSettings,
    validation: tuple[Sequence[Image], Targets | None] | None,
    *,
    monitor: Monitor = ignore,
) -> Lesson:
    """Check and split the data and make examples of them.

    Parameters
    ----------
    images, targets
        No images where synthetic noise is added to clean targets; no targets where noisy images are all there is.
    config
        With the normalization that its recipe chose.
    validation
        Images and targets to judge by (no targets: noisy images alone); None holds out `config.validation_fraction` of
        the images.
    monitor
        Told image by image how far the preparation is; what it raises ends it.

    Raises
    ------
    InputError
        If images, targets and settings do not fit each other.
    NoSplitError
        If too little is annotated to hold some of it out.
    """
    pairs = pair_up(images, targets)
    judging = pair_up(*validation) if validation is not None else None
    if isinstance(config, SegmentationTraining):
        judged = None if judging is None else annotated_pairs(judging)
        lesson = _segmentation_lesson(annotated_pairs(pairs), judged, config, monitor)
    else:
        clean, source = None if judging is None else image_pairs(judging), _source(images, targets, config)
        lesson = _denoising_lesson(image_pairs(pairs), clean, config, source, monitor)
    seen = told(pairs + (judging or []), monitor, "images for the record")
    return replace(lesson, data_sha256=digest_of(arrays_of(pair) for pair in seen))


def _source(images: Sequence[Image] | None, targets: Targets | None, config: DenoisingTraining) -> Source:
    if images is None:
        return "clean_only"
    if targets is not None:
        return "pairs"
    assert config.noisy_only != "adapt", "what is adapted learns from its own results, as from clean images"
    return config.noisy_only


def _segmentation_lesson(
    pairs: Sequence[tuple[Image, Annotation]],
    judging: Sequence[tuple[Image, Annotation]] | None,
    config: SegmentationTraining,
    monitor: Monitor,
) -> Lesson:
    if config.recipe == "lecture" and len(config.classes) == 2:
        pairs, judging = as_foreground(pairs), None if judging is None else as_foreground(judging)
    architecture = segmentation_architecture(config, pairs[0][0])
    check_pairs([*pairs, *(judging or [])], architecture.n_dims)
    normalization = _fitted(config, [image for image, _ in pairs])
    division = _annotated_division(pairs, judging, config, architecture, normalization, monitor)
    n_classes = len(config.classes)
    learnt_at = LIP1_TEMPERATURE if config.lip1_layers else 1.0
    loss = partial(
        segmentation_loss, n_classes=n_classes, overlap=config.loss == "cross_entropy_dice", temperature=learnt_at
    )
    objects = (
        objects_of(told(pairs, monitor, "images measured"), architecture.n_dims) if config.objects else _NO_OBJECTS
    )
    return Lesson(
        architecture=architecture,
        normalization=normalization,
        batches=partial(_segmentation_batches, division.teaching),
        loss=loss,
        judge=segmentation_judge(division.judging, architecture, loss, n_classes=n_classes)
        if division.judging
        else None,
        metric_name="IoU",
        card_fields={
            "task": "segmentation",
            "classes": config.classes,
            "objects": object_rule(objects) if config.objects else None,
            "pixel_size_um": common_pixel_size([image for image, _ in pairs]),
            "channel_names": common_channel_names([image for image, _ in pairs]),
        },
        objects=objects,
        learnt_at=learnt_at,
        temperature=partial(
            temperature_of,
            examples=division.judging,
            architecture=architecture,
            n_classes=n_classes,
            learnt_at=learnt_at,
        )
        if division.judging
        else None,
        judged=[pairs[number] for number in division.judging_images] if judging is None else judging,
        **_common(division),
    )


def _annotated_division(
    pairs: Sequence[tuple[Image, Annotation]],
    judging: Sequence[tuple[Image, Annotation]] | None,
    config: SegmentationTraining,
    architecture: Architecture,
    normalization: Normalization,
    monitor: Monitor,
) -> Division:
    """Divide annotated images, of which both parts show enough to learn from or to judge by."""
    make = partial(
        segmentation_examples, normalization=normalization, n_dims=architecture.n_dims, objects=config.objects
    )
    division = divide(pairs, judging, make, config, architecture, monitor=monitor)
    _check_examples([*division.teaching, *division.judging], config)
    _check_examples(division.teaching, config)
    if judging is not None and not division.judging:
        raise ImageError("No pixel of the validation images is annotated. Annotate part of one, or give none.")
    return division


def _denoising_lesson(
    pairs: Sequence[tuple[Image, Image]],
    judging: Sequence[tuple[Image, Image]] | None,
    config: DenoisingTraining,
    source: Source,
    monitor: Monitor,
) -> Lesson:
    architecture = denoising_architecture(config)
    check_pairs([*pairs, *(judging or [])], architecture.n_dims)
    if source == "pairs":
        check_truth(judging or [])
    knows_truth = source in ("pairs", "clean_only") or any(clean is not noisy for noisy, clean in judging or [])
    if source == "frames":
        pairs = [successive_frames(stack, architecture.n_dims) for stack, _ in pairs]
        if judging is not None and not knows_truth:
            judging = [successive_frames(stack, architecture.n_dims) for stack, _ in judging]
    normalization = _fitted(config, [image for image, _ in pairs])
    noise = None
    if source == "clean_only":
        division, noise = _clean_division(pairs, judging, config, architecture, normalization, monitor)
    else:
        make = partial(
            denoising_examples,
            normalization=normalization,
            n_dims=architecture.n_dims,
            noisy_targets=source == "frames",
        )
        division = divide(pairs, judging, make, config, architecture, monitor=monitor)
    loss = denoising_loss if config.loss == "mse" else relative_denoising_loss
    judge = denoising_judge if knows_truth else partial(noisy_judge, hide=source == "blind_spot")
    return Lesson(
        architecture=architecture,
        normalization=normalization,
        batches=partial(_denoising_batches, division.teaching, source, noise),
        loss=loss,
        judge=judge(division.judging, architecture, loss) if division.judging else None,
        metric_name="PSNR",
        card_fields={"task": "denoising", "pixel_size_um": common_pixel_size([image for image, _ in pairs])},
        **_common(division),
    )


def _clean_division(
    pairs: Sequence[tuple[Image, Image]],
    judging: Sequence[tuple[Image, Image]] | None,
    config: DenoisingTraining,
    architecture: Architecture,
    normalization: Normalization,
    monitor: Monitor,
) -> tuple[Division, SyntheticNoise]:
    """Divide clean images and return the noise for them: what judges gets it now, what teaches batch by batch.

    Validation images that have noise of their own judge as they are.
    """
    given, noise = normalization, SyntheticNoise(config.noise)
    if isinstance(normalization, NoiseNormalization):
        given, noise = fit_fixed([image for image, _ in pairs]), replace(noise, scale="noise")
    elif isinstance(normalization, StabilizedNormalization):
        given, noise = UNIT_RANGE, replace(noise, scale="stabilized")
    truly_noisy = [(noisy, clean) for noisy, clean in judging or [] if noisy is not clean]
    if truly_noisy:
        judging = [(noisy, clean) for noisy, clean in judging or [] if noisy is clean]
    make = partial(denoising_examples, n_dims=architecture.n_dims)
    division = divide(pairs, judging, partial(make, normalization=given), config, architecture, monitor=monitor)
    if isinstance(config.normalization, FixedNormalization):
        noise = replace(noise, fixed_range=(0.0, 1.0))
    elif not isinstance(given, PercentileNormalization):
        noise = replace(noise, fixed_range=intensity_range(division.teaching))
    generator = torch.Generator().manual_seed(config.seed)
    judges = [noise.added_to(example, generator) for example in division.judging]
    judges += make(told(truly_noisy, monitor, "validation images prepared"), normalization=normalization)
    return (
        replace(
            division,
            judging=judges,
            n_validation_images=division.n_validation_images + len(truly_noisy),
            judging_names=(*division.judging_names, *(image.name for image, _ in truly_noisy)),
        ),
        noise,
    )


def _segmentation_batches(examples: Sequence[Example], plan: Plan, device: torch.device) -> Batches:
    return partial(segmentation_batches, window_source(examples, device), plan, device=device)


def _denoising_batches(
    examples: Sequence[Example], source: Source, noise: SyntheticNoise | None, plan: Plan, device: torch.device
) -> Batches:
    return partial(denoising_batches, window_source(examples, device), plan, source, noise, device=device)


def _common(division: Division) -> dict[str, Any]:
    return {
        "teaching": division.teaching,
        "check": (division.judging or division.teaching)[0],
        "data_sha256": "",
        "n_images": division.n_images,
        "n_validation_images": division.n_validation_images,
        "n_validation_px": sum(math.prod(example.spatial_shape) for example in division.judging),
        "validation_images": division.judging_names,
        "held_out": division.held_out,
    }


def _fitted(config: TrainingSettings, images: Sequence[Image]) -> Normalization:
    assert config.normalization is not None
    return fit_fixed(images) if isinstance(config.normalization, GlobalNormalization) else config.normalization


def _check_examples(examples: Sequence[Example], config: SegmentationTraining) -> None:
    judged = [example.target[0][example.weight[0] > 0] for example in examples]
    if not any(classes.size for classes in judged):
        raise ImageError("No pixel is annotated; training needs some. Annotate part of an image.")
    highest = max(int(classes.max(initial=0)) for classes in judged)
    if highest == 0:
        raise ImageError("The labels hold background only; training needs objects as well. Label at least one.")
    if not any((classes == 0).any() for classes in judged):
        raise ImageError(
            "The labels hold no background; training needs some to tell objects from. Annotate a piece of ground, "
            "or count 0 as background."
        )
    if highest >= len(config.classes):
        raise ImageError(
            f"The labels go up to {highest}, but there are {len(config.classes)} classes "
            f"({', '.join(config.classes)}), which count from 0. Number the labels without a gap and name one class "
            f"for each number, or train on objects."
        )
