"""A run's folder: what goes in comes out, and whether it can go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unveil.config.architecture import DnCNNConfig
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation, scribbled
from unveil.errors import ConfigError, FileError
from unveil.events import Cancelled, Event, Progress
from unveil.image import Image
from unveil.io import run_data
from unveil.io.pairs import pair_files
from unveil.io.runs import Run, create_run, resumable_runs
from unveil.io.settings import write_settings
from unveil.io.user_folders import runs_folder

ODD = [
    "a",
    "a",
    "cells_labels",
    "../../etc",
    "µ/Zellen \\ 3:?*",
    "",
    "x" * 300,
    "CON",
    ".hidden",
    "b.ome.tif",
    "\x00\n",
]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my runs µ"
    monkeypatch.setenv("UNVEIL_RUNS", str(folder))
    return folder


def grey(shape: tuple[int, ...] = (6, 7), dtype: Any = np.uint16) -> NDArray[Any]:
    return (np.random.default_rng(0).random(shape) * 100).astype(dtype)


def labels(shape: tuple[int, ...] = (6, 7)) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 4, shape).astype(np.uint16)


def assert_same(one: Image, other: Image) -> None:
    assert (one.axes, one.shape, one.name) == (other.axes, other.shape, other.name)
    assert (dict(one.pixel_size_um), one.channel_names) == (dict(other.pixel_size_um), other.channel_names)
    np.testing.assert_array_equal(np.asarray(one.data[...]), np.asarray(other.data[...]))


def read_back(*given_: Any) -> tuple[list[Any] | None, list[Any] | None]:
    return Run(create_run(*given_).path).data()


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("YX", (6, 7)), ("ZYX", (1, 6, 7)), ("TYX", (3, 6, 7)), ("CYX", (1, 6, 7)), ("TCZYX", (2, 3, 4, 6, 7))],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.float16, np.float32, np.float64])
def test_images_come_back_as_they_were(axes: str, shape: tuple[int, ...], dtype: Any) -> None:
    size = {axis: 1 / 3 + number for number, axis in enumerate(axes) if axis in "ZYX"}
    names = tuple(f"Kanal {number}" for number in range(shape[axes.index("C")])) if "C" in axes else ()
    image = Image(grey(shape, dtype), axes, pixel_size_um=size, channel_names=names, name="cells")
    bare = Image(grey(shape, dtype), axes)

    images, targets = read_back([image, bare], None, DenoisingTraining())

    assert targets is None
    assert images is not None
    assert_same(images[0], image)
    assert_same(images[1], bare)


def test_annotations_come_back_as_they_were() -> None:
    shapes = [("YX", (6, 7)), ("TYX", (3, 6, 7)), ("ZYX", (1, 6, 7))]
    images = [Image(grey(shape), axes, name="same") for axes, shape in shapes]
    masks = [None, labels((3, 6, 7)) > 1, labels((1, 6, 7)) > 2]
    annotations = [
        Annotation(Image(labels(shape), axes, pixel_size_um={"X": 0.123456789}, name=f"labels {axes}"), mask)
        for (axes, shape), mask in zip(shapes, masks, strict=True)
    ]

    run = create_run(images, annotations, SegmentationTraining())
    again, targets = run.data()

    assert again is not None
    assert targets is not None
    for one, other in zip(images, again, strict=True):
        assert_same(other, one)
    for expected, found in zip(annotations, targets, strict=True):
        assert isinstance(found, Annotation)
        assert_same(found.labels, expected.labels)
        assert found.has_outlines
        np.testing.assert_array_equal(found.mask, expected.mask)
    assert [path.name for path in sorted(run.masks.iterdir())] == ["001_same.tif", "002_same.tif"]
    assert not run.clean.exists()
    assert run.facts["is_scribbled"] is False


@pytest.mark.parametrize("highest", [3, 255])
def test_scribbles_come_back_as_they_were(highest: int) -> None:
    painted = labels().astype(np.uint8)
    painted[0, 0] = highest
    expected = scribbled(Image(painted, name="dabs"), background=2)
    everywhere = Annotation(Image(labels()), None, has_outlines=False)
    image = Image(grey())

    run = create_run([image, image], [expected, everywhere], SegmentationTraining())
    _, targets = run.data()

    assert targets is not None
    found, whole = targets
    assert isinstance(found, Annotation)
    assert isinstance(whole, Annotation)
    assert_same(found.labels, expected.labels)
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert not found.has_outlines
    np.testing.assert_array_equal(whole.labels.data, labels())
    assert whole.mask is not None
    assert whole.mask.all()
    assert run.facts["is_scribbled"] is True


def test_clean_images_come_back_alone_or_in_pairs() -> None:
    noisy, clean = [Image(grey(), name=name) for name in "ab"], [Image(grey() + 1, name=name) for name in "cd"]

    paired = create_run(noisy, clean, DenoisingTraining())
    images, targets = paired.data()
    none, alone = read_back(None, clean, DenoisingTraining())

    assert images is not None
    assert targets is not None
    for one, other in zip([*images, *targets], [*noisy, *clean], strict=True):
        assert isinstance(one, Image)
        assert_same(one, other)
    assert none is None
    assert alone is not None
    assert [image.name for image in alone] == ["c", "d"]
    assert [[path.name for path in pair] for pair in pair_files(paired.images, paired.clean)] == [
        ["000_a.tif"] * 2,
        ["001_b.tif"] * 2,
    ]


def test_odd_and_double_names_stay_apart(runs: Path) -> None:
    images = [Image(grey() + number, name=name) for number, name in enumerate(ODD)]
    annotations = [Annotation(Image(labels() + number, name=name)) for number, name in enumerate(ODD)]

    run = create_run(images, annotations, SegmentationTraining(name="../ü: \n*" + "y" * 99))
    again, targets = run.data()

    assert again is not None
    assert targets is not None
    for one, other in zip(images, again, strict=True):
        assert_same(other, one)
    for expected, found in zip(annotations, targets, strict=True):
        assert isinstance(found, Annotation)
        assert_same(found.labels, expected.labels)
    assert run.path.parent == runs
    assert len(run.path.name) < 70
    assert len(pair_files(run.images, run.labels)) == len(ODD)


@pytest.mark.parametrize(("n_images", "n_targets"), [(0, 0), (3, 2), (2, 3), (0, 1)])
def test_what_does_not_pair_is_left_for_the_training_to_refuse(n_images: int, n_targets: int) -> None:
    images, targets = read_back([Image(grey())] * n_images, [Image(grey())] * n_targets, DenoisingTraining())

    assert images is not None
    assert targets is not None
    assert (len(images), len(targets)) == (n_images, n_targets)


def test_writing_is_told_image_by_image_and_leaves_nothing_where_it_is_cancelled(runs: Path) -> None:
    events: list[Event] = []

    def cancel_at_the_second(event: Event) -> None:
        events.append(event)
        if event == Progress(1, 2, "annotations written"):
            raise Cancelled

    with pytest.raises(Cancelled):
        create_run(
            [Image(grey())] * 2,
            [Annotation(Image(labels()))] * 2,
            SegmentationTraining(),
            monitor=cancel_at_the_second,
        )

    assert Progress(1, 2, "images written") in events
    assert list(runs.iterdir()) == []


def test_settings_and_parent_are_kept(tmp_path: Path, runs: Path) -> None:
    parent = tmp_path / "parent model.safetensors"
    parent.write_bytes(b"weights")
    settings = DenoisingTraining(
        name="night: shift", architecture=DnCNNConfig(width=4), noisy_only="frames", time_budget_s=60
    )

    run = create_run([Image(grey())], None, settings, parent=parent)
    bare = create_run([Image(grey())], None, SegmentationTraining())

    assert run.settings() == settings
    assert run.parent is not None
    assert run.parent.read_bytes() == b"weights"
    assert (run.facts["task"], run.facts["title"]) == ("denoising", "night: shift")
    assert bare.settings() == SegmentationTraining()
    assert bare.parent is None
    assert {path.name for path in bare.path.iterdir()} == {"images", "settings.yaml", "run.json"}
    assert run.path.parent == runs_folder() == runs


def test_settings_of_another_version_are_one_sentence() -> None:
    run = create_run([Image(grey())], None, SegmentationTraining())
    run.settings_file.write_text("epochs: 3\nspeed: high\n")

    with pytest.raises(ConfigError, match=r"settings\.yaml do not fit: speed: not known.*version"):
        run.settings()


def test_runs_of_one_second_stay_apart() -> None:
    made = [create_run([Image(grey())], None, SegmentationTraining()) for _ in range(3)]

    assert len({run.path for run in made}) == 3


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("odd")])
def test_a_failure_leaves_nothing_behind(runs: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(run_data, "write_labels", fail)
    with pytest.raises(FileError if isinstance(failure, OSError) else type(failure)):
        create_run([Image(grey())], [Annotation(Image(labels()))], SegmentationTraining())
    assert list(runs.iterdir()) == []


def test_a_parent_that_is_not_there_is_named(tmp_path: Path, runs: Path) -> None:
    with pytest.raises(FileError, match=r"No such file.*gone\.safetensors"):
        create_run([Image(grey())], None, SegmentationTraining(), parent=tmp_path / "gone.safetensors")
    assert list(runs.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "runs"):
        monkeypatch.setenv("UNVEIL_RUNS", str(place))
        with pytest.raises(FileError, match=r"file.*UNVEIL_RUNS"):
            create_run([Image(grey())], None, SegmentationTraining())
        assert resumable_runs() == []


@pytest.fixture
def interrupted() -> Callable[[], Run]:
    """Make a run that has come as far as a checkpoint."""

    def make() -> Run:
        run = create_run([Image(grey())], None, SegmentationTraining())
        run.checkpoint.touch()
        return run

    return make


def test_a_run_is_resumable_with_a_checkpoint_and_no_model(runs: Path, interrupted: Callable[[], Run]) -> None:
    assert resumable_runs() == []
    first, second, done, given_up = (interrupted() for _ in range(4))
    create_run([Image(grey())], None, SegmentationTraining())
    (runs / "folder of mine").mkdir()
    (runs / "notes.txt").touch()
    done.model.touch()
    given_up.discard()
    given_up.discard()

    assert resumable_runs() == [second, first]


def test_a_run_with_a_living_process_is_not_resumable(interrupted: Callable[[], Run]) -> None:
    run = interrupted()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        run.claim(process.pid)
        assert run.is_alive
        assert resumable_runs() == []
    finally:
        process.kill()
        assert process.stdin is not None
        process.stdin.close()
        if sys.platform != "win32":  # killed, and nobody has asked how it ended
            while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
                pass
            assert not run.is_alive
        process.wait()
    assert not run.is_alive
    assert resumable_runs() == [run]
    run.claim(process.pid)  # of a process that is gone
    assert resumable_runs() == [run]


@pytest.mark.parametrize("noted", ["", "[]", "{}", '{"pid": -1, "since": 0}', '{"pid": "x", "since": 0}'])
def test_a_broken_note_of_a_process_is_none(interrupted: Callable[[], Run], noted: str) -> None:
    run = interrupted()
    (run.path / "running.json").write_text(noted)

    assert resumable_runs() == [run]


def test_another_process_of_the_same_number_is_not_ours(interrupted: Callable[[], Run]) -> None:
    run = interrupted()
    since = psutil.Process().create_time()
    for began, is_ours in ((since + 1, True), (since - 3600, False)):  # the clock is corrected by a little
        (run.path / "running.json").write_text(json.dumps({"pid": os.getpid(), "since": began}))
        assert run.is_alive == is_ours


def test_sweeping_takes_what_a_killed_process_left(interrupted: Callable[[], Run]) -> None:
    run = interrupted()
    kept = {path.name for path in run.path.iterdir()}
    for name in (".checkpoint-0a1b2c3d.part.safetensors", "shown-3.npy", "running.json"):
        (run.path / name).touch()

    run.sweep()

    assert {path.name for path in run.path.iterdir()} == kept


@given(st.text(max_size=60))
def test_any_title_makes_a_folder(title: str) -> None:
    run = create_run([], None, SegmentationTraining(name=title))

    assert run.path.parent == runs_folder()
    assert run.settings().name == title


def test_the_settings_file_is_what_a_command_reads(tmp_path: Path) -> None:
    settings = SegmentationTraining(epochs=3)
    write_settings(tmp_path / "s.yaml", settings)

    assert create_run([], None, settings).settings_file.read_text() == (tmp_path / "s.yaml").read_text()
