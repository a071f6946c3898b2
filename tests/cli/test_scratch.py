from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unveil.cli.scratch import result_arrays
from unveil.errors import FileError
from unveil.tasks import result_memory


def test_small_results_stay_in_memory(tmp_path: Path) -> None:
    with result_arrays(tmp_path) as make:
        array = make((3, 4), np.float32)
        assert not isinstance(array, np.memmap)
        assert array.shape == (3, 4)
        assert not array.any()


def test_large_results_go_to_a_file_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_memory, "SHARE_OF_MEMORY", 0)

    with result_arrays(tmp_path) as make:
        array = make((3, 4), np.int32)
        assert isinstance(array, np.memmap)
        assert not array.any()
        array[1] = 7
        assert array.sum() == 28

    assert list(tmp_path.iterdir()) == []


def test_the_results_of_an_image_share_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_memory, "memory_for_results", lambda: 100)

    with result_arrays(tmp_path) as make:
        assert not isinstance(make((15,), np.float32), np.memmap)
        assert isinstance(make((15,), np.float32), np.memmap)
        assert not isinstance(make((10,), np.float32), np.memmap)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_disk_without_room_is_named_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(result_memory, "SHARE_OF_MEMORY", 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(FileError, match="more space"), result_arrays(tmp_path) as make:
            make((100, 1000), np.float32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["segment", "denoise"])
def test_results_are_the_same_wherever_they_are_kept(
    unveil: Callable[..., Any],
    write_blobs: Callable[..., Path],
    segmenter: Path,
    denoiser: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    image = write_blobs(tmp_path / "a.tif", (2, 48, 40), "ZYX")
    arguments = [command, image, "--model", segmenter if command == "segment" else denoiser, "--axes", "CYX"]
    arguments += ["--channel", 1, "--precision", "exact"] + ["--probabilities", "--table"] * (command == "segment")
    assert unveil(*arguments, "--output", tmp_path / "memory").code == 0

    monkeypatch.setattr(result_memory, "SHARE_OF_MEMORY", 0)
    assert unveil(*arguments, "--output", tmp_path / "file").code == 0

    names = sorted(path.name for path in (tmp_path / "memory").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "file").iterdir())
    for name in names:
        assert (tmp_path / "memory" / name).read_bytes() == (tmp_path / "file" / name).read_bytes()
