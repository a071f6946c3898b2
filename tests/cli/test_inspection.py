from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from unveil import load_model, save_model
from unveil.io.images import read_image
from unveil.tasks.inspect import feature_maps, layer_filters, montage


def test_the_table_for_people(unveil: Callable[..., Any], denoiser: Path) -> None:
    outcome = unveil("inspect", denoiser, "--size", 40)
    assert outcome.code == 0
    rows = {line.split("│")[1].strip(): line for line in outcome.out.splitlines() if line.startswith("│")}
    assert [cell.strip() for cell in rows["layers.2"].split("│")[2:-1]] == [
        "Conv2D 3×3, ReLU", "4×40×40", "148", "5", "1",
    ]  # fmt: skip
    assert "225" in rows["total"]


def test_a_bracket_in_the_name_of_a_model_is_shown(unveil: Callable[..., Any], denoiser: Path, tmp_path: Path) -> None:
    model = load_model(denoiser)
    save_model(replace(model, card=model.card.model_copy(update={"name": "cells [v2]"})), tmp_path / "m.safetensors")
    assert "Model 'cells [v2]'" in unveil("inspect", tmp_path / "m.safetensors").out


def test_the_table_as_json(unveil: Callable[..., Any], segmenter: Path) -> None:
    shown = unveil("inspect", segmenter, "--size", 30, "--json").json
    network = load_model(segmenter).network
    assert shown["n_parameters"] == sum(parameter.numel() for parameter in network.parameters())
    layers = {layer["name"]: layer for layer in shown["layers"]}
    assert layers["input"]["shape"] == [1, 32, 32]
    assert layers["up.1"]["kernel"] == [2, 2]
    assert "lipschitz" not in shown


def test_lipschitz_numbers(unveil: Callable[..., Any], denoiser: Path) -> None:
    shown = unveil("inspect", denoiser, "--lipschitz", "--json").json
    assert 0 < shown["lipschitz"]["lower"] <= shown["lipschitz"]["upper"]
    with_numbers = [layer for layer in shown["layers"] if "lipschitz" in layer]
    assert [layer["name"] for layer in with_numbers] == ["layers.0", "layers.2", "layers.4"]
    for layer in with_numbers:
        assert layer["lipschitz"]["power_method"] <= layer["lipschitz"]["certified"]
    out = unveil("inspect", denoiser, "--lipschitz").out
    assert f"{with_numbers[0]['lipschitz']['periodic']:.4f}" in out
    assert "(certified)" in out


def test_feature_maps_are_written(
    unveil: Callable[..., Any], segmenter: Path, write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "cells.tif")
    outcome = unveil("inspect", segmenter, "--features", "pool.0", image, "--output", tmp_path / "maps.tif")
    assert outcome.code == 0, outcome.err
    expected = feature_maps(read_image(image), load_model(segmenter), "pool.0").maps
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "maps.tif"), expected)
    assert read_image(tmp_path / "maps.tif").pixel_size_um["X"] == pytest.approx(1.0)
    assert "4×24×20 (C Y X)" in outcome.out


def test_filters_are_written(unveil: Callable[..., Any], segmenter: Path, tmp_path: Path) -> None:
    shown = unveil("inspect", segmenter, "--filters", "down.1.0", "-o", tmp_path / "filters.tif", "--json").json
    assert shown["filters"] == [8, 4, 3, 3]
    expected = montage(layer_filters(load_model(segmenter), "down.1.0"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "filters.tif"), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--filters", "head"], "--output belongs to"),
        (["--output", "x.tif"], "--output belongs to"),
        (["--filters", "head", "--features", "head", "x.tif", "-o", "x.tif"], "Write them in turn"),
        (["--size", "0"], "at least 1 pixel"),
        (["--frame", "0"], "--frame belongs to --features. Leave it out."),
        (["--frame", "3", "--filters", "head", "-o", "x.tif"], "--frame belongs to --features"),
        (["--axes", "YX", "--channel", "1"], "--channel and --axes belong to --features. Leave them out."),
        (["--lipschitz", "--filters", "head", "-o", "x.tif"], "--lipschitz belongs to the table"),
        (["--size", "99", "--filters", "head", "-o", "x.tif"], "--size belongs to the table"),
        (["--filters", "nose", "-o", "x.tif"], "has no filters"),
        (["--filters", "head", "-o", "x.png"], "written as TIFF"),
        (["--filters", "head", "-o", f"{'x' * 260}.tif"], "has 264 bytes; it may have 255"),
    ],
)
def test_what_does_not_fit_is_refused(
    refused: Callable[..., str], segmenter: Path, arguments: list[str], words: str
) -> None:
    assert words in " ".join(refused("inspect", segmenter, *arguments).split())


def test_a_folder_in_the_place_of_the_result_is_refused(
    refused: Callable[..., str], segmenter: Path, write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "maps.tif").mkdir()
    features = ["--features", "pool.0", write_blobs(tmp_path / "cells.tif")]
    assert "is a folder, not a file" in refused("inspect", segmenter, *features, "--output", tmp_path / "maps.tif")


def test_neither_the_image_nor_the_model_is_overwritten(
    refused: Callable[..., str], segmenter: Path, write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    image, link, model = write_blobs(tmp_path / "cells.tif"), tmp_path / "link.tif", tmp_path / "model.tif"
    link.symlink_to(image)
    model.write_bytes(segmenter.read_bytes())
    for output in (image, link):
        message = refused("inspect", segmenter, "--features", "pool.0", image, "--output", output)
        assert f"would overwrite {image}" in message
    assert f"would overwrite {model}" in refused("inspect", model, "--filters", "head", "--output", model)
