"""Classical filters through the doors: they are models without weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.config.architecture import FilterConfig
from unveil.config.normalization import FixedNormalization
from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.config.training import DenoisingTraining
from unveil.errors import MismatchError
from unveil.events import Event, Notice, ignore
from unveil.image import Image
from unveil.io.model_file import load_model, save_model
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.build import build_network
from unveil.operators.classical import clipped_high_pass, gaussian, median, texture_features, two_textures
from unveil.operators.noise_estimation import estimate_noise
from unveil.tasks.denoise import denoise
from unveil.tasks.segment import segment, separate
from unveil.tasks.train import train


def card(kind: str, task: str, n_dims: int = 2, **fields: Any) -> ModelCard:
    normalization = FixedNormalization(mean=(0,), std=(1,))
    architecture = FilterConfig(kind=kind, size_px=1, n_dims=n_dims)  # type: ignore[arg-type]
    return ModelCard.describe(architecture, name="f", task=task, normalization=normalization, **fields)


@pytest.fixture
def noisy() -> Image:
    ramp = np.linspace(0, 3000, 70) * np.ones((50, 1))
    return Image((1000 + ramp + np.random.default_rng(0).normal(0, 50, (50, 70))).astype(np.uint16), "YX")


@pytest.fixture
def textures() -> Image:
    rng = np.random.default_rng(1)
    return Image(500 + np.where(np.arange(90) < 45, 4, 40) * rng.normal(0, 1, (60, 90)), "YX", name="wound")


def noise_level(grey: np.ndarray) -> float:
    return float(np.sqrt(estimate_noise(grey).variance(grey).mean()))


def pixels(image: Image) -> np.ndarray:
    return np.asarray(image.data)


@pytest.mark.parametrize("tile", [None, 16])
def test_filters_do_what_their_operators_do_whatever_the_tile(noisy: Image, tile: int | None) -> None:
    grey, options = pixels(noisy), DenoisingOptions(tile=tile)
    expected = {
        "gaussian-filter": gaussian(grey, 1),
        "median-filter": median(grey, 1),
        "clipped-high-pass": clipped_high_pass(grey, 1.5, 3 * noise_level(grey)),
    }
    for name, filtered in expected.items():
        result = denoise(noisy, load_model(name), options=options)
        np.testing.assert_allclose(pixels(result.image), filtered, rtol=1e-5)
        assert (result.report.engine, result.report.precision, result.report.device) == ("scipy", "float32", "cpu")
        assert "scipy" in result.report.versions


def test_the_size_is_chosen_and_remembered(noisy: Image, tmp_path: Any) -> None:
    model = load_model("median-filter")
    result = denoise(noisy, model, options=DenoisingOptions(size_px=3, tile=20))
    np.testing.assert_array_equal(pixels(result.image), median(pixels(noisy), 3))
    assert result.report.options["size_px"] == 3
    assert result.report.model_sha256 != model.card.weights_sha256
    save_model(model, tmp_path / "mine.safetensors")
    again = denoise(noisy, load_model(tmp_path / "mine.safetensors"), options=DenoisingOptions(size_px=3))
    assert again.report.model_sha256 == result.report.model_sha256


def test_strength_is_in_standard_deviations_of_the_noise(noisy: Image) -> None:
    result = denoise(noisy, load_model("clipped-high-pass"), options=DenoisingOptions(strength=1, size_px=2))
    expected = clipped_high_pass(pixels(noisy), 2, noise_level(pixels(noisy)))
    np.testing.assert_allclose(pixels(result.image), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"), [("gaussian-filter", {"strength"}), ("fluorescence-denoiser", {"size_px", "strength"})]
)
def test_an_option_that_means_nothing_is_said_to(noisy: Image, name: str, said: set[str]) -> None:
    heard: list[Event] = []
    denoise(noisy, load_model(name), options=DenoisingOptions(size_px=2, strength=1), monitor=heard.append)
    notices = [event.message for event in heard if isinstance(event, Notice)]
    assert {option for option in ("size_px", "strength") if any(option in notice for notice in notices)} == said


@pytest.mark.parametrize("tile", [None, 16])
def test_two_textures_are_a_function_of_the_stitched_features(textures: Image, tile: int | None) -> None:
    result = segment(textures, load_model("two-textures"), options=SegmentationOptions(tile=tile))
    assert result.features is not None
    assert result.features.channel_names[0] == "DCT 0,1"
    np.testing.assert_allclose(pixels(result.features), texture_features(pixels(textures), 4), rtol=1e-4)
    np.testing.assert_array_equal(pixels(result.probabilities)[0], two_textures(pixels(result.features)))
    labels = pixels(result.labels)
    assert labels[:, :40].max() == 0
    assert labels[:, 50:].min() == 1
    assert result.report.n_objects is result.report.expected_iou is None


def test_the_threshold_between_two_textures_can_be_moved(textures: Image) -> None:
    result = segment(textures, load_model("two-textures"))
    moved = separate(result, SegmentationOptions(threshold=0.9))
    assert 0 < pixels(moved.labels).sum() < pixels(result.labels).sum()
    assert moved.features is result.features


def test_stacks_are_divided_plane_by_plane(textures: Image) -> None:
    stack = Image(np.stack([pixels(textures), pixels(textures)[:, ::-1], np.full(textures.shape, 7.0)]), "ZYX")
    result = segment(stack, load_model("two-textures"), monitor=ignore)
    assert result.features is not None
    assert result.features.shape == (8, 3, 60, 90)
    assert result.features.axes == "CZYX"
    assert pixels(result.labels)[:, 30, 10].tolist() == [0, 1, 0]
    assert pixels(result.labels)[:, 30, 80].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("kind", "task"), [("gaussian", "segmentation"), ("texture", "denoising")])
def test_a_filter_has_one_task(kind: str, task: str) -> None:
    with pytest.raises(ValueError, match=f"a {kind} filter is for"):
        card(kind, task, classes=("a", "b") if task == "segmentation" else ())


def test_textures_are_told_apart_in_planes() -> None:
    with pytest.raises(ValueError, match="n_dims must be 2"):
        FilterConfig(kind="texture", size_px=1, n_dims=3)


def test_a_filter_of_volumes_sees_all_three_axes() -> None:
    volume = Image(np.random.default_rng(2).normal(0, 1, (9, 20, 21)), "ZYX")
    described = card("gaussian", "denoising", n_dims=3)
    model = Model.make(described, build_network(described.architecture), np.zeros((1, 1, 4, 4, 4), np.float32))
    result = denoise(volume, model, options=DenoisingOptions(tile=8))
    np.testing.assert_allclose(pixels(result.image), gaussian(pixels(volume), 1), atol=1e-6)


def test_no_training_starts_from_a_filter(noisy: Image) -> None:
    config = DenoisingTraining(epochs=1, steps_per_epoch=1)
    with pytest.raises(MismatchError, match="'gaussian-filter' is a 2D gaussian for denoising"):
        train(None, [noisy], config, start=load_model("gaussian-filter"))
