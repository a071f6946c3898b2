"""The rows of the pair form in a real viewer: layers come, go and are renamed; labels are made."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import Qt

from unveil.errors import ImageError
from unveil.widgets.pair_form import PairForm
from unveil.widgets.training_data import training_data
from unveil.widgets.training_layers import LayerPair, TrainingTask

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")

DOCK_PX = 300


@pytest.fixture
def docked(viewer):
    """A form in a dock of a viewer that holds nothing yet."""
    form = PairForm(viewer)
    viewer.window.add_dock_widget(form, name="Train")
    yield form
    form.close_for_good()


@pytest.fixture
def model():
    """A viewer without a window, for what needs none: it is there at once."""
    return ViewerModel()


@pytest.fixture
def form(qtbot, model):
    """A form on a viewer without a window."""
    form = PairForm(model)
    qtbot.addWidget(form)
    yield form
    form.close_for_good()


def names(form):
    return [tuple(layer.name if layer is not None else None for layer in (p.image, p.target)) for p in form.pairs()]


def axes_of(form):
    return [pair.axes for pair in form.pairs()]


def listed(choices):
    return [choices.itemText(row) for row in range(1, choices.count())]


def is_shown(form, widget):
    return widget.isVisibleTo(form)  # the windows of tests are not shown


def choose(choices, name):
    choices.setCurrentIndex(choices.findText(name))


def test_without_an_image(form):
    assert form.pairs() == [LayerPair(None)]
    assert "Open an image first" in form.problem()
    assert not form.labels_button.isEnabled()


def test_layers_that_come_fill_the_row(qtbot, viewer, docked, blobs):
    with qtbot.waitSignal(docked.changed):
        viewer.add_image(blobs(32, 32), name="cells")
    assert names(docked) == [("cells", None)]
    assert docked.problem() == (
        "Image 'cells' has no labels. Choose the labels that belong to it, or press 'New labels'."
    )
    viewer.add_labels(np.zeros((9, 9), int), name="of another image")
    assert names(docked) == [("cells", None)]
    viewer.add_labels(np.zeros((32, 32), int), name="painted")
    assert names(docked) == [("cells", "painted")]
    assert docked.problem() is None


def test_layers_that_are_renamed_or_go(viewer, docked, blobs):
    image = viewer.add_image(blobs(32, 32), name="cells")
    labels = viewer.add_labels(np.zeros((32, 32), int), name="painted")
    viewer.add_image(blobs(32, 32), name="more cells")
    image.name, labels.name = "nuclei", "masks"
    assert names(docked) == [("nuclei", "masks")]
    assert docked.rows[0].image_list.currentText() == "nuclei"
    viewer.layers.remove(labels)
    assert names(docked) == [("nuclei", None)]
    viewer.layers.remove(image)
    assert names(docked) == [("more cells", None)]
    viewer.layers.clear()
    assert names(docked) == [(None, None)]


def test_the_choice_outlives_new_layers_and_another_order(model, form, blobs):
    for name in ("a", "b"):
        model.add_image(blobs(32, 32), name=name)
        model.add_labels(np.zeros((32, 32), int), name=f"{name} labels")
    choose(form.rows[0].image_list, "a")
    choose(form.rows[0].labels_list, "b labels")
    model.add_image(blobs(32, 32), name="c")
    model.layers.reverse()
    assert names(form) == [("a", "b labels")]


def test_another_image_brings_its_own_labels(model, form, blobs):
    for name in ("a", "b"):
        model.add_image(blobs(32, 32), name=name)
        model.add_labels(np.zeros((32, 32), int), name=f"{name} labels")
    for name in ("b", "a"):
        choose(form.rows[0].image_list, name)
        assert names(form) == [(name, f"{name} labels")]


def test_pairs_are_added_and_removed(qtbot, model, form, blobs):
    for name in ("a", "b"):
        model.add_image(blobs(32, 32), name=name)
        model.add_labels(np.zeros((32, 32), int), name=f"{name} labels")
    assert not is_shown(form, form.rows[0].remove_button)
    qtbot.mouseClick(form.add_button, Qt.MouseButton.LeftButton)
    assert sorted(names(form)) == [("a", "a labels"), ("b", "b labels")]
    form.add_pair()
    assert names(form)[2] == (None, None)
    assert "Pair 3 has no image" in form.problem()
    qtbot.mouseClick(form.rows[2].remove_button, Qt.MouseButton.LeftButton)
    assert form.problem() is None
    first = form.pairs()[0].image
    model.layers.remove(first)
    assert len(form.rows) == 1
    assert not is_shown(form, form.rows[0].remove_button)


def test_our_own_layers(model, form, blobs):
    def own(role):
        return {"unveil": {"role": role}}

    model.add_image(blobs(32, 32), name="cells")
    model.add_image(blobs(32, 32), name="probability", metadata=own("probability"))
    model.add_image(blobs(32, 32), name="training preview", metadata=own("preview"))
    model.add_image(blobs(32, 32), name="not whole yet", metadata=own("growing"))
    model.add_image(blobs(32, 32), name="denoised", metadata=own("denoised"))
    model.add_labels(np.zeros((32, 32), int), name="predicted", metadata=own("labels"))
    assert listed(form.rows[0].image_list) == ["denoised", "cells"]
    assert listed(form.rows[0].labels_list) == ["predicted"]


@pytest.mark.parametrize("role", ["denoised", "residual", "autocorrelation", "feature", "entropy"])
def test_our_own_images_are_offered_and_not_filled_in(model, form, blobs, role):
    for name in ("cells", "more cells"):
        model.add_image(blobs(32, 32), name=name)
    model.add_image(blobs(32, 32), name="made", metadata={"unveil": {"role": role}})
    form.set_task(TrainingTask.NOISY_ONLY)
    form.add_pair()
    form.add_pair()
    assert names(form)[1:] == [("more cells", None), (None, None)]
    assert listed(form.rows[2].image_list) == ["made", "more cells", "cells"]


def test_new_labels_lie_on_their_image(qtbot, viewer, docked):
    image = viewer.add_image(
        np.zeros((4, 2, 32, 40), np.float32),
        name="cells",
        scale=(2, 1, 0.5, 0.5),
        translate=(7, 0, 3, 1),
        rotate=np.eye(4)[[0, 1, 3, 2]] * [1, 1, 1, -1],
        units=("um", "pixel", "um", "um"),
        axis_labels=("z", "channel", "y", "x"),
    )
    assert axes_of(docked) == ["ZCYX"]
    qtbot.mouseClick(docked.labels_button, Qt.MouseButton.LeftButton)
    labels = viewer.layers["cells labels"]
    assert labels.data.shape == (4, 1, 32, 40)
    assert not labels.data.any()
    assert (labels.axis_labels, labels.units) == (image.axis_labels, image.units)
    np.testing.assert_allclose(labels.scale, (2, 2, 0.5, 0.5))
    assert names(docked) == [("cells", "cells labels")]
    assert viewer.layers.selection.active == labels
    assert labels.mode == "paint"
    image.data[2, :, 3:9, 3:9] = 1
    labels.data[tuple(np.rint(labels.world_to_data(image.data_to_world((2, 1, 5, 5)))).astype(int))] = 1
    data = training_data(docked.pairs(), TrainingTask.OBJECTS)  # raises where labels lie beside their image
    assert (data.images[0].axes, data.images[0].shape) == ("CZYX", (2, 1, 32, 40))
    assert data.images[0].data[..., 5, 5].min() == 1
    assert data.targets[0].labels.data[0, 5, 5] == 1


def test_new_labels_are_for_the_image_that_has_none(model, form, blobs):
    model.add_image(blobs(32, 32), name="a")
    form.new_labels()
    model.add_image(blobs(32, 32), name="b")
    form.add_pair()
    form.new_labels()
    assert names(form) == [("a", "a labels"), ("b", "b labels")]
    model.layers.selection.active = model.layers["a"]
    form.new_labels()
    assert names(form) == [("a", "a labels [1]"), ("b", "b labels")]


def test_colour_images(model, form):
    model.add_image(np.zeros((32, 40, 3), np.uint8), rgb=True, name="stained")
    form.new_labels()
    assert model.layers["stained labels"].data.shape == (32, 40)
    assert not is_shown(form, form.axes_form)


def test_tasks_show_what_they_need(viewer, docked, blobs):
    for name in ("noisy", "clean"):
        viewer.add_image(blobs(32, 32), name=name)
    viewer.add_labels(np.zeros((32, 32), int), name="painted")
    choose(docked.rows[0].image_list, "noisy")
    row = docked.rows[0]
    for task, first, second in [
        (TrainingTask.CLASSES, row.image_list, row.labels_list),
        (TrainingTask.PAIRS, row.image_list, row.clean_list),
        (TrainingTask.NOISY_ONLY, row.image_list, None),
        (TrainingTask.ADAPT, row.image_list, None),
        (TrainingTask.FRAMES, row.image_list, None),
        (TrainingTask.CLEAN_ONLY, None, row.clean_list),
        (TrainingTask.OBJECTS, row.image_list, row.labels_list),
    ]:
        docked.set_task(task)
        shown = [choices for choices in (row.image_list, row.labels_list, row.clean_list) if is_shown(docked, choices)]
        assert shown == [choices for choices in (first, second) if choices is not None]
        assert is_shown(docked, docked.labels_button) == task.is_segmentation
        assert docked.problem() is None
        targets = {row.labels_list: "painted", row.clean_list: "clean", None: None}
        assert names(docked) == [("noisy" if first is not None else None, targets[second])]


def test_a_pair_of_one_image(model, form, blobs):
    model.add_image(blobs(32, 32), name="alone")
    form.set_task(TrainingTask.PAIRS)
    assert "'alone' has no clean image" in form.problem()
    choose(form.rows[0].clean_list, "alone")
    with pytest.raises(ImageError, match="both noisy and clean"):
        training_data(form.pairs(), TrainingTask.PAIRS)
    form.set_task(TrainingTask.CLEAN_ONLY)
    assert names(form) == [(None, "alone")]


def test_axes_are_asked_of_stacks(qtbot, model, form, blobs):
    model.add_image(blobs(32, 32), name="flat")
    assert axes_of(form) == ["YX"]
    assert not is_shown(form, form.axes_form)
    stack = model.add_image(blobs(5, 32, 32), name="stack")
    form.add_pair()
    assert is_shown(form, form.axes_form)
    assert axes_of(form) == ["YX", "ZYX"]
    (choices,) = form.axes_form.lists
    assert is_shown(form, choices)
    with qtbot.waitSignal(form.changed):
        choices.setCurrentIndex(choices.findData("TYX"))
    model.add_image(blobs(4, 32, 32), name="like it")
    form.add_pair()
    assert axes_of(form) == ["YX", "TYX", "TYX"]
    stack.axis_labels = ("channel", "y", "x")
    assert axes_of(form) == ["YX", "CYX", "TYX"]
    assert len(form.axes_form.lists) == 2


def test_pairs_are_set(qtbot, model, form, blobs):
    a, b = (model.add_image(blobs(5, 32, 32), name=name) for name in "ab")
    labels = model.add_labels(np.zeros((5, 32, 32), int), name="painted")
    form.set_pairs([LayerPair(a, labels, "TYX"), LayerPair(b)])
    assert form.pairs() == [LayerPair(a, labels, "TYX"), LayerPair(b, None, "TYX")]
    form.set_pairs([])
    assert len(form.rows) == 1


def test_labels_stay_with_their_image_where_another_one_is_set(model, form, blobs):
    a = model.add_image(blobs(32, 40), name="a")
    labels = model.add_labels(np.zeros((32, 40), int), name="a labels")
    b = model.add_image(blobs(32, 40), name="b")
    form.set_pairs([LayerPair(a, labels)])
    form.set_task(TrainingTask.ADAPT)
    form.set_pairs([LayerPair(b)])
    own = model.add_labels(np.zeros((32, 40), int), name="b labels")
    form.set_task(TrainingTask.OBJECTS)
    assert names(form) == [("b", "b labels")]
    form.set_pairs([LayerPair(a, labels), LayerPair(b, own)])
    assert names(form) == [("a", "a labels"), ("b", "b labels")]


def test_layers_of_six_dimensions(model, form):
    model.add_image(np.zeros((1, 1, 1, 2, 9, 9)), name="much")
    assert "'much' has 6 dimensions" in form.problem()


def test_two_lists_fit_a_narrow_dock(qtbot, viewer, docked, blobs):
    viewer.add_image(blobs(5, 32, 32), name="a_very_long_name_of_an_image_field_02_channel_DAPI")
    docked.new_labels()
    docked.add_pair()
    row = docked.rows[0]
    docked.resize(DOCK_PX, docked.sizeHint().height())
    assert docked.minimumSizeHint().width() < DOCK_PX
    assert "field_02_channel_DAPI\n" in row.image_list.toolTip()
    assert not docked.grab().isNull()
    row.image_list.showPopup()
    assert row.image_list.view().width() > row.image_list.width()
    row.image_list.hidePopup()


def test_a_closed_form_listens_no_more(qtbot, viewer, docked, blobs):
    image = viewer.add_image(blobs(32, 32), name="cells")
    docked.close_for_good()
    with qtbot.assertNotEmitted(docked.changed):
        image.name = "renamed"
        viewer.add_image(blobs(32, 32), name="late")
        viewer.layers.remove(image)
    assert isinstance(image, ImageLayer)
    assert listed(docked.rows[0].image_list) == ["cells"]


def test_layers_are_left_as_they_are(model, form, blobs):
    image = model.add_image(blobs(32, 32), name="cells", scale=(2, 2))
    labels = model.add_layer(Labels(np.eye(32, dtype=int), scale=(2, 2)))
    form.add_pair()
    form.new_labels()
    np.testing.assert_array_equal(image.data, blobs(32, 32))
    np.testing.assert_array_equal(labels.data, np.eye(32))
