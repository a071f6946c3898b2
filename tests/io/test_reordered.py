from __future__ import annotations

import pickle
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from unveil.errors import FileError
from unveil.io.images import read_image
from unveil.io.reordered import Reordered

PIXELS = np.arange(3 * 4 * 5 * 6).reshape(3, 4, 5, 6)


@st.composite
def keys(draw: st.DrawFn) -> tuple[Any, ...]:
    one = st.one_of(st.integers(-3, 2), st.slices(3).filter(lambda s: s.step is None or s.step > 0))
    chosen = draw(st.lists(one, max_size=4))
    if draw(st.booleans()) and len(chosen) < 4:
        chosen.insert(draw(st.integers(0, len(chosen))), ...)
    return tuple(chosen)


@given(order=st.sampled_from(list(permutations(range(4)))), key=keys())
def test_slicing_equals_transposing_then_slicing(order: tuple[int, ...], key: tuple[Any, ...]) -> None:
    view = Reordered(PIXELS, order, Path("file"))
    np.testing.assert_array_equal(view[key], PIXELS.transpose(order)[key])
    assert view.shape == PIXELS.transpose(order).shape


def test_axes_are_fixed_shortened_and_converted() -> None:
    view = Reordered(PIXELS, (3, 0), Path("file"), convert=lambda block: block.astype(np.float32) + 1, first=(0, 2))
    assert (view.shape, view.dtype, view.ndim) == ((2, 3), np.float32, 2)
    np.testing.assert_array_equal(np.asarray(view), PIXELS[:, 0, 0, :2].T + 1)
    np.testing.assert_array_equal(view[-1], PIXELS[:, 0, 0, 1] + 1)
    np.testing.assert_array_equal(view[-2], PIXELS[:, 0, 0, 0] + 1)


def test_a_copy_cannot_be_refused() -> None:
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(Reordered(PIXELS, (0, 1, 2, 3), Path("file")), copy=False)


@pytest.mark.parametrize("key", [(5,), (0, 0, 0, 0, 0), (slice(None, None, -1),)])
def test_what_no_array_has_is_an_index_error(key: tuple[Any, ...]) -> None:
    with pytest.raises(IndexError):
        Reordered(PIXELS, (0, 1, 2, 3), Path("file"))[key]


def test_what_a_decoder_raises_becomes_our_error() -> None:
    class Broken:
        shape, dtype = (4, 4), np.dtype("uint8")

        def __getitem__(self, key: Any) -> Any:
            raise RuntimeError("zlib: incorrect data check")

    with pytest.raises(FileError, match=r"file cannot be read: its pixels are damaged .*incorrect data check"):
        Reordered(Broken(), (0, 1), Path("file"))[:]


@pytest.mark.parametrize("kind", ["mapped", "compressed", "zarr"])
def test_pixels_in_a_file_travel_by_name(
    kind: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unveil.io.tiff.AT_ONCE_BYTES", 1000)
    pixels = rng.integers(0, 4000, (300, 400)).astype(np.uint16)
    path = tmp_path / "large.tif"
    if kind == "zarr":
        path = tmp_path / "large.zarr"
        zarr.save(path, pixels)
    else:
        tifffile.imwrite(path, pixels, compression="zlib" if kind == "compressed" else None)
    image = read_image(path, axes="YX")
    sent = pickle.dumps(image)
    assert len(sent) < 2000
    there = pickle.loads(sent)
    assert (there.name, there.axes, there.shape, there.data.dtype) == (image.name, "YX", (300, 400), np.uint16)
    np.testing.assert_array_equal(there.data[10:20, 5:300], pixels[10:20, 5:300])
    np.testing.assert_array_equal(np.asarray(there.data), pixels)


def test_pixels_in_memory_travel_themselves(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", np.eye(5, dtype=np.uint8))
    image = read_image(tmp_path / "small.tif")
    (tmp_path / "small.tif").unlink()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image)).data, np.eye(5))
