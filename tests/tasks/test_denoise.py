"""The door `denoise`: what it returns, what it refuses, and how it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray

from unveil.config.architecture import DnCNNConfig
from unveil.config.normalization import FixedNormalization, PercentileNormalization
from unveil.config.options import DenoisingOptions
from unveil.errors import ImageError, MismatchError, UnveilWarning
from unveil.events import Cancelled, Event, Progress, ignore
from unveil.image import Image
from unveil.io.model_file import load_model
from unveil.model.card import ModelCard
from unveil.model.model import Model, compute
from unveil.networks.build import build_network
from unveil.operators.normalization import fit_array
from unveil.tasks.denoise import denoise

EXACT = DenoisingOptions(precision="exact", engine="torch", device="cpu")


def doing_nothing(in_channels: int = 1) -> Model:
    """Make a denoiser whose network is zero, so that its output is its input."""
    architecture = DnCNNConfig(depth=2, width=2, in_channels=in_channels)
    network = build_network(architecture)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    card = ModelCard.describe(
        architecture, name="nothing", task="denoising", normalization=PercentileNormalization(low=0.5, high=99.9)
    )
    return Model.make(card, network, np.ones((1, in_channels, 8, 8), np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_grey_values_come_back(rng: np.random.Generator, dtype: Any) -> None:
    pixels = (rng.random((30, 41)) * 200).astype(dtype)
    image = Image(pixels, "YX", pixel_size_um={"Y": 0.2, "X": 0.2}, name="cells")
    result = denoise(image, doing_nothing(), options=EXACT).image
    assert result.data.dtype == np.float32
    np.testing.assert_allclose(result.data, pixels, atol=1e-3)
    assert (result.axes, dict(result.pixel_size_um), result.name) == ("YX", {"Y": 0.2, "X": 0.2}, "cells")


@pytest.mark.parametrize("tile", [1, 9, 64])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_every_tile_gives_the_result_of_the_whole(
    make_tiny_model: Any, make_blobs: Any, n_dims: int, tile: int
) -> None:
    model = make_tiny_model("denoising", n_dims=n_dims)
    image = make_blobs((5, 14, 19)[-n_dims:], "ZYX"[-n_dims:], dtype=np.float32)
    grey = np.asarray(image.data)[np.newaxis]
    affine = fit_array(model.card.normalization, grey)
    expected = affine.invert(compute(model.inference_module(), affine.apply(grey)[np.newaxis])[0])[0]
    result = denoise(image, model, options=EXACT.model_copy(update={"tile": tile}))
    np.testing.assert_allclose(result.image.data, expected, rtol=1e-5)


@pytest.mark.parametrize("axes", ["YX", "CYX", "TYX", "ZYX", "TCZYX"])
def test_axes_stay(rng: np.random.Generator, axes: str) -> None:
    shape = [{"T": 2, "C": 3, "Z": 2, "Y": 12, "X": 14}[axis] for axis in axes]
    image = Image(rng.random(shape), axes, channel_names=("a", "b", "c") if "C" in axes else ())
    result = denoise(image, doing_nothing(), options=EXACT).image
    assert (result.axes, result.channel_names) == (axes, image.channel_names)
    np.testing.assert_allclose(result.data, image.data, atol=1e-5)


def test_channels_are_denoised_each_by_itself(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((2, 24, 30), "CYX"), make_tiny_model("denoising")
    together = denoise(image, model, options=EXACT).image
    for channel in range(2):
        alone = denoise(Image(image.data[channel]), model, options=EXACT).image
        np.testing.assert_array_equal(together.data[channel], alone.data)


def test_chosen_channel_comes_without_its_axis(make_blobs: Any) -> None:
    image = make_blobs((3, 2, 24, 30), "TCYX", channel_names=("DAPI", "actin"))
    result = denoise(image, doing_nothing(), options=EXACT.model_copy(update={"channel": "actin"})).image
    assert result.axes == "TYX"
    np.testing.assert_allclose(result.data, image.data[:, 1], atol=1e-2)


def test_model_of_several_channels_takes_them_together(make_blobs: Any) -> None:
    image = make_blobs((2, 24, 30), "CYX")
    result = denoise(image, doing_nothing(in_channels=2), options=EXACT).image
    np.testing.assert_allclose(result.data, image.data, atol=1e-2)


def test_wrong_number_of_channels_is_refused(make_blobs: Any) -> None:
    with pytest.raises(MismatchError, match="has 3 channels; model 'nothing' expects 2"):
        denoise(make_blobs((3, 24, 30), "CYX"), doing_nothing(in_channels=2), options=EXACT)


def test_segmentation_model_is_refused(make_tiny_model: Any) -> None:
    with pytest.raises(MismatchError, match=r"was made for segmentation, not for denoising\. Use it with segment"):
        denoise(Image(np.eye(16)), make_tiny_model())


def test_no_image_is_refused() -> None:
    with pytest.raises(ImageError, match="Found a NoneType"):
        denoise(None, doing_nothing())  # type: ignore[arg-type]


def test_plane_is_refused_by_a_model_for_volumes(make_tiny_model: Any) -> None:
    with pytest.raises(MismatchError, match="expects volumes"):
        denoise(Image(np.eye(16)), make_tiny_model("denoising", n_dims=3))


def test_constant_image_stays_as_it_is() -> None:
    pixels = np.stack([np.full((8, 8), 7.0), np.eye(8)])
    with pytest.warns(UnveilWarning, match="constant in 1 of 2 frames"):
        result = denoise(Image(pixels, "TYX"), doing_nothing(), options=EXACT).image
    np.testing.assert_allclose(result.data, pixels, atol=1e-6)


def test_pixels_that_are_not_finite_get_a_value(rng: np.random.Generator) -> None:
    pixels = rng.random((16, 16))
    pixels[3, 4] = np.nan
    with pytest.warns(UnveilWarning, match="1 pixel of image .image. was"):
        result = denoise(Image(pixels), doing_nothing(), options=EXACT).image
    assert np.isfinite(result.data).all()
    np.testing.assert_allclose(np.asarray(result.data)[3, 4], np.nanmean(pixels), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::unveil.errors.UnveilWarning")
@pytest.mark.parametrize("huge", [9e17, 1e25, 1e30])
def test_huge_pixels_are_denoised_like_others(make_tiny_model: Any, rng: np.random.Generator, huge: float) -> None:
    pixels = rng.random((128, 128)).astype(np.float32)
    pixels[rng.random(pixels.shape) < 0.3] = huge
    found = denoise(Image(pixels), make_tiny_model("denoising"), options=EXACT)
    assert np.isfinite(found.image.data).all()


def test_image_without_any_finite_pixel_is_refused() -> None:
    untouched = np.full((8, 8), 5, np.float32)
    with pytest.raises(ImageError, match="holds no finite pixel"):
        denoise(Image(np.full((8, 8), np.inf)), doing_nothing(), options=EXACT, into=untouched)
    assert (untouched == 5).all()


def test_result_goes_into_the_array_given(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((2, 30, 40), "TYX"), make_tiny_model("denoising")
    options = EXACT.model_copy(update={"tile": 16})
    target = zarr.zeros((2, 30, 40), dtype="f4", chunks=(1, 16, 16))
    assert denoise(image, model, options=options, into=target).image.data is target
    np.testing.assert_array_equal(target[:], denoise(image, model, options=options).image.data)


@pytest.mark.parametrize("into", [np.zeros((3, 3), np.float32), np.zeros((16, 16), np.uint8)])
def test_array_that_does_not_fit_is_refused(into: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"needs \(16, 16\) and a float dtype"):
        denoise(Image(np.eye(16)), doing_nothing(), into=into)


def test_image_is_resized_only_by_a_factor() -> None:
    card = doing_nothing().card.model_copy(update={"pixel_size_um": {"Y": 1.0, "X": 1.0}})
    model = Model.make(card, doing_nothing().network, np.ones((1, 1, 8, 8), np.float32))
    image = Image(np.add.outer(np.arange(20.0), np.arange(24.0)), "YX", pixel_size_um={"Y": 0.3, "X": 0.3})
    assert denoise(image, model, options=EXACT).report.scale == ()
    with pytest.warns(UnveilWarning, match="resized by 0.5 × 0.5"):
        result = denoise(image, model, options=EXACT.model_copy(update={"rescale": 0.5}))
    assert result.report.scale == (0.5, 0.5)
    np.testing.assert_allclose(result.image.data[4:-4, 4:-4], image.data[4:-4, 4:-4], atol=0.6)


def test_fixed_normalization_needs_no_pass_of_its_own(rng: np.random.Generator) -> None:
    card = doing_nothing().card.model_copy(update={"normalization": FixedNormalization(mean=(90.0,), std=(40.0,))})
    model = Model.make(card, doing_nothing().network, np.ones((1, 1, 8, 8), np.float32))
    image = Image(rng.integers(0, 255, (16, 18)).astype(np.uint8))
    np.testing.assert_allclose(denoise(image, model, options=EXACT).image.data, image.data, atol=1e-4)


def test_progress_counts_channels_and_frames(make_tiny_model: Any, make_blobs: Any) -> None:
    events: list[Event] = []
    options = EXACT.model_copy(update={"tile": 16})
    denoise(make_blobs((2, 3, 20, 30), "TCYX"), make_tiny_model("denoising"), options=options, monitor=events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    assert {p.total for p in progress} == {2 * 3 * 4}
    assert progress[-1].done == 2 * 3 * 4


@pytest.mark.parametrize("call", [1, 3, 7])
def test_cancelling_leaves_nothing_further_written(make_tiny_model: Any, make_blobs: Any, call: int) -> None:
    n_calls = 0

    def monitor(event: Event) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == call:
            raise Cancelled

    target = np.full((64, 64), np.nan, np.float32)
    options = EXACT.model_copy(update={"tile": 16})
    with pytest.raises(Cancelled):
        denoise(make_blobs((64, 64)), make_tiny_model("denoising"), options=options, into=target, monitor=monitor)
    assert np.isfinite(target).sum() == (call - 1) * 16 * 16


def test_report_tells_what_was_done(make_tiny_model: Any, make_blobs: Any) -> None:
    report = denoise(make_blobs(), make_tiny_model("denoising"), options=EXACT, monitor=ignore).report
    assert (report.model, report.engine, report.precision) == ("tiny-denoising", "torch", "float32")
    assert report.n_objects is None


@pytest.mark.parametrize("photons", [0, 25], ids=["of the camera", "of the light"])
def test_flat_ground_keeps_its_brightness(photons: int, rng: np.random.Generator) -> None:
    yy, xx = np.mgrid[:256, :256]
    clean = 100 + 500 * np.exp(-((yy - 60) ** 2 + (xx - 60) ** 2) / 450)
    noisy = 100 / photons * rng.poisson(clean * photons / 100) if photons else clean + rng.normal(0, 20, clean.shape)
    denoised = denoise(Image(noisy.astype(np.float32)), load_model("fluorescence-denoiser"), options=EXACT).image
    ground = np.asarray(denoised.data)[130:250, 130:250]
    assert ground.mean() == pytest.approx(100, abs=0.05 * 20)  # of the noise's standard deviation
    assert ground.std() < 0.1 * 20
