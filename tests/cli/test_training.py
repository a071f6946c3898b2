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

from unveil.config.architecture import UNetConfig
from unveil.config.training import SegmentationTraining
from unveil.events import Cancelled
from unveil.io.card_file import read_card
from unveil.io.checkpoint_file import CheckpointFile
from unveil.io.model_file import load_model
from unveil.io.settings import write_settings

QUICK = ["--set", "patch_px=32", "--set", "batch_size=2", "--set", "steps_per_epoch=2", "--set", "precision=exact"]
SMALL_UNET = ["--set", "architecture={width: 2, poolings: 1, out_channels: 3}"]
SMALL_DNCNN = ["--set", "architecture={depth: 2, width: 2}"]


@pytest.fixture
def annotated(tmp_path: Path, make_blobs: Callable[..., Any]) -> Path:
    """A folder with images and their labels, and noisy and clean ones, paired by name."""
    for name in ("images", "labels", "noisy", "clean"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
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


@pytest.mark.parametrize(("start", "parent"), [("auto", "simulated-cells"), ("scratch", None)])
def test_what_the_usual_network_starts_from(
    unveil: Callable[..., Any], annotated: Path, start: str, parent: str | None
) -> None:
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]
    small = ["--set", "patch_px=32", "--set", "batch_size=1", "--set", "epochs=1", "--set", "steps_per_epoch=1"]

    outcome = unveil("train", "segmentation", *folders, *small, "--start", start, "--output", annotated / "one")

    assert outcome.code == 0, outcome.err
    assert (f"Starts from what '{parent}' has learnt" in outcome.err) == (parent is not None)
    training = read_card(annotated / "one.safetensors").training
    assert training is not None
    assert training.parent_sha256 == (load_model(parent).card.weights_sha256 if parent else None)


@pytest.mark.parametrize("given", [["images", "clean"], ["images"]])
def test_a_denoiser_goes_on_from_the_shipped_one_where_there_are_clean_images(
    unveil: Callable[..., Any], annotated: Path, given: list[str]
) -> None:
    folders = {"images": annotated / "noisy", "clean": annotated / "clean"}
    arguments = [argument for name in given for argument in (f"--{name}", folders[name])]
    small = ["--set", "patch_px=32", "--set", "batch_size=1", "--set", "epochs=1", "--set", "steps_per_epoch=1"]

    outcome = unveil("train", "denoising", *arguments, *small, "--output", annotated / "mine")

    assert outcome.code == 0, outcome.err
    card, parent = read_card(annotated / "mine.safetensors"), load_model("fluorescence-denoiser").card
    assert card.training is not None
    assert (card.training.parent_sha256 == parent.weights_sha256) == ("clean" in given)
    assert (card.architecture == parent.architecture) == ("clean" in given)
    assert "start anew" not in outcome.err


@pytest.mark.parametrize("given", [["clean"], ["images", "clean"], ["images"]])
def test_train_denoising(unveil: Callable[..., Any], annotated: Path, given: list[str]) -> None:
    folders = {"images": annotated / "noisy", "clean": annotated / "clean"}
    arguments = [argument for name in given for argument in (f"--{name}", folders[name])]

    outcome = unveil(
        "train", "denoising", *arguments, "--output", annotated / "mine", *QUICK, *SMALL_DNCNN, "--set", "epochs=1"
    )

    assert outcome.code == 0, outcome.err
    assert "1 epoch on " in outcome.out
    assert ("PSNR" in outcome.out) == ("clean" in given)  # noisy images alone have no PSNR that means anything
    card = read_card(annotated / "mine.safetensors")
    assert card.task == "denoising"
    assert card.architecture.width == 2


def test_train_denoising_from_the_frames_of_a_stack(
    unveil: Callable[..., Any], refused: Callable[..., str], annotated: Path
) -> None:
    rng = np.random.default_rng(0)
    stack = rng.poisson(np.asarray(tifffile.imread(annotated / "clean" / "cell0.tif")), (4, 48, 48)).astype(np.uint16)
    tifffile.imwrite(annotated / "stack.tif", stack, imagej=True, metadata={"axes": "TYX"})
    frames = ["--set", "noisy_only=frames", *QUICK, *SMALL_DNCNN, "--set", "epochs=1", "--output", annotated / "mine"]

    message = refused("train", "denoising", "--images", annotated / "noisy", *frames)
    assert "at least two along T" in message
    outcome = unveil("train", "denoising", "--images", annotated / "stack.tif", *frames)

    assert outcome.code == 0, outcome.err
    training = read_card(annotated / "mine.safetensors").training
    assert training is not None
    assert training.config["noisy_only"] == "frames"
    assert training.history[0].metric is None
    assert training.history[0].validation_loss is not None


def test_train_denoising_adapts_the_shipped_denoiser(
    unveil: Callable[..., Any], refused: Callable[..., str], annotated: Path
) -> None:
    adapt = ["--set", "noisy_only=adapt", *QUICK, "--set", "epochs=1", "--output", annotated / "mine"]

    message = refused("train", "denoising", "--images", annotated / "noisy", *adapt, "--start", "scratch")
    assert "begins with a trained denoiser" in message
    outcome = unveil("train", "denoising", "--images", annotated / "noisy", *adapt)

    assert outcome.code == 0, outcome.err
    assert "'fluorescence-denoiser' is adapted to these images" in outcome.out + outcome.err
    training = read_card(annotated / "mine.safetensors").training
    assert training is not None
    assert training.parent_sha256 == load_model("fluorescence-denoiser").card.weights_sha256


def test_denoising_needs_a_folder(refused: Callable[..., str], annotated: Path) -> None:
    assert "--clean" in refused("train", "denoising", "--output", annotated / "mine")


def test_wrong_settings_are_refused_first(refused: Callable[..., str], annotated: Path) -> None:
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]

    message = refused("train", "segmentation", *folders, "-o", annotated / "x", "--set", "epoch=3", "--set", "seed=a")

    assert "epoch" in message
    assert "seed" in message


def test_images_without_labels_are_refused(refused: Callable[..., str], annotated: Path) -> None:
    (annotated / "labels" / "1.tif").unlink()
    (annotated / "images" / "2.tif").unlink()
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]

    message = refused("train", "segmentation", *folders, "--output", annotated / "mine")

    assert "1.tif" in message
    assert "2.tif" in message


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


def _segmentation(annotated: Path, *more: object) -> list[object]:
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]
    return ["train", "segmentation", *folders, *QUICK, *SMALL_UNET, "--set", "epochs=2", *more]


def _weights(model: Path) -> str:
    return read_card(model).weights_sha256


def test_what_a_mask_leaves_out_teaches_nothing(unveil: Callable[..., Any], annotated: Path) -> None:
    (annotated / "masks").mkdir()
    mask = np.zeros((48, 48), np.uint8)
    mask[:24] = 255
    for number in range(2):
        tifffile.imwrite(annotated / "masks" / f"{number}_mask.tif", mask)
    masked = _segmentation(annotated, "--mask", annotated / "masks")

    outcome = unveil(*masked, "--output", annotated / "one")
    assert outcome.code == 0, outcome.err
    assert "1 image without a mask: taken as annotated everywhere." in outcome.err
    for number in range(2):
        pixels = tifffile.imread(annotated / "labels" / f"{number}.tif")
        pixels[30:] = 7
        tifffile.imwrite(annotated / "labels" / f"{number}.tif", pixels)
    assert unveil(*masked, "--output", annotated / "two").code == 0
    assert unveil(*_segmentation(annotated), "--output", annotated / "three").code == 0

    weights = [_weights(annotated / f"{name}.safetensors") for name in ("one", "two", "three")]
    assert weights[0] == weights[1] != weights[2]


def test_frames_of_one_scene_have_a_mask_each(unveil: Callable[..., Any], annotated: Path) -> None:
    (annotated / "masks").mkdir()
    for path in (annotated / "labels").iterdir():
        path.rename(path.with_name(f"cell{path.name}"))
    for name in ("cell1_2", "cell2_1", "cell2_2"):
        (annotated / "noisy" / f"{name}.tif").unlink()
    (annotated / "labels" / "cell2.tif").unlink()
    for path in (annotated / "noisy").iterdir():
        tifffile.imwrite(annotated / "masks" / path.name, np.ones((48, 48), np.uint8))
    folders = ["--images", annotated / "noisy", "--labels", annotated / "labels", "--mask", annotated / "masks"]

    outcome = unveil(
        "train", "segmentation", *folders, *QUICK, *SMALL_UNET, "--set", "epochs=1", "--output", annotated / "mine"
    )

    assert outcome.code == 0, outcome.err
    assert "without a mask" not in outcome.err


def test_scribbles_teach_where_they_were_painted(
    unveil: Callable[..., Any], refused: Callable[..., str], annotated: Path
) -> None:
    rng = np.random.default_rng(0)
    (annotated / "painted").mkdir()
    for number in range(3):
        labels = tifffile.imread(annotated / "labels" / f"{number}.tif")
        painted = np.where(rng.random(labels.shape) < 0.1, np.where(labels > 0, 1, 9), 0)
        tifffile.imwrite(annotated / "painted" / f"{number}.tif", painted.astype(np.uint8))
    common = ["train", "segmentation", "--images", annotated / "images", "--labels", annotated / "painted", *QUICK]
    common += [*SMALL_UNET, "--set", "epochs=1", "--output", annotated / "mine", "--scribbles"]

    assert "background's number 1" not in refused(*common, "--background-label", 5)
    assert "--mask, --scribbles and --sparse exclude" in refused(*common, "--mask", annotated / "masks")
    outcome = unveil(*common, "--background-label", 9)

    assert outcome.code == 0, outcome.err
    card = read_card(annotated / "mine.safetensors")
    assert card.objects is not None
    assert card.training is not None
    assert card.training.n_images == 2


def test_scribbles_of_several_numbers_are_classes_and_it_is_said(unveil: Callable[..., Any], annotated: Path) -> None:
    _scribble(annotated, 2, 3)

    outcome = unveil(*_segmentation(annotated, "--scribbles", "--output", annotated / "mine"))
    assert outcome.code == 0, outcome.err
    assert "several numbers beside the background's: each is a class" in outcome.err
    assert "Results count classes from 1: 1 is what you painted as 2, 2 is what you painted as 3." in outcome.err
    card = read_card(annotated / "mine.safetensors")
    assert (card.classes, card.objects) == (("background", "class 2", "class 3"), None)


@pytest.mark.parametrize("said", ["objects=true", "classes=[ground, nucleus]"])
def test_scribbles_of_several_numbers_are_objects_where_it_is_said(
    unveil: Callable[..., Any], annotated: Path, said: str
) -> None:
    _scribble(annotated, 2, 3)

    outcome = unveil(*_segmentation(annotated, "--scribbles", "--set", said, "--output", annotated / "mine"))
    assert outcome.code == 0, outcome.err
    assert "each is a class" not in outcome.err
    assert read_card(annotated / "mine.safetensors").objects is not None


def _scribble(annotated: Path, left: int, right: int) -> None:
    """Paint lines of 1 on the background, and of `left` and `right` on what is not."""
    for path in (annotated / "labels").iterdir():
        labels = tifffile.imread(path)
        lines = np.where(labels > 0, np.where(np.arange(48) < 24, left, right), 1)
        lines[np.arange(48) % 4 > 0] = 0
        tifffile.imwrite(path, lines.astype(np.uint8))


def test_objects_that_are_not_labelled_are_noticed(unveil: Callable[..., Any], tmp_path: Path) -> None:
    centres = np.indices((5, 5)).reshape(2, -1).T * 24 + 15
    distances = np.stack([np.hypot(*(np.indices((128, 128)) - centre[:, None, None])) for centre in centres])
    labels = np.where(distances.min(axis=0) < 7, distances.argmin(axis=0) + 1, 0).astype(np.uint16)
    image = (labels > 0) + np.random.default_rng(0).normal(0, 0.1, labels.shape).astype(np.float32)
    tifffile.imwrite(tmp_path / "cells.tif", image)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    tifffile.imwrite(tmp_path / "some.tif", np.where(labels < 9, labels, 0))

    def told(labels: str, *options: str) -> str:
        files = ["--images", tmp_path / "cells.tif", "--labels", tmp_path / labels, "--output", tmp_path / "mine"]
        small = [*QUICK, *SMALL_UNET, "--set", "epochs=1"]
        outcome = unveil("train", "segmentation", *files, *small, *options)
        assert outcome.code == 0, outcome.err
        return outcome.err

    words = "The labels of some seem to show only some of the objects"
    assert words in told("some.tif")
    assert words not in told("labels.tif")
    assert words not in told("some.tif", "--sparse")


def test_a_background_label_without_scribbles_is_refused(refused: Callable[..., str], annotated: Path) -> None:
    command = _segmentation(annotated, "--output", annotated / "mine")

    assert "--background-label belongs to --scribbles" in refused(*command, "--background-label", 1)


def test_the_background_of_scribbles_is_one_if_not_given(refused: Callable[..., str], annotated: Path) -> None:
    for path in (annotated / "labels").iterdir():
        tifffile.imwrite(path, tifffile.imread(path) * 7)
    command = _segmentation(annotated, "--output", annotated / "mine", "--scribbles")

    assert "background's number 1" in refused(*command)


@pytest.mark.parametrize(
    ("numbers", "classes", "words"),
    [
        ([255], ("background", "class 255"), "Results count classes from 1: 1 is what you painted as 255."),
        ([3, 9], ("background", "class 3", "class 9"), "1 is what you painted as 3, 2 is what you painted as 9."),
        ([1], ("background", "foreground"), ""),
    ],
)
def test_classes_are_named_after_the_numbers_that_were_painted(
    unveil: Callable[..., Any], annotated: Path, numbers: list[int], classes: tuple[str, ...], words: str
) -> None:
    for path in (annotated / "labels").iterdir():
        labels = tifffile.imread(path)
        labels[:, :24] *= numbers[0]
        labels[:, 24:] *= numbers[-1]
        tifffile.imwrite(path, labels)
    network = ["--set", f"architecture={{width: 2, poolings: 1, out_channels: {len(classes)}}}"]
    common = [*_segmentation(annotated), *network, "--set", "objects=false", "--set", "epochs=1"]

    outcome = unveil(*common, "--output", annotated / "one")
    assert outcome.code == 0, outcome.err
    card = read_card(annotated / "one.safetensors")
    assert card.classes == classes
    assert words in outcome.err
    assert ("Results count" in outcome.err) == bool(words)
    assert card.training is not None
    write_settings(annotated / "again.yaml", SegmentationTraining.model_validate(card.training.config))

    again = unveil(*common, "--config", annotated / "again.yaml", "--output", annotated / "two")
    assert again.code == 0, again.err
    assert _weights(annotated / "two.safetensors") == card.weights_sha256


def test_classes_with_names_keep_their_numbers(refused: Callable[..., str], annotated: Path) -> None:
    for path in (annotated / "labels").iterdir():
        tifffile.imwrite(path, tifffile.imread(path) * 255)
    command = _segmentation(annotated, "--output", annotated / "mine", "--set", "classes=[ground, cell]")

    words = refused(*command, "--set", "architecture.out_channels=2", "--set", "objects=false")

    assert "go up to 255, but there are 2 classes (ground, cell), which count from 0. Number the labels" in words


def test_planes_without_labels_are_left_out_and_named(unveil: Callable[..., Any], annotated: Path) -> None:
    stack = np.stack([tifffile.imread(annotated / "images" / f"{number}.tif") for number in range(3)])
    labels = np.stack([tifffile.imread(annotated / "labels" / f"{number}.tif") for number in range(3)])
    labels[1:3] = 0
    tifffile.imwrite(annotated / "stack.tif", stack, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(annotated / "labels.tif", labels, photometric="minisblack")  # says nothing of its axes
    common = ["train", "segmentation", "--images", annotated / "stack.tif", "--labels", annotated / "labels.tif"]
    common += [*QUICK, *SMALL_UNET, "--set", "epochs=1", "--set", "validation_fraction=0", "--axes", "TYX"]

    outcome = unveil(*common, "--output", annotated / "one")
    labels += 1
    labels[1:3] = 0
    labels[1:3, 5:9, 5:9] = 1  # scribbles of background alone are an annotation
    tifffile.imwrite(annotated / "labels.tif", labels, photometric="minisblack")
    scribbled = unveil(*common, "--output", annotated / "two", "--scribbles")

    assert outcome.code == 0, outcome.err
    assert "Nothing is labelled on 2 planes of 'labels': not used." in outcome.err
    assert scribbled.code == 0, scribbled.err
    assert "not used" not in scribbled.err


def test_a_single_image_with_too_little_is_refused_with_what_to_do(
    unveil: Callable[..., Any], refused: Callable[..., str], annotated: Path
) -> None:
    common = ["train", "segmentation", "--images", annotated / "images" / "0.tif", "--labels"]
    common += [annotated / "labels" / "0.tif", *QUICK, "--set", "architecture={width: 2, poolings: 3}"]
    common += ["--set", "epochs=1", "--output", annotated / "mine"]

    message = refused(*common)
    assert "Too little is annotated" in message
    assert "validation_fraction" in message
    outcome = unveil(*common, "--set", "validation_fraction=0")

    assert outcome.code == 0, outcome.err
    assert "IoU" not in outcome.out


def test_a_time_budget_chooses_the_steps(unveil: Callable[..., Any], annotated: Path) -> None:
    arguments = ["train", "denoising", "--clean", annotated / "clean", "--output", annotated / "mine", *SMALL_DNCNN]

    outcome = unveil(*arguments, "--set", "time_budget_s=1", "--set", "patch_px=16")

    assert outcome.code == 0, outcome.err
    assert "what 1 s allow" in outcome.err
    training = read_card(annotated / "mine.safetensors").training
    assert training is not None
    assert training.config["time_budget_s"] is None
    assert training.config["epochs"] >= len(training.history) > 0


def test_the_config_is_what_is_written_elsewhere(unveil: Callable[..., Any], annotated: Path) -> None:
    written = SegmentationTraining(
        name="night shift",
        architecture=UNetConfig(width=2, poolings=1),
        patch_px=32,
        batch_size=2,
        epochs=1,
        steps_per_epoch=2,
        precision="exact",
    )
    write_settings(annotated / "settings.yaml", written)
    folders = ["--images", annotated / "images", "--labels", annotated / "labels"]
    common = ["train", "segmentation", *folders, "--config"]

    outcome = unveil(*common, annotated / "settings.yaml", "--output", annotated / "one")
    assert outcome.code == 0, outcome.err
    card = read_card(annotated / "one.safetensors")
    assert card.training is not None
    resolved = SegmentationTraining.model_validate(card.training.config)
    write_settings(annotated / "resolved.yaml", resolved)
    (annotated / "null.yaml").write_text("time_budget_s: null\nnormalization: ~\n")
    again = unveil(*common, annotated / "resolved.yaml", "--output", annotated / "two")
    nothing = unveil(*_segmentation(annotated, "--config", annotated / "null.yaml", "-o", annotated / "three"))

    assert again.code == 0, again.err
    assert card.name == "night shift"
    assert _weights(annotated / "two.safetensors") == card.weights_sha256
    assert nothing.code == 0, nothing.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal between processes")
@pytest.mark.slow
def test_a_killed_training_goes_on_where_it_was(
    unveil: Callable[..., Any], refused: Callable[..., str], annotated: Path
) -> None:
    command = _segmentation(annotated, "--set", "epochs=30", "--output")
    process = subprocess.Popen(
        [sys.executable, "-m", "unveil", *map(str, command), str(annotated / "mine")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stderr is not None
        while "epoch  2/30" not in process.stderr.readline():
            assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    checkpoint = annotated / ".mine.checkpoint"
    assert checkpoint.exists()

    message = refused(*command, annotated / "mine")
    assert "Add --resume" in message
    assert str(checkpoint) in message
    other = unveil(*command, annotated / "mine", "--resume", "--set", "seed=1")
    assert other.code == 2
    assert "other settings" in other.err
    resumed = unveil(*command, annotated / "mine.safetensors", "--resume")
    whole = unveil(*command, annotated / "whole")

    assert resumed.code == 0, resumed.err
    assert whole.code == 0, whole.err
    assert "Training goes on after epoch" in resumed.err
    assert not checkpoint.exists()
    cards = [read_card(annotated / f"{name}.safetensors") for name in ("mine", "whole")]
    assert cards[0].weights_sha256 == cards[1].weights_sha256
    assert cards[0].training is not None
    assert cards[1].training is not None
    assert cards[0].training.history == cards[1].training.history
    assert "is missing" in refused(*command, annotated / "mine", "--resume")


@pytest.mark.parametrize("ending", [KeyboardInterrupt, Cancelled])
def test_an_interrupt_for_good_keeps_the_checkpoint_and_says_so(
    ending: type[BaseException], unveil: Callable[..., Any], annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, checkpoints: CheckpointFile, **__: object) -> None:
        checkpoints.save({}, {})
        raise ending

    monkeypatch.setattr("unveil.tasks.train.train", interrupted)
    outcome = unveil(*_segmentation(annotated, "--output", annotated / "mine"))

    assert outcome.code == 130
    assert "--resume" in outcome.err
    assert "OME-Zarr" not in outcome.err
    assert (annotated / ".mine.checkpoint").exists()
    assert not (annotated / "mine.safetensors").exists()
