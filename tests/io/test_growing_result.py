from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import numpy as np
import pytest
import zarr

from unveil.errors import FileError
from unveil.events import Cancelled, Event, Progress
from unveil.image import Image
from unveil.io import growing_result, ome_zarr_metadata, pyramid, result_store
from unveil.io.growing_result import GrowingResult
from unveil.io.images import read_image, read_labels

IDENTITY: dict[str, Any] = {"image": "a1", "model": "b2", "options": {"threshold": 0.5}}
UM = {"Z": 2.0, "Y": 0.5, "X": 0.25}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "CHUNK_2D", (1, 16, 16))
    monkeypatch.setattr(pyramid, "COARSEST", 20)


def source() -> Image:
    return Image(np.zeros((3, 50, 41), np.uint16), "ZYX", pixel_size_um=UM, name="cells")


def write_all(result: GrowingResult, *, seed: int = 0) -> tuple[Any, Any]:
    """Write an image of two channels and labels, and return what was written."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random((2, 3, 50, 41), dtype=np.float32)
    labels = rng.integers(0, 90, (3, 50, 41)).astype(np.int32)
    image = result.image(source(), "CZYX", probabilities.shape, np.float32, channel_names=("background", "cells"))
    image[...] = probabilities
    result.labels("cells", source(), "ZYX", labels.shape)[...] = labels
    result.journal.add("all")
    return probabilities, labels


def write_result(path: Path, *, seed: int = 0) -> tuple[Any, Any]:
    with GrowingResult.open(path, IDENTITY) as result:
        written = write_all(result, seed=seed)
        result.finish({"model": "nuclei", "seed": seed})
    return written


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cells_segmentation.ome.zarr"
    probabilities, labels = write_result(path)
    image, found = read_image(path), read_labels(path)
    assert (image.axes, image.pixel_size_um, image.channel_names) == ("CZYX", UM, ("background", "cells"))
    assert (found.axes, found.pixel_size_um, found.data.dtype) == ("ZYX", UM, np.dtype("int32"))
    np.testing.assert_array_equal(np.asarray(image.data[...]), probabilities)
    np.testing.assert_array_equal(np.asarray(found.data[...]), labels)
    assert list(path.parent.iterdir()) == [path]
    assert {member.name for member in path.iterdir()} == {".zattrs", ".zgroup", "0", "1", "2", "labels"}
    assert json.loads((path / ".zattrs").read_text())["unveil"] == {"model": "nuclei", "seed": 0}


def test_a_name_that_is_too_long_is_our_error(tmp_path: Path) -> None:
    for n_letters in (245, 260):  # too long while it grows, and ever
        with pytest.raises(FileError, match="its name is too long"):
            GrowingResult.open(tmp_path / f"{'a' * n_letters}.ome.zarr", IDENTITY)


def test_a_further_image_lies_beside(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    with GrowingResult.open(path, IDENTITY) as result:
        write_all(result)
        array = result.image(
            source(), "CZYX", (2, 3, 50, 41), np.float32, channel_names=("grey", "red"), folder="noise"
        )
        array[...] = pixels = np.random.default_rng(1).random(array.shape, dtype=np.float32)
        result.finish({})
    found = read_image(path / "noise")
    assert (found.axes, found.pixel_size_um, found.channel_names) == ("CZYX", UM, ("grey", "red"))
    np.testing.assert_array_equal(np.asarray(found.data[...]), pixels)
    assert {member.name for member in (path / "noise").iterdir()} >= {"0", "1", "2", ".zattrs"}


def test_levels_lie_where_their_pixels_come_from(tmp_path: Path) -> None:
    write_result(tmp_path / "cells.ome.zarr")
    root = zarr.open_group(str(tmp_path / "cells.ome.zarr"), mode="r")
    levels = root.attrs["multiscales"][0]["datasets"]  # type: ignore[index, call-overload]
    assert levels[0]["coordinateTransformations"] == [{"type": "scale", "scale": [1, 2, 0.5, 0.25]}]
    assert levels[2]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 2, 2, 1]},
        {"type": "translation", "translation": [0, 0, 1.5 * 0.5, 1.5 * 0.25]},
    ]
    labels = zarr.open_group(str(tmp_path / "cells.ome.zarr" / "labels" / "cells"), mode="r")
    assert labels.attrs["image-label"] == {"version": "0.4", "source": {"image": "../../"}}
    levels = labels.attrs["multiscales"][0]["datasets"]  # type: ignore[index, call-overload]
    assert levels[2]["coordinateTransformations"] == [{"type": "scale", "scale": [2, 2, 1]}]
    made_by = [group.attrs["multiscales"][0]["type"] for group in (root, labels)]  # type: ignore[index, call-overload]
    assert made_by == ["mean", "nearest"]


@pytest.mark.parametrize("interval_s", [90.0, None])
def test_a_result_has_the_interval_between_frames(tmp_path: Path, interval_s: float | None) -> None:
    path = tmp_path / "movie.ome.zarr"
    movie = Image(np.zeros((3, 20, 30)), "TYX", frame_interval_s=interval_s)
    with GrowingResult.open(path, IDENTITY) as result:
        result.image(movie, "TCYX", (3, 1, 20, 30), np.float32)
        result.labels("cells", movie, "TYX", (3, 20, 30))
        result.finish({})
    assert read_image(path).frame_interval_s == read_labels(path).frame_interval_s == interval_s


def test_a_result_lies_where_its_image_does(tmp_path: Path) -> None:
    path, origin = tmp_path / "cells.ome.zarr", {"Y": 100.0, "X": -20.0}
    image = replace(source(), origin_um=origin)
    with GrowingResult.open(path, IDENTITY) as result:
        result.image(image, "CZYX", (2, 3, 50, 41), np.float32)
        result.labels("cells", image, "ZYX", (3, 50, 41))
        result.finish({})
    assert read_image(path).origin_um == read_labels(path).origin_um == origin
    shifts = [
        [level["coordinateTransformations"][1]["translation"] for level in described["datasets"]]
        for described in (
            json.loads((folder / ".zattrs").read_text())["multiscales"][0] for folder in (path, path / "labels/cells")
        )
    ]
    assert shifts[0] == [[0, 0, 100 + shift * 0.5, -20 + shift * 0.25] for shift in (0, 0.5, 1.5)]
    assert shifts[1] == [[0, 100, -20]] * 3


def test_other_readers_take_it(tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models.v04", reason="the validator ome-zarr-models is not installed")
    write_result(tmp_path / "cells.ome.zarr")
    root = zarr.open_group(str(tmp_path / "cells.ome.zarr"), mode="r")
    assert models.Image.from_zarr(root).attributes.omero.channels[1].label == "cells"
    assert models.ImageLabel.from_zarr(root["labels/cells"]).attributes.image_label.version == "0.4"


def test_without_pixel_size_and_channel_names_nothing_is_claimed(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    with GrowingResult.open(path, IDENTITY) as result:
        result.labels("cells", Image(np.zeros((50, 41))), "YX", (50, 41))[...] = 7
        result.finish({})
    assert read_labels(path).pixel_size_um == {}
    assert read_labels(path).data[49, 40] == 7
    assert "omero" not in json.loads((path / ".zattrs").read_text())
    labels = json.loads((path / "labels" / "cells" / ".zattrs").read_text())
    assert labels["multiscales"][0]["axes"] == [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    assert labels["image-label"] == {"version": "0.4"}


def test_labels_alone_are_described_at_the_top_too(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    with GrowingResult.open(path, IDENTITY) as result:
        result.labels("cells", source(), "ZYX", (3, 50, 41))[...] = 7
        result.finish({})
    for read in (read_image, read_labels):
        image = read(path)
        assert (image.axes, image.pixel_size_um, image.data.dtype) == ("ZYX", UM, np.dtype("int32"))
        assert np.all(image.data[...] == 7)
    attributes = json.loads((path / ".zattrs").read_text())
    assert [level["path"] for level in attributes["multiscales"][0]["datasets"]] == [
        f"labels/cells/{n}" for n in range(3)
    ]
    assert "image-label" in attributes


@pytest.mark.parametrize(
    ("pixels", "wanted"), [([0.5, 2.0, np.nan], (0.5, 2.0)), ([3.0, 3.0], (3.0, 4.0)), ([np.inf], (0.0, 1.0))]
)
def test_contrasts_are_finite_and_have_a_width(pixels: list[float], wanted: tuple[float, float]) -> None:
    image = Image(np.zeros((1, 2, 2)), "CYX", channel_names=("cells",))
    (channel,) = ome_zarr_metadata.omero(image, np.array(pixels)[None, None])["channels"]  # type: ignore[misc, union-attr]
    assert (channel["window"]["start"], channel["window"]["end"]) == wanted  # type: ignore[index, call-overload]


def test_every_channel_has_a_colour_and_a_contrast_of_its_own() -> None:
    pixels = np.arange(24.0).reshape(2, 3, 2, 2)
    image = Image(pixels, "CZYX", channel_names=("DAPI", "GFP"))
    first, second = ome_zarr_metadata.omero(image, pixels)["channels"]  # type: ignore[misc, union-attr]
    assert (first["label"], second["label"]) == ("DAPI", "GFP")  # type: ignore[index, call-overload]
    assert (first["window"]["start"], first["window"]["end"]) == (0, 11)  # type: ignore[index, call-overload]
    assert (second["window"]["start"], second["window"]["end"]) == (12, 23)  # type: ignore[index, call-overload]
    assert first["color"] != second["color"]  # type: ignore[index, call-overload]
    assert first["active"] is second["active"] is True  # type: ignore[index, call-overload]
    alone = Image(pixels[0], "ZYX", channel_names=("DAPI",))
    (channel,) = ome_zarr_metadata.omero(alone, pixels[0])["channels"]  # type: ignore[misc, union-attr]
    assert (channel["color"], channel["window"]["end"]) == ("FFFFFF", 11)  # type: ignore[index, call-overload]


def test_what_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"

    def fail() -> None:
        with GrowingResult.open(path, IDENTITY) as result:
            assert not result.resumed
            written.extend(write_all(result))
            result.scratch("distances", (3, 50, 41), np.float32)[0] = 1.5
            raise ZeroDivisionError

    written: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    assert not path.exists()
    with GrowingResult.open(path, dict(reversed(IDENTITY.items()))) as result:
        assert result.resumed
        assert "all" in result.journal
        labels = result.labels("cells", source(), "ZYX", (3, 50, 41))
        np.testing.assert_array_equal(labels[...], written[1])
        assert result.scratch("distances", (3, 50, 41), np.float32)[0, 9, 9] == 1.5
        result.finish({})
    assert list(tmp_path.iterdir()) == [path]


def test_another_identity_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    with GrowingResult.open(path, IDENTITY) as result:
        write_all(result)
    with GrowingResult.open(path, IDENTITY | {"model": "c3"}) as result:
        assert not result.resumed
        assert len(result.journal) == 0
        assert not np.any(result.labels("cells", source(), "ZYX", (3, 50, 41))[...])
        result.discard()
    assert not list(tmp_path.iterdir())


def test_an_earlier_result_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    write_result(path)
    before = digests(path)
    with GrowingResult.open(path, IDENTITY) as result:
        write_all(result, seed=1)
        assert digests(path) == before
        result.finish({})
    assert digests(path) != before
    assert list(tmp_path.iterdir()) == [path]


def test_cancelling_while_levels_are_built_keeps_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    events: list[Event] = []

    def cancel(event: Event) -> None:
        events.append(event)
        if len(events) == 3:
            raise Cancelled

    with GrowingResult.open(path, IDENTITY) as result:
        write_all(result)
        with pytest.raises(Cancelled):
            result.finish({}, cancel)
    assert not path.exists()
    with GrowingResult.open(path, IDENTITY) as result:
        assert result.resumed
        write_all(result)
        result.finish({}, events.append)
    last = events[-1]
    assert isinstance(last, Progress)
    assert last.done == last.total == len(events) - 3


def test_several_threads_write_chunks_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    with GrowingResult.open(path, IDENTITY) as result:
        labels = result.labels("cells", source(), "ZYX", (3, 50, 41))

        def write(z: int) -> None:
            labels[z] = np.full((50, 41), z + 1)
            result.journal.add(str(z))

        threads = [threading.Thread(target=write, args=(z,)) for z in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result.finish({})
    assert np.asarray(read_labels(path).data[:, 7, 9]).tolist() == [1, 2, 3]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    code = (
        "import sys; from pathlib import Path; from unveil.io.growing_result import GrowingResult\n"
        "with GrowingResult.open(Path(sys.argv[1]), {}): print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(FileError, match="being written by another process"):
            GrowingResult.open(path, IDENTITY)
        other.kill()
    with GrowingResult.open(path, IDENTITY) as first:
        with pytest.raises(FileError, match="being written by another process"):
            GrowingResult.open(path, IDENTITY)
        first.discard()
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_a_lock_goes_with_its_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where it cannot go before."""

    class GoesWithItsRelease(filelock.FileLock):
        def _release(self) -> None:
            assert Path(self.lock_file).exists()
            super()._release()
            Path(self.lock_file).unlink()

    monkeypatch.setattr(growing_result.filelock, "FileLock", GoesWithItsRelease)
    monkeypatch.setattr(growing_result, "os", SimpleNamespace(name="nt", path=os.path))
    write_result(tmp_path / "cells.ome.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.ome.zarr"]


def test_a_folder_that_another_process_removes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, mkdir = tmp_path / "cells.ome.zarr", Path.mkdir
    refusals = [FileExistsError(), FileNotFoundError()]

    def late(folder: Path, *args: Any, **options: Any) -> None:
        if refusals and folder.suffix == ".part":
            raise refusals.pop()
        mkdir(folder, *args, **options)

    monkeypatch.setattr(Path, "mkdir", late)
    _, labels = write_result(path)
    np.testing.assert_array_equal(np.asarray(read_labels(path).data[...]), labels)


@pytest.mark.skipif(os.name == "nt", reason="there, an open file keeps its folder")
def test_who_begins_while_another_ends_keeps_what_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rmdir = tmp_path / "cells.ome.zarr", Path.rmdir
    begun: list[GrowingResult] = []

    def late(folder: Path) -> None:
        if not begun:
            begun.append(GrowingResult.open(path, IDENTITY))
        rmdir(folder)

    monkeypatch.setattr(Path, "rmdir", late)
    with GrowingResult.open(path, IDENTITY) as first:
        first.discard()
    with begun[0] as second:
        _, labels = write_all(second)
        second.finish({})
    np.testing.assert_array_equal(np.asarray(read_labels(path).data[...]), labels)
    assert list(tmp_path.iterdir()) == [path]


def test_only_results_of_ours_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "file.ome.zarr").write_text("a file")
    with pytest.raises(FileError, match="is a file, and an OME-Zarr result is a folder"):
        GrowingResult.open(tmp_path / "file.ome.zarr", IDENTITY)
    zarr.open_group(str(tmp_path / "raw.ome.zarr"), mode="w", zarr_format=2).attrs["multiscales"] = []
    with pytest.raises(FileError, match="Unveil did not write; it is not replaced"):
        GrowingResult.open(tmp_path / "raw.ome.zarr", IDENTITY)
    with pytest.raises(FileError, match="a file stands where a folder is needed"):
        GrowingResult.open(tmp_path / "file.ome.zarr" / "cells.ome.zarr", IDENTITY)
    (tmp_path / "empty.ome.zarr").mkdir()
    write_result(tmp_path / "empty.ome.zarr")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_stays_one(tmp_path: Path) -> None:
    write_result(tmp_path / "disk" / "cells.ome.zarr")
    (tmp_path / "cells.ome.zarr").symlink_to(tmp_path / "disk" / "cells.ome.zarr", target_is_directory=True)
    _, labels = write_result(tmp_path / "cells.ome.zarr", seed=1)
    assert (tmp_path / "cells.ome.zarr").is_symlink()
    np.testing.assert_array_equal(np.asarray(read_labels(tmp_path / "disk" / "cells.ome.zarr").data[...]), labels)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_our_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            GrowingResult.open(tmp_path / "cells.ome.zarr", IDENTITY)
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_protected_result_is_found_at_the_beginning(tmp_path: Path) -> None:
    write_result(tmp_path / "cells.ome.zarr")
    (tmp_path / "cells.ome.zarr").chmod(0o555)
    with pytest.raises(FileError, match="is write-protected and would be replaced"):
        GrowingResult.open(tmp_path / "cells.ome.zarr", IDENTITY)
    (tmp_path / "cells.ome.zarr").chmod(0o755)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.ome.zarr"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from unveil.errors import FileError
from unveil.image import Image
from unveil.io.growing_result import GrowingResult
path, noise = Path(sys.argv[1]), np.random.default_rng(0).random((700, 800), dtype=np.float32)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in (100_000, most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        with GrowingResult.open(path, {}) as result:
            result.image(Image(noise), "YX", noise.shape, noise.dtype)[...] = noise
            result.finish({})
            print(result.resumed)
    except FileError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_on_a_full_disk_the_result_waits_for_room(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{path} cannot be written: ")
    assert "enough free space" in first
    assert second == "True"
    noise = np.random.default_rng(0).random((700, 800), dtype=np.float32)
    np.testing.assert_array_equal(np.asarray(read_image(path).data[...]), noise)


def test_no_write_outlives_a_failed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def fail_beside_a_slow_one(path: Path) -> None:
        if path.as_posix().endswith("/0/0"):
            assert begun.wait(10)
            pickle.loads(pickle.dumps(array))  # as a cluster is sent it, at any time
            raise OSError(errno.ENOSPC, "No space left on device")
        if path.as_posix().endswith("/0/1"):
            begun.set()
            time.sleep(0.3)
            ended.set()

    noise = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    result = GrowingResult.open(tmp_path / "cells.ome.zarr", {})
    array = result.image(Image(noise), "YX", noise.shape, noise.dtype)
    monkeypatch.setattr(result_store, "flush", fail_beside_a_slow_one)
    with result, pytest.raises(FileError, match="No space left"):
        array[...] = noise
    assert ended.is_set()
    with pytest.raises(FileError, match="Open it anew"):
        array[:10, :10] = 0


def test_a_writer_that_is_left_behind_does_not_write_into_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    with GrowingResult.open(path, IDENTITY) as result:
        array = result.image(source(), "CZYX", (2, 3, 50, 41), np.float32)
        left_behind = pickle.loads(pickle.dumps(array))  # as the workers of a cluster have it
        left_behind[...] = 1
    with GrowingResult.open(path, IDENTITY | {"options": {}}) as result:
        image, _ = write_all(result)
        with pytest.raises(FileError, match="this run has ended"):
            left_behind[...] = 2
        result.finish({})
    with pytest.raises(FileError, match="this run has ended"):
        left_behind[...] = 3
    np.testing.assert_array_equal(np.asarray(read_image(path).data[...]), image)
    assert list(tmp_path.iterdir()) == [path]


KILLED = (Path(__file__).parent / "killed_while_writing.py").as_posix()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be forked and killed")
@pytest.mark.parametrize("how", ["at file operations", "at random times"])
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(tmp_path: Path, how: str) -> None:
    command = [sys.executable, KILLED, str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    whole, killed = digests(tmp_path / "whole.ome.zarr"), digests(tmp_path / "killed.ome.zarr")
    assert len(whole) > 30
    assert killed == whole
    assert len(list(tmp_path.iterdir())) == 2


def test_an_earlier_result_that_was_moved_aside_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    write_result(path)
    before = digests(path)
    with GrowingResult.open(path, IDENTITY) as result:
        write_all(result, seed=1)
    path.rename(tmp_path / ".cells.ome.zarr.part" / "replaced")  # killed between the two moves of `finish`
    with GrowingResult.open(path, IDENTITY) as result:
        assert result.resumed
        assert digests(path) == before
        _, labels = write_all(result, seed=1)
        result.finish({})
    np.testing.assert_array_equal(np.asarray(read_labels(path).data[...]), labels)


def test_a_write_returns_when_the_disk_has_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def note(path: Path) -> None:
        assert path.stat().st_size
        flushed.append(path.as_posix())

    monkeypatch.setattr(result_store, "flush", note)
    with GrowingResult.open(tmp_path / "cells.ome.zarr", IDENTITY) as result:
        labels = result.labels("cells", source(), "ZYX", (3, 50, 41))
        flushed.clear()
        labels[1, 16:48, :32] = 5
        assert {name.partition("/labels/cells/")[2] for name in flushed} == {
            f"0/1/{y}/{x}" for y in (1, 2) for x in (0, 1)
        }


def test_a_kill_between_two_files_of_metadata_leaves_no_trace(tmp_path: Path) -> None:
    write_result(tmp_path / "whole.ome.zarr")
    path = tmp_path / "cells.ome.zarr"
    with GrowingResult.open(path, IDENTITY) as result:
        write_all(result)
    attributes = list((tmp_path / ".cells.ome.zarr.part").rglob(".zattrs"))
    assert len(attributes) >= 4
    for file in attributes:
        file.unlink()
    write_result(path)
    assert digests(path) == digests(tmp_path / "whole.ome.zarr")
