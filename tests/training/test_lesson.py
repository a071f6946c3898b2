"""Lessons: what is learnt from, in the lecture's way and in ours, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import FixedNormalization
from unveil.config.objects import ObjectRule
from unveil.config.training import AugmentationConfig, DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation, scribbled
from unveil.errors import ConfigError, ImageError
from unveil.events import Event, HeldOut, Progress
from unveil.image import Image
from unveil.training.lesson import Lesson, prepare_lesson
from unveil.training.plan import Plan, with_recipe

RNG = np.random.default_rng(0)
GREY = RNG.normal(100, 10, (64, 128)).astype(np.float32)
LABELS = np.zeros((64, 128), np.uint16)
for number in range(8):
    LABELS[8:20, 4 + 15 * number :][:, :10] = 3 * number + 1
FLAT = AugmentationConfig(flips=False, scale=0, gain=0, offset=0, gamma=0, noise=0, blur_px=0)


def segmentation(labels: np.ndarray | Annotation = LABELS, *, validation: Any = None, **changes: Any) -> Lesson:
    annotation = labels if isinstance(labels, Annotation) else Annotation(Image(labels))
    small = {"architecture": {"width": 2, "poolings": 1}, "validation_fraction": 0}
    config = with_recipe(SegmentationTraining.model_validate(small | changes))
    return prepare_lesson([Image(GREY)], [annotation], config, validation)


def denoising(images: Any, targets: Any, validation: Any = None, **changes: Any) -> Lesson:
    small = {"architecture": DnCNNConfig(depth=2, width=2)}
    return prepare_lesson(images, targets, with_recipe(DenoisingTraining.model_validate(small | changes)), validation)


def test_it_is_told_image_by_image_how_far_the_preparation_is() -> None:
    pairs = [Image(GREY)] * 3, [Annotation(Image(LABELS))] * 3
    judging = [Image(GREY)] * 2, [Annotation(Image(LABELS))] * 2
    config = with_recipe(SegmentationTraining.model_validate({"architecture": {"width": 2, "poolings": 1}}))
    events: list[Event] = []
    prepare_lesson(*pairs, config, judging, monitor=events.append)
    expected = {"images prepared": 3, "validation images prepared": 2, "images measured": 3, "images for the record": 5}
    assert events == [Progress(done, n, unit) for unit, n in expected.items() for done in range(n + 1)]
    clean_only = with_recipe(DenoisingTraining(architecture=DnCNNConfig(depth=2, width=2)))
    events.clear()
    prepare_lesson(
        None, [Image(GREY), Image(GREY + 1)], clean_only, (judging[0], [Image(GREY)] * 2), monitor=events.append
    )
    expected = {"images prepared": 2, "validation images prepared": 2, "images for the record": 4}
    assert [e for e in events if isinstance(e, Progress) and e.total and e.done == e.total] == [
        Progress(n, n, unit) for unit, n in expected.items()
    ]


def test_the_lecture_learns_two_classes_of_objects_with_any_numbers() -> None:
    lesson = segmentation(recipe="lecture")
    assert lesson.architecture == UNetConfig(width=2, poolings=1, in_channels=1, out_channels=2)
    np.testing.assert_array_equal(lesson.teaching[0].target[0], LABELS > 0)
    assert lesson.teaching[0].target.shape == (1, 64, 128)
    assert lesson.card_fields["objects"] is None
    assert isinstance(lesson.normalization, FixedNormalization)
    assert lesson.normalization.mean == pytest.approx((GREY.mean(),))
    assert lesson.normalization.std == pytest.approx((GREY.std(),))
    assert lesson.teaching[0].image.mean() == pytest.approx(0, abs=1e-4)


def test_the_lecture_minimizes_cross_entropy_alone_and_mean_squared_error() -> None:
    loss = segmentation(recipe="lecture").loss
    maps, target = torch.randn(2, 2, 4, 4), torch.randint(0, 2, (2, 1, 4, 4)).float()
    ones = torch.ones(2, 1, 4, 4)
    torch.testing.assert_close(loss(maps, target, ones), torch.nn.functional.cross_entropy(maps, target[:, 0].long()))
    squared = denoising(None, [Image(GREY)], recipe="lecture").loss
    torch.testing.assert_close(squared(maps, 0 * maps, ones), maps.square().mean())


def test_the_lecture_tells_more_classes_apart() -> None:
    classes = (LABELS > 0).astype(np.uint8) + (LABELS > 9)
    lesson = segmentation(classes, recipe="lecture", classes=("ground", "a", "b"))
    np.testing.assert_array_equal(lesson.teaching[0].target[0], classes)


def test_a_network_follows_the_data_where_its_settings_are_the_usual_ones() -> None:
    written_out = UNetConfig(width=2).model_dump()
    assert segmentation(architecture=written_out).architecture == UNetConfig(width=2, out_channels=3)
    with pytest.raises(ConfigError, match="Leave out_channels out"):
        segmentation(architecture=written_out | {"out_channels": 4})
    with pytest.raises(ConfigError, match="Leave in_channels out"):
        segmentation(architecture=written_out | {"in_channels": 2})


def test_objects_are_of_one_class() -> None:
    with pytest.raises(ConfigError, match=r"3 classes.*Name two"):
        segmentation(classes=("ground", "a", "b"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros_like(LABELS), "background only"),
        (np.ones_like(LABELS), "no background"),
        (Annotation(Image(LABELS), np.zeros(LABELS.shape, bool)), "No pixel is annotated"),
        (Annotation(Image(LABELS), np.arange(128) + np.zeros((64, 1)) > 124), "background only"),
        (LABELS.astype(np.int32) - 1, "negative"),
        (LABELS[:60], "same pixels"),
    ],
)
@pytest.mark.parametrize("fraction", [0, 0.25])
def test_what_cannot_be_learnt_from_is_named(labels: Any, words: str, fraction: float) -> None:
    with pytest.raises(ImageError, match=words):
        segmentation(labels, validation_fraction=fraction)


@pytest.mark.parametrize("alike", [0, 1], ids=["without an object", "without background"])
def test_an_image_of_one_kind_teaches_beside_others(alike: int) -> None:
    labels = [np.full((64, 128), alike, np.uint8), (LABELS > 0).astype(np.uint8)]
    small = {"architecture": {"width": 2, "poolings": 1}, "validation_fraction": 0}
    config = with_recipe(SegmentationTraining.model_validate(small))
    annotations = [Annotation(Image(array)) for array in labels]
    assert len(prepare_lesson([Image(GREY)] * 2, annotations, config, None).teaching) == 2


def test_images_and_targets_that_are_no_pairs_are_named() -> None:
    image, annotation = Image(GREY), Annotation(Image(LABELS))
    segmenting, cleaning = with_recipe(SegmentationTraining()), with_recipe(DenoisingTraining())
    with pytest.raises(ImageError, match=r"2 images and 1 target; .* one target for each"):
        prepare_lesson([image] * 2, [annotation], segmenting, None)
    with pytest.raises(ImageError, match="0 images and 0 targets"):
        prepare_lesson([], [], segmenting, None)
    with pytest.raises(ConfigError, match="Wrap labels in Annotation"):
        prepare_lesson([image], [image], segmenting, None)
    with pytest.raises(ConfigError, match=r"annotations were given\. Give images"):
        prepare_lesson([image], [annotation], cleaning, None)


def test_images_that_do_not_fit_each_other_are_named_together() -> None:
    grey, labels = Image(GREY, name="a"), Annotation(Image(LABELS))
    colour = Image(np.stack([GREY] * 3), "CYX", name="b")
    config = with_recipe(SegmentationTraining(architecture=UNetConfig(n_dims=3, width=2, poolings=1, out_channels=3)))
    with pytest.raises(ImageError) as caught:
        prepare_lesson([grey, colour], [labels, labels], config, None)
    for words in ("'a' has axes YX", "'b' has axes CYX", "'b' has 3 channels and 'a' has 1"):
        assert words in str(caught.value)
    with pytest.raises(ImageError, match="has 3 channel"):
        segmentation(validation=([colour], [labels]))


def test_noisy_and_clean_have_the_same_channels() -> None:
    colour = Image(np.stack([GREY] * 2), "CYX", name="colour")
    for images, targets in (([colour], [Image(GREY)]), ([Image(GREY)], [colour])):
        with pytest.raises(ImageError, match="channel"):
            denoising(images, targets)
    assert len(denoising([colour], [colour]).teaching) == 2


@pytest.mark.parametrize("architecture", [DnCNNConfig(in_channels=2), UNetConfig()], ids=["two in", "two out"])
def test_a_denoiser_takes_and_gives_one_channel(architecture: Any) -> None:
    with pytest.raises(ConfigError, match="one by one"):
        denoising(None, [Image(GREY)], architecture=architecture)


def test_pixels_that_nobody_judged_enter_no_loss_and_no_verdict() -> None:
    mask = np.zeros(LABELS.shape, bool)
    mask[:, :77] = True  # between two objects
    changed = np.where(mask, LABELS, RNG.integers(50, 60, LABELS.shape)).astype(np.uint16)
    plan = Plan((32, 32), 4, 1e-3, "constant", AugmentationConfig())
    network = torch.nn.Conv2d(1, 3, 3, padding=1)

    def looked_at(labels: np.ndarray) -> tuple[list[float], Any, Any]:
        lesson = segmentation(Annotation(Image(labels), mask), validation_fraction=0.25)
        batches = lesson.batches(plan, torch.device("cpu"))(3)
        losses = [
            float(lesson.loss(network(image), target, weight).detach())
            for (image, target, weight), _ in zip(batches, range(5), strict=False)
        ]
        assert lesson.judge is not None
        return losses, lesson.judge(network), (lesson.objects, lesson.held_out)

    assert looked_at(LABELS) == looked_at(changed)


def test_a_validation_that_is_given_is_used_and_nothing_is_held_out() -> None:
    other = Annotation(Image(np.roll(LABELS, 3, axis=0)))
    lesson = segmentation(validation_fraction=0.25, validation=([Image(GREY)], [other]))
    assert lesson.held_out == ()
    assert (lesson.n_images, lesson.n_validation_images) == (1, 1)
    assert lesson.teaching[0].spatial_shape == (64, 128)


def test_what_is_learnt_from_follows_from_what_is_given() -> None:
    clean, stack = Image(GREY), Image(np.stack([GREY, GREY + 1, GREY - 1]), "TYX")
    noisy = Image(GREY + 1)  # the noise is the same everywhere, and shows as a shift
    plan = Plan((16, 16), 2, 1e-3, "constant", FLAT)

    def first(lesson: Lesson) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image, target, weight = next(lesson.batches(plan, torch.device("cpu"))(0))
        return image.numpy(), target.numpy(), weight.numpy()

    image, target, weight = first(denoising([noisy], [clean]))
    assert np.ptp(image - target) < 1e-3
    assert (image - target).mean() > 0
    image, target, weight = first(denoising(None, [clean]))
    assert np.ptp(image - target) > 0.01
    image, target, weight = first(denoising([noisy], None))
    assert (image != target)[weight > 0].all()  # and some where nothing is judged
    assert 0 < weight.mean() < 0.3
    image, target, weight = first(denoising([stack], None, noisy_only="frames"))
    assert abs(image - target).min() > 0
    assert weight.mean() > 0.5
    assert np.ptp(image - target, axis=(1, 2, 3)).max() < 1e-3


@pytest.mark.parametrize(
    ("images", "targets", "metric"),
    [([GREY], [GREY], True), (None, [GREY], True), ([GREY], None, False)],
    ids=["pairs", "clean_only", "blind_spot"],
)
def test_psnr_is_claimed_only_where_the_truth_is_known(images: Any, targets: Any, metric: bool) -> None:
    lesson = denoising(images and [Image(GREY + 1)], targets and [Image(GREY)])
    assert lesson.judge is not None
    assert (lesson.judge(lambda batch: batch).metric is not None) == metric
    assert len(lesson.held_out) == 1
    assert isinstance(lesson.held_out[0], HeldOut)


def test_noisy_images_alone_are_judged_by_pixels_that_the_network_does_not_see() -> None:
    lesson = denoising([Image(GREY)], None)
    assert lesson.judge is not None
    assert lesson.judge(lambda batch: batch).loss > 0.03  # who gives back what was seen knows nothing of these


def test_noisy_images_are_judged_by_clean_ones_where_these_are_given() -> None:
    def metric(validation: Any) -> float | None:
        lesson = denoising([Image(GREY)], None, validation)
        assert lesson.judge is not None
        return lesson.judge(lambda batch: batch).metric

    assert metric(([Image(GREY)], None)) is None
    assert metric(([Image(GREY + RNG.normal(0, 2, GREY.shape).astype(np.float32))], [Image(GREY)])) is not None


def test_a_validation_of_its_own_is_judged_like_what_is_taught() -> None:
    frames = GREY + RNG.normal(0, 20, (3, *GREY.shape)).astype(np.float32)
    stack, clean = Image(frames, "TYX"), Image(GREY)
    lessons = [
        denoising([stack], None, ([stack], None), noisy_only="frames"),
        denoising(None, [clean], (None, [clean])),
        denoising(None, [clean], (None, [clean]), loss="log_mse"),
    ]
    found = [lesson.judge(torch.nn.Identity()).loss for lesson in lessons if lesson.judge is not None]
    assert min(found[:2]) > 1e-4, "who changes nothing is wrong by the noise"
    assert found[2] == pytest.approx(np.log(found[1]), rel=0.01)


def test_the_lecture_adds_noise_on_the_scale_of_intensities_and_shifts_nothing() -> None:
    level = 0.1
    noise = {"poisson": (0, 0), "gaussian": (level, level)}
    lesson = denoising(None, [Image(GREY)], recipe="lecture", noise=noise)
    plan = Plan((64, 64), 8, 1e-3, "constant", FLAT)
    noisy, clean, _ = next(lesson.batches(plan, torch.device("cpu"))(0))
    low, high = np.percentile(GREY, (0.5, 99.9))
    assert (noisy - clean).std().item() == pytest.approx(level * (high - low) / GREY.std(), rel=0.1)
    assert (noisy - clean).mean().item() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(clean.mean(), 0, atol=0.1)
    np.testing.assert_allclose(clean.std(), 1, atol=0.1)


def test_synthetic_noise_for_judging_is_always_the_same() -> None:
    first, again, other = (denoising(None, [Image(GREY)], seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.check.image, again.check.image)
    assert not np.array_equal(first.check.image, other.check.image)


def test_the_digest_tells_data_apart() -> None:
    mask = np.ones(LABELS.shape, bool)
    lessons = [
        segmentation(),
        segmentation(np.roll(LABELS, 1)),
        segmentation(Annotation(Image(LABELS), mask)),
        segmentation(Annotation(Image(LABELS), mask, has_outlines=False)),
        segmentation(validation=([Image(GREY)], [Annotation(Image(LABELS))])),
        denoising([Image(GREY)], None),
        denoising([Image(GREY)], [Image(GREY + 1)]),
    ]
    assert len({lesson.data_sha256 for lesson in lessons}) == len(lessons)
    assert segmentation(seed=9).data_sha256 == lessons[0].data_sha256


def test_strokes_are_learnt_as_objects_or_as_classes() -> None:
    strokes = np.where(LABELS > 0, 2, 1).astype(np.uint8)
    strokes[:, 100:] = 0
    lesson = segmentation(scribbled(Image(strokes)))
    assert lesson.card_fields["objects"] == ObjectRule(separation=0.4)
    np.testing.assert_array_equal(lesson.teaching[0].weight[1], strokes > 0)
    assert segmentation(scribbled(Image(strokes)), objects=False).card_fields["objects"] is None


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({"Y": 0.123456, "X": 0.7}, {"Y": 0.123456}),
        ({"Y": 0.123456, "X": 0.51}, {"Y": 0.123456, "X": 0.505}),
        ({"Y": 0.123456}, {"Y": 0.123456}),
        ({}, {}),
    ],
    ids=["differ", "hardly differ", "one unknown", "all unknown"],
)
def test_the_pixel_size_is_what_all_images_share(other: dict[str, float], shared: dict[str, float]) -> None:
    for sizes in ([{"Y": 0.123456, "X": 0.5}, other], [other, {"Y": 0.123456, "X": 0.5}]):
        images = [Image(GREY, pixel_size_um=each) for each in sizes]
        assert denoising(None, images).card_fields["pixel_size_um"] == shared


def test_a_class_outside_of_what_was_judged_teaches_nothing() -> None:
    inside = np.zeros(LABELS.shape, bool)
    inside[:, :64] = True
    classes = np.where(inside, LABELS > 0, 7).astype(np.uint8)
    lesson = segmentation(Annotation(Image(classes), inside), objects=False)
    assert lesson.architecture.out_channels == 2
    (example,) = lesson.teaching
    np.testing.assert_array_equal(example.target[0], (LABELS > 0) & inside)


def test_named_channels_are_learnt_in_one_order() -> None:
    pixels, labels = np.stack([GREY, GREY]), Annotation(Image(LABELS))
    images = [Image(pixels, "CYX", channel_names=names, name=names[0]) for names in (("a", "b"), ("b", "a"))]
    with pytest.raises(ImageError, match=r"the channels of image 'b' are b, a, those of 'a' a, b"):
        prepare_lesson(images, [labels] * 2, with_recipe(SegmentationTraining()), None)
    with pytest.raises(ImageError, match="the channels of image"):
        denoising(images[:1], images[1:])
    assert denoising(None, images).teaching  # channels one by one: their order is of no account
    other = Image(pixels, "CYX", channel_names=("405", "488"))
    config = with_recipe(SegmentationTraining(architecture=UNetConfig(width=2, poolings=1, in_channels=2)))
    lesson = prepare_lesson([images[0], other], [labels] * 2, config, None)
    assert lesson.card_fields["channel_names"] == ()


def test_real_noise_judges_what_synthetic_noise_taught() -> None:
    clean, noise = [Image(GREY), Image(GREY[::-1])], RNG.normal(0, 20, GREY.shape).astype(np.float32)
    noisy, blank = Image(GREY + noise, name="noisy"), Image(GREY, name="clean")
    lesson = denoising(
        None, clean, validation=([noisy], [blank]), normalization={"method": "fixed", "mean": [100], "std": [10]}
    )
    assert lesson.judge is not None
    psnr = lesson.judge(torch.nn.Identity()).metric
    assert psnr == pytest.approx(10 * np.log10(np.ptp(GREY) ** 2 / np.mean(noise**2)), abs=0.01)
    assert (lesson.n_images, lesson.n_validation_images) == (2, 1)


def test_pairs_are_not_judged_by_noisy_images_alone() -> None:
    pairs = [Image(GREY)], [Image(GREY[::-1])]
    with pytest.raises(
        ConfigError, match=r"1 of 1 validation images have no clean image \('shot' first\).*Give the clean"
    ):
        denoising(*pairs, validation=([Image(GREY, name="shot")], None))
    assert denoising(*pairs, validation=([Image(GREY)], [Image(GREY[::-1])])).n_validation_images == 1
