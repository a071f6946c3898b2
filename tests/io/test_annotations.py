"""Annotations from files: whole images, masks by name, scribbles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from unveil.errors import FileError, ImageError
from unveil.io.annotations import read_annotations

LABELS = np.array([[0, 1, 2], [0, 1, 0]], np.uint16)
MASK = np.array([[0, 255, 255], [0, 0, 7]], np.uint8)


def write(path: Path, pixels: NDArray[Any] = LABELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels)
    return path


def test_without_masks_whole_images_are_judged(tmp_path: Path) -> None:
    (annotation,) = read_annotations([write(tmp_path / "a.tif")])

    np.testing.assert_array_equal(annotation.labels.data, LABELS)
    assert annotation.mask is None
    assert annotation.has_outlines


@pytest.mark.parametrize(
    ("label", "mask"),
    [("a", "a"), ("a_labels", "a"), ("a_labels", "a_mask"), ("a-seg", "A_labels.ome"), ("a_1", "a_1_mask")],
)
def test_masks_are_found_by_name(tmp_path: Path, label: str, mask: str) -> None:
    labels = [write(tmp_path / "labels" / f"{label}.tif"), write(tmp_path / "labels" / "b.tif")]
    write(tmp_path / "masks" / f"{mask.replace('A', 'a')}.tif", MASK)

    masked, whole = read_annotations(labels, masks=tmp_path / "masks")

    np.testing.assert_array_equal(masked.mask, MASK > 0)
    assert masked.has_outlines
    assert whole.mask is None


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        (("cell_1", "cell_2"), ("cell_1", "cell_2")),
        (("cell_2",), (None, "cell_2")),
        (("cell",), ("cell", "cell")),
        (("cell_1_mask", "cell"), ("cell_1_mask", "cell")),
    ],
)
def test_frames_that_share_labels_have_masks_by_their_own_names_first(
    tmp_path: Path, masks: tuple[str, ...], expected: tuple[str | None, ...]
) -> None:
    labels = write(tmp_path / "labels" / "cell.tif")
    pixels = {name: (np.arange(6).reshape(2, 3) == number).astype(np.uint8) for number, name in enumerate(masks)}
    for name in masks:
        write(tmp_path / "masks" / f"{name}.tif", pixels[name])

    frames = [tmp_path / "images" / f"cell_{number}.tif" for number in (1, 2)]
    annotations = read_annotations([labels] * 2, images=frames, masks=tmp_path / "masks")

    for annotation, name in zip(annotations, expected, strict=True):
        if name is None:
            assert annotation.mask is None
        else:
            np.testing.assert_array_equal(annotation.mask, pixels[name] > 0)


def test_a_mask_of_labels_whose_frames_all_have_their_own_is_one_too_many(tmp_path: Path) -> None:
    for name in ("cell", "cell_1", "cell_2"):
        write(tmp_path / "masks" / f"{name}.tif", MASK)

    frames = [tmp_path / f"cell_{number}.tif" for number in (1, 2)]
    with pytest.raises(FileError, match=r"1 of 3 masks.*second mask of the same image \(cell\.tif\)"):
        read_annotations([write(tmp_path / "cell.tif")] * 2, images=frames, masks=tmp_path / "masks")


def test_one_mask_fits_one_label_file_whatever_it_is_called(tmp_path: Path) -> None:
    tifffile.imwrite(mask := tmp_path / "somewhere.tif", MASK > 0, photometric="minisblack")

    (annotation,) = read_annotations([write(tmp_path / "a.tif")], masks=mask)

    np.testing.assert_array_equal(annotation.mask, MASK > 0)


def test_masks_that_do_not_pair_are_named_together(tmp_path: Path) -> None:
    labels = [write(tmp_path / "labels" / f"{name}.tif") for name in "ab"]
    for name in ("a", "a_mask", "x", "y"):
        write(tmp_path / "masks" / f"{name}.tif", MASK)

    with pytest.raises(FileError, match=r"2 of 4 masks.*no image \(x\.tif, y\.tif\); 1 of 4.*second.*a(_mask)?\.tif"):
        read_annotations(labels, masks=tmp_path / "masks")


def test_a_mask_of_another_shape_is_named(tmp_path: Path) -> None:
    mask = write(tmp_path / "m.tif", MASK[:, :2])

    with pytest.raises(ImageError, match=r"m\.tif has 2 × 2 pixels and its labels 'a' 2 × 3"):
        read_annotations([write(tmp_path / "a.tif")], masks=mask)


def test_scribbles_judge_what_was_painted(tmp_path: Path) -> None:
    painted = np.array([[0, 3, 5], [7, 0, 5]], np.uint8)

    (annotation,) = read_annotations([write(tmp_path / "a.tif", painted)], background=5)

    np.testing.assert_array_equal(annotation.labels.data, [[0, 3, 0], [6, 0, 0]])
    np.testing.assert_array_equal(annotation.mask, painted > 0)
    assert not annotation.has_outlines


def test_scribbles_without_background_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"Scribbles 'a' hold the numbers 1, 2.*background's number 3"):
        read_annotations([write(tmp_path / "a.tif")], background=3)


def test_axes_are_those_of_labels_and_masks(tmp_path: Path) -> None:
    stack = np.stack([LABELS] * 3)
    mask = write(tmp_path / "m.tif", np.stack([MASK] * 3))

    (annotation,) = read_annotations([write(tmp_path / "a.tif", stack)], masks=mask, axes="TYX")

    assert annotation.labels.axes == "TYX"
    assert annotation.mask is not None
    assert annotation.mask.shape == stack.shape
