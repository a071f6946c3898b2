from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.errors import FileError, ImageError
from unveil.image import Image
from unveil.io import writing
from unveil.io.images import read_image, read_labels
from unveil.io.reordered import Reordered
from unveil.io.writing import atomically, check_output_file, check_output_folder, write_image, write_labels, write_table


def image_of(axes: str = "YX", dtype: str = "float32", **options: Any) -> Image:
    sizes = {"T": 2, "C": 3, "Z": 5, "Y": 17, "X": 23}
    pixels = np.random.default_rng(0).integers(0, 100, [sizes[a] for a in axes]).astype(dtype)
    return Image(pixels, axes, **options)


@st.composite
def images(draw: st.DrawFn) -> Image:
    axes = draw(st.sampled_from(["YX", "ZYX", "TYX", "CYX", "TCZYX", "CZYX", "TZYX", "TCYX"]))
    shape = [draw(st.integers(2, 5)) for _ in axes]
    dtype = draw(st.sampled_from(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 100, shape).astype(dtype)
    known = draw(st.sets(st.sampled_from([a for a in axes if a in "ZYX"])))
    names = st.lists(st.text("abcXYZ 0189-_é", min_size=1).filter(lambda s: s == s.strip()), unique=True, min_size=5)
    return Image(
        pixels,
        axes,
        pixel_size_um={axis: draw(st.floats(0.001, 1000)) for axis in sorted(known)},
        channel_names=tuple(draw(names)[: shape[axes.index("C")]]) if "C" in axes else (),
        frame_interval_s=draw(st.none() | st.floats(1e-3, 1e5)) if "T" in axes else None,
    )


@settings(deadline=None, max_examples=100)
@given(image=images())
def test_write_then_read_is_identity(image: Image, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("written") / "image.tif"
    write_image(path, image)
    again = read_image(path)
    assert again.axes == image.axes
    assert np.dtype(again.data.dtype) == np.dtype(image.data.dtype)
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(image.data))
    assert dict(again.pixel_size_um) == pytest.approx(dict(image.pixel_size_um), rel=1e-6)
    assert again.channel_names == image.channel_names
    interval_s = image.frame_interval_s
    assert again.frame_interval_s == (interval_s and pytest.approx(interval_s, rel=1e-6))
    assert [entry.name for entry in path.parent.iterdir()] == ["image.tif"]


@pytest.mark.parametrize(("highest", "dtype"), [(0, "uint16"), (7, "uint16"), (65_535, "uint16"), (65_536, "uint32")])
@pytest.mark.parametrize("axes", ["YX", "TZYX"])
def test_labels_take_the_smallest_type_that_holds_them(tmp_path: Path, highest: int, dtype: str, axes: str) -> None:
    labels = image_of(axes, "int32", pixel_size_um={"Y": 0.5, "X": 0.25})
    labels.data[...] %= highest + 1  # type: ignore[index]
    labels.data[(-1,) * len(axes)] = highest  # type: ignore[index]
    write_labels(tmp_path / "labels.tif", labels)
    again = read_labels(tmp_path / "labels.tif")
    assert np.dtype(again.data.dtype) == dtype
    assert again.axes == axes
    assert again.pixel_size_um == {"Y": 0.5, "X": 0.25}
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(labels.data))


def test_planes_of_labels_are_compressed(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.tif", Image(np.ones((500, 500), np.int32)))
    assert (tmp_path / "labels.tif").stat().st_size < 50_000


def test_other_programs_see_axes_and_pixel_size(tmp_path: Path) -> None:
    image = image_of("TCZYX", pixel_size_um={"Z": 2, "Y": 0.5, "X": 0.25}, channel_names=("a", "b", "c"))
    write_image(tmp_path / "image.tif", image)
    with tifffile.TiffFile(tmp_path / "image.tif") as tif:
        assert tif.is_imagej
        assert tif.series[0].axes == "TZCYX"
        metadata = tif.imagej_metadata or {}
        assert (metadata["unit"], metadata["spacing"]) == ("um", 2.0)
        assert (metadata["frames"], metadata["slices"], metadata["channels"]) == (2, 5, 3)
        assert metadata["Labels"] == ["a", "b", "c"] * 10
        assert tif.pages.first.get_resolution() == (4.0, 2.0)
    write_image(
        tmp_path / "double.tif", image_of("TCZYX", "float64", pixel_size_um={"Z": 2}, channel_names=("a", "b", "c"))
    )
    with tifffile.TiffFile(tmp_path / "double.tif") as tif:
        assert tif.is_ome
        assert 'PhysicalSizeZ="2' in (tif.ome_metadata or "")


@pytest.mark.parametrize(("dtype", "written"), [("float16", "float32"), ("int64", "int32"), ("uint64", "int32")])
def test_types_that_tiff_lacks_become_others(tmp_path: Path, dtype: str, written: str) -> None:
    write_image(tmp_path / "image.tif", image_of(dtype=dtype))
    again = read_image(tmp_path / "image.tif")
    assert np.dtype(again.data.dtype) == written
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(image_of(dtype=dtype).data))
    with pytest.raises(ImageError, match="too large for a TIFF"):
        write_image(tmp_path / "image.tif", Image(np.full((3, 3), 2**40)))


@pytest.mark.parametrize("pixels", [np.full((3, 3), -1), np.full((3, 3), 2**33), np.zeros((3, 3), np.float32)])
def test_what_is_no_labels_is_refused(tmp_path: Path, pixels: Any) -> None:
    with pytest.raises(ImageError):
        write_labels(tmp_path / "labels.tif", Image(pixels))
    assert not list(tmp_path.iterdir())


def test_lazy_images_are_written_plane_by_plane(tmp_path: Path) -> None:
    n_read: list[tuple[int, ...]] = []

    class Counted:
        shape, dtype = (4, 3, 20, 30), np.dtype("uint16")

        def __getitem__(self, key: Any) -> Any:
            block = np.zeros(self.shape, self.dtype)[key]
            n_read.append(block.shape)
            return block

    write_image(tmp_path / "image.tif", Image(Counted(), "TCYX"))
    assert set(n_read) == {(20, 30)}
    assert len(n_read) == 12


def test_large_images_become_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_IMAGEJ_LIMIT_BYTES", 100)
    monkeypatch.setattr(writing, "_BIGTIFF_FROM_BYTES", 1000)
    write_image(tmp_path / "image.tif", image_of("TCZYX"))
    with tifffile.TiffFile(tmp_path / "image.tif") as tif:
        assert tif.is_bigtiff
        assert tif.is_ome
    np.testing.assert_array_equal(
        np.asarray(read_image(tmp_path / "image.tif").data), np.asarray(image_of("TCZYX").data)
    )


def test_a_table_is_written_with_its_heading(tmp_path: Path) -> None:
    write_table(tmp_path / "cells.csv", {"index": np.array([1, 2]), "area_um2": np.array([0.1, np.nan])})
    with (tmp_path / "cells.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["index", "area_um2"], ["1", "0.1"], ["2", "nan"]]


class Stop(BaseException):
    """What an interruption looks like: no ordinary exception."""


@pytest.mark.parametrize("error", [Stop, ValueError, KeyboardInterrupt])
def test_an_interruption_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "image.tif"
    path.write_text("before")

    def fail() -> None:
        with atomically(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_sees_a_half_written_file(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    with atomically(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == path.parent
        assert part.name.startswith(".")
    assert path.read_text() == "half"


def test_folders_are_made_and_links_are_followed(tmp_path: Path) -> None:
    with atomically(tmp_path / "new" / "folder" / "file.txt") as part:
        part.write_text("one")
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "new" / "folder" / "file.txt")
    with atomically(link) as part:
        part.write_text("two")
    assert link.is_symlink()
    assert (tmp_path / "new" / "folder" / "file.txt").read_text() == "two"


def test_what_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileError, match="cannot be written"):
        write_image(tmp_path / "file" / "image.tif", image_of())
    with pytest.raises(FileError, match="is a folder, not a file"):
        write_image(tmp_path, image_of())
    with pytest.raises(FileError, match="cannot be written to the folder"):
        check_output_folder(tmp_path / "file" / "results")
    with pytest.raises(FileError, match="a file stands where a folder is needed"):
        check_output_folder(tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_our_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            check_output_folder(tmp_path)
        with pytest.raises(FileError, match="Permission denied"):
            write_image(tmp_path / "image.tif", image_of())
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_entered_is_our_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o600)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            write_image(tmp_path / "image.tif", image_of())
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_what_is_protected_is_not_replaced(tmp_path: Path) -> None:
    protected, link = tmp_path / "disk" / "labels.tif", tmp_path / "labels.tif"
    check_output_file(protected)
    protected.write_bytes(b"precious")
    link.symlink_to(protected)
    check_output_file(link)
    protected.chmod(0o444)
    with pytest.raises(FileError, match=r"labels\.tif is write-protected"):
        check_output_file(link)
    protected.chmod(0o644)
    protected.parent.chmod(0o555)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            check_output_file(link)
    finally:
        protected.parent.chmod(0o755)


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    write_image(tmp_path / f"{'a' * 251}.tif", image_of())
    with pytest.raises(FileError, match="its name is too long"):
        write_image(tmp_path / f"{'a' * 252}.tif", image_of())
    assert len(list(tmp_path.iterdir())) == 1


def test_an_output_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert check_output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


WRITE_UNDER_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from unveil.errors import FileError
from unveil.image import Image
from unveil.io.writing import write_image, write_labels, write_table
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
folder = Path(sys.argv[1])
noise = np.random.default_rng(0).integers(0, 2**16, (3, 300, 300))
for write, image in (
    (write_image, Image(noise.astype("float32"), "ZYX")),
    (write_image, Image(noise.astype("int16"), "ZYX")),
    (write_labels, Image(noise, "ZYX")),
    (write_labels, Image(noise[0], "YX")),
):
    try:
        write(folder / "image.tif", image)
    except FileError as error:
        print(error)
try:
    write_table(folder / "image.tif", {"index": noise.ravel()})
except FileError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_our_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "image.tif").write_text("before")
    command = [sys.executable, "-c", WRITE_UNDER_LIMIT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    lines = done.stdout.splitlines()
    assert len(lines) == 5, done
    assert all("image.tif cannot be written: " in line and "free space" in line for line in lines)
    assert all("File too large" in line or "the disk has no room" in line for line in lines), lines
    assert (tmp_path / "image.tif").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    images = [Image(np.full((50, 60), n, np.uint16)) for n in range(4)]
    threads = [threading.Thread(target=write_image, args=(path, image)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(np.unique(np.asarray(read_image(path).data))) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_lazy_array_is_written_like_its_pixels(tmp_path: Path) -> None:
    pixels = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)
    write_image(tmp_path / "image.tif", Image(Reordered(pixels, (1, 2, 0), tmp_path), "ZYX"))
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "image.tif").data), pixels.transpose(1, 2, 0))
