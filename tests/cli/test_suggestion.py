"""`unveil suggest`: a table of blocks, the best first."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile


@pytest.fixture
def folder(tmp_path: Path, write_blobs) -> Path:
    """Two images of 2 × 2 blocks and a mask that leaves one block of the second."""
    for name in ("a", "b"):
        write_blobs(tmp_path / "images" / f"{name}.tif", (64, 64))
    judged = np.full((64, 64), 255, np.uint8)
    judged[32:, :32] = 0
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks" / "b_mask.tif", judged)
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_names_image_place_score_and_reason(unveil, folder, segmenter):
    table = folder / "new" / "blocks.csv"
    outcome = unveil("suggest", folder / "images", "-m", segmenter, "-o", table, "--block", 32, "-n", 3)
    assert outcome.code == 0, outcome.err
    assert "3 blocks to annotate next" in outcome.out
    found = rows(table)
    assert list(found[0]) == ["image", "y", "x", "height", "width", "score", "reason"]
    assert len(found) == 3
    assert {row["image"] for row in found} <= {str(folder / "images" / f"{name}.tif") for name in "ab"}
    assert all(int(row["y"]) in (0, 32) and row["height"] == row["width"] == "32" for row in found)
    scores = [float(row["score"]) for row in found]
    assert scores == sorted(scores, reverse=True)


def test_what_is_masked_is_not_suggested(unveil, folder, segmenter):
    table = folder / "blocks.csv"
    unveil("suggest", folder / "images", "-m", segmenter, "-o", table, "--block", 32, "--mask", folder / "masks")
    found = rows(table)
    assert len(found) == 5
    assert [(row["y"], row["x"]) for row in found if row["image"].endswith("b.tif")] == [("32", "0")]


def test_planes_are_named(unveil, tmp_path, write_blobs, segmenter):
    image = write_blobs(tmp_path / "stack.tif", (3, 48, 40), "ZYX")
    assert unveil("suggest", image, "-m", segmenter, "-o", tmp_path / "t.csv").code == 0
    assert {row["z"] for row in rows(tmp_path / "t.csv")} == {"0", "1", "2"}


def test_the_axes_of_the_images_are_those_of_the_masks(unveil, tmp_path, segmenter):
    pages = np.random.default_rng(0).integers(0, 200, (5, 40, 40)).astype(np.uint8)
    for name, pixels in (("a.tif", pages), ("a_mask.tif", np.minimum(pages, 0))):
        tifffile.imwrite(tmp_path / name, pixels, photometric="minisblack", metadata=None)
    arguments = [tmp_path / "a.tif", "-m", segmenter, "-o", tmp_path / "t.csv", "--mask", tmp_path / "a_mask.tif"]
    outcome = unveil("suggest", *arguments, "--axes", "TYX")
    assert outcome.code == 0, outcome.err
    assert {row["t"] for row in rows(tmp_path / "t.csv")} == set("01234")


def test_mistakes_are_told(refused, folder, segmenter, denoiser):
    images = folder / "images"
    assert "ends in .csv" in refused("suggest", images, "-m", segmenter, "-o", folder / "blocks.txt")
    (folder / "taken.csv").mkdir()
    assert "is a folder, not a file" in refused("suggest", images, "-m", segmenter, "-o", folder / "taken.csv")
    assert "made for denoising" in refused("suggest", images, "-m", denoiser, "-o", folder / "blocks.csv")
    refusal = refused(
        "suggest", images, "-m", segmenter, "-o", folder / "blocks.csv", "--mask", images / "a.tif", "-n", 0
    )
    assert "at least 1" in refusal
    tifffile.imwrite(folder / "masks" / "c.tif", np.zeros((64, 64), np.uint8))
    message = refused("suggest", images, "-m", segmenter, "-o", folder / "blocks.csv", "--mask", folder / "masks")
    assert "belong to no image" in message
