from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from unveil.errors import ImageError
from unveil.image import Image
from unveil.widgets.layers import cut_axes, known_axes, possible_axes, source_of

RNG = np.random.default_rng(7)

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")


def _layer(shape, **arguments):
    return ImageLayer(RNG.random(shape, dtype=np.float32), **arguments)


def test_axes_from_labels():
    assert known_axes(_layer((2, 5, 8, 9), axis_labels=("channel", "Z", "y", "x"))) == "CZYX"
    assert known_axes(_layer((5, 8, 9), axis_labels=("time", "height", "width"))) == "TYX"
    assert known_axes(_layer((5, 8, 9))) is None
    assert known_axes(_layer((5, 8, 9), axis_labels=("q", "y", "x"))) is None
    assert known_axes(_layer((5, 8, 9), axis_labels=("y", "y", "x"))) is None


def test_likeliest_axes_are_never_channels_below_five():
    assert possible_axes(2, rgb=False) == ["YX"]
    assert possible_axes(3, rgb=False)[0] == "ZYX"
    assert set(possible_axes(3, rgb=False)) == {"ZYX", "TYX", "CYX"}
    assert set(possible_axes(3, rgb=True)) == {"ZYX", "TYX"}
    assert possible_axes(4, rgb=False)[0] == "TZYX"
    assert possible_axes(5, rgb=False)[0] == "TCZYX"
    assert possible_axes(6, rgb=False) == []
    assert possible_axes(1, rgb=False) == []


def test_plane_cuts_what_the_model_does_not_see():
    assert cut_axes("TCZYX", 2) == "TZ"
    assert cut_axes("TCZYX", 3) == "T"
    assert cut_axes("YX", 2) == ""


def test_image_has_ordered_axes_and_micrometres():
    layer = _layer((4, 2, 8, 9), scale=(1000, 1, 200, 200), units=("nm", "pixel", "nm", "nm"), name="cells")
    image = source_of(layer, "ZCYX").image()
    assert image.axes == "CZYX"
    assert image.shape == (2, 4, 8, 9)
    assert image.name == "cells"
    assert dict(image.pixel_size_um) == pytest.approx({"Z": 1.0, "Y": 0.2, "X": 0.2})
    np.testing.assert_array_equal(np.asarray(image.data), np.moveaxis(layer.data, 1, 0))


def _moved(*, scale=1.0, turn=0.0):
    """An affine that enlarges, turns the plane a little, and moves by (3, -4)."""
    return np.array([[scale, turn, 3], [-turn, scale, -4], [0, 0, 1]])


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        ({"scale": (0.5, 0.5), "translate": (100, 50), "units": "um"}, {"Y": 100, "X": 50}),
        ({"scale": (500, 500), "translate": (1e5, 0), "units": "nm"}, {"Y": 100}),
        ({"translate": (100, 50), "affine": _moved(scale=2), "units": "um"}, {"Y": 203, "X": 96}),
        ({"translate": (100, 50), "units": ("pixel", "um")}, {"X": 50}),
        ({"scale": (-0.5, 0.5), "translate": (100, 50), "units": "um"}, {}),
        ({"rotate": 20.0, "translate": (100, 50), "units": "um"}, {}),
        ({"translate": (100, 50), "affine": _moved(turn=0.1), "units": "um"}, {}),
    ],
)
def test_an_image_lies_where_its_layer_does_if_a_file_can_tell(arguments, origin):
    assert dict(source_of(_layer((8, 9), **arguments), "YX").image().origin_um) == pytest.approx(origin)


def test_a_plane_and_its_result_lie_where_they_do_in_the_stack():
    layer = _layer((5, 8, 9), scale=(2, 0.5, 0.5), translate=(10, 100, 50), units="um")
    source = source_of(layer, "ZYX", point=(14, 100, 50))
    assert dict(source.image().origin_um) == {"Z": 10, "Y": 100, "X": 50}
    plane = source.image("Z")
    assert dict(plane.origin_um) == {"Y": 100, "X": 50}
    np.testing.assert_allclose(source.place(plane, "Z")[1]["translate"], [14, 100, 50])


def test_the_interval_between_frames_is_that_of_the_layer_where_its_unit_is_a_time():
    movie = source_of(_layer((5, 8, 9), scale=(2, 0.5, 0.5), units=("min", "um", "um")), "TYX")
    assert movie.image().frame_interval_s == pytest.approx(120)
    assert movie.image("T").frame_interval_s is None
    assert source_of(_layer((5, 8, 9), scale=(2, 0.5, 0.5)), "TYX").image().frame_interval_s is None


def test_pixels_of_unknown_unit_have_no_size():
    assert not source_of(_layer((8, 9), scale=(0.5, 0.5)), "YX").image().pixel_size_um


def test_turning_a_layer_changes_no_pixel_size():
    image = source_of(_layer((8, 9), scale=(2, 0.5), rotate=30, units=("um", "um")), "YX").image()
    assert dict(image.pixel_size_um) == pytest.approx({"Y": 2.0, "X": 0.5})
    assert not image.origin_um


@pytest.mark.parametrize(("step", "unit"), [(0.25, "s"), (250, "ms")])
def test_the_time_between_frames_is_told_in_seconds(step, unit):
    layer = _layer((4, 8, 9), scale=(step, 1, 1), units=(unit, "um", "um"))
    assert source_of(layer, "TYX").image().frame_interval_s == pytest.approx(0.25)
    assert source_of(_layer((4, 8, 9)), "TYX").image().frame_interval_s is None


@pytest.mark.parametrize(("z", "plane"), [(-7, 0), (0, 0), (6, 3), (9, 4), (99, 4)])
def test_the_plane_in_view_is_one_of_the_layer_however_far_others_reach(z, plane):
    layer = _layer((5, 8, 9), scale=(2, 1, 1))
    assert source_of(layer, "ZYX", (0, z, 0, 0)).position["Z"] == plane


def test_affine_counts_towards_the_pixel_size():
    layer = _layer((8, 9), scale=(0.5, 0.5), affine=np.diag([2.0, 2.0, 1.0]), units="um")
    assert dict(source_of(layer, "YX").image().pixel_size_um) == pytest.approx({"Y": 1.0, "X": 1.0})


def test_rgb_gives_three_named_channels():
    layer = ImageLayer(RNG.integers(0, 255, (8, 9, 4), dtype=np.uint8), rgb=True)
    source = source_of(layer, "YX")
    image = source.image()
    assert (image.axes, image.shape, image.channel_names) == ("CYX", (3, 8, 9), ("red", "green", "blue"))
    data, place = source.place(image.like(np.zeros((8, 9)), "YX"))
    assert data.shape == (8, 9)
    assert len(place["scale"]) == 2


@pytest.mark.parametrize("make", [da.from_array, lambda a: zarr.array(a)], ids=["dask", "zarr"])
def test_lazy_layers_stay_lazy(make, dask_in_this_thread):
    array = RNG.random((3, 4, 8, 9), dtype=np.float32)
    source = source_of(ImageLayer(make(array)), "ZTYX", point=(2, 1, 0, 0))
    image = source.image()
    assert not isinstance(image.data, np.ndarray)
    assert image.axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(image.data[:]), np.swapaxes(array, 0, 1))
    np.testing.assert_array_equal(np.asarray(source.image("TZ").data), array[2, 1])


def test_multiscale_takes_the_finest_level():
    levels = [RNG.random((16, 18), dtype=np.float32), RNG.random((8, 9), dtype=np.float32)]
    assert source_of(ImageLayer(levels, multiscale=True), "YX").image().shape == (16, 18)


def _world(layer, index):
    return np.asarray(layer.data_to_world(index), float)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_a_result_lies_where_its_source_lies(n_dims):
    angle = 30.0 if n_dims == 2 else (30.0, 10.0, 20.0)
    affine = np.eye(n_dims + 1)
    affine[0, -1], affine[-2, -3] = 7.0, 0.25
    shape = (5, 8, 9)[-n_dims:]
    layer = _layer(
        shape,
        scale=(3.0, 0.5, 0.25)[-n_dims:],
        translate=(10.0, 20.0, 30.0)[-n_dims:],
        rotate=angle,
        shear=[0.1, 0.2, 0.3][: n_dims * (n_dims - 1) // 2],
        affine=affine,
        units="um",
        axis_labels=("z", "y", "x")[-n_dims:],
    )
    axes = "ZYX"[-n_dims:]
    source = source_of(layer, axes)
    data, place = source.place(source.image())
    result = ImageLayer(data, **place)
    for index in np.ndindex(*(2,) * n_dims):
        np.testing.assert_allclose(_world(result, index), _world(layer, index), atol=1e-9)
    assert result.units == layer.units
    assert result.axis_labels == layer.axis_labels


def test_one_plane_of_a_stack_lies_at_its_plane():
    layer = _layer(
        (5, 2, 8, 9), scale=(2.0, 1.0, 0.5, 0.5), translate=(4.0, 0, 1, 1), units=("um", "pixel", "um", "um")
    )
    source = source_of(layer, "ZCYX", point=(10.0, 1.0, 0, 0))
    assert source.position["Z"] == 3
    plane = source.image("Z")
    assert plane.axes == "CYX"
    np.testing.assert_array_equal(np.asarray(plane.data), layer.data[3])
    data, place = source.place(plane.like(np.zeros((8, 9), np.int32), "YX"), "Z")
    assert data.shape == (1, 1, 8, 9)
    np.testing.assert_allclose(place["translate"], [10.0, 0.5, 1, 1])
    np.testing.assert_allclose(place["scale"], [2.0, 2.0, 0.5, 0.5])


SIZE = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 6}


def _result(axes):
    """An image layer of `axes` and a result without channels whose planes hold the numbers from 1."""
    layer = _layer([SIZE[letter] for letter in axes], scale=np.arange(len(axes)) + 2.0, translate=range(len(axes)))
    outer = "".join(letter for letter in "TZ" if letter in axes)
    numbers = np.arange(1, 1 + np.prod([SIZE[letter] for letter in outer])).reshape([SIZE[letter] for letter in outer])
    planes = np.broadcast_to(numbers[..., None, None], (*numbers.shape, 5, 6))
    return layer, Image(planes.copy(), outer + "YX"), numbers


@pytest.mark.parametrize("axes", ["ZYX", "CZYX", "ZCYX", "TCYX", "TCZYX", "TZCYX", "ZTCYX", "ZYXC"])
def test_a_result_is_shown_at_its_plane_and_at_every_channel(axes):
    layer, image, numbers = _result(axes)
    data, place = source_of(layer, axes).place(image)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    labels = viewer.add_labels(data, **place)
    viewer.dims.order = tuple(sorted(range(len(axes)), key=lambda axis: axes[axis] in "YX"))
    outer = [axis for axis, letter in enumerate(axes) if letter not in "YX"]
    for index in np.ndindex(*(SIZE[axes[axis]] for axis in outer)):
        viewer.dims.set_current_step(outer, index)
        at = {axes[axis]: step for axis, step in zip(outer, index, strict=True)}
        shown = labels.get_value(viewer.dims.point[-labels.ndim :], world=True)
        assert shown == numbers[tuple(at[letter] for letter in image.axes[:-2])]


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CZYX", "ZCYX", "TCZYX", "ZTCYX", "XYC"])
def test_labels_are_taken_back_from_their_layer(axes):
    layer, image, _ = _result(axes)
    source = source_of(layer, axes)
    for cut in ("", "".join(letter for letter in "TZ" if letter in axes)):
        part = image.like(image.data[(0,) * len(cut)], image.axes[len(cut) :])
        back = source.taken_back(source.place(part, cut)[0], part, cut)
        assert back.axes == part.axes
        np.testing.assert_array_equal(back.data, part.data)


def test_one_plane_of_a_rotated_stack_lies_at_its_plane():
    layer = _layer((5, 8, 9), scale=(2.0, 0.5, 0.5), rotate=(20.0, 30.0, 40.0), shear=[0.1, 0.2, 0.3])
    source = source_of(layer, "ZYX", point=tuple(_world(layer, (3, 4, 4))))
    assert source.position["Z"] == 3
    data, place = source.place(source.image("Z"), "Z")
    np.testing.assert_allclose(_world(ImageLayer(data, **place), (0, 2, 5)), _world(layer, (3, 2, 5)), atol=1e-9)


def test_units_of_the_viewer_are_converted():
    layer = _layer((5, 8, 9), scale=(1.0, 1, 1), units="um")
    nanometres = _layer((5, 8, 9), units="nm").units
    assert source_of(layer, "ZYX", point=(2000.0, 0, 0), units=nanometres).position["Z"] == 2


def test_wrong_axes_are_refused():
    with pytest.raises(ImageError, match="has 3 axes, not 'YX'"):
        source_of(_layer((5, 8, 9)), "YX")


def test_a_result_in_image_order_returns_to_layer_order():
    layer = _layer((4, 3, 8, 9))
    source = source_of(layer, "ZTYX")
    image = source.image()
    data, _ = source.place(Image(np.asarray(image.data), "TZYX"))
    np.testing.assert_array_equal(data, layer.data)
