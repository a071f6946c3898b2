"""Results as OME-Zarr: the same pixels as in TIFF, and gone on with after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unveil.io.images import read_image, read_labels


def test_a_segmentation_in_ome_zarr_holds_what_the_tiff_files_hold(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif", (3, 600, 560), "ZYX")
    command = "segment", image, "--output", tmp_path / "out", "--model", segmenter, "--table", "--precision", "exact"
    command += ("--uncertainty",)
    assert unveil(*command, "--probabilities").code == 0
    written = tmp_path / "out/a_objects.csv"
    table = written.read_text()
    written.unlink()

    outcome = unveil(*command, "--format", "ome-zarr")

    assert outcome.code == 0, outcome.err
    result = tmp_path / "out/a_segmentation.ome.zarr"
    assert str(result) in outcome.out
    labels, probabilities = read_labels(result), read_image(result)
    np.testing.assert_array_equal(labels.data[...], read_labels(tmp_path / "out/a_labels.tif").data)
    np.testing.assert_allclose(
        probabilities.data[...], read_image(tmp_path / "out/a_probability.tif").data, rtol=0, atol=1e-5
    )
    unsure = read_image(result / "uncertainty")
    assert unsure.channel_names == ("entropy", "disagreement")
    np.testing.assert_allclose(unsure.data[...], read_image(tmp_path / "out/a_uncertainty.tif").data, rtol=0, atol=1e-5)
    assert (labels.axes, dict(labels.pixel_size_um)) == ("ZYX", pytest.approx({"Y": 0.5, "X": 0.5}))
    assert written.read_text() == table
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_denoised_image_in_ome_zarr_holds_what_the_tiff_file_holds(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], denoiser: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif", (600, 560))
    command = "denoise", image, "--output", tmp_path / "out", "--model", denoiser, "--precision", "exact"
    outcomes = [unveil(*command, "--format", form, "--json").json["images"][0] for form in ("tiff", "ome-zarr")]
    denoised = [read_image(Path(outcome["outputs"][0])) for outcome in outcomes]
    np.testing.assert_allclose(denoised[1].data[...], denoised[0].data, rtol=1e-5)
    assert outcomes[1]["expected_psnr"] == pytest.approx(outcomes[0]["expected_psnr"], abs=0.01)


def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif", (2048, 1536))
    output = tmp_path / "out"
    rest = ["--model", segmenter, "--format", "ome-zarr", "--tile", "512", "--engine", "torch"]
    command = [str(word) for word in ("segment", image, "--output", output, *rest)]
    journal = output / ".a_segmentation.ome.zarr.part" / "journal.txt"
    process = subprocess.Popen(
        [sys.executable, "-m", "unveil", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert not (output / "a_segmentation.ome.zarr").exists()

    outcome = unveil(*command)

    assert outcome.code == 0, outcome.err
    assert "Going on with" in outcome.err
    result = output / "a_segmentation.ome.zarr"
    broken = files(result)
    assert unveil(*command).code == 0  # replaces it, from the beginning
    assert files(result).keys() == broken.keys()
    assert {name for name, content in files(result).items() if content != broken[name]} <= {".zattrs"}  # its seconds


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_cannot_work_is_refused_before_anything_is_written(
    refused: Callable[..., str],
    write_blobs: Callable[..., Path],
    segmenter: Path,
    denoiser: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("unveil.inference.cluster._PATIENCE_S", 1)
    image = write_blobs(tmp_path / "a.tif")
    segment = "segment", image, "--output", tmp_path / "out", "--model", segmenter
    denoise = "denoise", image, "--output", tmp_path / "out", "--model", denoiser
    assert "OME-Zarr" in refused(*segment, "--cluster", "tcp://127.0.0.1:9", "--format", "tiff")
    assert "No dask scheduler answers" in refused(*segment, "--cluster", "tcp://127.0.0.1:9")
    assert "residual" in refused(*denoise, "--format", "ome-zarr", "--residual")
