"""From layers to what the training takes: each task, each extent, each problem, and several at once."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Shapes

from unveil.data.annotation import Annotation
from unveil.data.sparse_labels import around_objects
from unveil.errors import ImageError
from unveil.image import Image
from unveil.widgets.drawn_areas import areas_on, fill
from unveil.widgets.pixel_grid import grid_of
from unveil.widgets.training_data import training_data
from unveil.widgets.training_layers import ANNOTATED, LayerPair, Rectangles, Scribbles, Sparse, TrainingTask

OBJECTS, CLASSES = TrainingTask.OBJECTS, TrainingTask.CLASSES

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")


def image_layer(*shape, name="cells", **arguments):
    return ImageLayer(np.random.default_rng(7).random(shape, dtype=np.float32), name=name, **arguments)


def labels_layer(*shape, name="painted", blank=False, **arguments):
    """Two objects in the last two axes, unless `blank`."""
    labels = np.zeros(shape, np.int32)
    if not blank:
        labels[..., 2:6, 2:6] = 1
        labels[..., 8:12, 8:14] = 2
    return Labels(labels, name=name, **arguments)


def rectangle(y, x, *plane):
    """Corners of a rectangle over the pixels `y` and `x` (first, last) in `plane`."""
    return np.array([[*plane, y[a], x[b]] for a, b in ((0, 0), (0, 1), (1, 1), (1, 0))], float)


def drawn(*corners, **arguments):
    return Shapes(list(corners), shape_type="rectangle", name="boxes", ndim=corners[0].shape[1], **arguments)


def inside(*shapes):
    """Only what lies inside `shapes` is annotated."""
    return Rectangles(shapes)


def one(image, labels, *extent, **options):
    """Return the only image and annotation."""
    data = training_data([LayerPair(image, labels)], OBJECTS, *extent, **options)
    return data.images[0], data.targets[0]


def lines_of(pairs, task=OBJECTS, *extent, **options):
    """Return the problems, one per line."""
    with pytest.raises(ImageError) as caught:
        training_data(pairs, task, *extent, **options)
    return str(caught.value).splitlines()


# The whole image


def test_a_whole_image_is_copied_with_its_labels():
    layer, labels = image_layer(20, 24, scale=(0.5, 0.5), units="um"), labels_layer(20, 24, scale=(0.5, 0.5))
    image, annotation = one(layer, labels)
    painted = labels.data.copy()
    assert (image.axes, image.name, dict(image.pixel_size_um)) == ("YX", "cells", {"Y": 0.5, "X": 0.5})
    assert annotation.mask is None
    assert annotation.labels.name == "painted"
    assert dict(annotation.labels.pixel_size_um) == {"Y": 0.5, "X": 0.5}
    labels.data[:] = 9
    np.testing.assert_array_equal(annotation.labels.data, painted)


def test_layers_are_left_as_they_are():
    layer, labels, shapes = image_layer(4, 20, 24), labels_layer(4, 20, 24), drawn(rectangle((1, 7), (1, 7), 2))
    before = [np.copy(layer.data), np.copy(labels.data), np.copy(shapes.data[0])]
    one(layer, labels)
    one(layer, labels, inside(shapes))
    one(layer, labels, Scribbles())
    for was, now in zip(before, (layer.data, labels.data, shapes.data[0]), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("labels_shape", [(20, 24), (3, 20, 24)], ids=["without channels", "with channels"])
def test_channels_are_left_out_of_the_labels(labels_shape):
    """napari's own button makes labels with all channels, of which a person paints the one in view."""
    labels = labels_layer(20, 24) if len(labels_shape) == 2 else labels_layer(*labels_shape, blank=True)
    if len(labels_shape) == 3:
        labels.data[1, 2:6, 2:6] = 3
    data = training_data([LayerPair(image_layer(3, 20, 24), labels, "CYX")], OBJECTS)
    assert data.images[0].axes == "CYX"
    assert data.targets[0].labels.axes == "YX"
    assert data.targets[0].labels.data[3, 3] == (1 if len(labels_shape) == 2 else 3)


def test_axes_are_put_in_order():
    layer, labels = image_layer(5, 2, 20, 24), labels_layer(5, 2, 20, 24)
    labels.data[3, 1] = 0
    data = training_data([LayerPair(layer, labels, "ZTYX")], OBJECTS)
    assert (data.images[0].axes, data.targets[0].labels.axes) == ("TZYX", "TZYX")
    np.testing.assert_array_equal(data.images[0].data, np.swapaxes(layer.data, 0, 1))
    np.testing.assert_array_equal(data.targets[0].labels.data, np.swapaxes(labels.data, 0, 1))
    assert not data.targets[0].mask[1, 3].any()
    assert data.targets[0].mask.sum() == 9 * 20 * 24


def test_colour_is_three_channels():
    layer = ImageLayer(np.zeros((20, 24, 4), np.uint8), rgb=True, name="stained")
    image, annotation = one(layer, labels_layer(20, 24))
    assert (image.axes, image.shape, annotation.labels.axes) == ("CYX", (3, 20, 24), "YX")


def classes(*numbers, extent=None):
    """Train on stripes of `numbers`."""
    stripes = np.repeat([0, *numbers], 4)[:, None] + np.zeros((1, 24), int)
    pair = LayerPair(image_layer(*stripes.shape), Labels(stripes))
    return training_data([pair], CLASSES, *([extent] if extent else []))


def test_numbers_are_classes():
    data = classes(1, 2, 3)
    assert data.class_numbers == (1, 2, 3)
    assert data.notices == ()
    assert one(image_layer(20, 24), labels_layer(20, 24))[1].labels.data.max() == 2


def test_classes_count_from_one():
    data = classes(255)
    assert data.class_numbers == (255,)
    assert np.unique(data.targets[0].labels.data).tolist() == [0, 1]
    assert data.notices == ("Results count classes from 1: 1 is what you painted as 255.",)
    data = classes(3, 7, 9, extent=Scribbles(7))
    assert data.class_numbers == (3, 9)
    assert data.notices == ("Results count classes from 1: 1 is what you painted as 3, 2 is what you painted as 9.",)
    assert "1 is what you painted as 2" in classes(1, 2, extent=Scribbles(1)).notices[0]
    assert np.unique(data.targets[0].labels.data[4:]).tolist() == [0, 1, 2]


def test_objects_are_not_taken_for_classes():
    with pytest.raises(ImageError, match="40 different numbers, and classes are at most 32"):
        classes(*range(1, 41))


# Stacks


def test_planes_without_labels_are_left_out_and_it_is_said():
    layer, labels = image_layer(6, 20, 24), labels_layer(6, 20, 24)
    labels.data[[0, 2, 3, 5]] = 0
    data = training_data([LayerPair(layer, labels)], OBJECTS)
    np.testing.assert_array_equal(data.images[0].data, layer.data[[1, 4]])
    np.testing.assert_array_equal(data.targets[0].labels.data, labels.data[[1, 4]])
    assert data.targets[0].mask is None
    assert data.notices == ("Labels 'painted' show objects on 2 of 6 planes; the others are left out.",)


def test_volumes_keep_their_empty_planes():
    layer, labels = image_layer(2, 6, 20, 24), labels_layer(2, 6, 20, 24)
    labels.data[0] = 0
    labels.data[1, :3] = 0
    data = training_data([LayerPair(layer, labels)], OBJECTS, n_dims=3)
    assert data.targets[0].labels.shape == (1, 6, 20, 24)
    assert data.targets[0].mask is None
    assert "1 of 2 volumes" in data.notices[0]


@pytest.mark.parametrize("make", [da.from_array, lambda a: zarr.array(a)], ids=["dask", "zarr"])
def test_of_a_large_movie_only_annotated_frames_are_read(make, dask_in_this_thread):
    pixels = np.random.default_rng(0).random((50, 20, 24), dtype=np.float32)
    labels = np.zeros(pixels.shape, np.uint16)
    labels[[7, 30], 3:6, 3:6] = 1
    layer = ImageLayer(make(pixels), axis_labels=("time", "y", "x"), name="movie")
    data = training_data([LayerPair(layer, Labels(make(labels), name="painted"))], OBJECTS)
    (image,), (annotation,) = data.images, data.targets
    assert not isinstance(image.data, np.ndarray)
    assert (image.axes, image.shape) == ("TYX", (2, 20, 24))
    np.testing.assert_array_equal(np.asarray(image.data), pixels[[7, 30]])
    assert isinstance(annotation.labels.data, np.ndarray)
    np.testing.assert_array_equal(annotation.labels.data, labels[[7, 30]])
    assert "2 of 50 time points" in data.notices[0]


def test_labels_of_one_plane_teach_their_plane():
    """Our own results of one plane are such layers."""
    layer = image_layer(6, 20, 24, scale=(2, 0.5, 0.5), translate=(4, 1, 1))
    labels = labels_layer(1, 20, 24, scale=(2, 0.5, 0.5), translate=(10, 1, 1))
    image, annotation = one(layer, labels)
    np.testing.assert_array_equal(image.data, layer.data[3:4])
    assert annotation.labels.shape == (1, 20, 24)
    assert "learns from whole volumes" in lines_of([LayerPair(layer, labels)], n_dims=3)[0]


def test_multiscale_layers_give_their_finest_level():
    levels = [np.zeros((20, 24), np.float32), np.zeros((10, 12), np.float32)]
    painted = [labels_layer(20, 24).data, labels_layer(10, 12).data]
    image, annotation = one(ImageLayer(levels, multiscale=True), Labels(painted, multiscale=True))
    assert image.shape == annotation.labels.shape == (20, 24)


# Rectangles


def test_a_rectangle_says_what_is_annotated():
    image, annotation = one(image_layer(20, 24), labels_layer(20, 24), inside(drawn(rectangle((1, 7), (0, 9)))))
    expected = np.zeros((20, 24), bool)
    expected[1:8, 0:10] = True
    np.testing.assert_array_equal(annotation.mask, expected)
    assert image.shape == (20, 24)
    assert annotation.has_outlines


def test_rectangles_go_through_the_world():
    place = {"scale": (0.5, 0.25), "translate": (10, 20)}
    shapes = drawn(rectangle((1, 3.5), (0.5, 2)) / 2, scale=(2, 2), translate=(10, 20))
    _, annotation = one(image_layer(20, 24, **place), labels_layer(20, 24, **place), inside(shapes))
    expected = np.zeros((20, 24), bool)
    expected[2:8, 2:9] = True
    np.testing.assert_array_equal(annotation.mask, expected)


@given(
    corners=arrays(float, (2, 2), elements=st.floats(-5, 30)),
    angle=st.floats(-80, 80),
    scale=st.tuples(*[st.floats(0.1, 9)] * 2),
    translate=st.tuples(*[st.floats(-99, 99)] * 2),
)
def test_where_the_image_lies_makes_no_difference(corners, angle, scale, translate):
    """What lies under the rectangle in the viewer is annotated, wherever the image was put and however it is turned."""
    (low_y, low_x), (high_y, high_x) = corners.min(axis=0) + 0.3, corners.max(axis=0) + 0.6
    box = rectangle((low_y, high_y), (low_x, high_x))
    layer = image_layer(20, 24, rotate=angle, scale=scale, translate=translate)
    in_world = np.array([layer.data_to_world(corner) for corner in box])
    mask = fill(areas_on(drawn(in_world), grid_of(layer, "YX", (20, 24)), None), {}, (20, 24))
    y, x = np.indices((20, 24))
    edge = min(abs(at - np.rint(at)) for at in (low_y, low_x, high_y, high_x))
    assume(edge > 1e-3)  # shapes keep their corners in single precision
    np.testing.assert_array_equal(mask, (low_y <= y) & (y <= high_y) & (low_x <= x) & (x <= high_x))


def test_units_of_the_shapes_are_converted():
    place = {"scale": (500.0, 500.0), "units": "nm"}
    shapes = drawn(rectangle((1, 3), (1, 3)), units="um")
    _, annotation = one(image_layer(20, 24, **place), labels_layer(20, 24, **place), inside(shapes))
    assert annotation.mask[2:7, 2:7].all()
    assert annotation.mask.sum() == 25


def test_a_turned_rectangle_is_filled_exactly():
    diamond = np.array([[2, 8], [8, 2], [14, 8], [8, 14]], float)
    _, annotation = one(image_layer(20, 24), labels_layer(20, 24), inside(drawn(diamond)))
    y, x = np.indices((20, 24))
    np.testing.assert_array_equal(annotation.mask, abs(y - 8) + abs(x - 8) <= 6)


def test_a_rectangle_partly_outside_is_cut():
    shapes = drawn(rectangle((-30, 7), (-3, 7)), rectangle((17, 90), (20, 90)))
    _, annotation = one(image_layer(20, 24), labels_layer(20, 24), inside(shapes))
    assert annotation.mask.sum() == 8 * 8 + 3 * 4


def test_a_rectangle_belongs_to_the_plane_it_was_drawn_on():
    place = {"scale": (3, 1, 1)}
    shapes = drawn(rectangle((1, 7), (1, 7), 6.2), rectangle((7, 13), (7, 15), 12), rectangle((1, 7), (1, 7), 90))
    layer = image_layer(6, 20, 24, **place)
    data = training_data([LayerPair(layer, labels_layer(6, 20, 24, **place))], OBJECTS, inside(shapes))
    np.testing.assert_array_equal(data.images[0].data, layer.data[[2, 4]])
    assert data.targets[0].mask[0].sum() == 49
    assert data.targets[0].mask[1].sum() == 7 * 9
    assert "2 of 6 planes" in data.notices[0]


@pytest.mark.parametrize("plane", [0, 2, 5])
def test_a_rectangle_in_a_volume_is_one_plane_of_it(plane):
    shapes = drawn(rectangle((1, 7), (1, 7), plane))
    _, annotation = one(image_layer(6, 20, 24), labels_layer(6, 20, 24), inside(shapes), n_dims=3)
    assert annotation.mask[plane].sum() == annotation.mask.sum() == 49


def test_a_flat_shapes_layer_counts_on_all_planes():
    labels = labels_layer(4, 20, 24)
    labels.data[1] = 0
    shapes = drawn(rectangle((1, 7), (1, 7)))
    data = training_data([LayerPair(image_layer(4, 20, 24), labels)], OBJECTS, inside(shapes))
    assert data.targets[0].mask.shape == (3, 20, 24)
    assert (data.targets[0].mask.sum(axis=(1, 2)) == 49).all()


def test_channels_of_the_shapes_are_left_out():
    shapes = drawn(rectangle((1, 7), (1, 7), 4, 1))
    pair = LayerPair(image_layer(6, 2, 20, 24), labels_layer(6, 20, 24), "ZCYX")
    data = training_data([pair], OBJECTS, inside(shapes))
    np.testing.assert_array_equal(data.images[0].data, np.moveaxis(pair.image.data, 1, 0)[:, [4]])


def test_polygons_and_ellipses_count_and_lines_do_not():
    corner = np.array([[1, 1], [1, 13], [13, 1]], float)
    shapes = Shapes([corner], shape_type="polygon", name="boxes")
    _, annotation = one(image_layer(20, 24), labels_layer(20, 24), inside(shapes))
    assert annotation.mask.sum() == 13 * 14 // 2
    ellipse = Shapes([rectangle((1, 13), (3, 19))], shape_type="ellipse")
    _, annotation = one(image_layer(20, 24), labels_layer(20, 24), inside(ellipse))
    y, x = np.ogrid[:20, :24]
    np.testing.assert_array_equal(annotation.mask, ((y - 7) / 6) ** 2 + ((x - 11) / 8) ** 2 <= 1)
    shapes.add_lines([np.array([[1, 1], [7, 7]])])
    problem = lines_of([LayerPair(image_layer(20, 24), labels_layer(20, 24))], OBJECTS, inside(shapes))
    assert "line, which have no inside" in problem[0]


# Near objects


def test_only_what_is_near_objects_is_judged():
    labels = labels_layer(40, 50)
    _, annotation = one(image_layer(40, 50), labels, Sparse())
    expected = around_objects(Annotation(Image(labels.data)), 2).mask
    assert 0 < expected.sum() < 400
    np.testing.assert_array_equal(annotation.mask, expected)


def test_planes_without_objects_are_left_out_where_labels_are_sparse():
    labels = labels_layer(5, 40, 50, blank=True)
    labels.data[3, 20:26, 30:36] = 1
    data = training_data([LayerPair(image_layer(5, 40, 50), labels, "ZYX")], OBJECTS, Sparse())
    assert data.images[0].shape == (1, 40, 50)
    assert "on 1 of 5 planes" in data.notices[0]
    volume, annotation = one(image_layer(5, 40, 50), labels, Sparse(), n_dims=3)
    assert volume.shape == (5, 40, 50)
    assert annotation.mask[:, 22, 32].all()  # ground above and below an object is near it
    assert annotation.mask.mean() < 0.2


def test_annotated_blocks_count_beside_what_is_near_objects():
    block = drawn(rectangle((30, 39), (30, 39)))
    block.name = f"{ANNOTATED} · cells"
    _, annotation = one(image_layer(40, 50), labels_layer(40, 50), Sparse(inside(block)))
    near = around_objects(Annotation(Image(labels_layer(40, 50).data)), 2).mask
    near[30:40, 30:40] = True
    np.testing.assert_array_equal(annotation.mask, near)


# Scribbles


def test_scribbles_are_judged_where_painted():
    labels = labels_layer(20, 24)
    _, annotation = one(image_layer(20, 24), labels, Scribbles())
    np.testing.assert_array_equal(annotation.mask, labels.data > 0)
    np.testing.assert_array_equal(annotation.labels.data, (labels.data == 2).astype(int))
    assert not annotation.has_outlines
    _, other = one(image_layer(20, 24), labels, Scribbles(background=2))
    np.testing.assert_array_equal(other.labels.data, (labels.data == 1).astype(int))


def test_scribbles_in_a_stack_are_cut_to_their_planes():
    layer, labels = image_layer(6, 20, 24), labels_layer(6, 20, 24)
    labels.data[[0, 1, 3, 5]] = 0
    image, annotation = one(layer, labels, Scribbles())
    np.testing.assert_array_equal(image.data, layer.data[[2, 4]])
    assert annotation.mask.sum() == 2 * (16 + 24)


# Denoising


def test_noisy_and_clean():
    noisy, clean = image_layer(20, 24, name="noisy"), image_layer(20, 24, name="clean")
    data = training_data([LayerPair(noisy, clean)], TrainingTask.PAIRS)
    assert (data.images[0].name, data.targets[0].name, data.class_numbers) == ("noisy", "clean", ())


def test_noisy_images_alone_have_no_targets():
    data = training_data([LayerPair(image_layer(20, 24)), LayerPair(image_layer(4, 20, 24))], TrainingTask.NOISY_ONLY)
    assert data.targets is None
    assert [image.axes for image in data.images] == ["YX", "ZYX"]


def test_frames_need_a_stack():
    stack = LayerPair(image_layer(4, 20, 24), None, "TYX")
    assert training_data([stack], TrainingTask.FRAMES).images[0].axes == "TYX"
    assert "no frames to compare" in lines_of([LayerPair(image_layer(20, 24))], TrainingTask.FRAMES)[0]
    volume = LayerPair(image_layer(4, 20, 24), None, "ZYX")
    assert "no frames to compare (axes Z Y X)" in lines_of([volume], TrainingTask.FRAMES, n_dims=3)[0]


def test_clean_images_alone_have_no_inputs():
    data = training_data([LayerPair(None, image_layer(20, 24, name="clean"))], TrainingTask.CLEAN_ONLY)
    assert data.images is None
    assert data.targets[0].name == "clean"


# Problems


def shifted(**place):
    return [LayerPair(image_layer(20, 24), labels_layer(20, 24, **place))]


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ([], "There is nothing to learn from"),
        ([LayerPair(None)], "Pair 1 has no image"),
        ([LayerPair(image_layer(20, 24))], "'cells' has no labels"),
        ([LayerPair(image_layer(20, 24), image_layer(20, 24, name="mask"))], "'mask' is no Labels layer"),
        ([LayerPair(image_layer(20, 24), labels_layer(24, 20))], r"'painted' have shape (24, 20)"),
        ([LayerPair(image_layer(9, 20, 24), labels_layer(20, 24))], r"without its channels has (9, 20, 24)"),
        (shifted(translate=(0, 3)), "shifted by X 3 pixels"),
        (shifted(scale=(2, 2)), "scaled by Y 2, X 2"),
        (shifted(scale=(2, 1), translate=(1, 0)), "scaled by Y 2 and shifted by Y 1 pixels"),
        (shifted(rotate=30), "rotated or sheared"),
        ([LayerPair(image_layer(20, 24), labels_layer(20, 24, blank=True))], "'painted' are empty"),
        ([LayerPair(image_layer(20, 24), Labels(np.full((20, 24), 3)))], "cover every annotated pixel"),
        ([LayerPair(image_layer(20, 24), Labels(np.full((20, 24), -3), name="odd"))], "negative numbers (lowest -3)"),
        ([LayerPair(image_layer(20, 24), Labels(np.eye(20, 24, dtype=int) << 40))], "up to 4294967295. Renumber them"),
        ([LayerPair(ImageLayer(np.eye(20, dtype=bool)), labels_layer(20, 20))], "true/false"),
        ([LayerPair(image_layer(1, 1, 1, 1, 20, 24), labels_layer(20, 24))], "has 6 dimensions"),
    ],
)  # fmt: skip
def test_one_problem(pairs, problem):
    found = lines_of(pairs)
    assert len(found) == 1
    assert problem in found[0]
    assert found[0].endswith(".")


@pytest.mark.parametrize(
    ("extent", "problem"),
    [
        (inside(Shapes(name="boxes")), "'boxes' is empty"),
        (inside(drawn(rectangle((14, 19), (16, 20)))), "No label of 'painted' lies inside a shape of 'boxes'"),
        (inside(drawn(rectangle((50, 60), (16, 20)))), "No label of 'painted' lies inside a shape of 'boxes'"),
        (inside(drawn(rectangle((3, 5), (3, 5)))), "cover every annotated pixel"),
        (Scribbles(background=7), "hold the numbers 1, 2; the background's number 7"),
    ],
)
def test_one_problem_of_the_extent(extent, problem):
    found = lines_of([LayerPair(image_layer(20, 24), labels_layer(20, 24))], OBJECTS, extent)
    assert len(found) == 1
    assert problem in found[0]


def test_what_is_wrong_for_all_pairs_is_said_once():
    pairs = [LayerPair(image_layer(20, 24), labels_layer(20, 24)) for _ in range(2)]
    assert len(lines_of(pairs, OBJECTS, inside(Shapes(name="boxes")))) == 1


def test_scribbles_of_background_alone():
    labels = Labels(np.eye(20, dtype=int), name="lines")
    assert "'lines' show no object" in lines_of([LayerPair(image_layer(20, 20), labels)], OBJECTS, Scribbles())[0]


def test_a_rectangle_drawn_in_another_view():
    upright = np.array([[1, 5, 2], [1, 5, 9], [4, 5, 9], [4, 5, 2]], float)
    pair = LayerPair(image_layer(6, 20, 24), labels_layer(6, 20, 24))
    assert "runs through planes of 'cells'" in lines_of([pair], OBJECTS, inside(drawn(upright)))[0]


@pytest.mark.parametrize(
    ("noisy", "clean", "problem"),
    [
        (image_layer(20, 24), image_layer(20, 22, name="clean"), "(20, 24), clean image 'clean' (20, 22)"),
        (image_layer(20, 24), image_layer(4, 20, 24, name="clean"), "(20, 24), clean image 'clean' (4, 20, 24)"),
        (image_layer(20, 24), ImageLayer(np.zeros((20, 24, 3)), rgb=True), "must show the same pixels"),
        (image_layer(20, 24), None, "'cells' has no clean image"),
        (image_layer(20, 24), labels_layer(20, 24), "'painted' is no image layer"),
    ],
)
def test_noisy_and_clean_that_do_not_match(noisy, clean, problem):
    found = lines_of([LayerPair(noisy, clean)], TrainingTask.PAIRS)
    assert len(found) == 1
    assert problem in found[0]


def test_clean_images_alone_are_needed():
    assert "Row 1 has no clean image" in lines_of([LayerPair(None)], TrainingTask.CLEAN_ONLY)[0]


def test_an_image_counts_once():
    image, labels = image_layer(20, 24), labels_layer(20, 24)
    assert "'cells' is there 2 times" in lines_of([LayerPair(image, labels)] * 2)[0]
    assert "'cells' is both noisy and clean" in lines_of([LayerPair(image, image)], TrainingTask.PAIRS)[0]
    assert "is there 2 times" in lines_of([LayerPair(None, image)] * 2, TrainingTask.CLEAN_ONLY)[0]


def test_images_of_other_channels():
    pairs = [
        LayerPair(image_layer(20, 24, name="grey"), labels_layer(20, 24)),
        LayerPair(image_layer(3, 20, 24, name="stained"), labels_layer(20, 24), "CYX"),
    ]
    assert "('grey' has 1, 'stained' has 3)" in lines_of(pairs)[0]


def test_all_problems_come_together():
    pairs = [
        LayerPair(image_layer(20, 24, name="a"), labels_layer(20, 24, blank=True, name="a labels")),
        LayerPair(image_layer(20, 24, name="b"), labels_layer(20, 24, translate=(0, 5), name="b labels")),
        LayerPair(image_layer(20, 24, name="c")),
        LayerPair(image_layer(2, 20, 24, name="d"), labels_layer(10, 24, name="d labels"), "CYX"),
    ]
    found = lines_of(pairs)
    assert len(found) == 5
    for name in "abcd":
        assert any(f"'{name}'" in line or f"'{name} labels'" in line for line in found)
    assert "different numbers of channels" in found[-1]
