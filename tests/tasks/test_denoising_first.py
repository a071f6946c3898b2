"""Noisy fluorescence images are denoised before they are segmented, and it is said; others stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unveil.config.options import SegmentationOptions
from unveil.events import Event, Notice
from unveil.image import Image
from unveil.model.model import Model
from unveil.tasks.denoising_first import decide
from unveil.tasks.segment import segment

OPTIONS = SegmentationOptions(precision="exact", engine="torch", device="cpu")


@pytest.fixture
def fluorescence_model(make_tiny_model: Any) -> Model:
    model: Model = make_tiny_model()
    return replace(model, card=model.card.model_copy(update={"tags": ("fluorescence",)}))


def scene(noise: float, shape: tuple[int, ...] = (120, 140)) -> np.ndarray:
    """Smooth blobs of grey values from about 0 to 200, and noise of a standard deviation of `noise` times that."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=shape), (*[0] * (len(shape) - 2), 8, 8))
    smooth = 200 * (smooth - smooth.min()) / np.ptp(smooth)
    return (smooth + rng.normal(0, 200 * noise, shape)).astype(np.float32)


def decided(image: Image, model: Model, options: SegmentationOptions = OPTIONS) -> tuple[str, list[Event]]:
    events: list[Event] = []
    return decide(image, model.card, (0,), options, events.append).denoise_first, events


def test_a_noisy_image_is_denoised_and_it_is_said(fluorescence_model: Model) -> None:
    image, events = Image(scene(0.15)), list[Event]()
    found = segment(image, fluorescence_model, options=OPTIONS, monitor=events.append)
    asked = segment(image, fluorescence_model, options=OPTIONS.model_copy(update={"denoise_first": "on"}))
    np.testing.assert_array_equal(found.probabilities.data, asked.probabilities.data)
    assert found.report.options["denoise_first"] == "on"
    [notice] = [event for event in events if isinstance(event, Notice)]
    assert "'image' is noisy" in notice.message
    assert "denoised first" in notice.message


def test_a_clean_image_stays_as_it_is(fluorescence_model: Model) -> None:
    found = segment(Image(scene(0.01)), fluorescence_model, options=OPTIONS)
    assert found.report.options["denoise_first"] == "off"


def test_other_models_get_the_image_that_they_learnt_from(make_tiny_model: Any) -> None:
    assert decided(Image(scene(0.15)), make_tiny_model()) == ("off", [])


@pytest.mark.parametrize("choice", ["on", "off"])
def test_what_the_user_chose_stays(choice: str, fluorescence_model: Model) -> None:
    options = OPTIONS.model_copy(update={"denoise_first": choice})
    assert decided(Image(scene(0.15)), fluorescence_model, options) == (choice, [])


@pytest.mark.parametrize(
    ("pixels", "axes", "expected"),
    [
        (np.full((40, 50), 7, np.uint8), "YX", "off"),
        (np.zeros((3, 3), np.float32), "YX", "off"),
        (np.where(np.arange(140) < 4, np.nan, scene(0.15)), "YX", "on"),
        (np.full((20, 30), np.nan, np.float32), "YX", "off"),
        (np.where(np.arange(140) < 4, 1e30, scene(0.15)), "YX", "on"),
        (1e304 * scene(0.15).astype(np.float64), "YX", "off"),
        (np.stack([np.zeros((120, 140), np.float32), scene(0.15), np.zeros((120, 140), np.float32)]), "TYX", "on"),
        (scene(0.15, (2100, 300)), "YX", "on"),
        (scene(0.01, (300, 2100)), "YX", "off"),
    ],
    ids=[
        "constant",
        "tiny",
        "some-nan",
        "all-nan",
        "some-huge",
        "all-huge",
        "middle-of-a-stack",
        "tall-noisy",
        "wide-clean",
    ],
)
def test_odd_images(pixels: np.ndarray, axes: str, expected: str, fluorescence_model: Model) -> None:
    assert decided(Image(pixels, axes), fluorescence_model)[0] == expected
