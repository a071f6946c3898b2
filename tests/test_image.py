from __future__ import annotations

import dataclasses
import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.errors import ImageError, MismatchError
from unveil.image import Image, frames, middle_frame, n_frames, whole

ALL_AXES = ["YX", "ZYX", "TYX", "CYX", "TCYX", "TZYX", "CZYX", "TCZYX"]
SIZES = {"T": 3, "C": 2, "Z": 4, "Y": 5, "X": 6}


def _image(axes, **fields):
    shape = tuple(SIZES[axis] for axis in axes)
    return Image(np.arange(np.prod(shape)).reshape(shape), axes, **fields)


@pytest.mark.parametrize(
    ("data", "axes", "problem"),
    [
        (np.zeros(5), "X", "2 to 5 dimensions"),
        (np.zeros((2,) * 7), "TCZYX", "2 to 5 dimensions"),
        (np.zeros((0, 5)), "YX", "it holds no pixels"),
        (np.zeros((1, 5)), "YX", "at least 2 pixels each"),
        (np.zeros((5, 1)), "YX", "at least 2 pixels each"),
        (np.zeros((5, 5), complex), "YX", "complex pixels are no intensities"),
        (np.zeros((5, 5), object), "YX", "object pixels"),
        (np.zeros((5, 5), bool), "YX", "true/false pixels"),
        (np.zeros((5, 5), "U3"), "YX", "non-numeric pixels"),
        (np.zeros((5, 5)), "XY", "must stand in the order YX"),
        (np.zeros((5, 5)), "ZYX", "the array has 2 dimensions"),
        (np.ma.masked_equal(np.eye(5), 0), "YX", "masks are not heeded here; fill it"),
        ([[1, 2], [3, 4]], "YX", "is made of a list; a NumPy, dask or zarr array is expected"),
        ("cells.tif", "YX", "or read a file with unveil.io.images.read_image"),
        (torch.zeros(5, 5), "YX", "is made of a Tensor; .* Convert it with numpy.asarray"),
    ],
)
def test_what_cannot_be_an_image_is_refused(data, axes, problem):
    with pytest.raises(ImageError, match=problem):
        Image(data, axes)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"channel_names": ("a", "b", "c")}, "2 channels and 3 channel names"),
        ({"pixel_size_um": {"Z": 1.0}}, "a pixel size is given for Z, which it does not have"),
        ({"pixel_size_um": {"Y": 0.0}}, "positive numbers of micrometres"),
        ({"pixel_size_um": {"X": float("nan")}}, "positive numbers of micrometres"),
        ({"pixel_size_um": 0.5}, r"The pixel size of image 'image' is 0.5; micrometres per axis are expected"),
        ({"origin_um": 7}, r"The origin of image 'image' is 7; micrometres per axis are expected"),
        ({"pixel_size_um": {"Y": 0.5, "X": None}}, "Leave out axes of which nothing is known"),
        ({"frame_interval_s": 60.0}, "positive number of seconds, along an axis T"),
        ({"origin_um": {"X": 1.0}}, "along axes of known pixel size"),
        ({"pixel_size_um": {"X": 1.0}, "origin_um": {"X": float("inf")}}, "an origin must be finite"),
    ],
)
def test_names_and_sizes_must_fit_the_data(fields, problem):
    with pytest.raises(ImageError, match=problem):
        _image("CYX", **fields)


def test_all_problems_are_named_at_once_with_what_was_found():
    with pytest.raises(ImageError) as error:
        Image(np.zeros((3, 4), complex), "XY", pixel_size_um={"Z": 1}, channel_names=("a", "b"), name="odd")
    message = str(error.value)
    assert "'odd' has shape (3, 4) and dtype complex128" in message
    for part in ("order YX", "complex", "1 channel and 2 channel names", "pixel size is given for Z"):
        assert part in message


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "u8", "f2", "f4", ">f8"])
def test_every_integer_and_float_dtype_is_taken(dtype):
    assert Image(np.zeros((2, 2), dtype)).shape == (2, 2)


@pytest.mark.parametrize(
    "make", [np.asarray, lambda a: da.from_array(a, chunks=2), lambda a: zarr.array(a, chunks=(2, 2))]
)
def test_numpy_dask_and_zarr_are_read_alike(make):
    pixels = np.arange(30).reshape(5, 6)
    (frame,) = frames(Image(make(pixels)), 2, (0,))
    with dask.config.set(scheduler="synchronous"):  # leaves no thread behind
        assert np.array_equal(frame.read((slice(1, 4), slice(2, 6))), pixels[None, 1:4, 2:6])


def test_an_image_is_frozen():
    sizes = {"Y": 0.5, "X": 0.5}
    image = _image("YX", pixel_size_um=sizes)
    sizes["Y"] = 9
    assert image.pixel_size_um["Y"] == 0.5
    with pytest.raises(TypeError):
        image.pixel_size_um["Y"] = 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        image.name = "other"


def test_sizes_of_axes():
    image = _image("TCYX")
    assert [image.size(axis) for axis in "TCZYX"] == [3, 2, 1, 5, 6]
    assert image.spatial_shape(2) == (5, 6)
    assert image.spatial_shape(3) == (1, 5, 6)


def test_channels_by_name_and_number():
    image = _image("CYX", channel_names=("DAPI", "0"))
    assert image.channel_index(None) is None
    assert image.channel_index("DAPI") == 0
    assert image.channel_index(1) == image.channel_index(np.int64(1)) == 1
    assert image.channel_index("1") == 1
    assert image.channel_index("0") == 1  # a name comes before a number
    assert _image("YX").channel_index(0) == 0


@pytest.mark.parametrize("channel", ["GFP", 2, -1, "7", "-1", ""])
def test_a_channel_that_is_not_there_is_refused(channel):
    with pytest.raises(MismatchError, match=r"2 channels \(DAPI, RFP\)\. Choose one by name, or .* 0 to 1"):
        _image("CYX", channel_names=("DAPI", "RFP")).channel_index(channel)


def test_a_result_lies_in_the_space_of_its_image():
    size, origin = {"Z": 2, "Y": 0.5, "X": 0.5}, {"Z": 7, "X": -3}
    image = _image("CZYX", pixel_size_um=size, channel_names=("a", "b"), name="cells", origin_um=origin)
    plane = image.like(np.zeros((5, 6)), "YX")
    assert dict(plane.pixel_size_um) == {"Y": 0.5, "X": 0.5}
    assert dict(plane.origin_um) == {"X": -3}
    assert (plane.name, plane.channel_names) == ("cells", ())
    volume = image.like(np.zeros((1, 4, 5, 6)), "CZYX", name="nuclei", channel_names=("nucleus",))
    assert dict(volume.pixel_size_um) == dict(image.pixel_size_um)
    assert (volume.name, volume.channel_names) == ("nuclei", ("nucleus",))
    again = pickle.loads(pickle.dumps(image))
    assert (again.pixel_size_um, again.origin_um, again.name) == (size, origin, "cells")


def test_a_result_has_the_interval_between_frames_where_it_has_frames():
    assert _image("TYX", frame_interval_s=0.05).frame_interval_s == 0.05
    movie = _image("TCYX", frame_interval_s=30)
    assert movie.like(np.zeros((5, 6)), "YX").frame_interval_s is None
    assert pickle.loads(pickle.dumps(movie)).like(np.zeros((2, 5, 6)), "TYX").frame_interval_s == 30


@pytest.mark.parametrize("interval", [0, -1.0, float("nan"), float("inf"), "30"])
def test_an_interval_between_frames_is_a_positive_number(interval):
    with pytest.raises(ImageError, match="an interval between frames must be a positive number of seconds"):
        _image("TYX", frame_interval_s=interval)


@pytest.mark.parametrize("axes", ALL_AXES)
@pytest.mark.parametrize("n_dims", [2, 3])
def test_frames_cover_every_pixel_once(axes, n_dims):
    image = _image(axes)
    channels = tuple(range(image.size("C")))
    pieces = [frame.read(whole(frame.shape[1:])) for frame in frames(image, n_dims, channels)]
    assert len(pieces) == n_frames(image, n_dims)
    assert all(piece.shape == (len(channels), *image.spatial_shape(n_dims)) for piece in pieces)
    assert sorted(np.concatenate(pieces, axis=None)) == list(range(image.data.size))


@pytest.mark.parametrize("axes", ALL_AXES)
@pytest.mark.parametrize("n_dims", [2, 3])
def test_writing_every_frame_where_it_belongs_restores_the_image(axes, n_dims):
    image = _image(axes)
    restored = np.full(image.shape, -1)
    for frame in frames(image, n_dims, tuple(range(image.size("C")))):
        piece = frame.read(whole(frame.shape[1:]))
        restored_part = restored[frame.result_key(axes, whole(frame.shape[1:]))]
        restored[frame.result_key(axes, whole(frame.shape[1:]))] = piece.reshape(restored_part.shape)
    assert np.array_equal(restored, image.data)


@settings(max_examples=40)
@given(axes=st.sampled_from(ALL_AXES), n_dims=st.sampled_from([2, 3]), data=st.data())
def test_a_window_is_the_same_part_of_the_whole_frame(axes, n_dims, data):
    image = _image(axes)
    channels = tuple(data.draw(st.permutations(range(image.size("C")))))
    frame = data.draw(st.sampled_from(list(frames(image, n_dims, channels))))
    starts = [data.draw(st.integers(0, size - 1)) for size in frame.shape[1:]]
    window = tuple(
        slice(start, data.draw(st.integers(start + 1, size)))
        for start, size in zip(starts, frame.shape[1:], strict=True)
    )
    assert np.array_equal(frame.read(window), frame.read(whole(frame.shape[1:]))[(slice(None), *window)])


def test_frames_come_in_order_and_know_their_place():
    assert [dict(frame.index) for frame in frames(_image("TZYX"), 3, (0,))] == [{"T": 0}, {"T": 1}, {"T": 2}]
    places = [tuple(frame.index.values()) for frame in frames(_image("TZYX"), 2, (0,))]
    assert places == [(t, z) for t in range(3) for z in range(4)]


@pytest.mark.parametrize(
    ("size_um", "plane", "volume"),
    [
        ({"Z": 2.0, "Y": 0.25, "X": 0.25}, None, (8, 1, 1)),
        ({"Z": 0.5, "Y": 0.5, "X": 1.0}, (1, 2), (1, 1, 2)),
        ({"Z": 0.65, "Y": 0.65, "X": 0.6500003}, None, None),
        ({"Z": 2.0, "X": 0.25}, None, None),
        ({}, None, None),
    ],
)
def test_a_frame_knows_how_its_pixels_are_shaped(size_um, plane, volume):
    image = _image("TZYX", pixel_size_um=size_um)
    assert {frame.spacing for frame in frames(image, 2, (0,))} == {plane}
    assert {frame.spacing for frame in frames(image, 3, (0,))} == {volume}


@pytest.mark.parametrize(("n_dims", "index"), [(2, {"T": 1, "Z": 2}), (3, {"T": 1})])
def test_the_middle_stands_for_all(n_dims, index):
    image = _image("TCZYX")
    frame = middle_frame(image, n_dims, (0, 1))
    assert dict(frame.index) == index
    window = slice(1, 3), slice(2, 5)
    assert np.array_equal(frame.read_plane(*window), image.data[1, :2, 2][(slice(None), *window)])


def test_only_the_chosen_channels_are_read_in_the_chosen_order():
    image = _image("CYX")
    (frame,) = frames(image, 2, (1, 0))
    assert np.array_equal(frame.read(whole(frame.shape[1:])), image.data[::-1])
    (frame,) = frames(image, 2, (1,))
    assert np.array_equal(frame.read(whole(frame.shape[1:])), image.data[1:])


def test_sizes_and_names_become_plain_values():
    size, origin = {"Y": np.float32(0.5), "X": 1}, {"X": 3}
    image = _image("CYX", pixel_size_um=size, channel_names=["DAPI", "GFP"], origin_um=origin)
    assert {type(um) for um in (*image.pixel_size_um.values(), *image.origin_um.values())} == {float}
    assert image.channel_names == ("DAPI", "GFP")


def test_a_masked_array_without_masked_pixels_is_an_image():
    assert Image(np.ma.asarray(np.eye(5))).shape == (5, 5)
