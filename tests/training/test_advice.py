"""Advice: given where there is cause, and not otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.config.architecture import UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation, scribbled
from unveil.events import StepEnd
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.training.advice import LossWatch, advise
from unveil.training.lesson import prepare_lesson
from unveil.training.pairs import pair_up
from unveil.training.plan import with_recipe

UNET = UNetConfig(width=2, poolings=2)


def grid(n: int = 16, edge: int = 12, gap: int = 4) -> np.ndarray:
    """Squares of `edge` pixels in a row of four, `gap` apart."""
    pitch = edge + gap
    labels = np.zeros((-(-n // 4) * pitch + gap, 4 * pitch + gap), np.uint16)
    for number in range(n):
        y, x = divmod(number, 4)
        labels[gap + y * pitch :, gap + x * pitch :][:edge, :edge] = number + 1
    return labels


def advice(
    labels: np.ndarray, grey: np.ndarray | None = None, *, parent: ModelCard | None = None, um: float = 0.5,
    annotation: Annotation | None = None, **changes: Any,
) -> list[str]:  # fmt: skip
    pixels = 100 * (labels > 0) + np.random.default_rng(0).normal(0, 5, labels.shape) if grey is None else grey
    settings = {"architecture": UNET, "validation_fraction": 0} | changes
    config = with_recipe(SegmentationTraining.model_validate(settings))
    image = Image(pixels.astype(np.float32), pixel_size_um={"Y": um, "X": um})
    return advise(prepare_lesson([image], [annotation or Annotation(Image(labels))], config, None), parent)


def test_there_is_nothing_to_say_of_good_data() -> None:
    assert advice(grid()) == []


@pytest.mark.parametrize(
    ("sizes_um", "known_um", "words"),
    [
        ((0.5, 0.5, 0.5), 0.5, ""),
        ((0.65, 0.66, 0.64), 0.6499, ""),  # as files round it
        ((None, None, None), None, ""),
        ((0.5, 0.2, 0.65), None, "pixels of 0.2 to 0.65 µm along X"),
        ((0.5, None, 0.5), None, "1 of 3 images do not say"),
        ((None, 0.5, 0.5), None, "1 of 3 images do not say"),
    ],
)
def test_a_model_without_a_pixel_size_is_said_where_images_have_one(
    sizes_um: tuple[float | None, ...], known_um: float | None, words: str
) -> None:
    labels = grid()
    pixels = (100 * (labels > 0) + np.random.default_rng(0).normal(0, 5, labels.shape)).astype(np.float32)
    images = [Image(pixels, pixel_size_um={} if um is None else {"Y": um, "X": um}) for um in sizes_um]
    config = with_recipe(SegmentationTraining(architecture=UNET, validation_fraction=0))
    annotations = [Annotation(Image(labels))] * 3
    lesson = prepare_lesson(images, annotations, config, None)
    assert lesson.card_fields["pixel_size_um"] == ({} if known_um is None else {"Y": known_um, "X": known_um})
    said = advise(lesson, None, list(zip(images, annotations, strict=True)))
    assert [words in sentence for sentence in said] == ([True] if words else [])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (grid(4), "Only 4 objects are annotated"),
        (grid(1), "Only 1 object is annotated"),
        (grid(edge=4), "16 pixels in the median"),
        (grid(edge=60), "The largest object is 60 px wide and the network sees 44 px"),
        (grid(gap=0), "100% of the objects touch"),
    ],
)
def test_what_is_unusual_of_objects_is_said(labels: np.ndarray, words: str) -> None:
    (said,) = advice(np.pad(labels, 4))
    assert words in said


def test_objects_that_nobody_judged_do_not_count() -> None:
    labels = grid()
    mask = np.zeros(labels.shape, bool)
    mask[: labels.shape[0] // 2] = True
    (said,) = advice(labels, annotation=Annotation(Image(labels), mask))
    assert "Only 8 objects" in said


def test_planes_of_a_stack_are_looked_at_one_by_one() -> None:
    stack = np.stack([grid(edge=60)] * 2)
    config = with_recipe(SegmentationTraining(architecture=UNET, validation_fraction=0))
    image, annotation = Image((stack > 0).astype(np.float32), "TYX"), Annotation(Image(stack, "TYX"))
    lesson = prepare_lesson([image], [annotation], config, None)
    assert lesson.objects.largest_radius_px == 30
    assert len(lesson.objects.sizes) == 32
    assert lesson.card_fields["objects"].reach_px == 45


def test_strokes_have_no_sizes() -> None:
    strokes = np.where(grid(4) > 0, grid(4) + 1, 1).astype(np.uint8)
    assert advice(strokes - 1, annotation=scribbled(Image(strokes))) == []


def test_classes_have_no_sizes() -> None:
    labels = (grid(4) > 0).astype(np.uint8)
    assert advice(labels, objects=False) == []


def test_labels_that_lie_on_nothing_are_noticed() -> None:
    noise = np.random.default_rng(1).normal(0, 5, grid().shape)
    (said,) = advice(grid(), noise)
    assert "as bright as the ground" in said
    dark = 100 - 50 * (grid() > 0) + noise
    assert advice(grid(), dark) == []


def parent(**um: float) -> ModelCard:
    return ModelCard.describe(
        UNetConfig(), name="nuclei", task="segmentation", classes=("background", "cell"),
        normalization=PercentileNormalization(), pixel_size_um=um,
    )  # fmt: skip


def test_a_pixel_size_far_from_the_parents_is_noticed() -> None:
    (said,) = advice(grid(), parent=parent(Y=0.2, X=0.2))
    assert "0.5 µm per pixel" in said
    assert "'nuclei' was trained at 0.2" in said
    assert "by 2.5" in said
    assert "by 0.5" in advice(grid(), parent=parent(Y=1, X=1))[0]
    assert advice(grid(), parent=parent(Y=0.4, X=0.6)) == []
    assert advice(grid(), parent=parent()) == []


def test_pixel_sizes_are_compared_along_the_axes_both_have() -> None:
    labels = np.stack([grid()] * 2)
    image = Image(100.0 * (labels > 0), "ZYX", pixel_size_um={"Z": 2.0, "Y": 0.5, "X": 0.5})
    config = with_recipe(SegmentationTraining(architecture=UNET, validation_fraction=0))
    lesson = prepare_lesson([image], [Annotation(Image(labels, "ZYX"))], config, None)
    (said,) = advise(lesson, parent(Y=0.2, X=0.2))
    assert "0.5 µm per pixel along Y" in said


def test_a_denoiser_needs_no_objects() -> None:
    image = Image(np.random.default_rng(0).random((64, 64)).astype(np.float32))
    assert advise(prepare_lesson([image], None, with_recipe(DenoisingTraining()), None), None) == []


def watched(losses: list[float], first_step: int = 1) -> list[str]:
    watch, n_steps = LossWatch(), len(losses) + first_step - 1
    notes = [watch.note(StepEnd(first_step + i, n_steps, loss)) for i, loss in enumerate(losses)]
    return [note for note in notes if note]


def test_a_loss_that_does_not_fall_is_noticed_once() -> None:
    (said,) = watched([0.7] * 300)
    assert "does not fall (0.7 at first, 0.7 now)" in said
    assert "learning rate" in said


def test_a_loss_that_falls_or_has_no_time_to_is_not() -> None:
    assert watched([0.7 - i / 1000 for i in range(300)]) == []
    assert watched([0.7] * 150) == []
    assert watched([-2.0] * 300) == [], "logarithms"


def test_a_resumed_training_is_not_judged_by_its_middle() -> None:
    assert watched([0.2] * 270, first_step=31) == []


def test_a_few_small_objects_do_not_shorten_the_reach_of_growth() -> None:
    labels = grid(edge=6)
    config = with_recipe(SegmentationTraining(architecture=UNET, validation_fraction=0))
    lesson = prepare_lesson([Image((labels > 0).astype(np.float32))], [Annotation(Image(labels))], config, None)
    assert lesson.objects.largest_radius_px == 3
    assert lesson.card_fields["objects"] == ObjectRule(separation=0.4)


def test_a_class_that_nobody_annotated_is_said() -> None:
    labels = np.where(grid() > 0, 2, 0)
    said = advice(labels, objects=False, classes=("ground", "cell", "vessel"), architecture=None)
    assert ["annotated as 'cell'" in sentence for sentence in said] == [True]


def test_validation_images_without_an_object_are_said() -> None:
    labels = grid()
    image = Image((100 * (labels > 0) + np.random.default_rng(0).normal(0, 5, labels.shape)).astype(np.float32))
    annotation, nothing = Annotation(Image(labels)), Annotation(Image(np.zeros_like(labels)))
    config = with_recipe(SegmentationTraining(architecture=UNET))
    for judging, is_said in ((nothing, True), (annotation, False)):
        lesson = prepare_lesson([image], [annotation], config, ([image], [judging]))
        said = advise(lesson, None, [(image, annotation)])
        assert ["show no object" in sentence for sentence in said] == [True] * is_said


@pytest.mark.parametrize(
    ("noisy", "clean", "words"),
    [
        (1, 1, "are the same, pixel for pixel"),
        (1, 0, ""),
        (None, 0, ""),
        (0, None, ""),
        (None, 2, "All images are constant"),
        (2, None, "All images are constant"),
    ],
)
def test_denoisers_with_nothing_to_learn_are_said(noisy: int | None, clean: int | None, words: str) -> None:
    rng = np.random.default_rng(0)
    pixels = [rng.normal(size=(40, 40)), rng.normal(size=(40, 40)), np.full((40, 40), 7.0)]
    images, targets = (None if each is None else [Image(pixels[each].copy())] * 2 for each in (noisy, clean))
    config = with_recipe(DenoisingTraining())
    said = advise(prepare_lesson(images, targets, config, None), None, pair_up(images, targets))
    assert [words in sentence for sentence in said] == [True] * bool(words)


def test_one_pair_of_noisy_and_clean_that_differs_is_enough() -> None:
    rng = np.random.default_rng(0)
    same, noisy, clean = (Image(rng.normal(size=(40, 40))) for _ in range(3))
    images, targets = [same, noisy], [Image(np.asarray(same.data).copy()), clean]
    lesson = prepare_lesson(images, targets, with_recipe(DenoisingTraining()), None)
    assert advise(lesson, None, pair_up(images, targets)) == []
