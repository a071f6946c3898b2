from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile

from unveil.image import Image
from unveil.io.model_file import save_model
from unveil.tasks.recording import with_appearance


def _spots(rng):
    return (100 * (rng.random((64, 64)) > 0.9) + rng.normal(20, 2, (64, 64))).astype(np.float32)


@pytest.fixture(scope="session")
def made(tmp_path_factory, make_tiny_model):
    """A model that knows spots, and two images: such as it knows, and inverted."""
    folder, rng = tmp_path_factory.mktemp("spots"), np.random.default_rng(20150518)
    model = with_appearance(make_tiny_model(), [Image(_spots(rng)) for _ in range(6)])
    save_model(model, folder / "spots.safetensors")
    tifffile.imwrite(folder / "inverted.tif", 255 - _spots(rng))
    tifffile.imwrite(folder / "usual.tif", _spots(rng))
    return folder


@pytest.fixture
def files(made, tmp_path):
    """Copies of them, to add others."""
    return shutil.copytree(made, tmp_path, dirs_exist_ok=True)


def test_the_reason_is_said(unveil, files):
    outcome = unveil("check", files / "inverted.tif", "--model", files / "spots.safetensors")
    assert outcome.code == 0
    assert "inverted.tif: unlike the training images" in outcome.out
    assert "invert the image" in outcome.out


def test_json_lists_all_images(unveil, files):
    found = unveil(
        "check", files / "inverted.tif", files / "usual.tif", "-m", files / "spots.safetensors", "--json"
    ).json
    inverted, usual = found["images"]
    assert inverted["verdict"] == "unlike"
    assert inverted["score"] > max(1, 2 * usual["score"])
    assert inverted["reasons"]


def test_a_file_that_fails_leaves_the_verdicts_on_the_others(unveil, files):
    (files / "broken.tif").write_bytes(b"no image")
    outcome = unveil("check", files, "-m", files / "spots.safetensors", "--json")
    assert outcome.code == 2
    assert "broken.tif is no TIFF file" in outcome.err
    assert [found["verdict"] for found in outcome.json["images"]] == ["unlike", "like"]
    (failed,) = outcome.json["failed"]
    assert failed["input"].endswith("broken.tif")
    assert outcome.err.count("broken.tif") == 1


def test_a_run_warns_and_can_be_told_not_to(unveil, files):
    command = ["segment", files / "inverted.tif", "-m", files / "spots.safetensors", "-o", files / "out", "--json"]
    warned = unveil(*command)
    assert "is unlike the images that" in warned.err
    assert warned.json["images"][0]["unlikeness"] > 1
    silent = unveil(*command, "--skip-check")
    assert "is unlike the images that" not in silent.err
    assert silent.json["images"][0]["unlikeness"] is None


def test_a_model_that_does_not_know_says_so(unveil, files, make_tiny_model):
    save_model(make_tiny_model(), files / "old.safetensors")
    outcome = unveil("check", files / "usual.tif", "-m", files / "old.safetensors")
    assert "not compared: the card of 'tiny-segmentation' does not say what its training images look" in outcome.out


def test_the_factor_counts(unveil, files):
    outcome = unveil("check", files / "usual.tif", "-m", files / "spots.safetensors", "--rescale", "0.1")
    assert "shows too little" in outcome.out


def test_a_factor_out_of_bounds_is_refused_in_a_sentence(unveil, files):
    outcome = unveil("check", files / "usual.tif", "-m", files / "spots.safetensors", "--rescale", "99")
    assert outcome.code == 2
    assert "--rescale: the factor 99 must lie between 0.05 and 20" in outcome.err
