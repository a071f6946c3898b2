"""Images are brought to the model's pixel size, and results back to the image's grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.config.objects import ObjectRule
from unveil.config.options import SegmentationOptions
from unveil.errors import MismatchError, UnveilWarning
from unveil.events import ignore
from unveil.image import Image
from unveil.tasks.frame_canvas import chosen_rule
from unveil.tasks.rescaling import factors_to_model, resized, resized_shape, scale_factors
from unveil.tasks.segment import segment

EXACT = SegmentationOptions(precision="exact", engine="torch", device="cpu")


def test_rescaling_brings_the_image_to_the_models_pixel_size(squares: Any, brightness_model: Any) -> None:
    model = brightness_model(pixel_size_um={"Y": 1.0, "X": 1.0}, rule=ObjectRule(reach_px=10))
    image = Image(squares((48, 60), (6, 8), (30, 40), size=12), "YX", pixel_size_um={"Y": 0.5, "X": 0.5})
    with pytest.warns(UnveilWarning, match="resized by 0.5 × 0.5"):
        result = segment(image, model, options=EXACT)
    assert result.report.scale == (0.5, 0.5)
    assert result.report.tile == (24, 30)
    assert result.labels.shape == (48, 60)
    assert result.report.n_objects == 2
    whole = segment(image, model, options=EXACT.model_copy(update={"rescale": "off"}))
    assert whole.report.scale == ()
    differs = np.asarray(result.labels.data) != np.asarray(whole.labels.data)
    assert differs.mean() < 0.05  # interpolation moves borders by at most a pixel
    rule = chosen_rule(model.card.objects, EXACT, result.report.scale)  # type: ignore[arg-type]
    assert rule.reach_px == 20


@pytest.mark.parametrize(
    ("image_um", "model_um", "is_resized"),
    [
        (0.5, 0.6, False),
        (0.5, 0.62, False),
        (0.5, 0.63, True),
        (0.5, 0.3, True),
        (None, 0.3, False),
        (0.5, None, False),
    ],
)
def test_rescaling_begins_beyond_a_quarter(
    image_um: float | None, model_um: float | None, is_resized: bool, squares: Any, brightness_model: Any
) -> None:
    sizes = [{} if um is None else {"Y": um, "X": um} for um in (image_um, model_um)]
    image = Image(squares((32, 32), (6, 8), size=12), "YX", pixel_size_um=sizes[0])
    result = segment(image, brightness_model(pixel_size_um=sizes[1]), options=EXACT, monitor=ignore)
    assert bool(result.report.scale) == is_resized


@pytest.mark.parametrize("image_um", [0.001, 500.0])
def test_pixel_sizes_that_hardly_both_are_right_are_refused(
    image_um: float, squares: Any, brightness_model: Any
) -> None:
    model = brightness_model(pixel_size_um={"Y": 0.5, "X": 0.5})
    image = Image(squares((32, 32), (6, 8), size=12), "YX", pixel_size_um={"Y": 0.5, "X": image_um}, name="cells")
    fold = f"{max(image_um / 0.5, 0.5 / image_um):,.0f}"
    told = rf"{image_um:g} µm along X .* 0\.5 µm: they differ {fold}-fold.*rescale off"
    with pytest.raises(MismatchError, match=told):
        segment(image, model, options=EXACT, monitor=ignore)
    off = EXACT.model_copy(update={"rescale": "off"})
    assert segment(image, model, options=off, monitor=ignore).report.n_objects == 1


def test_a_small_factor_is_told_with_its_digits(squares: Any, brightness_model: Any) -> None:
    model = brightness_model(pixel_size_um={"Y": 1.0, "X": 1.0})
    image = Image(squares((64, 64), (6, 8), size=40), "YX", pixel_size_um={"Y": 0.0625, "X": 0.0625})
    with pytest.warns(UnveilWarning, match=r"resized by 0\.0625 × 0\.0625"):
        segment(image, model, options=EXACT)


@pytest.mark.parametrize("rescale", [2.0, 0.5])
def test_the_models_smallest_object_is_brought_to_the_images_pixels(
    rescale: float, squares: Any, brightness_model: Any
) -> None:
    size = int(20 / rescale)
    image = Image(squares((96, 96), (10, 10), (60, 60), size=size) + squares((96, 96), (10, 70), size=size // 2))
    model = brightness_model(rule=ObjectRule(min_size=300))  # as the model sees them: 400 pixels, and 100
    result = segment(image, model, options=EXACT.model_copy(update={"rescale": rescale}), monitor=ignore)
    assert result.report.n_objects == 2
    asked = EXACT.model_copy(update={"rescale": rescale, "min_size": 5 * size * size})
    assert segment(image, model, options=asked, monitor=ignore).report.n_objects == 0


def test_nothing_is_resized_where_the_size_along_one_axis_is_not_known(brightness_model: Any) -> None:
    both, one = {"Y": 0.5, "X": 0.5}, {"X": 2.0}
    assert factors_to_model(one, brightness_model(pixel_size_um=both).card) == ()
    assert factors_to_model(both, brightness_model(pixel_size_um=one).card) == ()
    assert factors_to_model({"Y": 0.5, "X": 2.0}, brightness_model(pixel_size_um=both).card) == (1, 4)


def test_an_image_that_is_denoised_is_resized_by_a_factor_alone(make_tiny_model: Any) -> None:
    card = make_tiny_model("denoising").card.model_copy(update={"pixel_size_um": {"Y": 1.0, "X": 1.0}})
    image = Image(np.eye(16), pixel_size_um={"Y": 0.001, "X": 0.5})
    assert scale_factors(image, card, "auto") == scale_factors(image, card, "off") == ()
    assert scale_factors(image, card, 1.0) == ()
    assert scale_factors(image, card, 0.5) == (0.5, 0.5)


def test_pixels_are_kept_where_an_image_grows_and_smoothed_where_it_shrinks(rng: np.random.Generator) -> None:
    noise = rng.standard_normal((1, 60, 60))
    grown, shrunk = resized(noise, (180, 180)), resized(noise, (15, 60))
    np.testing.assert_allclose(grown[:, 1::3, 1::3], noise, atol=1e-5)
    assert shrunk.std() < 0.55  # 0.71 where pixels between two are their mean, and no more is done
    assert {grown.dtype, shrunk.dtype} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(resized(np.full((2, 9, 9), 60_000, np.uint16), (3, 20)), 60_000)
    assert resized_shape((9, 300), (0.05, 0.05)) == (1, 15)


def test_factor_is_taken_as_it_is(squares: Any, brightness_model: Any) -> None:
    options = EXACT.model_copy(update={"rescale": 2.0})
    result = segment(Image(squares((20, 25), (6, 8))), brightness_model(), options=options, monitor=ignore)
    assert result.report.scale == (2.0, 2.0)
    assert result.report.tile == (40, 50)
