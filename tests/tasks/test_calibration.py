"""A model whose probabilities are wrong by a known temperature: it is found, and kept in the card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unveil.config.normalization import FixedNormalization
from unveil.config.options import SegmentationOptions
from unveil.errors import ImageError, MismatchError
from unveil.events import ignore
from unveil.image import Image
from unveil.io.model_file import load_model, save_model
from unveil.model.model import Model
from unveil.operators.calibration import Reliability
from unveil.tasks.calibration import calibrate
from unveil.tasks.segment import segment

Make = Callable[..., Model]
GREY = FixedNormalization(mean=(0,), std=(1,))


def drawn(temperature: float, seed: int) -> tuple[Image, Image]:
    """Draw a truth whose odds are those of the brightness model (20 · grey − 10) at another temperature."""
    rng = np.random.default_rng(seed)
    grey = rng.uniform(0.2, 0.8, (64, 64)).astype(np.float32)
    share = 1 / (1 + np.exp(-(20 * grey - 10) / temperature))
    return Image(grey), Image((rng.random(grey.shape) < share).astype(np.uint8))


def reliability(model: Model, image: Image, truth: Image) -> float:
    found = Reliability()
    maps = segment(image, model, options=SegmentationOptions(precision="exact"), monitor=ignore).probabilities
    found.add(np.asarray(maps.data)[0], np.asarray(truth.data))
    return found.expected_calibration_error


@pytest.mark.parametrize("objects", [True, False])
def test_the_temperature_is_found_and_kept(brightness_model: Make, objects: bool, tmp_path: Path) -> None:
    model = brightness_model(objects=objects, normalization=GREY)
    teaching, judging = [drawn(2.5, seed) for seed in (1, 2)], drawn(2.5, 3)
    cooler = calibrate(model, *zip(*teaching, strict=True))
    assert cooler.card.temperature == pytest.approx(2.5, rel=0.1)
    assert reliability(cooler, *judging) < 0.03 < reliability(model, *judging)
    assert calibrate(cooler, *zip(*teaching, strict=True)).card.temperature == pytest.approx(
        cooler.card.temperature, rel=0.02
    )
    save_model(cooler, tmp_path / "cooler.safetensors")
    again = load_model(tmp_path / "cooler.safetensors")
    assert again.card.temperature == cooler.card.temperature
    assert again.check_deviation() < 1e-6


def test_the_temperature_is_that_of_images_as_they_are(brightness_model: Make) -> None:
    model = brightness_model(normalization=GREY, pixel_size_um={"Y": 1.0, "X": 1.0})
    image, truth = drawn(2.5, 1)
    finer = Image(image.data, pixel_size_um={"Y": 0.5, "X": 0.5})
    found = [calibrate(model, [each], [truth]).card.temperature for each in (image, finer)]
    assert found[0] == found[1]


def test_engines_compute_at_the_temperature(brightness_model: Make) -> None:
    model = brightness_model(normalization=GREY)
    image, truth = drawn(2.5, 1)
    cooler = calibrate(model, [image], [truth])
    maps = [
        np.asarray(
            segment(
                image, cooler, options=SegmentationOptions(engine=engine, precision="exact"), monitor=ignore
            ).probabilities.data
        )
        for engine in ("torch", "openvino")
    ]
    np.testing.assert_allclose(*maps, atol=1e-5)
    z = np.log(maps[0] / (1 - maps[0]))
    np.testing.assert_allclose(z[0], (20 * np.asarray(image.data) - 10) / cooler.card.temperature, atol=1e-3)


def test_without_images_there_is_nothing_to_fit(brightness_model: Make) -> None:
    with pytest.raises(ImageError, match="No image was given"):
        calibrate(brightness_model(normalization=GREY), [], [])


def test_an_image_of_another_kind_is_refused(brightness_model: Make) -> None:
    colour = Image(np.zeros((3, 8, 8), np.float32), "CYX")
    with pytest.raises(MismatchError):
        calibrate(brightness_model(normalization=GREY), [colour], [Image(np.zeros((8, 8), np.uint8))])
