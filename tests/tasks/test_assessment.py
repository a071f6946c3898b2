"""What `denoise` says of its own result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unveil.config.options import DenoisingOptions
from unveil.events import ignore
from unveil.image import Image
from unveil.io.images import read_image
from unveil.io.library import shipped_models_folder
from unveil.io.model_file import load_model
from unveil.tasks.assessment import spread_over
from unveil.tasks.denoise import denoise

SIGMA = 6.0


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """The sample that is without noise: filaments, grey values 105 to 190."""
    return np.asarray(read_image(shipped_models_folder().parent / "sample_data" / "clean.tif").data, float)[:400, :420]


def noisy_of(scene: np.ndarray, seed: int = 1) -> np.ndarray:
    return scene + np.random.default_rng(seed).normal(0, SIGMA, scene.shape)


@pytest.mark.parametrize("model", ["fluorescence-denoiser", "gaussian-filter", "clipped-high-pass"])
@pytest.mark.parametrize(("tile", "tolerance_db"), [(None, 1.2), (100, 1.5)])
def test_noise_and_psnr_are_near_the_truth(
    scene: np.ndarray, model: str, tile: int | None, tolerance_db: float
) -> None:
    noisy = Image(noisy_of(scene), "YX")
    result = denoise(noisy, load_model(model), options=DenoisingOptions(tile=tile), monitor=ignore)
    pixels, report = np.asarray(result.image.data), result.report
    assert report.noise_level == pytest.approx(SIGMA, rel=0.05)
    peak = pixels.max() - pixels.min()
    psnr = 10 * np.log10(peak**2 / ((pixels - scene) ** 2).mean())
    assert report.expected_psnr == pytest.approx(psnr, abs=tolerance_db)
    assert report.residual_correlation is not None
    assert -0.2 < report.residual_correlation < 0.15
    assert report.provenance()["expected_psnr"] == report.expected_psnr


def test_the_peak_of_eight_bits_is_255(scene: np.ndarray) -> None:
    noisy = np.clip(noisy_of(scene), 0, 255).round()
    model = load_model("gaussian-filter")
    of_floats, of_bytes = (
        denoise(Image(pixels, "YX"), model) for pixels in (noisy.astype(np.float32), noisy.astype(np.uint8))
    )
    peak = np.ptp(np.asarray(of_floats.image.data))
    assert of_bytes.report.expected_psnr is not None
    assert of_floats.report.expected_psnr is not None
    difference = of_bytes.report.expected_psnr - of_floats.report.expected_psnr
    assert difference == pytest.approx(20 * np.log10(255 / peak), abs=0.2)


def test_what_is_lost_of_the_image_shows(scene: np.ndarray) -> None:
    result = denoise(Image(noisy_of(scene), "YX"), load_model("gaussian-filter"), options=DenoisingOptions(size_px=12))
    assert result.report.residual_correlation is not None
    assert result.report.residual_correlation > 0.3
    assert result.autocorrelation is not None
    assert result.autocorrelation.shape == (21, 21)
    assert result.autocorrelation[10, 10] == 1
    assert result.autocorrelation[10, 13] > 0.2


def test_it_can_be_left_out(scene: np.ndarray) -> None:
    result = denoise(Image(scene, "YX"), load_model("gaussian-filter"), options=DenoisingOptions(skip_assessment=True))
    report = result.report
    assert report.noise_level is report.expected_psnr is report.residual_correlation is result.autocorrelation is None


@pytest.mark.parametrize("shape", [(7, 40), (40, 3)])
def test_too_little_to_tell(shape: tuple[int, int]) -> None:
    noisy = np.random.default_rng(3).normal(0, 1, shape)
    assert denoise(Image(noisy, "YX"), load_model("gaussian-filter")).report.noise_level is None


def test_four_planes_speak_for_a_stack(scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from unveil.inference.torch_engine import TorchEngine

    calls: list[int] = []
    compute = TorchEngine.compute

    def counted(self: Any, batch: Any) -> Any:
        calls.append(len(batch))
        return compute(self, batch)

    monkeypatch.setattr(TorchEngine, "compute", counted)
    stack = np.stack([noisy_of(scene, seed) for seed in range(9)])
    stack[4] = 120
    report = denoise(Image(stack, "TYX"), load_model("gaussian-filter"), monitor=ignore).report
    assert len(calls) == 8 + 4
    assert report.noise_level == pytest.approx(SIGMA, rel=0.05)


@pytest.mark.parametrize(("count", "chosen"), [(1, {0}), (3, {0, 1, 2}), (4, {0, 1, 2, 3}), (10, {0, 3, 6, 9})])
def test_frames_are_spread(count: int, chosen: set[int]) -> None:
    assert spread_over(count) == chosen


def test_an_image_that_is_resized_is_not_assessed(scene: np.ndarray) -> None:
    half = DenoisingOptions(rescale=0.5)
    report = denoise(Image(scene, "YX"), load_model("gaussian-filter"), options=half, monitor=ignore).report
    assert report.noise_level is None


@pytest.mark.parametrize(("axes", "channel"), [("YX", None), ("CYX", None), ("CYX", 1), ("TCYX", 1)])
def test_the_residual_is_what_was_removed(scene: np.ndarray, axes: str, channel: int | None) -> None:
    sizes = {"T": 2, "C": 3, "Y": 40, "X": 50}
    pixels = np.random.default_rng(4).integers(0, 999, [sizes[axis] for axis in axes]).astype(np.uint16)
    options = DenoisingOptions(residual=True, channel=channel)
    result = denoise(Image(pixels, axes), load_model("gaussian-filter"), options=options, monitor=ignore)
    assert result.residual is not None
    assert (result.residual.axes, result.residual.shape) == (result.image.axes, result.image.shape)
    chosen = pixels if channel is None else pixels.take(channel, axis=axes.index("C"))
    expected = chosen - np.asarray(result.image.data)
    np.testing.assert_allclose(np.asarray(result.residual.data), expected, rtol=1e-5)
    for key in [0, (..., 0), (..., slice(5, 9), 3), (-1, ..., slice(None))]:
        np.testing.assert_allclose(result.residual.data[key], expected[key], rtol=1e-5)


def test_no_residual_unless_asked_for(scene: np.ndarray) -> None:
    assert denoise(Image(scene, "YX"), load_model("gaussian-filter")).residual is None


def test_a_result_is_kept_where_memory_runs_out_afterwards(scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from unveil.inference.torch_engine import TorchEngine

    calls: list[int] = []
    compute = TorchEngine.compute

    def short_of_memory(self: Any, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return compute(self, batch)

    monkeypatch.setattr(TorchEngine, "compute", short_of_memory)
    result = denoise(Image(scene, "YX"), load_model("gaussian-filter"), monitor=ignore)
    np.testing.assert_allclose(result.image.data, gaussian_filter(scene, 1), rtol=1e-4)
    assert result.report.noise_level is None
    assert "less is said of its noise" in result.report.notices[0]
