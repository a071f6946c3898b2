"""A denoiser that is adapted to noisy images knows them better, and its card says what was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from unveil.config.architecture import DnCNNConfig
from unveil.config.normalization import FixedNormalization, NoiseNormalization, StabilizedNormalization
from unveil.config.options import DenoisingOptions
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import Notice, ignore
from unveil.image import Image
from unveil.io.model_file import load_model
from unveil.model.model import Model
from unveil.tasks.denoise import denoise
from unveil.tasks.train import train

Make = Callable[..., Any]
GAIN, READ_NOISE = 4.0, 6.0


def scene(n_frames: int = 1, size: int = 128, *, is_smooth: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return stripes or clouds of grey values from 50 to 350, and frames of them with Poisson and Gaussian noise."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), 20)
    field /= field.std()
    clean = (
        50 + 300 / (1 + np.exp(4 - 4 * field)) if is_smooth else 200 + 150 * np.sin(np.arange(size) / 1.5 + 2 * field)
    )
    noisy = GAIN * rng.poisson(clean / GAIN, (n_frames, size, size)) + rng.normal(0, READ_NOISE, (n_frames, size, size))
    return clean, noisy.astype(np.float32)


def error_of(model: Model, noisy: np.ndarray, clean: np.ndarray) -> float:
    options = DenoisingOptions(precision="exact", engine="torch", device="cpu", skip_check=True)
    denoised = np.asarray(denoise(Image(noisy), model, options=options, monitor=ignore).image.data)
    return float(np.sqrt(np.mean((denoised - clean) ** 2)))


@pytest.fixture
def adapting(denoising: Make) -> Make:
    def settings(**changes: Any) -> Any:
        usual = {"noisy_only": "adapt", "epochs": 2, "steps_per_epoch": 20, "batch_size": 4, "learning_rate": 1e-3}
        return denoising(**usual | changes)

    return settings


@pytest.fixture
def small(denoising: Make) -> Make:
    """Return a maker of small denoisers, taught by smooth images."""

    def make(**changes: Any) -> Model:
        clean = [Image(ndimage.gaussian_filter(np.random.default_rng(i).random((48, 48)), 3) * 1e3) for i in range(2)]
        usual = {"architecture": DnCNNConfig(depth=3, width=4), "epochs": 1, "steps_per_epoch": 5, "batch_size": 2}
        return train(None, clean, denoising(**usual | changes), monitor=ignore)

    return make


def test_the_error_against_the_truth_falls(adapting: Make) -> None:
    clean, noisy = scene()
    start = load_model("fluorescence-denoiser")

    model = train([Image(noisy[0])], None, adapting(), start=start, monitor=ignore)

    assert error_of(model, noisy[0], clean) < 0.9 * error_of(start, noisy[0], clean)


def test_the_card_says_what_was_adapted_and_how_noisy_the_images_are(adapting: Make) -> None:
    clean, noisy = scene(size=256, is_smooth=True)
    start = load_model("fluorescence-denoiser")
    heard = []

    model = train([Image(noisy[0])], None, adapting(steps_per_epoch=1), start=start, monitor=heard.append)

    card, record = model.card, model.card.training
    assert record is not None
    assert (card.architecture, card.normalization) == (start.card.architecture, start.card.normalization)
    assert (record.config["noisy_only"], record.parent_sha256) == ("adapt", start.card.weights_sha256)
    low, high = np.percentile(clean, (0.5, 99.9))
    (poisson, _), (gaussian, _) = record.config["noise"]["poisson"], record.config["noise"]["gaussian"]
    assert poisson == pytest.approx(GAIN / (high - low), rel=0.4)
    assert gaussian == pytest.approx(np.sqrt(GAIN * low + READ_NOISE**2) / (high - low), rel=0.4)
    assert (record.n_images, record.n_validation_images) == (1, 0)
    assert {line.metric for line in record.history} == {None}
    (told,) = [event.message for event in heard if isinstance(event, Notice) and "adapted" in event.message]
    assert "'fluorescence-denoiser' is adapted to these images" in told


def test_the_same_images_give_the_same_digest_whatever_the_denoiser(adapting: Make, small: Make) -> None:
    _, noisy = scene(size=64)
    digests = {
        train(
            [Image(noisy[0])], None, adapting(epochs=1, steps_per_epoch=1), start=start, monitor=ignore
        ).card.training.data_sha256
        for start in (small(), small(seed=1))
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "normalization",
    [NoiseNormalization(), StabilizedNormalization(), FixedNormalization(mean=(200.0,), std=(80.0,)), None],
)
def test_every_normalization_adapts_and_keeps_its_level(normalization: Any, adapting: Make, small: Make) -> None:
    clean, noisy = scene(size=64)
    start = small(normalization=normalization, steps_per_epoch=60)

    model = train([Image(noisy[0])], None, adapting(), start=start, monitor=ignore)

    assert model.card.normalization == start.card.normalization
    assert error_of(model, noisy[0], clean) < error_of(start, noisy[0], clean)


def test_noise_of_all_frames_and_channels_is_learnt(adapting: Make, small: Make) -> None:
    clean, noisy = scene(2, size=64)
    weak = clean + np.random.default_rng(1).normal(0, 3, (2, 64, 64))
    stack = Image(np.stack([noisy, weak.astype(np.float32)], axis=1), "TCYX")

    model = train([stack], None, adapting(epochs=1, steps_per_epoch=1), start=small(), monitor=ignore)

    record = model.card.training
    weakest, strongest = record.config["noise"]["gaussian"]
    assert weakest < 0.02
    assert strongest > 2 * weakest


def test_a_plane_that_shows_nothing_does_not_count_as_very_noisy(adapting: Make) -> None:
    _, noisy = scene(2, size=64)
    noisy[1] = 200 + np.random.default_rng(1).normal(0, READ_NOISE, (64, 64))
    once = adapting(epochs=1, steps_per_epoch=1)

    model = train([Image(noisy, "TYX")], None, once, start=load_model("fluorescence-denoiser"), monitor=ignore)

    assert model.card.training.config["noise"]["gaussian"][1] < 0.2  # by its own range, the empty one's is 1.5


def test_there_must_be_a_denoiser_to_adapt(adapting: Make) -> None:
    _, noisy = scene(size=64)
    with pytest.raises(ConfigError, match="begins with a trained denoiser"):
        train([Image(noisy[0])], None, adapting(), monitor=ignore)


@pytest.mark.parametrize("name", ["nuclei", "gaussian-filter"])
def test_what_is_no_trainable_denoiser_is_refused(name: str, adapting: Make) -> None:
    _, noisy = scene(size=64)
    with pytest.raises(MismatchError, match="begins with a trained denoiser"):
        train([Image(noisy[0])], None, adapting(), start=load_model(name), monitor=ignore)


def test_images_without_noise_are_refused(adapting: Make, small: Make) -> None:
    flat = np.zeros((64, 64), np.float32)
    flat[:, 32:] = 100
    with pytest.raises(ImageError, match="no noise"):
        train([Image(flat)], None, adapting(), start=small(), monitor=ignore)


def test_nothing_judges_what_is_adapted(adapting: Make, small: Make) -> None:
    _, noisy = scene(size=64)
    images = [Image(noisy[0])]
    with pytest.raises(ConfigError, match="judged by none"):
        train(images, None, adapting(), start=small(), validation=(images, None), monitor=ignore)


def test_pixels_that_are_no_numbers_are_named_at_once(adapting: Make, small: Make) -> None:
    pixels = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    pixels[3, 3] = np.nan
    with pytest.raises(ImageError, match=r"'broken' holds NaN, infinity or numbers beyond 1e\+18 in 1 of 1024 pixels"):
        train([Image(pixels, name="broken")], None, adapting(), start=small(), monitor=ignore)
