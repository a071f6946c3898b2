"""Training: it learns, stops, repeats itself, and records what happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.measure import label

from unveil.config.architecture import UNetConfig
from unveil.config.normalization import NoiseNormalization, StabilizedNormalization, TrainingNormalization
from unveil.config.objects import ObjectRule
from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import (
    Cancelled,
    EpochEnd,
    Event,
    Notice,
    Preview,
    Progress,
    StepEnd,
    StopEarly,
    TrainingStart,
    ignore,
)
from unveil.image import Image
from unveil.io.checkpoint_file import CheckpointFile
from unveil.io.model_file import load_model, save_model
from unveil.model.model import digest
from unveil.tasks.denoise import denoise
from unveil.tasks.object_rule import fit_object_rule
from unveil.tasks.train import train

Make = Callable[..., Any]


def test_it_learns_to_segment(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    learner = segmentation().architecture.model_copy(update={"width": 8})
    config = segmentation(architecture=learner, epochs=4, steps_per_epoch=30, learning_rate=1e-2)
    model = train(*scenes(3), config, monitor=events.append)
    epochs = [e for e in events if isinstance(e, EpochEnd)]
    assert epochs[-1].metric is not None
    assert epochs[-1].metric > 0.85
    assert epochs[-1].validation_loss < epochs[0].validation_loss / 2
    assert len([e for e in events if isinstance(e, StepEnd)]) == 120
    assert model.card.objects is not None
    assert model.card.pixel_size_um == {"Y": 0.5, "X": 0.5}


def test_layers_that_move_no_two_images_apart_learn_to_segment(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    learner = segmentation().architecture.model_copy(update={"width": 8})
    config = segmentation(architecture=learner, lip1_layers=True, epochs=2, steps_per_epoch=40, learning_rate=1e-2)
    model = train(*scenes(3), config, preview=lambda: scenes(1)[0][0], monitor=events.append)
    epochs, previews = ([e for e in events if isinstance(e, kind)] for kind in (EpochEnd, Preview))
    assert epochs[-1].metric > 0.9
    assert previews[-1].maps.max() > 0.8  # and it is sure of something
    assert model.card.temperature < 0.1
    assert model.card.certificate is not None
    alone = config.model_copy(update={"validation_fraction": 0.0, "epochs": 1, "steps_per_epoch": 1})
    assert train(*scenes(2), alone, monitor=ignore).card.temperature < 0.1
    unsaid = alone.model_copy(update={"lip1_layers": False})
    further = train(*scenes(2), unsaid, start=model, monitor=events.append)
    assert further.card.certificate is not None
    assert further.card.temperature < 0.1
    assert "keeps them" in next(e.message for e in events[::-1] if isinstance(e, Notice) and "Lipschitz" in e.message)

    def stop(event: Event) -> None:
        raise StopEarly

    with pytest.raises(Cancelled):  # at once, there is nothing to keep
        train(*scenes(2), unsaid, start=model, monitor=stop)


def test_the_rule_of_objects_is_chosen_on_what_is_annotated(scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(3)
    learner = segmentation().architecture.model_copy(update={"width": 8})
    config = segmentation(architecture=learner, epochs=1, steps_per_epoch=30, learning_rate=1e-2)
    model = train(images, annotations, config, monitor=ignore)
    labels, min_sizes = [a.labels for a in annotations], (model.card.objects.min_size, 0)
    tried = {"thresholds": (0.5, 0.4, 0.6), "separations": (0.4, 0.3, 0.5, 0.2, 0.6, 0.7), "min_sizes": min_sizes}
    chosen = fit_object_rule(model, images, labels, is_cautious=True, **tried)
    assert model.card.objects == chosen.card.objects
    assert model.card.objects != ObjectRule(reach_px=model.card.objects.reach_px)
    scribbles = [Annotation(a.labels, has_outlines=False) for a in annotations]
    unchosen = train(images, scribbles, config, monitor=ignore).card.objects
    assert unchosen == ObjectRule(separation=0.4, reach_px=unchosen.reach_px)


def test_check_input_shows_objects_where_there_are_some(segmentation: Make) -> None:
    labels = np.zeros((300, 300), np.uint16)
    labels[260:280, 250:270] = 1
    image = Image((labels * 100).astype(np.uint8))
    model = train(
        [image] * 2, [Annotation(Image(labels))] * 2, segmentation(epochs=1, steps_per_epoch=1), monitor=ignore
    )
    assert model.check_input.shape == (1, 1, 128, 128)
    assert model.check_input.max() == 1


def test_a_model_of_many_channels_can_be_loaded_again(segmentation: Make, tmp_path: Path) -> None:
    labels = np.zeros((48, 48, 48), np.uint8)
    labels[20:30, 20:30, 20:30] = 1
    image = Image(np.stack([labels] * 10), "CZYX")
    tiny = UNetConfig(n_dims=3, width=2, poolings=1, in_channels=10, out_channels=3)
    changes = {"architecture": tiny, "epochs": 1, "steps_per_epoch": 1, "validation_fraction": 0}
    model = train([image], [Annotation(Image(labels, "ZYX"))], segmentation(**changes), monitor=ignore)
    save_model(model, tmp_path / "ten.safetensors")
    assert load_model(tmp_path / "ten.safetensors").check_input.shape == (1, 10, 24, 24, 24)


def test_the_card_keeps_a_temperature_found_on_what_was_held_out(segmentation: Make) -> None:
    rng = np.random.default_rng(0)
    labels = (np.indices((160, 160)) // 16).sum(axis=0) % 2
    images = [Image((labels * 40 + rng.normal(100, 20, labels.shape)).astype(np.uint8)) for _ in range(3)]
    annotations = [Annotation(Image(label(labels, connectivity=1).astype(np.uint16)))] * 3
    config = segmentation(epochs=1, steps_per_epoch=4)
    model = train(images, annotations, config, monitor=ignore)
    assert model.card.temperature != 1
    assert model.check_deviation() < 1e-5
    assert train(images, annotations, config, monitor=ignore).card.temperature == model.card.temperature
    alone = config.model_copy(update={"validation_fraction": 0.0})
    assert train(images, annotations, alone, monitor=ignore).card.temperature == 1


def test_it_learns_to_denoise_from_clean_images_alone(scenes: Make, denoising: Make) -> None:
    images, _ = scenes(5)
    noise = NoiseConfig(poisson=(0, 0), gaussian=(0.1, 0.1))
    model = train(None, images, denoising(epochs=3, steps_per_epoch=40, noise=noise), monitor=ignore)
    history = model.card.training.history
    assert history[-1].metric > history[0].metric
    assert history[-1].metric > 10 * np.log10(1 / 0.1**2) + 2  # dB above the noise itself


@pytest.mark.parametrize("normalization", [NoiseNormalization(), StabilizedNormalization()])
def test_in_units_of_the_noise_one_network_knows_weak_and_strong_noise(
    scenes: Make, denoising: Make, normalization: TrainingNormalization
) -> None:
    images, _ = scenes(5)
    noise = NoiseConfig(poisson=(0, 0), gaussian=(0.05, 0.5))
    settings = denoising(epochs=3, steps_per_epoch=80, noise=noise, normalization=normalization)
    model = train(None, images, settings, monitor=ignore)
    assert model.card.normalization == normalization
    clean = np.asarray(images[0].data, np.float32)
    for level in (0.1, 0.4):
        sigma = level * float(np.ptp(clean))
        noisy = clean + np.random.default_rng(0).normal(0, sigma, clean.shape).astype(np.float32)
        denoised = np.asarray(denoise(Image(noisy), model, monitor=ignore).image.data)
        assert np.sqrt(np.mean((denoised - clean) ** 2)) < 0.8 * sigma  # 2 dB


def test_it_learns_from_noisy_and_clean_pairs(scenes: Make, denoising: Make) -> None:
    clean, _ = scenes(4)
    rng = np.random.default_rng(1)
    noisy = [Image(image.data + rng.normal(0, 15, image.shape).astype(np.float32)) for image in clean]
    model = train(noisy, clean, denoising(epochs=3, steps_per_epoch=30), monitor=ignore)
    assert model.card.training.history[-1].metric > model.card.training.history[0].metric
    assert model.card.task == "denoising"


def test_three_dimensions_and_classes(segmentation: Make) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 99, (2, 6, 20, 20)).astype(np.uint8)
    labels = rng.integers(0, 3, (6, 20, 20)).astype(np.uint8)
    config = segmentation(
        architecture=UNetConfig(n_dims=3, in_channels=2, out_channels=3, width=2, poolings=(1, 2, 2)),
        objects=False, classes=("ground", "a", "b"), patch_px=16, patch_z=4, epochs=1, validation_fraction=0,
    )  # fmt: skip
    model = train([Image(grey, "CZYX")], [Annotation(Image(labels, "ZYX"))], config, monitor=ignore)
    assert model.card.axes == "CZYX"
    assert model.card.objects is None
    assert model.card.training.history[0].validation_loss is None


def test_the_same_seed_gives_the_same_model_and_another_seed_another(scenes: Make, segmentation: Make) -> None:
    first, again, other = (train(*scenes(3), segmentation(seed=seed), monitor=ignore) for seed in (1, 1, 2))
    assert first.card.weights_sha256 == again.card.weights_sha256
    assert first.card.weights_sha256 != other.card.weights_sha256
    assert first.card.training.data_sha256 == other.card.training.data_sha256


def test_two_replicas_learn_say_so_and_end_when_they_are_stopped(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    learner = segmentation().architecture.model_copy(update={"width": 8})
    config = segmentation(
        architecture=learner, replicas=2, batch_size=4, epochs=2, steps_per_epoch=30, learning_rate=1e-2
    )
    model = train(*scenes(3), config, monitor=events.append)
    again = train(*scenes(3), config, monitor=at_call(1, EpochEnd, StopEarly))
    assert model.card.training.history[-1].metric > 0.85
    assert model.card.training.config["replicas"] == 2
    assert next(e.device for e in events if isinstance(e, TrainingStart)) == "2 × cpu"
    assert again.card.training.history == model.card.training.history[:1]
    assert not torch.distributed.is_initialized()


def test_the_record_says_what_happened(scenes: Make, segmentation: Make) -> None:
    config = segmentation(epochs=3)
    model = train(*scenes(3), config, monitor=ignore)
    record = model.card.training
    asked = {name: value for name, value in config.model_dump(mode="json").items() if value is not None}
    assert {name: record.config[name] for name in asked} == asked
    still_open = {name for name, value in record.config.items() if value is None}
    assert still_open == {"time_budget_s", "stop_after"}
    assert (record.n_images, record.n_validation_images, record.ended_by) == (2, 1, "schedule")
    assert [line.epoch for line in record.history] == [1, 2, 3]
    assert model.card.weights_sha256 == digest(model.tensors())
    assert model.check_deviation() == 0


def at_call(n: int, kind: type[Event], error: type[Exception]) -> Callable[[Event], None]:
    seen = iter(range(1, 1000))

    def monitor(event: Event) -> None:
        if isinstance(event, kind) and next(seen) == n:
            raise error

    return monitor


def test_stopping_keeps_the_best_model_so_far(scenes: Make, segmentation: Make) -> None:
    stopped = train(*scenes(3), segmentation(epochs=9), monitor=at_call(2, EpochEnd, StopEarly))
    assert stopped.card.training.ended_by == "user"
    assert len(stopped.card.training.history) == 2
    whole = train(*scenes(3), segmentation(epochs=9), monitor=ignore)
    assert whole.card.training.history[:2] == stopped.card.training.history


def test_stopping_before_the_first_validation_keeps_the_latest(scenes: Make, segmentation: Make) -> None:
    model = train(*scenes(3), segmentation(), monitor=at_call(3, StepEnd, StopEarly))
    assert model.card.training.history == ()
    untrained = train(*scenes(3), segmentation(), monitor=at_call(1, StepEnd, StopEarly))
    assert model.card.weights_sha256 != untrained.card.weights_sha256


def test_the_best_epoch_is_kept_not_the_last(scenes: Make, segmentation: Make) -> None:
    losses: list[float] = []

    def monitor(event: Event) -> None:
        if isinstance(event, EpochEnd):
            losses.append(event.validation_loss)

    config = segmentation(epochs=6, steps_per_epoch=2, learning_rate=0.3, schedule="constant")
    model = train(*scenes(3), config, monitor=monitor)
    best = int(np.argmin(losses))
    until_best = train(*scenes(3), config, monitor=at_call(best + 1, EpochEnd, StopEarly))
    assert best < len(losses) - 1, "the last epoch is the best: the test shows nothing"
    assert model.card.weights_sha256 == until_best.card.weights_sha256


@pytest.mark.parametrize("kind", [TrainingStart, StepEnd, EpochEnd, Preview])
def test_cancelling_discards(kind: type[Event], scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(3)
    monitor = at_call(1, kind, Cancelled)
    with pytest.raises(Cancelled):
        train(images, annotations, segmentation(), preview=lambda: images[0], monitor=monitor)


@pytest.mark.parametrize("request_to_end", [Cancelled, StopEarly])
def test_preparing_tells_each_image_and_can_be_ended(
    request_to_end: type[Exception], scenes: Make, segmentation: Make, tmp_path: Path
) -> None:
    events: list[Event] = []
    images, annotations = scenes(3)
    second = at_call(2, Progress, request_to_end)
    checkpoints = CheckpointFile(tmp_path / "checkpoint")
    with pytest.raises(Cancelled):  # also where the best was to be kept: there is nothing yet
        train(
            images,
            annotations,
            segmentation(),
            checkpoints=checkpoints,
            monitor=lambda e: (events.append(e), second(e)),
        )  # type: ignore[func-returns-value]
    assert events == [Progress(0, 3, "images prepared"), Progress(1, 3, "images prepared")]
    assert not checkpoints.path.exists()


def test_pixels_nobody_judged_teach_nothing(scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(1)
    mask = np.zeros((48, 48), bool)
    mask[:, :24] = True
    flipped = np.where(mask, annotations[0].labels.data, 9).astype(np.uint16)
    config = segmentation(validation_fraction=0, objects=False, classes=tuple("abcdefghij"), architecture=None,
                          patch_px=16, batch_size=2, epochs=1)  # fmt: skip
    models = [
        train(images, [Annotation(Image(labels), mask)], config, monitor=ignore)
        for labels in (annotations[0].labels.data, flipped)
    ]
    assert models[0].card.weights_sha256 == models[1].card.weights_sha256


def test_training_changes_neither_its_inputs_nor_the_global_random_state(scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(3)
    before = [image.data.copy() for image in images]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(images, annotations, segmentation(epochs=1), monitor=ignore)
    torch.testing.assert_close(torch.rand(3), expected)
    for image, was in zip(images, before, strict=True):
        np.testing.assert_array_equal(image.data, was)


def test_a_parent_gives_its_weights_where_they_fit(scenes: Make, segmentation: Make) -> None:
    parent = train(*scenes(3), segmentation(), monitor=ignore)
    notices: list[Event] = []
    config = segmentation(
        objects=False, classes=("a", "b"), architecture={"width": 4, "poolings": 2}, epochs=1, steps_per_epoch=1,
        learning_rate=1e-9,
    )  # fmt: skip
    images, annotations = scenes(3)
    classes = [Annotation(Image((a.labels.data > 0).astype(np.uint8))) for a in annotations]
    child = train(images, classes, config, start=parent, monitor=notices.append)
    (said,) = (n.message for n in notices if isinstance(n, Notice) and "start anew" in n.message)
    assert said == "Starting from 'model', but these layers start anew: head.bias, head.weight."
    assert child.card.training.parent_sha256 == parent.card.weights_sha256
    theirs, ours = parent.network.state_dict(), child.network.state_dict()
    torch.testing.assert_close(ours["down.0.0.weight"], theirs["down.0.0.weight"], atol=1e-6, rtol=0)


def test_a_parent_of_another_kind_is_refused(scenes: Make, segmentation: Make, denoising: Make) -> None:
    images, _ = scenes(3)
    parent = train(None, images, denoising(epochs=1), monitor=ignore)
    with pytest.raises(MismatchError, match="2D dncnn for denoising; this training needs a 2D unet for segmentation"):
        train(*scenes(3), segmentation(), start=parent, monitor=ignore)
    segmenter = train(*scenes(3), segmentation(epochs=1), monitor=ignore)
    unet = denoising(architecture=UNetConfig(width=4, poolings=2, out_channels=1, residual=True))
    with pytest.raises(MismatchError, match="2D unet for segmentation; this training needs a 2D unet for denoising"):
        train(None, images, unet, start=segmenter, monitor=ignore)


def test_inputs_that_do_not_fit_are_refused_before_training(scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(3)
    with pytest.raises(ImageError, match="3 images and 2 targets"):
        train(images, annotations[:2], segmentation())
    with pytest.raises(ImageError, match="0 images"):
        train([], [], segmentation())
    with pytest.raises(ImageError, match="background only"):
        train(images, [Annotation(Image(np.zeros((48, 48), np.uint8)))] * 3, segmentation())
    with pytest.raises(ImageError, match="classes"):
        train(images, annotations, segmentation(objects=False, architecture=None))
    with pytest.raises(ConfigError, match="output maps"):
        train(images, annotations, segmentation(architecture=UNetConfig(width=2, out_channels=5)))
    with pytest.raises(ConfigError, match="annotations"):
        train(images, images, segmentation())


@pytest.mark.parametrize("kind", ["block", "images", "lecture", "denoising"])
def test_a_record_repeats_its_training(kind: str, scenes: Make, segmentation: Make, denoising: Make) -> None:
    data: Any = scenes(1, 128, 30) if kind == "block" else scenes(3)
    asked: dict[str, Any] = {"patch_px": None, "learning_rate": None, "batch_size": 2, "time_budget_s": 90}
    if kind == "denoising":
        data, config = (None, data[0]), denoising(**asked)
    else:
        recipe = "lecture" if kind == "lecture" else "auto"
        config = segmentation(recipe=recipe, architecture={"width": 2, "poolings": 1}, **asked)
    model = train(*data, config, monitor=ignore)
    recorded = type(config).model_validate_json(json.dumps(model.card.training.config))
    again = train(*data, recorded, monitor=ignore)
    assert again.card.weights_sha256 == model.card.weights_sha256
    assert again.card.training.config == model.card.training.config
    assert again.card.training.history == model.card.training.history


@pytest.mark.parametrize("at", [EpochEnd, StepEnd], ids=["between epochs", "within an epoch"])
def test_a_training_that_was_stopped_is_repeated_by_where_it_stopped(
    at: type[Event], scenes: Make, segmentation: Make
) -> None:
    monitor = at_call(2 if at is EpochEnd else 10, at, StopEarly)
    stopped = train(*scenes(3), segmentation(epochs=5), monitor=monitor)
    record = stopped.card.training
    config = type(segmentation()).model_validate(record.config | {"stop_after": len(record.history)})
    again = train(*scenes(3), config, monitor=ignore)
    assert len(record.history) == 2
    assert again.card.weights_sha256 == stopped.card.weights_sha256
    assert again.card.training.history == record.history
    assert again.card.training.ended_by == "schedule"


def test_losing_patience_keeps_the_best(scenes: Make, segmentation: Make) -> None:
    events: list[Event] = []
    config = segmentation(epochs=30, steps_per_epoch=1, learning_rate=0.3, schedule="constant", patience=2)
    model = train(*scenes(3), config, monitor=events.append)
    history = model.card.training.history
    best = min(range(len(history)), key=lambda i: history[i].validation_loss)
    assert model.card.training.ended_by == "patience"
    assert len(history) == best + 3 < 30
    assert any(isinstance(event, Notice) and "has not improved for 2 epochs" in event.message for event in events)


def test_normalization_may_not_depend_on_augmentation(scenes: Make, segmentation: Make) -> None:
    plain = segmentation(
        augmentation=AugmentationConfig(flips=False, scale=0, gain=0, offset=0, gamma=0, noise=0, blur_px=0)
    )
    model = train(*scenes(3), plain, monitor=ignore)
    strong = train(*scenes(3), segmentation(), monitor=ignore)
    np.testing.assert_array_equal(model.check_input, strong.check_input)


def test_channels_follow_from_the_data_where_the_settings_are_silent(scenes: Make, segmentation: Make) -> None:
    config = segmentation(architecture={"width": 2, "poolings": 1}, epochs=1, steps_per_epoch=1)
    architecture = train(*scenes(2), config, monitor=ignore).card.architecture
    assert (architecture.in_channels, architecture.out_channels, architecture.width) == (1, 3, 2)


def test_the_card_says_what_the_images_look_like(scenes: Make, segmentation: Make) -> None:
    model = train(*scenes(4), segmentation(), monitor=ignore)
    appearance = model.card.appearance
    assert appearance.n_images == 4
    small, usual, large = appearance.object_px
    assert 0 < small <= usual <= large < 15


def test_volumes_of_two_planes_at_the_deepest_level_learn_what_float32_does(segmentation: Make) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((8, 32, 32), np.uint16)
    labels[2:6, 4:12, 4:12], labels[2:6, 18:28, 16:26] = 1, 2
    volume = Image((labels > 0) * 100 + rng.normal(0, 10, labels.shape).astype(np.float32), "ZYX")
    changes = {"architecture": UNetConfig(n_dims=3, width=8, poolings=2, out_channels=3), "patch_px": 32, "patch_z": 8}
    usual, exact = (
        train(
            [volume],
            [Annotation(Image(labels, "ZYX"))],
            segmentation(**changes, precision=precision, epochs=1, steps_per_epoch=4, validation_fraction=0),
            monitor=ignore,
        )
        for precision in ("auto", "exact")
    )
    assert usual.card.training is not None
    assert exact.card.training is not None
    losses = [model.card.training.history[-1].training_loss for model in (usual, exact)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    for name, tensor in usual.tensors().items():
        torch.testing.assert_close(tensor, exact.tensors()[name], rtol=0.1, atol=0.01)
