"""Division: what judges is judged as in the whole image, and never teaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.config.normalization import FixedNormalization
from unveil.config.training import AugmentationConfig, DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation, scribbled
from unveil.data.examples import Example, denoising_examples, held_out, segmentation_examples
from unveil.data.split import Block
from unveil.errors import ImageError, NoSplitError
from unveil.image import Image
from unveil.networks.build import build_network
from unveil.operators.receptive_field import halo, size_step
from unveil.training.division import Division, divide
from unveil.training.initial_weights import random_network
from unveil.training.lesson import Lesson, prepare_lesson
from unveil.training.plan import Plan
from unveil.training.validation import maps_of

CPU = torch.device("cpu")
UNET = UNetConfig(width=4, poolings=2, out_channels=3)
THIN = UNetConfig(n_dims=3, width=2, poolings=(0, 1, 2), out_channels=2)
GREY_AS_IT_IS = FixedNormalization(mean=(0.0,), std=(1.0,))


def example(shape: tuple[int, ...], seed: int = 0) -> Example:
    rng = np.random.default_rng(seed)
    image, target = (rng.normal(size=(1, *shape)).astype(np.float32) for _ in range(2))
    return Example(image, target, np.ones((1, *shape), np.float32), np.ones(1))


@settings(max_examples=60)
@given(
    st.sampled_from([UNET, THIN, DnCNNConfig(depth=3, width=4), DnCNNConfig(depth=3, width=4, stride=4)]),
    st.integers(0, 1),
    st.booleans(),
    st.integers(1, 30),
    st.integers(1, 60),
)
def test_the_judging_part_gets_what_the_network_gives_it_in_the_whole(
    architecture: Architecture, axis: int, is_near: bool, width: int, rest: int
) -> None:
    axis += architecture.n_dims - 2
    shape = [33] * architecture.n_dims if architecture.n_dims == 2 else [3, 21, 21]
    gap = halo(architecture)[axis]
    shape[axis] = width + gap + rest
    stop = width if is_near else shape[axis]
    block, whole = Block(axis, stop - width, stop, gap), example(tuple(shape))
    _, (judging,) = held_out([whole], block, size_step(architecture))
    torch.manual_seed(0)
    network = build_network(architecture)

    def judged(image: np.ndarray, where: np.ndarray) -> np.ndarray:
        maps = maps_of(network, image, architecture)
        return maps[:, np.broadcast_to(where, maps.shape[1:])]

    in_the_whole = judged(whole.image, block.judging(tuple(shape)))
    np.testing.assert_allclose(judged(judging.image, judging.weight[0] > 0), in_the_whole, atol=1e-5)
    # Far away pixels weigh little in any network: what is no number would show.
    only_the_part = np.where(np.isin(whole.image, judging.image), whole.image, np.nan)
    np.testing.assert_array_equal(judged(only_the_part, block.judging(tuple(shape))), in_the_whole)


def scene(size: tuple[int, int] = (64, 160), n: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey values of about 0 to 1, and squares with a number each."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(size, np.uint16)
    for number in range(1, n + 1):
        y, x = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
        labels[y : y + 8, x : x + 8] = number
    return (0.8 * (labels > 0) + rng.normal(0, 0.1, size)).astype(np.float32), labels


def losses(lesson: Lesson, augmentation: AugmentationConfig, n: int = 8) -> list[float]:
    """Return the losses of a network on some batches; the network is always the same."""
    plan = Plan((32, 32), 4, 1e-3, "constant", augmentation)
    network = random_network(lesson.architecture, 0)
    found = []
    with torch.no_grad():
        for (image, target, weight), _ in zip(lesson.batches(plan, CPU)(7), range(n), strict=False):
            found.append(float(lesson.loss(network(image), target, weight)))
    return found


def segmentation(**changes: Any) -> SegmentationTraining:
    return SegmentationTraining.model_validate(
        {"architecture": UNET, "normalization": GREY_AS_IT_IS.model_dump()} | changes
    )


@pytest.mark.parametrize("kind", ["segmentation", "blind_spot", "clean_only"])
def test_what_judges_never_teaches_however_it_is_augmented(kind: str) -> None:
    grey, labels = scene()
    config: Any = (
        segmentation() if kind == "segmentation"
        else DenoisingTraining(normalization=GREY_AS_IT_IS, architecture=DnCNNConfig(depth=3, width=4))
    )  # fmt: skip

    def prepared(pixels: np.ndarray) -> Lesson:
        image, annotation = Image(pixels), Annotation(Image(labels))
        if kind == "segmentation":
            return prepare_lesson([image], [annotation], config, None)
        return prepare_lesson(*([image], None) if kind == "blind_spot" else (None, [image]), config, None)

    lesson = prepared(grey)
    (part,) = lesson.held_out
    inside = tuple(slice(a, b) for a, b in zip(part.start, part.stop, strict=True))
    judged, beside = grey.copy(), grey.copy()
    judged[inside] += 1e6
    beside += 0.5
    beside[inside] = grey[inside]
    strong = AugmentationConfig(scale=0.5, blur_px=3)
    assert losses(prepared(judged), strong) == losses(lesson, strong)
    assert losses(prepared(beside), strong) != losses(lesson, strong), "nothing teaches: the test shows nothing"


def test_a_single_image_is_divided_by_a_block() -> None:
    grey, labels = scene()
    lesson = prepare_lesson([Image(grey)], [Annotation(Image(labels))], segmentation(), None)
    (part,) = lesson.held_out
    assert (part.image, part.start[0], part.stop[0]) == (0, 0, 64)
    assert (lesson.n_images, lesson.n_validation_images) == (1, 1)
    assert part.start[1] == 0 or part.stop[1] == 160
    judged = (labels[:, part.start[1] : part.stop[1]] > 0).sum()
    assert judged == pytest.approx(0.25 * (labels > 0).sum(), rel=0.2)


def test_several_images_are_divided_as_wholes() -> None:
    pairs = [
        (Image(grey, name=f"dish {seed}"), Annotation(Image(labels)))
        for seed, (grey, labels) in ((seed, scene(seed=seed)) for seed in range(4))
    ]
    lesson = prepare_lesson(*zip(*pairs, strict=True), segmentation(), None)  # type: ignore[arg-type]
    assert lesson.held_out == ()
    assert (lesson.n_images, lesson.n_validation_images) == (3, 1)
    assert lesson.validation_images == (lesson.judged[0][0].name,)
    assert {part.spatial_shape for part in lesson.teaching} == {(64, 160)}


def test_images_that_judge_are_named_by_their_place_where_several_are_called_alike() -> None:
    grey, labels = scene()
    images = [Image(grey, name=name) for name in ("dish", "plate", "dish")]
    judging = images, [Annotation(Image(labels))] * 3
    lesson = prepare_lesson(images[:1], judging[1][:1], segmentation(), judging)
    assert lesson.validation_images == ("dish #1", "plate", "dish #3")


def test_noisy_and_clean_images_that_judge_are_named() -> None:
    grey, _ = scene()
    clean = [Image(grey, name=name) for name in ("a", "b")]
    judging = [clean[0], Image(grey + 1, name="noisy b")], clean
    lesson = prepare_lesson(None, clean, DenoisingTraining(normalization=GREY_AS_IT_IS), judging)
    assert lesson.validation_images == ("a", "noisy b")


def division_of(annotations: list[Annotation], **changes: Any) -> Division:
    images = [Image(np.zeros(annotation.labels.shape, np.float32)) for annotation in annotations]

    def make(pairs: Any) -> list[Example]:
        return segmentation_examples(pairs, GREY_AS_IT_IS, n_dims=2, objects=True)

    return divide(list(zip(images, annotations, strict=True)), None, make, segmentation(**changes), UNET)


@pytest.mark.parametrize("seed", range(4))
def test_an_image_of_which_nothing_is_annotated_neither_teaches_nor_judges(seed: int) -> None:
    labels = Image(scene()[1])
    drawn, empty = Annotation(labels), Annotation(labels, np.zeros(labels.shape, bool))
    division = division_of([empty, drawn, empty], seed=seed)
    assert [part.image for part in division.held_out] == [1]
    assert (division.n_images, division.n_validation_images) == (1, 1)
    assert len(division.teaching) == len(division.judging) == 1


@pytest.mark.parametrize("seed", range(6))
def test_both_parts_hold_objects_and_background_where_that_can_be(seed: int) -> None:
    empty = Annotation(Image(np.zeros((64, 64), np.uint8)))
    drawn = [Annotation(Image(scene((64, 64), seed=n)[1])) for n in range(2)]
    division = division_of([empty, drawn[0], empty, drawn[1]], seed=seed)
    for part in (division.teaching, division.judging):
        assert any(example.target[0].any() for example in part)
    with pytest.raises(NoSplitError, match="no part of the images"):
        division_of([empty, drawn[0]], seed=seed)
    whole = division_of([empty, drawn[0]], seed=seed, validation_fraction=0)
    assert (len(whole.teaching), whole.judging) == (2, [])


@pytest.mark.parametrize(
    ("size", "n", "why"),
    [((40, 40), 5, "no part that could be set aside"), ((64, 160), 1, "no part that could be set aside")],
    ids=["too small", "one object"],
)
def test_too_little_for_an_honest_validation_is_said(size: tuple[int, int], n: int, why: str) -> None:
    with pytest.raises(NoSplitError, match=why) as caught:
        division_of([Annotation(Image(scene(size, n)[1]))])
    assert "validation_fraction 0" in str(caught.value)
    division = division_of([Annotation(Image(scene(size, n)[1]))], validation_fraction=0)
    assert (len(division.teaching), division.judging, division.held_out) == (1, [], ())


@pytest.mark.parametrize("n_images", [1, 3])
@pytest.mark.parametrize(("value", "words"), [(1, "hold no background"), (0, "hold background only")])
def test_a_kind_that_is_missing_altogether_is_named(n_images: int, value: int, words: str) -> None:
    images = [Image(np.random.default_rng(n).random((64, 64)), name=f"{n}") for n in range(n_images)]
    alike = [Annotation(Image(np.full((64, 64), value, np.uint8)))] * n_images
    with pytest.raises(ImageError, match=words):
        prepare_lesson(images, alike, segmentation(), None)


def test_strokes_of_a_few_pixels_are_too_little() -> None:
    strokes = np.zeros((64, 160), np.uint8)
    strokes[10, 10:150] = 1
    strokes[40, [10, 60, 90, 150]] = 2
    with pytest.raises(NoSplitError, match="both objects and background"):
        division_of([scribbled(Image(strokes))])


def test_strokes_are_divided_where_both_parts_hold_both_kinds() -> None:
    strokes = np.zeros((200, 200), np.uint8)
    strokes[:15] = 2  # set aside, it would leave most to learn from, but holds no background
    strokes[60:, ::4] = 2
    strokes[130] = 1
    division = division_of([scribbled(Image(strokes))])
    for part in (division.teaching, division.judging):
        assert {n for example in part for n in np.unique(example.target[0][example.weight[0] > 0])} == {0, 1}


def test_a_validation_of_which_nothing_is_annotated_is_refused() -> None:
    grey, labels = scene()
    nothing = Annotation(Image(labels), np.zeros(labels.shape, bool))
    with pytest.raises(ImageError, match="validation images"):
        prepare_lesson([Image(grey)], [Annotation(Image(labels))], segmentation(), ([Image(grey)], [nothing]))


@pytest.mark.parametrize("seed", range(3))
def test_noisy_images_of_one_clean_image_stay_together(seed: int) -> None:
    rng = np.random.default_rng(0)
    clean = [rng.normal(size=(40, 64)).astype(np.float32) for _ in range(3)]
    shown = [(number, copy) for number in range(3) for copy in range(4)]
    noisy = [Image(clean[number] + rng.normal(size=(40, 64)).astype(np.float32)) for number, _ in shown]
    config = DenoisingTraining(
        normalization=GREY_AS_IT_IS, architecture=DnCNNConfig(depth=3, width=4), seed=seed, validation_fraction=0.3
    )

    def make(pairs: Any) -> list[Example]:
        return denoising_examples(pairs, GREY_AS_IT_IS, n_dims=2)

    pairs = [(image, Image(clean[number].copy())) for image, (number, _) in zip(noisy, shown, strict=True)]
    division = divide(pairs, None, make, config, config.architecture)
    assert (division.n_images, division.n_validation_images) == (8, 4)
    assert len({shown[number][0] for number in division.judging_images}) == 1

    division = divide(pairs[:4], None, make, config, config.architecture)
    assert [part.image for part in division.held_out] == [0, 1, 2, 3]
    assert len({(part.start, part.stop) for part in division.held_out}) == 1
    assert (division.n_images, division.n_validation_images, len(division.judging)) == (4, 4, 4)
