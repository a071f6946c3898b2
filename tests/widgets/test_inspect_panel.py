from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from napari.qt.threading import WorkerBase
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from unveil.io.model_file import load_model
from unveil.tasks.inspect import feature_maps, layer_filters, montage, summarize
from unveil.widgets.inspect_panel import InspectPanel
from unveil.widgets.layer_roles import images_among, shapes_among
from unveil.widgets.run_bar import PanelState
from unveil.widgets.source_form import SourceForm

WAIT_MS = 20_000


@pytest.fixture
def save_network(models_folder, make_tiny_model):
    """Save an untrained model of two poolings into the library and return its path."""

    def save(task="segmentation", **fields):
        from unveil.io.model_file import save_model

        model = make_tiny_model(task, **fields)
        path = models_folder / f"{model.card.name}.safetensors"
        save_model(model, path)
        return path

    return save


@pytest.fixture
def open_panel(qtbot, viewer):
    """Open the panel and wait for its table."""

    def make():
        panel = InspectPanel(viewer)
        viewer.window.add_dock_widget(panel, name="Inspect")
        qtbot.waitUntil(lambda: panel.inspected.summary is not None, timeout=WAIT_MS)
        return panel

    return make


@pytest.fixture
def press(qtbot):
    """Press the button of a section and wait for the end of its job."""

    def press_and_wait(button):
        assert button.bar.state is PanelState.READY, button.bar.line.text()
        with qtbot.waitSignal(button.ended, timeout=WAIT_MS):
            qtbot.mouseClick(button.bar.button, Qt.MouseButton.LeftButton)

    return press_and_wait


def _choose(panel, name):
    names = [layer.name for layer in panel.inspected.summary.layers]
    panel.table.choose(names.index(name))
    assert panel.inspected.layer.name == name


def _rows(panel):
    model = panel.table.view.model()
    return [
        [model.index(row, column).data() for column in range(model.columnCount())] for row in range(model.rowCount())
    ]


def _text(panel):
    panel.table.copy()
    return [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]


def test_the_table_shows_the_layers_for_the_image_at_hand(qtbot, viewer, save_network, open_panel, blobs):
    path = save_network()
    panel = open_panel()
    summary = summarize(load_model(path))
    assert [(row[0], row[-1]) for row in _rows(panel)] == [(layer.kind, layer.name) for layer in summary.layers]
    assert _rows(panel)[3][:5] == ["MaxPool 2×2", "4×128×128", "0", "6", "2"]
    assert f"{summary.n_parameters:,} parameters" in panel.table.total.text()
    viewer.add_image(blobs(32, 43), name="cells")
    qtbot.waitUntil(lambda: _rows(panel)[3][1] == "4×16×22", timeout=WAIT_MS)
    header, *lines = _text(panel)
    assert header == ["Layer", "Output", "Parameters", "Sees", "Stride", "Name"]
    assert lines == _rows(panel)


def test_another_model_brings_its_own_table(qtbot, save_network, open_panel):
    path = save_network("denoising")
    save_network()
    panel = open_panel()
    panel.inspected.models.choose(path)
    qtbot.waitUntil(lambda: panel.inspected.summary is not None and "layers.0" in _rows(panel)[1], timeout=WAIT_MS)
    assert _rows(panel)[-1][0] == "Subtract"


@pytest.mark.parametrize("name", ["pool.1", "down.0.0", None])
def test_the_rectangle_follows_the_cursor_and_goes_away(qtbot, viewer, save_network, open_panel, blobs, name):
    path = save_network()
    image = viewer.add_image(blobs(64, 80), name="cells", scale=(0.5, 0.5), translate=(3, 4), units="um")
    panel = open_panel()
    if name is not None:
        _choose(panel, name)
    layer = summarize(load_model(path)).layer(name or "head")
    active = viewer.layers.selection.active
    panel.field.box.setChecked(True)
    for pixel in ((33, 41), (2, 77)):
        viewer.cursor.position = image.data_to_world(pixel)
        windows = zip(_windows(layer, pixel), (64, 80), strict=True)
        expected = [[max(first, 0) - 0.5, min(last, size - 1) + 0.5] for (first, last), size in windows]
        qtbot.waitUntil(lambda expected=expected: _corners(panel) == expected, timeout=WAIT_MS)
    overlay = panel.field.layer
    np.testing.assert_allclose(overlay.data_to_world((5, 6)), image.data_to_world((5, 6)))
    assert viewer.layers.selection.active == active
    viewer.cursor.position = image.data_to_world((5, 200))
    qtbot.waitUntil(lambda: not overlay.visible, timeout=WAIT_MS)
    viewer.cursor.position = image.data_to_world((5, 20))
    qtbot.waitUntil(lambda: overlay.visible, timeout=WAIT_MS)
    overlay.visible = False  # by hand
    before = _corners(panel)
    viewer.cursor.position = image.data_to_world((50, 70))
    qtbot.waitUntil(lambda: _corners(panel) != before, timeout=WAIT_MS)
    assert not overlay.visible
    panel.field.box.setChecked(False)
    viewer.cursor.position = image.data_to_world((9, 9))
    qtbot.wait(100)
    assert [each.name for each in viewer.layers] == ["cells"]


def _windows(layer, pixel):
    return [field.window(index // field.stride) for field, index in zip(layer.fields, pixel, strict=True)]


def _corners(panel):
    layer = panel.field.layer
    return None if layer is None else [[float(v.min()), float(v.max())] for v in layer.data[0].T]


def test_the_rectangle_lies_in_the_plane_that_is_shown(qtbot, viewer, save_network, open_panel, blobs):
    save_network()
    viewer.add_image(blobs(5, 40, 40), name="stack")
    panel = open_panel()
    panel.field.box.setChecked(True)
    viewer.dims.set_current_step(0, 3)
    viewer.cursor.position = (3, 20, 20)
    qtbot.waitUntil(lambda: panel.field.layer is not None, timeout=WAIT_MS)
    assert set(panel.field.layer.data[0][:, 0]) == {3}


def test_the_rectangle_stays_on_top(qtbot, viewer, save_network, open_panel, press, blobs):
    save_network()
    viewer.add_image(blobs(40, 40), name="cells")
    panel = open_panel()
    panel.field.box.setChecked(True)
    viewer.cursor.position = (20, 20)
    qtbot.waitUntil(lambda: panel.field.layer is not None, timeout=WAIT_MS)
    _choose(panel, "pool.0")
    press(panel.maps.maps)
    names = ["cells", "cells · tiny-segmentation pool.0", "receptive field"]
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == names, timeout=WAIT_MS)
    assert panel.field.box.isChecked()


def test_a_rectangle_that_is_removed_by_hand_is_not_wanted(qtbot, viewer, save_network, open_panel, blobs):
    save_network()
    viewer.add_image(blobs(40, 40), name="cells")
    panel = open_panel()
    panel.field.box.setChecked(True)
    viewer.cursor.position = (20, 20)
    qtbot.waitUntil(lambda: panel.field.layer is not None, timeout=WAIT_MS)
    viewer.layers.remove("receptive field")
    assert not panel.field.box.isChecked()
    qtbot.wait(100)
    assert len(viewer.layers) == 1


def test_the_rectangle_goes_with_the_panel(qtbot, viewer, save_network, open_panel, blobs):
    save_network()
    viewer.add_image(blobs(40, 40), name="cells")
    panel = open_panel()
    panel.field.box.setChecked(True)
    viewer.cursor.position = (20, 20)
    qtbot.waitUntil(lambda: panel.field.layer is not None, timeout=WAIT_MS)
    viewer.window.remove_dock_widget(panel)
    viewer.cursor.position = (25, 20)
    qtbot.wait(100)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    panel.deleteLater()


def test_feature_maps_lie_over_the_image(viewer, save_network, open_panel, press, blobs):
    from unveil.image import Image

    path = save_network()
    image = viewer.add_image(
        blobs(48, 64), name="cells", scale=(0.5, 0.25), translate=(3, 4), rotate=20, shear=[0.1], units="um"
    )
    panel = open_panel()
    _choose(panel, "pool.1")
    press(panel.maps.maps)
    (layer,) = [each for each in viewer.layers if isinstance(each, ImageLayer) and each.name != "cells"]
    expected = feature_maps(Image(blobs(48, 64), "YX"), load_model(path), "pool.1").maps
    np.testing.assert_allclose(layer.data, expected, atol=1e-5)
    for pixel in ((0, 0), (3, 5)):
        middle = [4 * index + 1.5 for index in pixel]
        np.testing.assert_allclose(layer.data_to_world((0, *pixel))[1:], image.data_to_world(middle))
    assert "8 maps of 12 × 16 pixels" in panel.maps.maps.bar.line.text()
    press(panel.maps.maps)
    assert len(viewer.layers) == 2
    _choose(panel, "pool.0")
    press(panel.maps.maps)
    assert len(viewer.layers) == 3


def test_feature_maps_of_one_plane_of_a_stack(viewer, save_network, open_panel, press, blobs, rng):
    path = save_network()
    stack = rng.random((4, 32, 32), dtype=np.float32)
    viewer.add_image(stack, name="stack", scale=(2, 1, 1))
    viewer.dims.set_current_step(0, 2)
    panel = open_panel()
    _choose(panel, "down.0.0")
    press(panel.maps.maps)
    layer = viewer.layers[-1]
    from unveil.image import Image

    expected = feature_maps(Image(stack[2], "YX"), load_model(path), "down.0.0").maps
    np.testing.assert_allclose(layer.data, expected[:, np.newaxis], atol=1e-5)
    np.testing.assert_allclose(layer.data_to_world((0, 0, 5, 6))[1:], (4, 5, 6))


def test_feature_maps_of_a_stack_with_channels_behind_its_planes(viewer, save_network, open_panel, press, rng):
    save_network()
    image = viewer.add_image(rng.random((4, 2, 32, 32), dtype=np.float32), axis_labels=("z", "c", "y", "x"))
    viewer.dims.set_current_step(0, 2)
    panel = open_panel()
    panel.inspected.source.channel_list.setCurrentIndex(1)
    _choose(panel, "down.0.0")
    press(panel.maps.maps)
    layer = viewer.layers[-1]
    assert layer.data.shape[1:] == (1, 1, 32, 32)
    for channel in range(2):
        there = layer.world_to_data((0, *image.data_to_world((2, channel, 5, 6))))
        np.testing.assert_array_equal(np.rint(there), (0, 0, 0, 5, 6))


def test_feature_maps_of_a_volume(viewer, save_network, open_panel, press, rng):
    save_network(n_dims=3)
    viewer.add_image(rng.random((9, 16, 12), dtype=np.float32), name="volume", scale=(2, 1, 1))
    panel = open_panel()
    _choose(panel, "pool.0")
    press(panel.maps.maps)
    layer = viewer.layers[-1]
    assert layer.data.shape == (4, 6, 8, 6)
    np.testing.assert_allclose(layer.data_to_world((0, 1, 1, 1))[1:], (5, 2.5, 2.5))
    _choose(panel, "down.0.0")
    press(panel.maps.filters)
    assert viewer.layers[-1].data.ndim == 3


def test_filters_lie_beside_the_image(viewer, save_network, open_panel, press, blobs):
    path = save_network()
    image = viewer.add_image(blobs(40, 60), name="cells", scale=(0.5, 0.5), translate=(3, 4), units="um")
    panel = open_panel()
    _choose(panel, "down.1.0")
    press(panel.maps.filters)
    sheet = viewer.layers[-1]
    np.testing.assert_array_equal(sheet.data, montage(layer_filters(load_model(path), "down.1.0")))
    for end in (0, 1):  # upper and lower edge
        own, others = (layer.data_to_world((end * layer.data.shape[0] - 0.5, -0.5)) for layer in (sheet, image))
        assert own[0] == pytest.approx(others[0])
        assert own[1] > image.data_to_world((0, 60))[1]
    assert "8 × 4 filters of 3 × 3" in panel.maps.filters.bar.line.text()
    press(panel.maps.filters)
    assert len(viewer.layers) == 2
    _choose(panel, "pool.0")
    assert panel.maps.filters.bar.state is PanelState.BLOCKED
    assert "MaxPool 2×2 has no filters" in panel.maps.filters.bar.line.text()


def test_filters_need_no_image(viewer, save_network, open_panel, press):
    save_network()
    panel = open_panel()
    assert "Choose a layer" in panel.maps.filters.bar.line.text()
    _choose(panel, "head")
    assert "Open an image" in panel.maps.maps.bar.line.text()
    press(panel.maps.filters)
    assert viewer.layers[0].name == "tiny-segmentation head filters"


def test_lipschitz_numbers_fill_the_table(qtbot, viewer, save_network, open_panel, press):
    save_network()
    path = save_network("denoising")
    panel = open_panel()
    panel.inspected.models.choose(path)
    press(panel.lipschitz.numbers)
    header, *lines = _text(panel)
    assert header[-3:] == ["≥", "periodic", "≤"]
    with_numbers = [line for line in lines if line[-1]]
    assert [line[5] for line in with_numbers] == ["layers.0", "layers.2", "layers.4"]
    assert all(0 < float(line[-3]) <= float(line[-1]) for line in with_numbers)
    assert "certified" in panel.lipschitz.numbers.bar.line.text()
    panel.inspected.models.list.setCurrentIndex(1 - panel.inspected.models.list.currentIndex())
    qtbot.waitUntil(lambda: panel.inspected.summary is not None, timeout=WAIT_MS)
    assert _text(panel)[0][-1] == "Name"
    assert panel.lipschitz.numbers.bar.line.text() == ""


def test_closing_while_a_job_runs_is_quiet(qtbot, viewer, save_network, open_panel, notifications):
    save_network()
    panel = open_panel()
    qtbot.mouseClick(panel.lipschitz.numbers.bar.button, Qt.MouseButton.LeftButton)
    assert panel.lipschitz.numbers.bar.state is PanelState.RUNNING
    viewer.window.remove_dock_widget(panel)
    WorkerBase.await_workers(WAIT_MS)
    qtbot.wait(300)
    assert notifications == []
    panel.deleteLater()


def test_a_job_can_be_cancelled(qtbot, viewer, save_network, open_panel):
    save_network()
    panel = open_panel()
    button = panel.lipschitz.numbers
    with qtbot.waitSignal(button.ended, timeout=WAIT_MS):
        qtbot.mouseClick(button.bar.button, Qt.MouseButton.LeftButton)
        qtbot.mouseClick(button.bar.button, Qt.MouseButton.LeftButton)
    assert button.bar.state is PanelState.READY
    assert button.bar.line.text() == "Cancelled."
    assert panel.inspected.norms is None


def test_what_the_panel_shows_is_nothing_to_work_on(viewer, save_network, open_panel, press, blobs, qtbot):
    from qtpy.QtWidgets import QFormLayout, QWidget

    save_network()
    viewer.add_image(blobs(40, 40), name="cells")
    panel = open_panel()
    _choose(panel, "down.0.0")
    press(panel.maps.maps)
    press(panel.maps.filters)
    panel.field.box.setChecked(True)
    viewer.cursor.position = (0, 20, 20)
    qtbot.waitUntil(lambda: panel.field.layer is not None, timeout=WAIT_MS)
    assert isinstance(panel.field.layer, Shapes)
    assert len(viewer.layers) == 4
    assert [layer.name for layer in images_among(viewer.layers)] == ["cells"]
    assert shapes_among(viewer.layers) == []
    other = QWidget()
    form = SourceForm(viewer, QFormLayout(other))
    assert form.layer_list.count() == 1
    form.close_for_good()
    other.deleteLater()
    assert panel.inspected.source.layer.name == "cells"


def test_without_any_model_the_panel_says_what_to_do(qtbot, viewer, models_folder):
    panel = InspectPanel(viewer)
    viewer.window.add_dock_widget(panel)
    assert "No model is here yet" in panel.inspected.models.summary.text()
    assert panel.lipschitz.numbers.bar.state is PanelState.BLOCKED
    assert not panel.table.isVisibleTo(panel)


def test_stability_and_verification_are_sections_that_forget_with_the_image(
    viewer, save_network, open_panel, press, blobs
):
    save_network("segmentation")
    panel = open_panel()
    assert panel.stability.button.bar.state is PanelState.BLOCKED  # no image yet
    viewer.add_image(blobs(32, 32), name="cells")
    press(panel.stability.button)
    press(panel.verification.button)
    sentence = panel.stability.button.bar.line.text()
    assert sentence
    assert all(check.passed is not False for check in panel.verification.result.checks)

    panel.inspected.choose_layer(panel.inspected.summary.layers[0].name)
    assert panel.stability.button.bar.line.text() == sentence

    viewer.add_image(blobs(40, 32), name="others")
    panel.inspected.source.layer_list.setCurrentText("others")
    assert not panel.stability.button.bar.line.text()
    assert panel.verification.result is None


def test_closing_the_window_while_a_job_runs_is_quiet(qtbot, viewer, save_network, open_panel, blobs, notifications):
    save_network()
    viewer.add_image(blobs(40, 40), name="cells")
    panel = open_panel()
    panel.field.box.setChecked(True)
    viewer.cursor.position = (20, 20)
    qtbot.waitUntil(lambda: panel.field.layer is not None, timeout=WAIT_MS)
    qtbot.mouseClick(panel.lipschitz.numbers.bar.button, Qt.MouseButton.LeftButton)
    viewer.close()
    WorkerBase.await_workers(WAIT_MS)
    qtbot.wait(300)
    assert notifications == []


@pytest.mark.parametrize("kind", ["rgb", "channels", "multiscale", "time"])
def test_kinds_of_image_layers(qtbot, viewer, save_network, open_panel, press, rng, kind):
    from unveil.image import Image

    path = save_network("denoising")
    data = rng.random((3, 32, 40), dtype=np.float32)
    match kind:
        case "rgb":
            viewer.add_image(data.transpose(1, 2, 0), rgb=True)
        case "channels":
            viewer.add_image(data, axis_labels=("c", "y", "x"))
        case "multiscale":
            viewer.add_image([data, data[:, ::2, ::2]], multiscale=True)
        case "time":
            viewer.add_image(data, axis_labels=("t", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    panel = open_panel()
    _choose(panel, "layers.2")
    if kind in ("rgb", "channels"):
        assert "Choose the channel" in panel.maps.maps.bar.line.text()
        panel.inspected.source.channel_list.setCurrentIndex(2)
    press(panel.maps.maps)
    layer = viewer.layers[-1]
    expected = feature_maps(Image(data[1], "YX"), load_model(path), "layers.2").maps
    np.testing.assert_allclose(np.squeeze(layer.data), expected, atol=1e-4)
    np.testing.assert_allclose(layer.data_to_world(np.zeros(layer.ndim))[-2:], (0, 0), atol=1e-9)
    panel.field.box.setChecked(True)
    viewer.cursor.position = (*(1,) * (viewer.dims.ndim - 2), 10, 20)
    qtbot.waitUntil(lambda: panel.field.layer is not None, timeout=WAIT_MS)
    assert _corners(panel)[-2:] == [[7.5, 12.5], [17.5, 22.5]]
