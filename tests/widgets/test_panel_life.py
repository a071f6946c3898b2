"""Start, stop, close and delete in mid-run; layers and models that come and go."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from napari.qt.threading import WorkerBase
from napari.utils import progress as napari_progress
from qtpy.QtCore import Qt

from unveil.widgets.run_bar import PanelState
from unveil.widgets.segment_panel import SegmentPanel


@pytest.fixture
def slow_run(qtbot, viewer, save_segmenter, blobs, monkeypatch):
    """A panel in the middle of a run of very many tiles."""
    save_segmenter()
    viewer.add_image(blobs(40, 512, 512), name="cells")
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    panel.form.advanced.set_values({"tile": 16, "engine": "torch", "precision": "exact"})
    qtbot.mouseClick(panel.runner.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.runner.bar.bar.value() > 0, timeout=20_000)
    yield panel
    WorkerBase.await_workers(5000)
    assert not napari_progress._all_instances


def test_cancel_takes_effect_within_a_tile(qtbot, viewer, slow_run):
    assert slow_run.runner.bar.button.text() == "Cancel"
    assert "tiles" in slow_run.runner.bar.line.text()
    with qtbot.waitSignal(slow_run.runner.ended, timeout=5000):
        qtbot.mouseClick(slow_run.runner.bar.button, Qt.MouseButton.LeftButton)
        pressed = time.monotonic()
    assert time.monotonic() - pressed < 4
    assert slow_run.runner.bar.state is PanelState.READY
    assert slow_run.runner.bar.line.text() == "Cancelled."
    assert len(viewer.layers) == 1


def test_deleting_the_layer_ends_the_run_quietly(qtbot, viewer, slow_run, notifications):
    with qtbot.waitSignal(slow_run.runner.ended, timeout=5000):
        viewer.layers.remove(viewer.layers[0])
    assert len(viewer.layers) == 0
    assert slow_run.runner.bar.state is PanelState.BLOCKED
    assert "Open an image" in slow_run.runner.bar.line.text()
    assert notifications == []


def test_deleting_another_layer_does_not(qtbot, viewer, slow_run, blobs):
    other = viewer.add_image(blobs(32, 32), name="other")
    viewer.layers.remove(other)
    viewer.layers[0].name = "renamed"
    qtbot.wait(300)
    assert slow_run.runner.is_running
    slow_run.runner.cancel()


def test_closing_the_dock_ends_the_run_quietly(qtbot, viewer, slow_run, notifications):
    viewer.window.remove_dock_widget(slow_run)
    WorkerBase.await_workers(5000)
    qtbot.wait(300)
    viewer.layers[0].name = "renamed"
    assert len(viewer.layers) == 1
    assert notifications == []
    slow_run.deleteLater()


def test_closing_the_window_ends_the_run_quietly(qtbot, viewer, slow_run, notifications):
    viewer.close()
    WorkerBase.await_workers(5000)
    qtbot.wait(300)
    assert len(viewer.layers) == 0
    assert notifications == []


def test_without_an_image_the_panel_says_what_to_do(viewer, save_segmenter, blobs):
    save_segmenter()
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.runner.bar.state is PanelState.BLOCKED
    assert "Open an image first" in panel.runner.bar.line.text()
    layer = viewer.add_image(blobs(32, 32), name="cells")
    assert panel.runner.bar.state is PanelState.READY
    assert panel.form.source.layer_list.currentText() == "cells"
    layer.name = "nuclei"
    assert panel.form.source.layer_list.currentText() == "nuclei"
    viewer.add_image(blobs(32, 32), name="later")
    viewer.add_labels(np.zeros((4, 4), int))
    viewer.add_image(blobs(32, 32), name="training preview", metadata={"unveil": {"role": "preview"}})
    assert panel.form.source.layer_list.currentText() == "nuclei"
    assert panel.form.source.layer_list.count() == 2
    viewer.layers.remove(layer)
    assert panel.form.source.layer_list.currentText() == "later"


def test_without_a_model_the_panel_says_what_to_do(viewer, models_folder, blobs):
    viewer.add_image(blobs(32, 32))
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.runner.bar.state is PanelState.BLOCKED
    assert "Choose a model" in panel.runner.bar.line.text()
    assert not panel.runner.folder_button.isEnabled()


def test_errors_are_one_sentence(qtbot, viewer, save_segmenter, blobs, run, notifications):
    save_segmenter(n_dims=3)
    viewer.add_image(blobs(32, 32), name="flat")
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    run(panel)
    ((severity, message),) = notifications
    assert severity == "error"
    assert "flat" in message
    assert "Traceback" not in message
    assert len(viewer.layers) == 1
    assert panel.runner.bar.state is PanelState.READY


def test_unexpected_errors_are_shown_too(qtbot, viewer, save_segmenter, blobs, run, notifications, monkeypatch):
    save_segmenter()
    viewer.add_image(blobs(32, 32))
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)

    def fail(path):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("unveil.widgets.requests.load", fail)
    monkeypatch.setattr("napari.utils.notifications.notification_manager.catch_error", True)
    run(panel)
    assert notifications[-1][0] == "error"
    assert "mat1 and mat2" in notifications[-1][1]
    assert panel.runner.bar.state is PanelState.READY


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.eye(32, dtype=bool), "true/false"),
        (np.zeros((2,) * 4 + (32, 32), np.float32), "6 dimensions"),
    ],
    ids=["bool", "6D"],
)
def test_layers_that_are_no_images(viewer, save_segmenter, run, notifications, data, reason):
    save_segmenter()
    viewer.add_image(data)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    if panel.runner.bar.state is PanelState.READY:
        run(panel)
        assert reason in notifications[-1][1]
    else:
        assert reason in panel.runner.bar.line.text()


def test_axes_follow_the_layer_and_its_labels(viewer, save_segmenter, blobs):
    save_segmenter()
    layer = viewer.add_image(blobs(3, 32, 32))
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.form.source.axes == "ZYX"
    layer.axis_labels = ("channel", "y", "x")
    assert panel.form.source.axes == "CYX"
    assert "channel" in panel.runner.bar.line.text()
    panel.form.source.axes_list.setCurrentIndex(panel.form.source.axes_list.findData("TYX"))
    assert panel.runner.bar.state is PanelState.READY


def test_axes_follow_pixels_that_were_replaced_by_those_of_a_stack(viewer, save_segmenter, blobs, run):
    save_segmenter()
    layer = viewer.add_image(blobs(32, 32))
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    layer.data = blobs(3, 32, 32)
    assert panel.form.source.axes == "ZYX"
    assert panel.form.source.axes_list.isVisibleTo(panel)
    layer.scale = (2, 1, 1)
    run(panel)
    assert viewer.layers[-1].data.shape == (3, 32, 32)


def test_words_about_a_run_stay_until_something_else_is_chosen(viewer, save_segmenter, blobs, run):
    save_segmenter()
    viewer.add_image(blobs(32, 32), name="cells")
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    run(panel)
    line, warning = panel.runner.bar.line, panel.runner.warning
    warning.setVisible(True)
    other = viewer.add_image(blobs(32, 32), name="other")
    other.name = "renamed"
    viewer.layers.move(viewer.layers.index(other), 0)
    assert "4 objects" in line.text()
    assert warning.isVisibleTo(panel)
    panel.form.source.choose("renamed")
    assert "4 objects" not in line.text()
    assert not warning.isVisibleTo(panel)


def test_the_axes_chosen_for_a_layer_stay_until_its_own_labels_name_others(viewer, save_segmenter, blobs):
    save_segmenter()
    stack, other = (viewer.add_image(blobs(3, 32, 32), name=name) for name in ("stack", "other"))
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    source = panel.form.source
    source.choose("stack")
    source.axes_list.setCurrentIndex(source.axes_list.findData("TYX"))
    other.axis_labels = ("channel", "y", "x")
    assert source.axes == "TYX"
    stack.axis_labels = ("plane?", "y", "x")
    assert source.axes == "TYX"
    source.choose("other")
    assert source.axes == "CYX"
    source.choose("stack")
    assert source.axes == "TYX"
    stack.axis_labels = ("z", "y", "x")
    assert source.axes == "ZYX"


def test_the_channel_chosen_for_a_layer_is_chosen_again_when_it_comes_back(viewer, save_segmenter, blobs):
    save_segmenter()
    for name in ("one", "two"):
        viewer.add_image(blobs(3, 32, 32), name=name, axis_labels=("channel", "y", "x"))
    viewer.add_image(blobs(32, 32), name="plain")
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    source = panel.form.source
    for name, row in (("one", 2), ("two", 3), ("plain", 0)):
        source.choose(name)
        source.channel_list.setCurrentIndex(row)
    chosen = []
    for name in ("one", "two", "plain"):
        source.choose(name)
        chosen.append(source.channel)
    assert chosen == [1, 2, None]


def test_long_names_of_images_can_be_told_apart(viewer, save_segmenter, blobs):
    save_segmenter()
    names = [f"2026-11-28_experiment_with_a_very_long_name_DAPI_63x_position_{number}" for number in ("012", "013")]
    for name in names:
        viewer.add_image(blobs(32, 32), name=name)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    choices = panel.form.source.layer_list
    choices.setFixedSize(200, 24)
    looks = []
    for name in names:
        panel.form.source.choose(name)
        looks.append(choices.grab().toImage())
        assert choices.toolTip() == f"{name}\nThe image layer to work on"
    assert looks[0] != looks[1]


def test_napari_ends_with_a_run_at_work(tmp_path, save_segmenter, models_folder):
    """The whole program: closing the window in mid-run ends the process in good order."""
    save_segmenter()
    program = tmp_path / "program.py"
    program.write_text(
        "import napari, numpy as np\n"
        "from qtpy.QtCore import QTimer\n"
        "viewer = napari.Viewer()\n"
        "viewer.add_image(np.random.rand(40, 512, 512))\n"
        "_, panel = viewer.window.add_plugin_dock_widget('napari-unveil', 'Segment')\n"
        "panel.form.advanced.set_values({'tile': 16, 'engine': 'torch', 'precision': 'exact'})\n"
        "panel.form.models.choose(__import__('pathlib').Path(__import__('sys').argv[1]))\n"
        "panel.runner.bar.button.click()\n"
        "def close_in_mid_run():\n"
        "    if panel.runner.bar.bar.value() > 0:\n"
        "        print('closing at', panel.runner.bar.line.text())\n"
        "        timer.stop()\n"
        "        viewer.close()\n"
        "timer = QTimer(interval=50)\n"
        "timer.timeout.connect(close_in_mid_run)\n"
        "timer.start()\n"
        "napari.run()\n"
        "print('ended')\n"
    )
    model = models_folder / "blobs.safetensors"
    done = subprocess.run([sys.executable, program, model], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "closing at" in done.stdout
    assert done.stdout.rstrip().endswith("ended")
    assert "Traceback" not in done.stderr


def test_opening_a_panel_on_an_image_does_not_import_torch():
    program = (
        "import sys, numpy as np, napari\n"
        "viewer = napari.Viewer(show=False)\n"
        "viewer.add_image(np.zeros((64, 64)), name='cells')\n"
        "viewer.add_labels(np.ones((64, 64), int), name='annotated')\n"
        "for name in ('Segment', 'Denoise', 'Train'):\n"
        "    viewer.window.add_plugin_dock_widget('napari-unveil', name)\n"
        "print('imported:', sorted({'torch', 'openvino'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert "imported: []" in done.stdout, done.stdout + done.stderr
