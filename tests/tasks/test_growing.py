"""What a result on the disk depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from unveil.image import Image
from unveil.io.growing_result import GrowingResult
from unveil.tasks.growing import file_traits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An OME-Zarr folder that Unveil wrote, as an image may be."""
    path = tmp_path / "cells.ome.zarr"
    write(path)
    return path


def write(path: Path, *, is_whole: bool = True) -> None:
    """Write a result to `path`, or its beginning."""
    image = Image(np.ones((20, 30), np.float32))
    with GrowingResult.open(path, {}) as result:
        result.image(image, "YX", image.shape, "f4")[:] = 1
        if is_whole:
            result.finish({})


@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize("place", [".", "results"])
def test_results_in_the_folder_of_their_image_do_not_change_it(folder: Path, place: str, is_whole: bool) -> None:
    before = file_traits(folder)
    write(folder / place / "cells_segmentation.ome.zarr", is_whole=is_whole)
    assert file_traits(folder) == before


def test_tables_in_the_folder_of_their_image_do_not_change_it(folder: Path) -> None:
    before = file_traits(folder)
    (folder / "cells_objects.csv").write_text("index,area\n")
    (folder / ".0123456789abcdef.part.csv").write_text("ind")  # of a run that was killed
    assert file_traits(folder) == before


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_and_metadata_are_the_state_of_an_image(tmp_path: Path, zarr_format: Any, separator: Any) -> None:
    encoding = {"name": "default" if zarr_format == 3 else "v2", "separator": separator}
    zarr.create_array(
        str(tmp_path), data=np.ones((4, 4)), chunks=(2, 2), zarr_format=zarr_format, chunk_key_encoding=encoding
    )
    n_bytes = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert file_traits(tmp_path)["n_bytes"] == n_bytes


def test_other_pixels_are_another_state_of_an_image(folder: Path) -> None:
    before = file_traits(folder)
    zarr.open_array(folder / "0", mode="r+")[:] = np.random.default_rng(0).random((20, 30))
    assert file_traits(folder) != before
