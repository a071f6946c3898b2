from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from unveil.io.card_file import read_card
from unveil.io.model_file import load_model

QUICK = ["--set", "patch_px=32", "--set", "batch_size=2", "--set", "steps_per_epoch=2", "--set", "precision=exact"]
SMALL_UNET = ["--set", "architecture={width: 2, poolings: 1, out_channels: 3}"]
SMALL_DNCNN = ["--set", "architecture={depth: 2, width: 2}"]


@pytest.fixture
def annotated(tmp_path: Path, make_blobs: Callable[..., Any]) -> Path:
    """A folder with images and their labels, and noisy and clean ones, paired by name."""
    for name in ("images", "labels", "noisy", "clean"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = np.asarray(make_blobs((48, 48)).data)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", pixels)
        tifffile.imwrite(tmp_path / "labels" / f"{number}.tif", (pixels > 70).astype(np.uint16))
        tifffile.imwrite(tmp_path / "clean" / f"cell{number}.tif", pixels)
        for shot in (1, 2):
            noisy = (pixels + rng.poisson(20, pixels.shape)).astype(np.uint16)
            tifffile.imwrite(tmp_path / "noisy" / f"cell{number}_{shot}.tif", noisy)
    return tmp_path


def test_train_segmentation_then_use_the_model(unveil: Callable[..., Any], annotated: Path) -> None:
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]
    settings = annotated / "settings.yaml"
    settings.write_text("epochs: 3\nlearning_rate: 0.01\n")

    outcome = unveil(
        "train", "segmentation", *folders, "--output", annotated / "mine", "--config", settings, *QUICK, *SMALL_UNET,
        "--set", "epochs=2",
    )  # fmt: skip

    assert outcome.code == 0, outcome.err
    model = annotated / "mine.safetensors"
    assert str(model) in outcome.out
    assert outcome.err.count("epoch ") == 2
    card = read_card(model)
    assert card.name == "mine"
    assert card.training is not None
    assert card.training.config["epochs"] == 2
    assert card.training.config["learning_rate"] == 0.01
    used = unveil("segment", annotated / "images" / "0.tif", "--output", annotated / "out", "--model", model)
    assert used.code == 0, used.err


def test_train_from_a_parent(unveil: Callable[..., Any], annotated: Path) -> None:
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]
    common = ["train", "segmentation", *folders, *QUICK, *SMALL_UNET, "--set", "epochs=1"]
    assert unveil(*common, "--output", annotated / "one.safetensors").code == 0

    outcome = unveil(*common, "--output", annotated / "two", "--start", annotated / "one.safetensors")

    assert outcome.code == 0, outcome.err
    training = read_card(annotated / "two.safetensors").training
    assert training is not None
    assert training.parent_sha256 == load_model(annotated / "one.safetensors").card.weights_sha256


@pytest.mark.parametrize("given", [["clean"], ["images", "clean"], ["images"]])
def test_train_denoising(unveil: Callable[..., Any], annotated: Path, given: list[str]) -> None:
    folders = {"images": annotated / "noisy", "clean": annotated / "clean"}
    arguments = [argument for name in given for argument in (f"--{name}", folders[name])]

    outcome = unveil(
        "train", "denoising", *arguments, "--output", annotated / "mine", *QUICK, *SMALL_DNCNN, "--set", "epochs=1"
    )

    assert outcome.code == 0, outcome.err
    card = read_card(annotated / "mine.safetensors")
    assert card.task == "denoising"
    assert card.architecture.width == 2
    assert ("No clean images are given" in outcome.err) == (given == ["images"])


def test_denoising_needs_a_folder(refused: Callable[..., str], annotated: Path) -> None:
    assert "--clean" in refused("train", "denoising", "--output", annotated / "mine")


def test_wrong_settings_are_refused_first(refused: Callable[..., str], annotated: Path) -> None:
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]

    message = refused("train", "segmentation", *folders, "-o", annotated / "x", "--set", "epoch=3", "--set", "seed=a")

    assert "epoch" in message
    assert "seed" in message


def test_images_without_labels_are_refused(refused: Callable[..., str], annotated: Path) -> None:
    (annotated / "labels" / "2.tif").unlink()
    (annotated / "images" / "3.tif").unlink()
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]

    message = refused("train", "segmentation", *folders, "--output", annotated / "mine")

    assert "2.tif" in message
    assert "3.tif" in message


def test_mixed_shapes_are_refused(refused: Callable[..., str], annotated: Path) -> None:
    tifffile.imwrite(annotated / "labels" / "2.tif", np.ones((48, 47), np.uint16))
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]

    message = refused("train", "segmentation", *folders, "--output", annotated / "mine", *SMALL_UNET)

    assert "47" in message


def test_a_folder_is_no_model_file(refused: Callable[..., str], annotated: Path) -> None:
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]

    assert "is a folder" in refused("train", "segmentation", *folders, "--output", annotated / "clean")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal between processes")
def test_an_interrupt_keeps_the_best_model(annotated: Path) -> None:
    command = [
        *("train", "segmentation", "--images", annotated / "images", "--labels", annotated / "labels"),
        *("--output", annotated / "mine", *QUICK, *SMALL_UNET, "--set", "epochs=100000"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "unveil", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stderr is not None
        while "epoch" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 0, err
    assert "ended early" in out
    training = read_card(annotated / "mine.safetensors").training
    assert training is not None
    assert training.ended_by == "user"
