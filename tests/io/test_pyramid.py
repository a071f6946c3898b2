from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from unveil.io import pyramid
from unveil.io.pyramid import build_levels, chunk_shape, create_level, level_shapes, n_steps


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "CHUNK_2D", (1, 8, 8))
    monkeypatch.setattr(pyramid, "COARSEST", 6)


def group_of(path: Path, pixels: NDArray[Any]) -> zarr.Group:
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    create_level(group, "0", pixels.shape, pixels.dtype, chunk_shape(pixels.shape, 2))[...] = pixels
    return group


def noise(*shape: int, dtype: str) -> NDArray[Any]:
    return np.random.default_rng(0).uniform(0, 200, shape).astype(dtype)


def test_levels_halve_until_they_are_small() -> None:
    assert level_shapes((3, 45, 20)) == [(3, 45, 20), (3, 23, 10), (3, 12, 5), (3, 6, 3)]
    assert level_shapes((6, 6)) == [(6, 6)]


def test_chunks_are_planes_or_volumes_and_never_larger_than_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "CHUNK_3D", (4, 5, 6))
    assert chunk_shape((2, 3, 10, 20, 7), 2) == (1, 1, 1, 8, 7)
    assert chunk_shape((2, 3, 10, 20, 30), 3) == (1, 1, 4, 5, 6)
    assert chunk_shape((3, 20, 30), 3) == (3, 5, 6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "uint16", "int32"])
@pytest.mark.parametrize("shape", [(40, 36), (2, 3, 37, 41)])
def test_images_are_averaged(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape, dtype=dtype)
    group = group_of(tmp_path, pixels)
    steps = list(build_levels(group, as_labels=False))
    assert len(steps) == n_steps(group) > 3
    for level, wanted in enumerate(level_shapes(shape)[1:], 1):
        height, width = pixels.shape[-2:]
        rows, columns = np.arange(0, height, 2), np.arange(0, width, 2)
        sums = np.add.reduceat(np.add.reduceat(pixels.astype(float), rows, -2), columns, -1)
        counts = np.minimum(2, height - rows)[:, None] * np.minimum(2, width - columns)
        mean = sums / counts
        pixels = (mean if np.dtype(dtype).kind == "f" else np.rint(mean)).astype(dtype)
        found: Any = group[str(level)]
        assert (found.shape, found.dtype) == (wanted, np.dtype(dtype))
        np.testing.assert_allclose(found[...], pixels, rtol=1e-3 if dtype == "float16" else 1e-6)


def test_of_labels_every_second_pixel_is_kept(tmp_path: Path) -> None:
    labels = noise(3, 37, 41, dtype="int32")
    group = group_of(tmp_path, labels)
    for _ in build_levels(group, as_labels=True):
        pass
    for level in (1, 2, 3):
        np.testing.assert_array_equal(group[str(level)][...], labels[:, :: 2**level, :: 2**level])  # type: ignore[index]


def test_a_step_reads_and_writes_a_few_chunks_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(2, 150, 130, dtype="float32")
    group = group_of(tmp_path, pixels)
    n_pixels: list[int] = []

    def spy(name: str) -> None:
        original = getattr(zarr.Array, name)

        def counted(array: Any, key: Any, *values: Any) -> Any:
            result = original(array, key, *values)
            n_pixels.append(np.size(values[0] if values else result))
            return result

        monkeypatch.setattr(zarr.Array, name, counted)

    spy("__getitem__")
    spy("__setitem__")
    for _ in build_levels(group, as_labels=False):
        pass
    assert len(n_pixels) == 2 * n_steps(group)
    assert max(n_pixels) == 16 * 8 * 8
    assert pixels.size > 100 * 16 * 8


def test_building_anew_replaces_what_is_there(tmp_path: Path) -> None:
    group = group_of(tmp_path, noise(40, 36, dtype="uint8"))
    steps = build_levels(group, as_labels=False)
    next(steps)
    steps.close()
    (tmp_path / "1" / "0" / "0").write_bytes(b"torn")
    for _ in build_levels(group, as_labels=False):
        pass
    assert group["2"].shape == (10, 9)  # type: ignore[union-attr]
    assert np.asarray(group["1"]).mean() == pytest.approx(100, abs=5)
