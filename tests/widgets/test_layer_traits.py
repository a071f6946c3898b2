from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from napari.layers import Image as ImageLayer

from unveil.events import ignore
from unveil.widgets.layer_traits import layer_traits
from unveil.widgets.layers import source_of


def traits(data, cut="", point=(), **layer):
    return layer_traits(source_of(ImageLayer(data, **layer), "ZYX", point), cut, ignore)


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 99, (3, 400, 500)).astype(np.uint8)


def test_the_same_pixels_have_the_same_traits(pixels):
    assert traits(pixels, name="a") == traits(pixels.copy(), name="a")
    assert json.loads(json.dumps(traits(pixels))) == traits(pixels)


@pytest.mark.parametrize("at", [(0, 0, 0), (1, 201, 333), (2, 399, 499)])
def test_one_pixel_in_memory_tells_images_apart(pixels, at):
    changed = pixels.copy()
    changed[at] += 1
    assert traits(pixels) != traits(changed)


def test_one_plane_is_told_from_another(pixels):
    assert traits(pixels, "Z", (0, 0, 0)) != traits(pixels, "Z", (1, 0, 0))


def test_an_image_that_was_moved_is_told_from_where_it_was(pixels):
    assert traits(pixels, units="um") != traits(pixels, units="um", translate=(0, 7, 0))


def test_lazy_pixels_are_sampled(pixels, monkeypatch):
    array = zarr.array(pixels, chunks=(1, 64, 64))
    other = zarr.array(pixels[:, ::-1].copy(), chunks=(1, 64, 64))
    assert traits(array) == traits(array)
    assert traits(array) != traits(other)
    assert traits(array)["pixels"] != traits(pixels)["pixels"]


def test_a_file_that_was_changed_is_told_from_what_it_was(pixels, tmp_path):
    (tmp_path / "cells.tif").write_bytes(b"1")
    metadata = {"unveil": {"file": str(tmp_path / "cells.tif")}}
    before = traits(pixels, metadata=metadata)
    assert before["file"] == str(tmp_path / "cells.tif")
    (tmp_path / "cells.tif").write_bytes(b"12")
    assert traits(pixels, metadata=metadata) != before
