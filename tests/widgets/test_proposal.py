"""What is proposed for what the layers hold."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Shapes
from scipy import ndimage
from skimage.draw import disk

from unveil.widgets.layer_roles import LABELS, marked
from unveil.widgets.proposal import propose_from_labels, propose_task
from unveil.widgets.samples import noise_pair, nuclei, volume
from unveil.widgets.training_layers import LayerPair, Rectangles, Scribbles, Sparse, TrainingTask, Whole

EDGE = 160
RNG = np.random.default_rng(3)
SCENE = ndimage.gaussian_filter(RNG.random((EDGE, EDGE)), 8)
SCENE = ((SCENE - SCENE.min()) / np.ptp(SCENE)).astype(np.float32)


def noisy(scene=SCENE, sigma=0.3):
    return (scene + RNG.normal(0, sigma, scene.shape)).astype(np.float32)


def cells(same_number=False):
    """36 discs, each with a number of its own or all with the same."""
    labels = np.zeros((EDGE, EDGE), int)
    for number, (y, x) in enumerate(np.ndindex(6, 6), start=1):
        labels[disk((14 + 26 * y, 14 + 26 * x), 8)] = 1 if same_number else number
    return labels


def scribbles(*numbers):
    """A long stroke for each number."""
    labels = np.zeros((EDGE, EDGE), int)
    for row, number in enumerate(numbers):
        labels[10 + 20 * row : 13 + 20 * row, 20:120] = number
    return labels


def propose(*layers):
    found = propose_task(layers)
    assert found.reason.endswith(".")
    return found


def names(proposal):
    return [tuple(layer.name if layer is not None else None for layer in (p.image, p.target)) for p in proposal.pairs]


def sample(make):
    kinds = {"image": ImageLayer, "labels": Labels}
    return [kinds[kind](data, **arguments) for data, arguments, kind in make()]


def test_without_an_image():
    found = propose(Labels(cells()))
    assert found.pairs == ()
    assert "no image yet" in found.reason


@pytest.mark.parametrize(
    ("labels", "task", "extent", "reason"),
    [
        (cells(), TrainingTask.OBJECTS, Whole(), "36 numbers, each in one place"),
        (cells(same_number=True), TrainingTask.CLASSES, Whole(), "1 number in 36 separate regions"),
        ((cells() > 0) * (1 + cells() % 2), TrainingTask.CLASSES, Whole(), "2 numbers in 36 separate regions"),
        (np.zeros((EDGE, EDGE), int), TrainingTask.OBJECTS, Whole(), "still empty"),
        (np.where(cells() == 5, 5, 0), TrainingTask.OBJECTS, Sparse(), "one object so far"),
        (scribbles(1, 2, 1, 2), TrainingTask.CLASSES, Scribbles(1), "with number 1 on the background"),
        (scribbles(1, 1, 1, 2, 3, 4, 5), TrainingTask.OBJECTS, Scribbles(1), "thin strokes"),
        (scribbles(*range(1, 8)), TrainingTask.OBJECTS, Whole(), "7 numbers"),
        (scribbles(1, 1), TrainingTask.OBJECTS, Sparse(), "one object so far"),
    ],
    ids=["objects", "one class", "two classes", "empty", "begun", "scribbles", "more of them", "thin cells", "a line"],
)  # fmt: skip
def test_labels(labels, task, extent, reason):
    found = propose(ImageLayer(noisy(), name="cells"), Labels(labels, name="painted"))
    assert (found.task, found.extent) == (task, extent)
    assert reason in found.reason
    assert names(found) == [("cells", "painted")]


def test_what_is_held_out_is_no_annotation():
    split = Labels(np.ones((120, 120), np.uint8), metadata={"unveil": {"role": "split"}}, name="held out")
    found = propose(ImageLayer(noisy(), name="cells"), Labels(cells(), name="painted"), split)
    assert names(found) == [("cells", "painted")]


def test_rectangles_are_the_extent():
    boxes = Shapes([[[0, 0], [0, 80], [80, 80], [80, 0]]], shape_type="rectangle")
    found = propose(ImageLayer(noisy()), Labels(cells()), boxes, Shapes())
    assert found.extent == Rectangles((boxes,))


def test_any_shape_with_an_inside_is_the_extent():
    corners = np.array([[0, 0], [0, 80], [80, 80], [80, 0]], float)
    for kind, counts in (("polygon", True), ("ellipse", True), ("path", False), ("line", False)):
        shapes = Shapes([corners[:2] if kind == "line" else corners], shape_type=kind)
        assert (propose(ImageLayer(noisy()), Labels(cells()), shapes).extent == Rectangles((shapes,))) is counts


def test_unpainted_objects_are_no_background():
    bright = (cells() > 0) + noisy(0 * SCENE, 0.1)
    some = np.where(cells() % 3 == 1, cells(), 0)
    found = propose(ImageLayer(bright), Labels(some))
    assert found.extent == Sparse()
    assert found.words(Sparse()).endswith("unpainted: only what is near the painted ones teaches.")
    assert found.words(Whole()).endswith("unpainted: they teach as background.")
    assert found.words(Scribbles(1)) == found.reason
    assert propose(ImageLayer(bright), Labels(cells())).extent == Whole()
    others = [
        ImageLayer(np.stack([bright] * 3, axis=-1).clip(0, 1), rgb=True),
        ImageLayer(np.stack([0 * bright, bright]), axis_labels=("z", "y", "x")),
    ]
    labels = Labels(some[np.newaxis], translate=(1, 0, 0))  # of the second plane
    found = [propose(image, one).extent for image, one in zip(others, (Labels(some), labels), strict=True)]
    assert found == [Sparse(), Sparse()]


def test_of_several_images_most_say_whether_labels_are_sparse():
    bright, some = (cells() > 0) + noisy(0 * SCENE, 0.1), np.where(cells() % 3 == 1, cells(), 0)

    def extent(*painted):
        images = [ImageLayer(bright, name=f"i{number}") for number in range(len(painted))]
        pairs = [LayerPair(image, Labels(one)) for image, one in zip(images, painted, strict=True)]
        return propose_from_labels(pairs, [*images, *(pair.target for pair in pairs)]).extent

    assert extent(some, cells(), 0 * some) == Sparse()
    assert extent(cells(), some, cells()) == Whole()


def test_labels_find_their_images():
    layers = [
        ImageLayer(noisy(), name="field"),
        ImageLayer(noisy(), name="field [1]"),
        ImageLayer(noisy(), name="elsewhere", translate=(500, 0)),
        ImageLayer(np.zeros((3, EDGE, EDGE)), name="stained", axis_labels=("channel", "y", "x"), translate=(0, 900, 0)),
        Labels(cells(), name="Labels", translate=(500, 0)),
        Labels(cells(), name="field labels"),
        Labels(cells(), name="field [1] labels"),
        Labels(cells(), name="more", translate=(900, 0)),
        Labels(cells()[:, :80], name="of nothing"),
    ]
    assert sorted(names(propose(*layers))) == [
        ("elsewhere", "Labels"),
        ("field", "field labels"),
        ("field [1]", "field [1] labels"),
        ("stained", "more"),
    ]


def test_the_latest_labels_belong_to_the_latest_image():
    layers = [ImageLayer(noisy(), name="a"), ImageLayer(noisy(), name="b"), Labels(cells(), name="l")]
    assert names(propose(*layers, Labels(cells(), name="m"))) == [("a", "l"), ("b", "m")]


def test_our_own_layers_are_not_in_the_way():
    def own(role):
        return {"unveil": {"role": role}}

    made = ("denoised", "residual", "autocorrelation", "probability", "feature", "entropy", "disagreement")
    layers = [
        ImageLayer(noisy(), name="cells"),
        *(ImageLayer(SCENE, name=f"cells · {role}", metadata=own(role)) for role in (*made, "growing", "preview")),
    ]
    found = propose(*layers)
    assert (found.task, names(found)) == (TrainingTask.NOISY_ONLY, [("cells", None)])
    result = Labels(cells(), name="cells · model labels", metadata=own("labels"))
    assert names(propose(*layers, result)) == [("cells", "cells · model labels")]
    assert names(propose(*layers, Labels(cells(), name="mine"), result)) == [("cells", "mine")]


def test_noisy_and_clean():
    other = ImageLayer(ndimage.gaussian_filter(RNG.random((EDGE, EDGE)), 8), name="other")
    layers = [ImageLayer(noisy(), name="first"), ImageLayer(1000 * SCENE, name="clean"), other]
    found = propose(*layers, ImageLayer(noisy(), name="second"))
    assert found.task is TrainingTask.PAIRS
    assert names(found) == [("first", "clean"), ("second", "clean")]
    assert "has less noise" in found.reason


def test_a_stack_that_calls_itself_a_volume_or_has_one_frame_is_no_movie():
    frames = np.stack([noisy() for _ in range(3)])
    for stack in (ImageLayer(frames, axis_labels=("z", "y", "x")), ImageLayer(frames[:1])):
        assert propose(stack).task is TrainingTask.NOISY_ONLY


def test_predicted_labels_of_another_image_are_no_annotation_beside_painted_ones():
    images = [ImageLayer(noisy(), name=name) for name in ("a", "b")]
    predicted = Labels(cells(), name="b labels", metadata=marked(LABELS))
    assert names(propose(*images, Labels(cells(), name="a labels"), predicted)) == [("a", "a labels")]
    assert names(propose(*images, predicted)) == [("b", "b labels")]


@pytest.mark.parametrize("labelled", [True, False])
def test_frames_of_a_still_scene(labelled):
    arguments = {"axis_labels": ("time", "y", "x")} if labelled else {}
    frames = np.stack([noisy() for _ in range(5)])
    found = propose(ImageLayer(frames, name="movie", **arguments))
    assert (found.task, found.pairs[0].axes) == (TrainingTask.FRAMES, "TYX")


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_a_volume_is_no_still_scene(sigma):
    depths = ndimage.gaussian_filter(RNG.random((9, EDGE, EDGE)), (2, 6, 6))
    depths = ((depths - depths.min()) / np.ptp(depths)).astype(np.float32)
    found = propose(ImageLayer(noisy(depths, sigma), name="volume"))
    assert (found.task, found.pairs[0].axes) == (TrainingTask.NOISY_ONLY, "ZYX")


def test_a_movie_that_moves_is_no_still_scene():
    frames = np.stack([np.roll(SCENE, 12 * shift, axis=0) for shift in range(4)])
    found = propose(ImageLayer(noisy(frames, 0.05), axis_labels=("t", "y", "x")))
    assert found.task is TrainingTask.NOISY_ONLY


def test_a_single_image():
    found = propose(ImageLayer(noisy(), name="alone"))
    assert (found.task, names(found)) == (TrainingTask.NOISY_ONLY, [("alone", None)])
    assert "choose 'Segment objects'" in found.reason


@pytest.mark.parametrize(
    ("make", "task"),
    [(nuclei, TrainingTask.OBJECTS), (volume, TrainingTask.OBJECTS), (noise_pair, TrainingTask.PAIRS)],
)
def test_samples(make, task):
    assert propose(*sample(make)).task is task


def test_what_cannot_be_an_image_is_passed_over():
    odd = [
        ImageLayer(np.zeros((1,) * 4 + (9, 9))),
        ImageLayer(np.full((2, 2), np.nan)),
        ImageLayer(np.eye(9, dtype=bool)),
    ]
    assert propose(*odd).task is TrainingTask.NOISY_ONLY


def test_a_lazy_stack_is_not_read_whole(dask_in_this_thread):
    read = []

    def plane(block_info=None):
        read.append(block_info[None]["array-location"][0][0])
        return RNG.random((1, 512, 512), dtype=np.float32)

    stack = da.map_blocks(plane, chunks=((1,) * 200, (512,), (512,)), dtype=np.float32, meta=np.empty((0, 0, 0), "f4"))
    layer = ImageLayer(stack, contrast_limits=(0, 1))
    labels = Labels(da.zeros(stack.shape, chunks=(1, 512, 512), dtype=np.uint16))
    read.clear()
    propose(layer, labels)
    propose(layer)
    assert len(read) <= 5


def counted(read, name, plane):
    """A lazy stack of two planes, each `plane`; whoever reads one leaves `name` in `read`."""

    def look(block_info=None):
        read.append(name)
        return plane[np.newaxis]

    return da.map_blocks(look, chunks=((1, 1), *((n,) for n in plane.shape)), dtype=plane.dtype, meta=plane[:0, :0])


def test_each_lazy_layer_is_read_once_however_many_come_after_it(dask_in_this_thread):
    read, layers = [], []
    planes = [RNG.random((600, 600), dtype=np.float32) for _ in range(6)]
    for number, plane in enumerate(planes):
        layers.append(ImageLayer(counted(read, number, plane), contrast_limits=(0, 1)))
        read.clear()
        propose(*layers)
        assert read == [number, number]  # both planes of the new one: it might be a movie
    labels = Labels(counted(read, "labels", np.ones((600, 600), np.uint16)))
    read.clear()
    for _ in range(2):
        propose(*layers, labels)
    assert read == ["labels", 5]  # and the image beside them


def test_windows_of_images_agree_whatever_was_read_before(dask_in_this_thread):
    scene = np.tile(SCENE, (4, 4))
    noisy_one, clean = (
        ImageLayer(da.from_array(plane, chunks=100), name=name, contrast_limits=(0, 1))
        for name, plane in (("noisy", noisy(scene)), ("clean", scene))
    )
    others = [ImageLayer(RNG.random((90, 90)), name=f"{number}") for number in range(12)]
    for layers in ([noisy_one, *others], [noisy_one, clean], [noisy_one, *others, clean]):
        found = propose(*layers)
    assert names(found) == [("noisy", "clean")]


def test_another_array_of_a_layer_is_read_anew(dask_in_this_thread):
    layer, labels = ImageLayer(noisy()), Labels(da.zeros((EDGE, EDGE), chunks=80, dtype=np.uint16))
    assert "still empty" in propose(layer, labels).reason
    labels.data = da.from_array(cells(), chunks=80)
    assert "36 numbers" in propose(layer, labels).reason


def test_lazy_labels_that_were_painted_on_are_read_anew(dask_in_this_thread):
    layer, labels = ImageLayer(noisy()), Labels(zarr.zeros(shape=(EDGE, EDGE), dtype=np.uint16))
    assert "still empty" in propose(layer, labels).reason
    labels.data_setitem(np.nonzero(cells() == 5), 5)
    assert "one object so far" in propose(layer, labels).reason
    labels.undo()
    assert "still empty" in propose(layer, labels).reason
    labels.redo()
    assert "one object so far" in propose(layer, labels).reason


def test_it_is_quick():
    images = [ImageLayer(RNG.random((40, 512, 512), dtype=np.float32)) for _ in range(3)]
    labels = np.zeros((40, 512, 512), np.int32)
    labels[25, 100:130, 100:130] = 1
    began = time.perf_counter()
    found = propose(*images, Labels(labels))
    assert time.perf_counter() - began < 2
    assert "one object" in found.reason
