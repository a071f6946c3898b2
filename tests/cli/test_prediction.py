from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from unveil.errors import EngineError
from unveil.io.images import read_image, read_labels
from unveil.io.model_file import load_model, save_model
from unveil.model.card import ConformalRecord

KEYS = {"input", "outputs", "seconds", "device", "engine", "precision", "tile", "n_objects", "expected_iou"}
KEYS |= {"n_objects_interval", "iou_interval", "unlikeness", "suggested_rescale"}
KEYS |= {"noise_level", "expected_psnr", "residual_correlation"}


def test_segment_writes_labels_like_the_door_computes_them(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    from unveil.config.options import SegmentationOptions
    from unveil.tasks.segment import segment

    image = write_blobs(tmp_path / "a.tif")

    outcome = unveil("segment", image, "--output", tmp_path / "out", "--model", segmenter, "--precision", "exact")

    assert outcome.code == 0, outcome.err
    assert str(tmp_path / "out/a_labels.tif") in outcome.out
    expected = segment(read_image(image), load_model(segmenter), options=SegmentationOptions(precision="exact"))
    written = read_labels(tmp_path / "out/a_labels.tif")
    np.testing.assert_array_equal(np.asarray(written.data), np.asarray(expected.labels.data))
    assert written.axes == "YX"
    assert written.pixel_size_um == pytest.approx({"Y": 0.5, "X": 0.5})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_labels.tif"]


def test_segment_json_has_the_promised_shape(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    write_blobs(tmp_path / "in" / "a10.tif")
    write_blobs(tmp_path / "in" / "a9.tif", (3, 48, 40), "ZYX")

    outcome = unveil(
        "segment", tmp_path / "in", "--output", tmp_path / "out", "--model", segmenter, "--probabilities", "--json"
    )

    assert outcome.code == 0, outcome.err
    assert set(outcome.json) == {"images"}
    nine, ten = outcome.json["images"]
    assert set(nine) == set(ten) == KEYS
    assert (nine["input"], ten["input"]) == (str(tmp_path / "in/a9.tif"), str(tmp_path / "in/a10.tif"))
    assert nine["outputs"] == [str(tmp_path / "out" / f"a9_{kind}.tif") for kind in ("labels", "probability")]
    labels, probability = (tifffile.imread(path) for path in nine["outputs"])
    assert labels.shape == probability.shape == (3, 48, 40)
    assert nine["n_objects"] == len(np.unique(labels[labels > 0]))
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1
    assert nine["device"] == "cpu"
    assert len(nine["tile"]) == 2


@pytest.mark.parametrize("name", ["[1].tif", "{a}.tif", "-dash ü.tif"])
def test_names_of_images_are_taken_as_they_are(
    unveil: Callable[..., Any],
    write_blobs: Callable[..., Path],
    segmenter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    write_blobs(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    outcome = unveil("segment", "-o", "out", "-m", segmenter, "--", name)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out" / f"{name.removesuffix('.tif')}_labels.tif").exists()


def test_denoise_json_and_result(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], denoiser: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.ome.tif")

    outcome = unveil("denoise", image, "-o", tmp_path / "out", "-m", denoiser, "--json", "--engine", "torch")

    (entry,) = outcome.json["images"]
    assert set(entry) == KEYS
    assert entry["n_objects"] is None
    assert entry["engine"] == "torch"
    assert entry["outputs"] == [str(tmp_path / "out/a_denoised.tif")]
    denoised = read_image(tmp_path / "out/a_denoised.tif")
    assert np.dtype(denoised.data.dtype) == np.float32
    assert denoised.pixel_size_um == pytest.approx({"Y": 0.5, "X": 0.5})


def test_several_classes_keep_the_channel_axis(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif")
    model = _three_classes(tmp_path / "classes.safetensors")

    outcome = unveil("segment", image, "--output", tmp_path / "out", "--model", model, "--probabilities", "--json")

    assert outcome.code == 0, outcome.err
    probability = read_image(tmp_path / "out/a_probability.tif")
    assert (probability.axes, probability.shape) == ("CYX", (2, 48, 40))
    assert outcome.json["images"][0]["n_objects"] is None


def test_the_table_has_a_row_for_each_object(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif")

    outcome = unveil("segment", image, "--output", tmp_path / "out", "--model", segmenter, "--table", "--json")

    (entry,) = outcome.json["images"]
    with (tmp_path / "out/a_objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == entry["n_objects"] > 0
    assert float(rows[0]["area_um2"]) == pytest.approx(float(rows[0]["area_px"]) / 4)


def test_uncertainty_is_written_and_measured(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    command = "segment", write_blobs(tmp_path / "a.tif"), "--output", tmp_path / "out", "--model", segmenter, "--table"
    assert unveil(*command, "--uncertainty").code == 0
    written = read_image(tmp_path / "out/a_uncertainty.tif")
    assert (written.axes, written.channel_names) == ("CYX", ("entropy", "disagreement"))
    bits, labels = np.asarray(written.data), np.asarray(read_labels(tmp_path / "out/a_labels.tif").data)
    assert 0 <= bits.min() < bits.max() <= 1
    with (tmp_path / "out/a_objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for channel, name in enumerate(("mean_entropy_bits", "mean_disagreement_bits")):
        assert float(rows[0][name]) == pytest.approx(bits[channel][labels == 1].mean(), rel=1e-4)


def test_models_are_averaged(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, make_tiny_model: Any, tmp_path: Path
) -> None:
    image, other = write_blobs(tmp_path / "a.tif"), tmp_path / "other.safetensors"
    save_model(make_tiny_model(seed=1), other)
    options = ["--output", tmp_path / "out", "--probabilities", "--precision", "exact"]
    maps = []
    for models in (["--model", segmenter], ["--model", other], ["--model", segmenter, "--ensemble", other]):
        assert unveil("segment", image, *models, *options).code == 0
        maps.append(np.asarray(read_image(tmp_path / "out/a_probability.tif").data))
    np.testing.assert_allclose(maps[2], (maps[0] + maps[1]) / 2, atol=1e-5)


def test_models_of_other_tasks_are_not_averaged(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, denoiser: Path, tmp_path: Path
) -> None:
    command = "segment", write_blobs(tmp_path / "a.tif"), "--output", tmp_path / "out", "--model", segmenter
    assert "made for denoising" in refused(*command, "--ensemble", denoiser)


def test_intervals_follow_what_they_are_of(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], make_tiny_model: Any, tmp_path: Path
) -> None:
    model, path = make_tiny_model(), tmp_path / "recorded.safetensors"
    record = ConformalRecord(data="nothing in particular", iou=(0.1,) * 9, n_objects=(1.0,) * 9)
    save_model(replace(model, card=model.card.model_copy(update={"conformal": record})), path)
    command = "segment", write_blobs(tmp_path / "a.tif"), "--output", tmp_path / "out", "--model", path
    (entry,) = unveil(*command, "--json").json["images"]
    low, high = entry["iou_interval"]
    least, most = entry["n_objects_interval"]
    assert entry["n_objects"] == 1
    said = f"1 object ({least} to {most}), expected IoU {entry['expected_iou']:.2f}"
    assert f"{said} ({low:.2f} to {high:.2f}), ranges that hold for 9 in 10 such images, " in unveil(*command).out
    assert "nothing in particular (n = 9)" in " ".join(unveil("models", "show", path).out.split())


def test_a_table_of_classes_is_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif")
    model = _three_classes(tmp_path / "classes.safetensors")

    assert "--table" in refused("segment", image, "--output", tmp_path / "out", "--model", model, "--table")


def test_a_rerun_replaces_its_results(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image, out = write_blobs(tmp_path / "a.tif"), tmp_path / "out"
    arguments = ["segment", image, "--output", out, "--model", segmenter]
    assert unveil(*arguments, "--min-size", 10_000).code == 0
    assert tifffile.imread(out / "a_labels.tif").max() == 0

    assert unveil(*arguments).code == 0

    assert tifffile.imread(out / "a_labels.tif").max() > 0
    assert [path.name for path in out.iterdir()] == ["a_labels.tif"]


def test_axes_decide_what_a_stack_is(
    unveil: Callable[..., Any], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif", (3, 48, 40), "ZYX")
    arguments = ["segment", image, "--output", tmp_path / "out", "--model", segmenter]

    assert unveil(*arguments, "--axes", "CYX", "--channel", "1").code == 0

    assert tifffile.imread(tmp_path / "out/a_labels.tif").shape == (48, 40)


def _bad_input(tmp_path: Path, write_blobs: Callable[..., Path]) -> dict[str, tuple[Path, str]]:
    """Make one file of each kind that cannot be segmented, with words its refusal must hold."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_blobs(folder / "whole.tif", (96, 96))
    truncated = folder / "truncated.tif"
    truncated.write_bytes((folder / "whole.tif").read_bytes()[:2000])
    (folder / "text.tif").write_text("no image")
    (folder / "empty.tif").touch()
    (folder / "nothing").mkdir()
    tifffile.imwrite(folder / "one.tif", np.zeros((1, 1), np.uint8))
    tifffile.imwrite(folder / "complex.tif", np.zeros((32, 32), np.complex64))
    tifffile.imwrite(folder / "mask.tif", np.zeros((32, 32), bool))
    tifffile.imwrite(folder / "nan.tif", np.full((32, 32), np.nan, np.float32))
    tifffile.imwrite(folder / "rgb.tif", np.zeros((32, 32, 3), np.uint8), photometric="rgb")
    return {
        "missing": (folder / "missing.tif", "missing.tif"),
        "truncated": (truncated, "truncated"),
        "text": (folder / "text.tif", "text.tif"),
        "empty": (folder / "empty.tif", "empty.tif"),
        "empty folder": (folder / "nothing", "nothing"),
        "one pixel": (folder / "one.tif", "at least 2 pixels"),
        "complex": (folder / "complex.tif", "complex"),
        "mask": (folder / "mask.tif", "true/false"),
        "channels": (folder / "rgb.tif", "channel"),
    }


@pytest.mark.parametrize(
    "kind",
    ["missing", "truncated", "text", "empty", "empty folder", "one pixel", "complex", "mask", "channels"],
)
def test_bad_images_are_refused_before_anything_is_written(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path, kind: str
) -> None:
    image, words = _bad_input(tmp_path, write_blobs)[kind]

    assert words in refused("segment", image, "--output", tmp_path / "out", "--model", segmenter)


def test_all_bad_images_of_a_folder_are_named_together(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    _bad_input(tmp_path, write_blobs)

    message = refused("segment", tmp_path / "in", "--output", tmp_path / "out", "--model", segmenter)

    for name in ("truncated.tif", "text.tif", "one.tif", "complex.tif", "rgb.tif"):
        assert name in message
    assert "whole.tif" not in message


@pytest.mark.parametrize("axes", ["YXX", "ABC", "ZY", "TCYX"])
def test_wrong_axes_are_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path, axes: str
) -> None:
    image = write_blobs(tmp_path / "a.tif", (3, 48, 40), "ZYX")

    assert axes in refused("segment", image, "--output", tmp_path / "out", "--model", segmenter, "--axes", axes)


def test_seven_dimensions_are_refused(refused: Callable[..., str], segmenter: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 2, 2, 2, 2, 16, 16), np.uint8))

    message = refused("segment", tmp_path / "a.tif", "--output", tmp_path / "out", "--model", segmenter)

    assert "an image has at most 5 axes" in message


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac may have this device")
def test_a_device_that_is_not_there_is_refused_once(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    images = [write_blobs(tmp_path / name) for name in ("a.tif", "b.tif")]

    message = refused("segment", *images, "--output", tmp_path / "out", "--model", segmenter, "--device", "mps")

    assert message.count("not available") == 1


def test_a_model_for_volumes_refuses_a_plane(
    refused: Callable[..., str], write_blobs: Callable[..., Path], volume_segmenter: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif")

    assert "expects volumes" in refused("segment", image, "--output", tmp_path / "out", "--model", volume_segmenter)


def test_pixel_sizes_that_hardly_both_are_right_are_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image, model = write_blobs(tmp_path / "a.tif"), load_model(segmenter)
    card = model.card.model_copy(update={"pixel_size_um": {"Y": 500.0, "X": 500.0}})  # nanometres, taken for more
    save_model(replace(model, card=card), tmp_path / "sized.safetensors")

    arguments = ("segment", image, "--output", tmp_path / "out", "--model", tmp_path / "sized.safetensors")

    assert "differ 1,000-fold" in refused(*arguments)
    assert "differ 1,000-fold" in refused(*arguments, "--format", "ome-zarr")


def test_a_model_for_another_task_is_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], denoiser: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif")

    assert "made for denoising, not for segmentation" in refused(
        "segment", image, "--output", tmp_path / "out", "--model", denoiser
    )


def test_an_altered_model_is_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    altered = bytearray(segmenter.read_bytes())
    altered[-5] ^= 1
    (tmp_path / "altered.safetensors").write_bytes(altered)
    image = write_blobs(tmp_path / "a.tif")
    model = tmp_path / "altered.safetensors"

    assert "altered" in refused("segment", image, "--output", tmp_path / "out", "--model", model)


def test_an_output_folder_that_is_a_file_is_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif")

    assert "cannot be written" in refused("segment", image, "--output", image / "out", "--model", segmenter)


@pytest.mark.parametrize("file_format", ["tiff", "ome-zarr"])
def test_a_result_whose_place_is_taken_is_refused_before_any_is_computed(
    refused: Callable[..., str],
    write_blobs: Callable[..., Path],
    segmenter: Path,
    tmp_path: Path,
    file_format: str,
) -> None:
    for name in ("a.tif", "b.tif"):
        write_blobs(tmp_path / "in" / name)
    (tmp_path / "out" / "b_objects.csv").mkdir(parents=True)
    arguments = [tmp_path / "in", "-o", tmp_path / "out", "-m", segmenter, "--table", "--format", file_format]
    assert "b_objects.csv is a folder, not a file" in refused("segment", *arguments)
    if file_format == "ome-zarr":
        (tmp_path / "out" / "b_segmentation.ome.zarr").write_text("a file")
        assert "b_segmentation.ome.zarr is a file" in refused("segment", *arguments)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_that_go_in_a_circle_are_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image, loop = write_blobs(tmp_path / "a.tif"), tmp_path / "loop.tif"
    loop.symlink_to(loop)
    assert "loop.tif cannot be opened" in refused("segment", loop, "-o", tmp_path / "out", "-m", segmenter)
    assert "cannot be written" in refused("segment", image, "-o", loop, "-m", segmenter)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_protected_result_is_refused_before_any_is_computed(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    for name in ("a.tif", "b.tif"):
        write_blobs(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b_objects.csv").write_text("precious")
    (tmp_path / "out" / "b_objects.csv").chmod(0o444)
    arguments = [tmp_path / "in", "-o", tmp_path / "out", "-m", segmenter, "--table"]
    assert "b_objects.csv is write-protected" in refused("segment", *arguments)


def test_images_of_equal_name_are_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    images = [write_blobs(tmp_path / day / "a.tif") for day in ("monday", "tuesday")]

    assert "both" in refused("segment", *images, "--output", tmp_path / "out", "--model", segmenter)


def test_the_results_of_an_earlier_run_are_not_overwritten_as_images(
    unveil: Callable[..., Any],
    refused: Callable[..., str],
    write_blobs: Callable[..., Path],
    segmenter: Path,
    tmp_path: Path,
) -> None:
    write_blobs(tmp_path / "in" / "a.tif")
    arguments = ["segment", tmp_path / "in", "--output", tmp_path / "in", "--model", segmenter]
    assert unveil(*arguments).code == 0

    assert "would overwrite" in refused(*arguments)


def test_odd_but_sensible_images_are_computed_with_a_note(
    unveil: Callable[..., Any], segmenter: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "constant.tif", np.full((32, 32), 7, np.uint8))
    holey = np.random.default_rng(0).random((32, 32), np.float32)
    holey[3, 4:6] = np.nan
    tifffile.imwrite(tmp_path / "holey.tif", holey)

    outcome = unveil(
        "segment",
        tmp_path / "constant.tif",
        tmp_path / "holey.tif",
        "--output",
        tmp_path / "out",
        "--model",
        segmenter,
        "--json",
    )

    assert outcome.code == 0, outcome.err
    assert outcome.json["images"][0]["n_objects"] == 0
    assert outcome.err.count("Note: ") >= 2


@pytest.mark.parametrize(("failure", "code"), [(EngineError("The engine broke."), 1), (OSError("Odd."), 1)])
def test_one_failure_does_not_stop_the_others(
    unveil: Callable[..., Any],
    write_blobs: Callable[..., Path],
    segmenter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    code: int,
) -> None:
    from unveil.tasks import segment as door

    for name in ("a", "b", "c"):
        write_blobs(tmp_path / "in" / f"{name}.tif")
    real = door.segment

    def sometimes(image: Any, *arguments: Any, **options: Any) -> Any:
        if image.name.startswith("b"):
            raise failure
        return real(image, *arguments, **options)

    monkeypatch.setattr(door, "segment", sometimes)

    outcome = unveil("segment", tmp_path / "in", "--output", tmp_path / "out", "--model", segmenter, "--json")

    assert outcome.code == code
    assert [Path(entry["input"]).name for entry in outcome.json["images"]] == ["a.tif", "c.tif"]
    assert [Path(entry["input"]).name for entry in outcome.json["failed"]] == ["b.tif"]
    assert str(failure) in outcome.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_labels.tif", "c_labels.tif"]


def test_an_image_without_any_value_fails_alone(unveil: Callable[..., Any], segmenter: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "nan.tif", np.full((32, 32), np.nan, np.float32))

    outcome = unveil("segment", tmp_path / "nan.tif", "--output", tmp_path / "out", "--model", segmenter)

    assert outcome.code == 2
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("file_format", "worker"), [("tiff", "denoise_one"), ("ome-zarr", "denoise_growing")])
def test_an_interrupt_speaks_of_ome_zarr_where_it_is_written(
    unveil: Callable[..., Any],
    write_blobs: Callable[..., Path],
    denoiser: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file_format: str,
    worker: str,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"unveil.cli.prediction.{worker}", interrupted)
    image = write_blobs(tmp_path / "a.tif")

    outcome = unveil("denoise", image, "-o", tmp_path / "out", "-m", denoiser, "--format", file_format)

    assert outcome.code == 130
    assert ("the same command goes on with it" in outcome.err) == (file_format == "ome-zarr")


def heed_interrupts() -> None:
    """Undo what shells do to the processes that they start in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal between processes")
def test_an_interrupted_run_leaves_whole_files_only(
    write_blobs: Callable[..., Path], denoiser: Path, tmp_path: Path
) -> None:
    for number in range(40):
        write_blobs(tmp_path / "in" / f"{number}.tif", (256, 256))
    command = ["denoise", tmp_path / "in", "--output", tmp_path / "out", "--model", denoiser, "--engine", "torch"]
    process = subprocess.Popen(
        [sys.executable, "-m", "unveil", *map(str, command), "--tile", "8"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=heed_interrupts,
    )
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "out").glob("*_denoised.tif")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130
    assert err.strip().startswith("unveil: interrupted")
    results = list((tmp_path / "out").iterdir())
    assert 0 < len(results) < 40
    for result in results:
        assert tifffile.imread(result).shape == (256, 256)


def _three_classes(path: Path) -> Path:
    import torch

    from unveil.config.architecture import UNetConfig
    from unveil.config.normalization import PercentileNormalization
    from unveil.io.model_file import save_model
    from unveil.model.card import ModelCard
    from unveil.model.model import Model
    from unveil.networks.build import build_network

    architecture = UNetConfig(out_channels=3, width=4, poolings=1)
    card = ModelCard.describe(
        architecture,
        name="classes",
        task="segmentation",
        classes=("background", "nucleus", "membrane"),
        normalization=PercentileNormalization(),
    )
    torch.manual_seed(0)
    check_input = np.random.default_rng(0).random((1, 1, 16, 16), np.float32)
    save_model(Model.make(card, build_network(architecture), check_input), path)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_named_and_leaves_no_broken_file(
    write_blobs: Callable[..., Path], segmenter: Path, tmp_path: Path
) -> None:
    image = write_blobs(tmp_path / "a.tif", (512, 512))
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
from unveil.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    arguments = ["segment", image, "--output", tmp_path / "out", "--model", segmenter, "--probabilities"]

    finished = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments), "--engine", "torch"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert finished.returncode == 2, finished.stderr
    assert "a_probability.tif cannot be written" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_labels.tif"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--residual", "--format", "ome-zarr"], "The residual is written as TIFF only"),
        (["--cluster", "tcp://nowhere:8786", "--format", "tiff"], "The workers of a cluster write OME-Zarr"),
    ],
)
def test_formats_that_do_not_fit_are_refused(
    refused: Callable[..., str], write_blobs: Callable[..., Path], tmp_path: Path, options: list[str], words: str
) -> None:
    image = write_blobs(tmp_path / "a.tif")

    assert words in refused("denoise", image, "--output", tmp_path / "out", *options)


def test_denoise_says_how_noisy_it_was_and_shows_what_it_removed(unveil: Callable[..., Any], tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).normal(500, 40, (120, 130)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", noisy)

    outcome = unveil(
        "denoise",
        tmp_path / "a.tif",
        "-o",
        tmp_path / "out",
        "-m",
        "median-filter",
        "--size-px",
        "2",
        "--residual",
        "--json",
    )

    assert outcome.code == 0, outcome.err
    (entry,) = outcome.json["images"]
    assert entry["noise_level"] == pytest.approx(40, rel=0.1)
    assert entry["expected_psnr"] > 0
    assert -0.3 < entry["residual_correlation"] < 0.1
    denoised, residual = (tifffile.imread(path) for path in entry["outputs"])
    assert Path(entry["outputs"][1]).name == "a_residual.tif"
    np.testing.assert_allclose(denoised + residual, noisy, atol=1e-3)


def test_denoise_says_it_in_a_line_too(unveil: Callable[..., Any], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.random.default_rng(0).normal(500, 40, (120, 130)).astype(np.uint16))
    outcome = unveil("denoise", tmp_path / "a.tif", "-o", tmp_path, "-m", "gaussian-filter")
    level = re.search(r"noise ([\d.]+), expected PSNR", outcome.out)
    assert level is not None
    assert float(level[1]) == pytest.approx(40, rel=0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a_denoised.tif"]
