"""What a training that goes on from a model takes from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unveil import Annotation, DenoisingTraining, Image, SegmentationTraining, train
from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.config.normalization import PercentileNormalization, StandardNormalization
from unveil.events import Event, Notice, ignore
from unveil.model.card import ModelCard, TrainingRecord
from unveil.tasks.inheritance import with_settings_of

Make = Callable[..., Any]

WIDE_VIEW = DnCNNConfig(depth=4, width=4, stride=2, skips=True)
NARROW = UNetConfig(width=4, poolings=2, out_channels=2)


def card(architecture: Architecture, task: str, **fields: Any) -> ModelCard:
    return ModelCard.describe(architecture, name="parent", task=task, normalization=StandardNormalization(), **fields)


DENOISER = card(WIDE_VIEW, "denoising")
SEGMENTER = card(NARROW, "segmentation", classes=("background", "cell"))
ONE_CHANNEL = [Image(np.zeros((8, 8)))]
TRAINED = TrainingRecord(
    config={}, data_sha256="", n_images=1, n_validation_images=0, metric_name="IoU", history=(), seed=0, versions={},
    timestamp="", seconds=1.0, ended_by="schedule",
)  # fmt: skip


def test_a_denoiser_keeps_the_network_and_the_normalization_of_its_parent() -> None:
    kept = with_settings_of(DENOISER, DenoisingTraining(), None, ignore)
    assert kept.architecture == WIDE_VIEW
    assert kept.normalization == StandardNormalization()


def test_what_was_asked_for_stays() -> None:
    other, percentiles = DnCNNConfig(depth=8), PercentileNormalization()
    kept = with_settings_of(
        DENOISER, DenoisingTraining(architecture=other, normalization=percentiles), ONE_CHANNEL, ignore
    )
    assert (kept.architecture, kept.normalization) == (other, percentiles)


@pytest.mark.parametrize(
    ("parent", "config"),
    [
        (None, DenoisingTraining()),
        (SEGMENTER, DenoisingTraining()),
        (DENOISER, SegmentationTraining()),
        (DENOISER, DenoisingTraining(recipe="lecture")),
    ],
    ids=["from scratch", "other task", "other task, the other way round", "lecture"],
)
def test_nothing_is_taken_from_what_does_not_fit(parent: ModelCard | None, config: Any) -> None:
    assert with_settings_of(parent, config, ONE_CHANNEL, ignore) == config


def test_a_segmentation_keeps_all_but_channels_and_maps_which_its_data_choose() -> None:
    kept = with_settings_of(SEGMENTER, SegmentationTraining(), ONE_CHANNEL, ignore)
    assert kept.architecture == UNetConfig(width=4, poolings=2)
    assert kept.normalization == StandardNormalization()


def test_a_network_for_volumes_does_not_make_volumes_of_planes() -> None:
    volumes = card(UNetConfig(width=4, n_dims=3, out_channels=2), "segmentation", classes=("background", "cell"))
    architecture = with_settings_of(volumes, SegmentationTraining(), ONE_CHANNEL, ignore).architecture
    assert architecture is None or architecture.n_dims == 2


def test_lipschitz_1_layers_stay_also_in_the_lecture_recipe() -> None:
    config = {"lip1_layers": True}
    limited = SEGMENTER.model_copy(update={"training": TRAINED.model_copy(update={"config": config})})
    told: list[Event] = []
    kept = with_settings_of(limited, SegmentationTraining(recipe="lecture"), ONE_CHANNEL, told.append)
    assert kept == SegmentationTraining(recipe="lecture", lip1_layers=True)
    assert [type(event) for event in told] == [Notice]


def test_a_normalization_is_for_as_many_channels() -> None:
    two = [Image(np.zeros((2, 8, 8)), "CYX")]
    assert with_settings_of(SEGMENTER, SegmentationTraining(), two, ignore).normalization is None


def test_a_denoiser_goes_on_with_every_weight_of_its_parent(scenes: Make, denoising: Make) -> None:
    images, _ = scenes(3)
    parent = train(
        None, images, denoising(architecture=WIDE_VIEW, normalization={"method": "stabilized"}), monitor=ignore
    )
    short = {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-9, "patch_px": 32, "batch_size": 2, "device": "cpu"}
    told: list[Event] = []
    child = train(images, images, DenoisingTraining.model_validate(short), start=parent, monitor=told.append)
    assert not [event for event in told if isinstance(event, Notice) and "start anew" in event.message]
    assert child.card.architecture == parent.card.architecture
    assert child.card.normalization == parent.card.normalization
    for name, weight in parent.network.state_dict().items():
        torch.testing.assert_close(child.network.state_dict()[name], weight, atol=1e-6, rtol=0)


def test_a_narrow_unet_goes_on_with_the_maps_that_its_new_classes_need(scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(3)
    parent = train(images, annotations, segmentation(epochs=1), monitor=ignore)
    classes = [Annotation(Image((a.labels.data > 0).astype(np.uint8))) for a in annotations]
    config = segmentation(objects=False, classes=("a", "b"), architecture=None, epochs=1, steps_per_epoch=1)
    child = train(images, classes, config, start=parent, monitor=ignore)
    assert child.card.architecture == parent.card.architecture.model_copy(update={"out_channels": 2})
