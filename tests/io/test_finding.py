from __future__ import annotations

import os
from pathlib import Path

import pytest

from unveil.errors import FileError
from unveil.io.finding import stem
from unveil.io.images import find_images, pair_files, read_image


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_folders_are_expanded_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "cell10.tif", "cell2.TIF", "cell1.ome.tiff", "notes.txt", "._cell1.tif", ".cell-1234.part.tif")
    (tmp_path / "well.zarr").mkdir()
    (tmp_path / "well.zarr" / ".zgroup").touch()
    (tmp_path / "folder.tif").mkdir()
    names = [path.name for path in find_images([tmp_path])]
    assert names == ["cell1.ome.tiff", "cell2.TIF", "cell10.tif", "well.zarr"]


def test_files_stay_in_the_order_given_and_come_once(tmp_path: Path) -> None:
    b, a = touch(tmp_path, "b.tif", "a.tif")
    assert find_images([b, a, b]) == [b, a]
    assert find_images([b, tmp_path]) == [b, a]


def test_links_to_nothing_are_told_by_reading_them(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    for name in ("b.tif", "c.ome.zarr", "d.txt", ".#a.tif"):
        (tmp_path / name).symlink_to(tmp_path / "nothing")
    found = find_images([tmp_path])
    assert [path.name for path in found] == ["a.tif", "b.tif", "c.ome.zarr"]
    for link in found[1:]:
        with pytest.raises(FileError, match="cannot be opened: No such file"):
            read_image(link)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may look everywhere")
def test_what_may_not_be_looked_at_stops_nothing_else(tmp_path: Path) -> None:
    (image,) = touch(tmp_path, "a.tif")
    (locked,) = touch(tmp_path / "locked", "b.tif")
    locked.parent.chmod(0)
    try:
        assert find_images([tmp_path]) == [image]
        assert find_images([locked]) == [locked]
        with pytest.raises(FileError, match="cannot be opened: Permission denied"):
            read_image(locked)
    finally:
        locked.parent.chmod(0o755)


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no images: it is empty"):
        find_images([tmp_path])
    touch(tmp_path, "a.png", "b.png", "c.txt")
    with pytest.raises(FileError, match=r"2 \.png, 1 \.txt\. Unveil reads TIFF"):
        find_images([tmp_path])
    with pytest.raises(FileError, match="does not exist"):
        find_images([tmp_path / "nothing"])


@pytest.mark.parametrize(
    "name", ["cells.tif", "cells.ome.tif", "cells.OME.TIFF", "cells.zarr", "cells.ome.zarr", "cells.lsm"]
)
def test_the_stem_is_the_name_less_its_endings(name: str) -> None:
    assert stem(Path(name)) == "cells"


def test_a_point_in_a_name_is_kept() -> None:
    assert stem(Path("cells.1.tif")) == "cells.1"
    assert stem(Path("cells.one")) == "cells.one"


def names(pairs: list[tuple[Path, Path]]) -> list[tuple[str, str]]:
    return [(image.name, reference.name) for image, reference in pairs]


def test_pairs_by_equal_names(tmp_path: Path) -> None:
    touch(tmp_path / "images", "A_0_0.tif", "A_0_1.ome.tif", "B.tiff")
    touch(tmp_path / "masks", "A_0_0.tif", "A_0_1.tif", "B.tif")
    assert names(pair_files(tmp_path / "images", tmp_path / "masks")) == [
        ("A_0_0.tif", "A_0_0.tif"),
        ("A_0_1.ome.tif", "A_0_1.tif"),
        ("B.tiff", "B.tif"),
    ]


def test_pairs_by_the_suffix_of_labels(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.tif", "b.tif", "c.tif", "d_3.tif")
    touch(tmp_path / "labels", "a_labels.tif", "b_mask.tif", "c_cp_masks.tif", "d_labels.tif")
    pairs = pair_files(tmp_path / "images", tmp_path / "labels")
    assert [reference.name for _, reference in pairs] == [
        "a_labels.tif",
        "b_mask.tif",
        "c_cp_masks.tif",
        "d_labels.tif",
    ]


def test_several_frames_of_one_clean_image(tmp_path: Path) -> None:
    touch(tmp_path / "noisy", "mice_1.tif", "mice_2.tif", "mice_10.tif", "N2F_mice.tif")
    touch(tmp_path / "clean", "mice.tif", "N2F_mice.tif")
    assert names(pair_files(tmp_path / "noisy", tmp_path / "clean")) == [
        ("mice_1.tif", "mice.tif"),
        ("mice_2.tif", "mice.tif"),
        ("mice_10.tif", "mice.tif"),
        ("N2F_mice.tif", "N2F_mice.tif"),
    ]


def test_a_number_is_no_frame_where_an_image_has_the_bare_name(tmp_path: Path) -> None:
    touch(tmp_path / "images", "cell.tif", "cell_1.tif", "cell_2.tif")
    touch(tmp_path / "labels", "cell.tif", "cell_1.tif")
    with pytest.raises(FileError, match=r"1 of 3 images have no reference .*\(cell_2\.tif\)"):
        pair_files(tmp_path / "images", tmp_path / "labels")


def test_images_and_labels_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_labels.tif", "b.tif", "b_labels.tif")
    assert names(pair_files(tmp_path, tmp_path)) == [("a.tif", "a_labels.tif"), ("b.tif", "b_labels.tif")]


def test_our_own_results_pair_with_their_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    touch(tmp_path / "a_segmentation.ome.zarr", ".zgroup")
    assert names(pair_files(tmp_path, tmp_path)) == [("a.tif", "a_segmentation.ome.zarr")]


def test_two_files_given_by_name_are_a_pair(tmp_path: Path) -> None:
    image, labels = touch(tmp_path, "image.tif", "drawn by hand.tif")
    assert pair_files(image, labels) == [(image, labels)]


def test_all_that_is_left_over_is_named_together(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.tif", "b.tif", *(f"x{n}.tif" for n in range(7)))
    touch(tmp_path / "labels", "a.tif", "b.tif", "b.tiff", "lonely.tif")
    with pytest.raises(FileError) as caught:
        pair_files(tmp_path / "images", tmp_path / "labels")
    message = str(caught.value)
    assert "7 of 9 images have no reference" in message
    assert "x0.tif, x1.tif, x2.tif, x3.tif, x4.tif, …" in message
    assert "1 of 4 references have no image" in message
    assert "lonely.tif" in message
    assert "1 images have two references" in message


def test_the_real_frames_pair(test_data: Path) -> None:
    pairs = pair_files(test_data / "denoise_fmd" / "noisy", test_data / "denoise_fmd" / "target")
    assert len(pairs) == 32
    assert len({reference for _, reference in pairs}) == 11
    assert len(pair_files(test_data / "noisy_cells_n2f" / "images", test_data / "noisy_cells_n2f" / "masks")) == 12
