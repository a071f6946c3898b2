from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile


def test_for_people_and_as_a_map(
    unveil: Callable[..., Any], segmenter: Path, write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "cells.tif", (48, 40))

    outcome = unveil(
        "stability", image, "--model", segmenter, "--n-steps", 2, "--output", tmp_path / "maps" / "map.tif"
    )

    assert outcome.code == 0, outcome.err
    assert "worst disturbance" in outcome.out
    assert "certified bound" in outcome.out
    shown = tifffile.imread(tmp_path / "maps" / "map.tif")
    assert shown.shape == (48, 40)
    assert shown.dtype == np.float32
    assert shown.min() >= 0 < shown.max()


def test_as_json(unveil: Callable[..., Any], denoiser: Path, write_blobs: Callable[..., Path], tmp_path: Path) -> None:
    image = write_blobs(tmp_path / "cells.tif")

    found = unveil("stability", image, "-m", denoiser, "--n-steps", 2, "--strength", 0.02, "--json").json

    assert found["input"] == str(image)
    assert found["strength"] == 0.02
    assert found["strength_from"] == "choice"
    assert 0 < found["random"]["stretch"] <= found["found"]["stretch"] <= found["bound"]
    assert found["random"]["flipped"] is None
    assert found["sentence"]
    assert found["shifts"][0]["px"] == 1


def test_what_can_be_mended_is_refused(
    unveil: Callable[..., Any], refused: Callable[..., str], segmenter: Path, write_blobs: Any, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "cells.tif")

    assert "written as TIFF" in refused("stability", image, "-m", segmenter, "-o", tmp_path / "map.png")
    assert f"would overwrite {image}" in refused("stability", image, "-m", segmenter, "-o", image)
    (tmp_path / "map.tif").mkdir()
    assert "is a folder, not a file" in refused("stability", image, "-m", segmenter, "-o", tmp_path / "map.tif")
    assert "--strength" in refused("stability", image, "-m", segmenter, "--strength", 2)
    assert "There is no model called 'none'" in refused("stability", image, "-m", "none")
    two = write_blobs(tmp_path / "two.tif", (2, 48, 40), "CYX")
    assert "Choose a channel" in refused("stability", two, "-m", segmenter)
