"""Training without clean images: what comes out is closer to the truth, which nobody showed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from unveil.config.architecture import DnCNNConfig
from unveil.config.options import DenoisingOptions
from unveil.errors import ConfigError, ImageError
from unveil.events import ignore
from unveil.image import Image
from unveil.model.model import Model
from unveil.tasks.denoise import denoise
from unveil.tasks.train import train

Make = Callable[..., Any]
SIGMA = 20.0


def scene(n_frames: int, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth scene of grey values from about 100 to 300, and noisy frames of it."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(size, size)), 3)
    clean = 200 + 40 * smooth / smooth.std()
    return clean, (clean + rng.normal(0, SIGMA, (n_frames, size, size))).astype(np.float32)


def error_of(model: Model, noisy: np.ndarray, clean: np.ndarray) -> float:
    options = DenoisingOptions(precision="exact", engine="torch", device="cpu")
    denoised = np.asarray(denoise(Image(noisy), model, options=options).image.data)
    return float(np.sqrt(np.mean((denoised - clean) ** 2)))


@pytest.fixture
def learner(denoising: Make) -> Make:
    def settings(**changes: Any) -> Any:
        usual = {
            "architecture": DnCNNConfig(depth=3, width=8), "epochs": 4, "steps_per_epoch": 30, "batch_size": 4,
            "learning_rate": 1e-2,
        }  # fmt: skip
        return denoising(**usual | changes)

    return settings


@pytest.mark.parametrize(
    ("noisy_only", "n_frames", "loss"),
    [("blind_spot", 1, "mse"), ("blind_spot", 1, "log_mse"), ("frames", 3, "mse")],
)
def test_the_error_against_the_truth_falls(noisy_only: str, n_frames: int, loss: str, learner: Make) -> None:
    clean, noisy = scene(n_frames)
    image = Image(noisy, "TYX") if n_frames > 1 else Image(noisy[0])
    model = train([image], None, learner(noisy_only=noisy_only, loss=loss), monitor=ignore)
    assert error_of(model, noisy[0], clean) < 0.6 * SIGMA  # 4.4 dB
    record = model.card.training
    assert {line.metric for line in record.history} == {None}
    assert record.history[-1].validation_loss < record.history[0].validation_loss
    assert record.config["noisy_only"] == noisy_only
    assert model.card.task == "denoising"


def test_several_images_are_held_out_as_wholes(learner: Make) -> None:
    _, noisy = scene(3)
    model = train([Image(frame) for frame in noisy], None, learner(epochs=1, steps_per_epoch=2), monitor=ignore)
    assert (model.card.training.n_images, model.card.training.n_validation_images) == (2, 1)


def test_frames_are_needed_where_they_are_to_be_compared(learner: Make) -> None:
    _, noisy = scene(1)
    with pytest.raises(ImageError, match="no frames to compare"):
        train([Image(noisy[0])], None, learner(noisy_only="frames"), monitor=ignore)


@pytest.mark.parametrize("noisy_only", ["adapt", "frames"])
def test_what_noisy_images_alone_would_teach_is_refused_beside_clean_ones(noisy_only: str, learner: Make) -> None:
    clean, noisy = scene(2)
    images, cleans = [Image(frame) for frame in noisy], [Image(clean)] * 2
    for given in (images, None):
        with pytest.raises(ConfigError, match=f"'{noisy_only}', which says how noisy images alone teach"):
            train(given, cleans, learner(noisy_only=noisy_only), monitor=ignore)
