from __future__ import annotations

import numpy as np
import pytest
import zarr

from unveil.events import Cancelled, ignore
from unveil.io.pyramid import level_shapes
from unveil.widgets import growing_levels
from unveil.widgets.growing_levels import GrowingArray

SHAPES = [(3, 300, 650), (3, 150, 325), (3, 75, 163)]


@pytest.fixture
def array(tmp_path):
    def make(shape, chunks):
        return zarr.create_array(tmp_path / "0", shape=shape, chunks=chunks, dtype="f4", zarr_format=2)

    return make


def write(growing, pixels, tile):
    """Write all planes tile by tile, one index per outer axis."""
    height, width = pixels.shape[-2:]
    for outer in np.ndindex(*pixels.shape[:-2]):
        for y in range(0, height, tile):
            for x in range(0, width, tile):
                window = (*outer, slice(y, min(y + tile, height)), slice(x, min(x + tile, width)))
                growing[window] = pixels[window]


@pytest.mark.parametrize(("kept_bytes", "n_kept"), [(0, 0), (3 * 75 * 163 * 4, 1), (2**30, 2)])
@pytest.mark.parametrize("tile", [61, 64, 1000])
def test_each_level_is_every_second_pixel_of_the_one_before(array, rng, monkeypatch, kept_bytes, n_kept, tile):
    monkeypatch.setattr(growing_levels, "MEMORY_BYTES", kept_bytes)
    pixels = rng.random((3, 300, 650), dtype=np.float32)
    growing = GrowingArray(array(pixels.shape, (1, 64, 64)))
    write(growing, pixels, tile)
    assert [level.shape for level in growing.levels] == level_shapes(pixels.shape) == SHAPES
    for n, level in enumerate(growing.levels):
        np.testing.assert_array_equal(np.asarray(level), pixels[:, :: 2**n, :: 2**n])
    assert sum(isinstance(level, np.ndarray) for level in growing.levels) == n_kept


def test_what_is_not_written_yet_is_zero(array):
    growing = GrowingArray(array((300, 650), (64, 64)))
    growing[65:100, 33:70] = np.ones((35, 37), np.float32)
    for n, level in enumerate(growing.levels):
        pixels = np.zeros((300, 650))
        pixels[65:100, 33:70] = 1
        np.testing.assert_array_equal(np.asarray(level), pixels[:: 2**n, :: 2**n])


@pytest.mark.parametrize("shape", [(2, 700, 300), (2, 300, 700)])
def test_what_was_written_before_fills_the_levels_in_memory(array, rng, shape):
    pixels = rng.random(shape, dtype=np.float32)
    on_disk = array(pixels.shape, (1, 64, 64))
    on_disk[...] = pixels
    growing = GrowingArray(on_disk)
    growing.fill(ignore)
    assert isinstance(growing.levels[1], np.ndarray)
    np.testing.assert_array_equal(growing.levels[1], pixels[:, ::2, ::2])
    assert growing.n_written > 0, "it is to be shown"

    def cancel(event):
        raise Cancelled

    with pytest.raises(Cancelled):
        growing.fill(cancel)


def test_a_level_in_memory_is_never_very_long(array):
    growing = GrowingArray(array((2, 20_000), (2, 512)))
    assert [isinstance(level, np.ndarray) for level in growing.levels] == [False, False, False, *[True] * 5]
    assert growing.levels[3].shape == (1, 2500)
