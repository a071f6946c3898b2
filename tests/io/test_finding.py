from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unveil.errors import FileError, UnveilWarning
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


def write_parts(folder: Path, n_images: int, n_files: int) -> list[Path]:
    """Write images of several time points as microscopes do: a file per time point, and all files tell of all."""
    names = [[f"pos{i}_t{t}.ome.tif" for t in range(n_files)] for i in range(n_images)]
    images = "".join(
        f'<Image ID="Image:{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="20" '
        f'SizeZ="1" SizeC="1" SizeT="{n_files}"><Channel ID="Channel:{i}:0" SamplesPerPixel="1"/>'
        + "".join(
            f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
            for t, name in enumerate(files)
        )
        + "</Pixels></Image>"
        for i, files in enumerate(names)
    )
    for i, files in enumerate(names):
        for t, name in enumerate(files):
            xml = (
                f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{name}">{images}</OME>'
            )
            pixels = np.full((20, 30), 10 * i + t, np.uint8)
            tifffile.imwrite(folder / name, pixels, description=xml, metadata=None)
    return [folder / name for files in names for name in files]


def test_files_that_are_one_image_together_are_one(tmp_path: Path) -> None:
    files = write_parts(tmp_path, n_images=3, n_files=3)
    with pytest.warns(UnveilWarning) as told:
        found = find_images([tmp_path])
    assert [path.name for path in found] == ["pos0_t0.ome.tif", "pos1_t0.ome.tif", "pos2_t0.ome.tif"]
    assert str(told[0].message) == (
        "pos0_t0.ome.tif and 2 other files (pos0_t1.ome.tif, pos0_t2.ome.tif) are one image, which is read once, "
        "as pos0_t0.ome.tif."
    )
    assert len(told) == 3
    movie = read_image(found[1])
    assert (movie.axes, np.asarray(movie.data)[:, 0, 0].tolist()) == ("TYX", [10, 11, 12])
    with pytest.warns(UnveilWarning, match="are one image"):
        assert find_images([files[2], files[1]]) == [files[2]]
    assert find_images([files[2]]) == [files[2]]


def test_files_that_tell_of_each_other_and_hold_an_image_each_are_all_found(tmp_path: Path) -> None:
    files = write_parts(tmp_path, n_images=3, n_files=1)
    assert find_images([tmp_path]) == files


def test_a_file_that_was_renamed_and_one_that_is_damaged_are_images_of_their_own(tmp_path: Path) -> None:
    first, second = write_parts(tmp_path, n_images=1, n_files=2)
    second.rename(tmp_path / "renamed.ome.tif")
    (tmp_path / "empty.ome.tif").touch()
    (tmp_path / "gone.ome.tif").symlink_to(tmp_path / "nothing")
    names = [path.name for path in find_images([tmp_path])]
    assert names == ["empty.ome.tif", "gone.ome.tif", first.name, "renamed.ome.tif"]


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
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileError, match=r"3 folders, 2 \.png, 1 \.txt\. Unveil reads TIFF"):
        find_images([tmp_path])
    with pytest.raises(FileError, match="does not exist"):
        find_images([tmp_path / "nothing"])


@pytest.mark.parametrize(
    "name", ["cells.tif", "cells.ome.tif", "cells.OME.TIFF", "cells.zarr", "cells.ome.zarr", "cells.lsm"]
)
def test_the_stem_is_the_name_less_its_endings(name: str) -> None:
    assert stem(Path(name)) == "cells"


def test_fields_of_a_plate_are_named_by_their_well() -> None:
    plate = Path("screens") / "plate.ome.zarr"
    assert [stem(plate / "A" / "1" / "0"), stem(plate / "B" / "12" / "3")] == ["plate_A_1_0", "plate_B_12_3"]
    assert stem(plate / "labels" / "cells") == "cells"
    assert stem(Path("days") / "1") == "1"


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
