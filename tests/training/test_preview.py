"""Previews: what the network gives, as it will be given by the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation
from unveil.errors import ImageError
from unveil.image import Image
from unveil.training.initial_weights import random_network
from unveil.training.lesson import Lesson, prepare_lesson
from unveil.training.plan import with_recipe
from unveil.training.preview import preview_maps
from unveil.training.validation import on_device


@pytest.fixture
def segmentation(make_blobs: Callable[..., Image]) -> Lesson:
    image = make_blobs()
    labels = Annotation(Image((np.asarray(image.data) > 60).astype(np.uint8)))
    config = SegmentationTraining(architecture=UNetConfig(width=3, poolings=2), validation_fraction=0)
    return prepare_lesson([image], [labels], with_recipe(config), None)


@pytest.fixture
def denoising(make_blobs: Callable[..., Image]) -> Lesson:
    config = DenoisingTraining(architecture=DnCNNConfig(depth=2, width=3), validation_fraction=0)
    return prepare_lesson(None, [make_blobs()], with_recipe(config), None)


def shown(lesson: Lesson, image: Image) -> np.ndarray:
    network = random_network(lesson.architecture, 0)
    return preview_maps(on_device(network, torch.device("cpu"), None), image, lesson)


def test_probabilities_of_every_class_sum_to_1(segmentation: Lesson, make_blobs: Callable[..., Image]) -> None:
    maps = shown(segmentation, make_blobs((37, 51)))
    assert maps.shape == (2, 37, 51)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps.sum(axis=0), 1, atol=1e-6)
    assert maps.min() >= 0


def test_the_first_plane_is_shown(segmentation: Lesson, make_blobs: Callable[..., Image]) -> None:
    stack = make_blobs((3, 40, 40), "ZYX")
    plane = Image(np.asarray(stack.data)[0])
    np.testing.assert_array_equal(shown(segmentation, stack), shown(segmentation, plane))


def test_a_denoised_image_has_the_grey_values_of_its_own(denoising: Lesson, make_blobs: Callable[..., Image]) -> None:
    grey = np.asarray(make_blobs((37, 51)).data)
    maps = shown(denoising, Image(grey))
    assert maps.shape == (1, 37, 51)
    assert np.abs(maps[0] - grey).max() < 0.5 * np.ptp(grey), "an untrained network hardly changes anything"
    brighter = shown(denoising, Image((1000 + 3 * grey.astype(float)).astype(np.float32)))
    np.testing.assert_allclose(brighter, 1000 + 3 * maps, rtol=1e-3)


def test_channels_are_denoised_each_by_itself(denoising: Lesson, make_blobs: Callable[..., Image]) -> None:
    both = make_blobs((2, 40, 40), "CYX")
    maps = shown(denoising, both)
    assert maps.shape == (2, 40, 40)
    np.testing.assert_array_equal(maps[1], shown(denoising, Image(np.asarray(both.data)[1]))[0])


def test_an_image_of_other_channels_is_refused(segmentation: Lesson, make_blobs: Callable[..., Image]) -> None:
    with pytest.raises(ImageError, match="preview has 2 channels; the network in training takes 1"):
        shown(segmentation, make_blobs((2, 40, 40), "CYX"))


def test_probabilities_are_as_sure_as_the_training_takes_them_for(segmentation: Lesson) -> None:
    image = Image(np.random.default_rng(0).random((40, 40)).astype(np.float32))
    usual, warm = (shown(replace(segmentation, learnt_at=temperature), image) for temperature in (1.0, 2.0))
    np.testing.assert_allclose(np.log(warm[1] / warm[0]), np.log(usual[1] / usual[0]) / 2, atol=1e-5)


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -3.4e38])
def test_what_is_no_number_counts_as_the_lowest(denoising: Lesson, nothing: float) -> None:
    grey = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    grey[7, 7] = grey.min()
    holed = grey.copy()
    holed[7, 7] = nothing
    np.testing.assert_array_equal(shown(denoising, Image(holed)), shown(denoising, Image(grey)))
    assert np.isfinite(shown(denoising, Image(np.full((40, 40), nothing, np.float32)))).all()
