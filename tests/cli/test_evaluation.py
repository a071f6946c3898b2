from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

SEGMENTATION_KEYS = {"n_images", "iou", "dice", "ap", "ap_mean"}
DENOISING_KEYS = {"n_images", "psnr_noisy", "psnr", "ssim_noisy", "ssim"}


@pytest.fixture
def folders(tmp_path: Path, make_blobs: Callable[..., Any]) -> Path:
    for name in ("images", "labels", "noisy", "clean"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        pixels = np.asarray(make_blobs((48, 48), dtype=np.uint8).data)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", pixels)
        tifffile.imwrite(tmp_path / "labels" / f"{number}.tif", (pixels > 70).astype(np.uint16))
        tifffile.imwrite(tmp_path / "clean" / f"cell{number}.tif", pixels)
        for shot in (1, 2, 3):
            noisy = np.clip(pixels + rng.normal(0, 10, pixels.shape), 0, 255).astype(np.uint8)
            tifffile.imwrite(tmp_path / "noisy" / f"cell{number}_{shot}.tif", noisy)
    return tmp_path


def test_segmentation_scores(unveil: Callable[..., Any], folders: Path, segmenter: Path) -> None:
    arguments = ["--model", segmenter, "--images", folders / "images", "--labels", folders / "labels"]

    outcome = unveil("evaluate", "segmentation", *arguments, "--json")

    assert outcome.code == 0, outcome.err
    assert set(outcome.json) == SEGMENTATION_KEYS
    assert outcome.json["n_images"] == 2
    assert set(outcome.json["ap"]) == {"0.50", "0.60", "0.70", "0.80", "0.90"}
    assert 0 <= outcome.json["iou"] <= 1
    people = unveil("evaluate", "segmentation", *arguments)
    assert "AP@0.50" in people.out
    assert f"{outcome.json['iou']:.4f}" in people.out


def test_options_reach_the_evaluation(unveil: Callable[..., Any], folders: Path, segmenter: Path) -> None:
    arguments = ["--model", segmenter, "--images", folders / "images", "--labels", folders / "labels"]

    outcome = unveil("evaluate", "segmentation", *arguments, "--min-size", 10_000, "--json")

    assert outcome.json["iou"] == 0


def test_several_noisy_frames_of_one_clean_image(unveil: Callable[..., Any], folders: Path, denoiser: Path) -> None:
    arguments = ["--model", denoiser, "--clean", folders / "clean", "--noisy", folders / "noisy"]

    outcome = unveil("evaluate", "denoising", *arguments, "--json")

    assert outcome.code == 0, outcome.err
    assert set(outcome.json) == DENOISING_KEYS
    assert outcome.json["n_images"] == 6
    assert outcome.json["psnr_noisy"] == pytest.approx(28.2, abs=0.7)  # 20 log10(255 / 10), and a little clipping
    fitted = unveil("evaluate", "denoising", *arguments, "--fit-gain", "--json").json
    assert fitted["psnr_noisy"] > outcome.json["psnr_noisy"]


def test_synthetic_noise_has_the_level_and_the_seed(unveil: Callable[..., Any], folders: Path, denoiser: Path) -> None:
    arguments = ["evaluate", "denoising", "--model", denoiser, "--clean", folders / "clean", "--sigma", 25, "--json"]

    first, again, other = (unveil(*arguments, "--seed", seed).json for seed in (1, 1, 2))

    assert first["n_images"] == 2
    assert first["psnr_noisy"] == pytest.approx(20 * np.log10(255 / 25), abs=0.15)
    assert again == first
    assert other["psnr_noisy"] != first["psnr_noisy"]


def test_the_axes_of_the_images_are_those_of_the_labels(
    unveil: Callable[..., Any], folders: Path, segmenter: Path
) -> None:
    for name, dtype in (("images", np.uint8), ("labels", np.uint16)):
        for number in range(2):
            path = folders / name / f"{number}.tif"
            pages = np.stack([tifffile.imread(path)] * 5).astype(dtype)
            tifffile.imwrite(path, pages, photometric="minisblack", metadata=None)
    arguments = ["--model", segmenter, "--images", folders / "images", "--labels", folders / "labels"]

    outcome = unveil("evaluate", "segmentation", *arguments, "--axes", "tyx", "--json")

    assert outcome.code == 0, outcome.err
    assert outcome.json["n_images"] == 2


@pytest.mark.parametrize("noise", [[], ["--sigma", "5", "--noisy", "noisy"], ["--sigma", "-1"], ["--sigma", "nan"]])
def test_noise_is_given_in_one_way(
    refused: Callable[..., str], folders: Path, denoiser: Path, noise: list[str]
) -> None:
    assert "--sigma" in refused("evaluate", "denoising", "--model", denoiser, "--clean", folders / "clean", *noise)


def test_what_is_never_done_cannot_be_skipped(refused: Callable[..., str], folders: Path, denoiser: Path) -> None:
    pairs = ("--clean", folders / "clean", "--noisy", folders / "noisy")
    assert "--skip-check" in refused("evaluate", "denoising", "--model", denoiser, *pairs, "--skip-check")


def test_a_model_for_another_task_is_refused(refused: Callable[..., str], folders: Path, denoiser: Path) -> None:
    arguments = ["--model", denoiser, "--images", folders / "images", "--labels", folders / "labels"]

    assert "made for denoising, not for segmentation" in refused("evaluate", "segmentation", *arguments)


def test_pairs_that_do_not_fit_are_refused(refused: Callable[..., str], folders: Path, segmenter: Path) -> None:
    for number in range(2):
        tifffile.imwrite(folders / "labels" / f"{number}.tif", np.ones((40 + number, 48), np.uint16))
    arguments = ["--model", segmenter, "--images", folders / "images", "--labels", folders / "labels"]

    message = refused("evaluate", "segmentation", *arguments)

    assert "40" in message
    assert "41" in message
