from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from unveil.io.result_place import result_place


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNVEIL_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def test_it_is_beside_the_file_and_named_after_it(tmp_path: Path, folder: Path) -> None:
    image = tmp_path / "day 1.ome.tif"
    image.touch()
    assert result_place(image, "a layer", "denoised") == tmp_path / "day 1_denoised.ome.zarr"


def test_it_is_beside_an_ome_zarr_and_never_in_it(tmp_path: Path, folder: Path) -> None:
    level = tmp_path / "cells.ome.zarr" / "0"
    level.mkdir(parents=True)
    for inside in (level, level.parent):
        (inside / ".zgroup").touch()
    assert result_place(level.parent, "a layer", "segmentation") == tmp_path / "cells_segmentation.ome.zarr"
    assert result_place(level, "a layer", "segmentation").parent == tmp_path


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="every folder can be written to")
def test_folders_that_cannot_be_written_to_are_left_alone(tmp_path: Path, folder: Path) -> None:
    protected = tmp_path / "protected"
    protected.mkdir()
    (protected / "cells.tif").touch()
    protected.chmod(0o500)
    assert result_place(protected / "cells.tif", "a layer", "segmentation").parent == folder


def test_a_folder_that_is_only_said_to_be_writable_is_left_alone(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where the system says so of every folder."""
    (tmp_path / "cells.tif").touch()
    monkeypatch.setattr(Path, "touch", Mock(side_effect=PermissionError(errno.EACCES, "Access is denied")))
    assert os.access(tmp_path, os.W_OK)
    assert result_place(tmp_path / "cells.tif", "a layer", "segmentation").parent == folder


@pytest.mark.parametrize("image", [None, Path("https://example.org/cells.ome.zarr")])
def test_without_a_file_it_is_named_after_the_layer(folder: Path, image: Path | None) -> None:
    assert result_place(image, "nuclei: day 1/2", "segmentation") == folder / "nuclei_ day 1_2_segmentation.ome.zarr"


def test_results_that_stand_are_not_taken_unless_they_are_to_be_replaced(folder: Path) -> None:
    first = result_place(None, "cells", "segmentation")
    first.mkdir(parents=True)
    second = result_place(None, "cells", "segmentation")
    assert second == folder / "cells_segmentation-2.ome.zarr"
    assert result_place(None, "cells", "segmentation", replaces=first) == first
