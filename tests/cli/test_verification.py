from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def altered(model: Path, folder: Path) -> Path:
    """Change a weight in a model file and leave its card as it is."""
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    path = folder / "altered.safetensors"
    path.write_bytes(data)
    return path


def test_a_model_on_an_image(
    unveil: Callable[..., Any], segmenter: Path, write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "cells.tif", (120, 140))

    outcome = unveil("verify", segmenter, image, "--output", tmp_path / "reports" / "report.md")

    assert outcome.code == 0, outcome.err
    assert "all 5 checks passed" in outcome.out
    report = (tmp_path / "reports" / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# Verification of models by Unveil\n\nEverything that was checked holds.")
    assert "cells" in report


def test_a_damaged_model_gives_a_report_and_the_code_1(
    unveil: Callable[..., Any], segmenter: Path, write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    image, model = write_blobs(tmp_path / "cells.tif", (120, 140)), altered(segmenter, tmp_path)

    outcome = unveil("verify", model, image, "--json", "--output", tmp_path / "report.json")

    assert outcome.code == 1
    assert outcome.json == json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert outcome.json["passed"] is False
    outcomes = {check["name"]: check["passed"] for check in outcome.json["models"][0]["checks"]}
    assert outcomes["weights"] is False


def test_shipped_models_and_samples_are_the_default(
    unveil: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, denoiser: Path
) -> None:
    monkeypatch.setattr("unveil.io.library.shipped_models_folder", lambda: denoiser.parent)
    monkeypatch.setenv("UNVEIL_MODELS", str(tmp_path / "none"))

    models = unveil("verify", "--json", "--engine", "torch").json["models"]

    assert [model["setting"]["model"] for model in models] == ["tiny-denoising"]
    assert models[0]["setting"]["image"] == "noisy"
    assert models[0]["setting"]["engine"] == "torch"


def test_one_model_that_fails_gives_the_code_1_and_is_shown(
    unveil: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, denoiser: Path
) -> None:
    (tmp_path / "b").mkdir()
    shutil.copy(altered(denoiser, tmp_path), tmp_path / "b" / "bad.safetensors")
    shutil.copy(denoiser, tmp_path / "b" / "good.safetensors")
    monkeypatch.setattr("unveil.io.library.shipped_models_folder", lambda: tmp_path / "b")
    monkeypatch.setenv("UNVEIL_MODELS", str(tmp_path / "none"))

    outcome = unveil("verify", "--engine", "torch")

    assert outcome.code == 1
    assert [line.split("│")[2].strip() for line in outcome.out.splitlines() if line.startswith("│ weights")] == [
        "FAILED",
        "passed",
    ]
    assert "…" not in outcome.out, "digests are cut off"


def test_what_can_be_mended_is_refused(refused: Callable[..., str], segmenter: Path, tmp_path: Path) -> None:
    assert "Markdown or JSON" in refused("verify", segmenter, "-o", tmp_path / "report.pdf")
    assert "There is no model called 'none'" in refused("verify", "none", "-o", tmp_path / "new" / "report.md")
    (tmp_path / "report.md").mkdir()
    assert "is a folder, not a file" in refused("verify", segmenter, "-o", tmp_path / "report.md")
