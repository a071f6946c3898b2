from __future__ import annotations

import numpy as np
import pytest
import zarr

from unveil.widgets.lazy_view import LazyView


class Counted:
    """An array that counts the pixels read from it."""

    def __init__(self, array):
        self._array, self.shape, self.dtype, self.n_read = array, array.shape, array.dtype, 0

    def __getitem__(self, key):
        block = self._array[key]
        self.n_read += block.size
        return block


KEYS = [
    (),
    (2,),
    (slice(1, 3), slice(None), slice(2, 7, 2)),
    (Ellipsis, slice(None, 3)),
    (Ellipsis, 1, None, slice(2, 5)),
    (None, -1, Ellipsis),
    (slice(0, 2), np.int64(3), slice(4, 100)),
    (slice(None), slice(3, 3)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("make", [np.asarray, zarr.array], ids=["numpy", "zarr"])
def test_a_view_is_what_numpy_gives(rng, make, key):
    array = rng.random((4, 6, 9))
    view = LazyView(make(array)).transpose((1, 2, 0))[1:, ::2]
    expected = array.transpose((1, 2, 0))[1:, ::2][key]
    assert view[key].shape == expected.shape
    assert view[key].size == expected.size
    np.testing.assert_array_equal(np.asarray(view[key]), expected)


def test_new_axes_can_be_moved_and_taken(rng):
    array = rng.random((4, 6))
    view = LazyView(array)[None].transpose((1, 0, 2))
    assert view.shape == (4, 1, 6)
    np.testing.assert_array_equal(np.asarray(view[1:3, 0]), array[1:3])
    np.testing.assert_array_equal(np.asarray(view[:, :, 2]), array[:, None, 2])


def test_only_what_is_left_in_the_end_is_read(rng):
    source = Counted(rng.random((50, 60, 70)))
    region = LazyView(source)[:, 10:20, 5:10]
    assert source.n_read == 0
    np.testing.assert_array_equal(np.asarray(region[7]), source._array[7, 10:20, 5:10])
    assert source.n_read == 50


def test_too_many_indices_are_refused():
    with pytest.raises(IndexError, match="4 indices for 3 dimensions"):
        LazyView(np.zeros((2, 3, 4)))[0, 0, 0, 0]
