"""Results larger than memory: they grow on the disk, are shown meanwhile, and go on after they were left."""

from __future__ import annotations

import threading

import filelock
import numpy as np
import pytest
import tifffile
import torch
from napari.layers import Labels
from napari.qt.threading import WorkerBase
from qtpy.QtCore import Qt

from unveil.io.growing_result import GrowingResult
from unveil.io.images import read_image, read_labels
from unveil.io.journal import Journal
from unveil.widgets.denoise_panel import DenoisePanel
from unveil.widgets.growing_levels import GrowingArray
from unveil.widgets.run_bar import PanelState
from unveil.widgets.segment_panel import SegmentPanel

WAIT_MS = 20_000
HELD_AFTER = 3
NAME = "cells_segmentation.ome.zarr"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The folder for results of layers without a file; memory has no room for any."""
    monkeypatch.setenv("UNVEIL_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr("unveil.tasks.result_memory.SHARE_OF_MEMORY", 0)
    monkeypatch.setattr("unveil.widgets.growing_layer.PAUSE_MS", 30)
    return tmp_path / "results"


@pytest.fixture
def open_panel(viewer, results, save_segmenter):
    def make(**model):
        save_segmenter(**model)
        panel = SegmentPanel(viewer)
        viewer.window.add_dock_widget(panel, name="Segment")
        return panel

    return make


class Gate:
    """Lets a run write so many tiles, and then wait."""

    def __init__(self):
        self.n_allowed, self._changed = HELD_AFTER, threading.Condition()

    def allow(self, n_tiles):
        with self._changed:
            self.n_allowed = n_tiles
            self._changed.notify_all()

    def wait(self, n_written):
        with self._changed:
            self._changed.wait_for(lambda: n_written < self.n_allowed, timeout=20)

    def open(self):
        self.allow(1000)


@pytest.fixture
def gate(monkeypatch):
    """Runs wait after three tiles."""
    gate, add = Gate(), Journal.add

    def add_and_wait(journal, piece):
        add(journal, piece)
        gate.wait(len(journal))

    monkeypatch.setattr(Journal, "add", add_and_wait)
    yield gate
    gate.open()
    WorkerBase.await_workers(5000)


@pytest.fixture
def start_held(qtbot, viewer, gate):
    """Press the button and wait until the layer that grows shows three planes."""

    def growing():
        return [layer for layer in viewer.layers if layer.metadata.get("unveil", {}).get("role") == "growing"]

    def start(panel):
        active = viewer.layers.selection.active.unique_id
        qtbot.mouseClick(panel.runner.bar.button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: len(growing()) == 1, timeout=WAIT_MS)
        (layer,) = growing()
        assert viewer.layers.selection.active.unique_id == active  # somebody may be painting
        qtbot.waitUntil(lambda: finest(layer)[HELD_AFTER - 1].max() > 0.9, timeout=WAIT_MS)
        return layer

    return start


def finest(layer):
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def in_view(viewer, layer, plane):
    """What napari draws of a plane."""
    viewer.dims.set_current_step(0, plane)
    return np.asarray(layer._slice.image.raw)


def end(qtbot, panel, gate):
    """Cancel a run that is held, and wait for its end."""
    with qtbot.waitSignal(panel.runner.ended, timeout=WAIT_MS):
        panel.runner.cancel()
        gate.open()


def is_locked(results):
    lock = filelock.FileLock(results / f".{NAME}.part" / "lock", blocking=False)
    try:
        with lock:
            return False
    except filelock.Timeout:
        return True


def test_a_large_result_becomes_ome_zarr_shown_from_the_disk(viewer, results, open_panel, run, blobs):
    image = blobs(600, 600)
    viewer.add_image(image, name="cells", scale=(0.5, 0.5), translate=(3, 4), units="um")
    panel = open_panel()
    words = panel.runner.bar.line.text()
    assert str(results / NAME) in words
    assert "4.1 MiB" in words  # probability, distance and labels, 4 bytes each
    run(panel)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells · blobs probability", "cells · blobs labels"]
    _, probability, labels = viewer.layers
    assert isinstance(labels, Labels)
    for layer in (probability, labels):
        assert layer.multiscale
        assert [level.shape for level in layer.data] == [(600, 600), (300, 300), (150, 150)]
        np.testing.assert_allclose(layer.translate, (3, 4))
        assert layer.metadata["unveil"]["file"] == str(results / NAME)
    for stored in (read_image(results / NAME), read_labels(results / NAME)):
        assert dict(stored.origin_um) == {"Y": 3, "X": 4}
    np.testing.assert_array_equal(finest(labels) > 0, image > 0.5)
    assert list(labels.features["index"]) == [0, 1, 2, 3, 4]
    assert f"It lies in {results / NAME}" in panel.runner.bar.line.text()
    assert panel.result.table["area_px"].tolist() == [64] * 4
    assert [path.name for path in results.iterdir()] == [NAME]


def test_it_is_the_same_as_in_memory(viewer, results, open_panel, run, blobs):
    viewer.add_image(blobs(2, 3, 40, 40), name="cells", axis_labels=("z", "t", "y", "x"))
    panel = open_panel()
    panel.form.results.list.setCurrentText("in memory")
    assert str(results) not in panel.runner.bar.line.text()
    run(panel)
    panel.form.results.list.setCurrentText("on the disk")
    run(panel)
    for in_memory, on_disk in zip(viewer.layers[1:3], viewer.layers[3:], strict=True):
        np.testing.assert_array_equal(in_memory.data, finest(on_disk))
        assert in_memory.axis_labels == on_disk.axis_labels


def test_uncertainty_lies_on_the_disk_too(viewer, results, open_panel, run, blobs):
    viewer.add_image(blobs(600, 600), name="cells")
    panel = open_panel()
    panel.form.advanced.set_values({"uncertainty": True})
    run(panel)
    assert [layer.name.removeprefix("cells · blobs ") for layer in viewer.layers[1:]] == [
        "probability", "disagreement (bits)", "uncertainty (bits)", "labels",
    ]  # fmt: skip
    unsure = viewer.layers["cells · blobs uncertainty (bits)"]
    assert [level.shape for level in unsure.data] == [(600, 600), (300, 300), (150, 150)]
    assert 0 < finest(unsure).max() <= 1
    assert "mean_entropy_bits" in panel.result.table


def test_it_is_shown_while_it_grows(qtbot, viewer, open_panel, start_held, gate, blobs):
    viewer.add_image(blobs(6, 300, 300), name="cells")
    panel = open_panel()
    layer = start_held(panel)
    assert layer.name == "cells · blobs probability"
    assert [level.shape for level in layer.data] == [(6, 300, 300), (6, 150, 150)]
    assert panel.form.source.layer_list.count() == 1
    assert in_view(viewer, layer, 1).max() > 0.9
    assert in_view(viewer, layer, 5).max() == 0
    gate.allow(HELD_AFTER + 2)
    viewer.dims.set_current_step(0, HELD_AFTER + 1)
    qtbot.waitUntil(lambda: np.asarray(layer._slice.image.raw).max() > 0.9, timeout=WAIT_MS)
    with qtbot.waitSignal(panel.runner.ended, timeout=WAIT_MS):
        gate.open()
    assert layer not in viewer.layers
    assert [each.name for each in viewer.layers] == ["cells", "cells · blobs probability", "cells · blobs labels"]


def test_what_was_cancelled_goes_on(qtbot, viewer, results, open_panel, start_held, gate, run, blobs, notifications):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    panel = open_panel()
    start_held(panel)
    assert is_locked(results)
    end(qtbot, panel, gate)
    assert "press Segment to go on" in panel.runner.bar.line.text()
    assert len(viewer.layers) == 1
    assert not is_locked(results)
    run(panel)
    assert any("Going on with" in message for _, message in notifications)
    assert finest(viewer.layers[-1]).max() == 24
    assert [path.name for path in results.iterdir()] == [NAME]


@pytest.mark.parametrize("change", ["image", "options"])
def test_what_was_changed_begins_anew(
    qtbot, viewer, results, open_panel, start_held, gate, run, blobs, notifications, change
):
    layer = viewer.add_image(blobs(6, 32, 32), name="cells")
    panel = open_panel()
    start_held(panel)
    end(qtbot, panel, gate)
    if change == "image":
        layer.data = np.roll(layer.data, 1, axis=1)
    else:
        panel.form.advanced.set_values({"accurate": True})
    run(panel)
    assert not any("gone on with" in message for _, message in notifications)
    np.testing.assert_array_equal(finest(viewer.layers[-1]) > 0, layer.data > 0.5)
    assert [path.name for path in results.iterdir()] == [NAME]


def test_closing_the_window_in_mid_run_leaves_neither_lock_nor_thread(
    qtbot, viewer, results, open_panel, start_held, gate, blobs, notifications
):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    start_held(open_panel())
    threading.Timer(0.2, gate.open).start()
    viewer.close()
    WorkerBase.await_workers(5000)
    qtbot.wait(200)
    assert len(viewer.layers) == 0
    assert not is_locked(results)
    assert notifications == []


def test_closing_the_dock_in_mid_run_takes_the_layer_away(qtbot, viewer, results, open_panel, start_held, gate, blobs):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    panel = open_panel()
    start_held(panel)
    viewer.window.remove_dock_widget(panel)
    gate.open()
    WorkerBase.await_workers(5000)
    qtbot.wait(200)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert not is_locked(results)
    panel.deleteLater()


def test_a_second_run_takes_another_name_or_replaces(viewer, results, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32), name="cells")
    panel = open_panel()
    run(panel)
    run(panel)
    assert len(viewer.layers) == 5
    assert sorted(path.name for path in results.iterdir()) == ["cells_segmentation-2.ome.zarr", NAME]
    panel.replace.setChecked(True)
    assert "segmentation-2.ome.zarr" in panel.runner.bar.line.text()
    run(panel)
    assert len(viewer.layers) == 5
    assert len(list(results.iterdir())) == 2
    assert finest(viewer.layers[-1]).max() == 4


def test_results_lie_beside_the_file_of_the_layer(viewer, results, open_panel, run, blobs, tmp_path):
    tifffile.imwrite(tmp_path / "day 1.ome.tif", blobs(40, 40))
    viewer.open(tmp_path / "day 1.ome.tif", plugin="napari")
    panel = open_panel()
    run(panel)
    assert (tmp_path / "day 1_segmentation.ome.zarr").is_dir()
    assert not results.exists()


def test_the_sliders_serve_the_next_run_alone(qtbot, viewer, open_panel, run, blobs, monkeypatch):
    viewer.add_image(blobs(32, 32), name="cells")
    panel = open_panel()
    run(panel)
    assert "do not follow the sliders" in panel.refine.line.text()
    panel.refine.sliders["min_size"].setValue(100)
    qtbot.wait(300)
    assert finest(viewer.layers[-1]).max() == 4
    run(panel)
    assert finest(viewer.layers[-1]).max() == 0


def test_what_cannot_be_computed_leaves_nothing_behind(viewer, results, open_panel, run, blobs, notifications):
    viewer.add_image(blobs(32, 32), name="flat")
    panel = open_panel(n_dims=3)
    run(panel)
    assert notifications[-1][0] == "error"
    assert not results.exists()
    assert panel.runner.bar.state is PanelState.READY


def test_a_model_of_classes_and_this_plane_only(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(5, 32, 32), scale=(2, 1, 1), name="cells")
    panel = open_panel(objects=False)
    viewer.dims.set_current_step(0, 3)
    panel.form.source.planes_list.setCurrentIndex(1)
    run(panel)
    labels = viewer.layers[-1]
    assert labels.data.shape == (1, 32, 32)
    np.testing.assert_allclose(labels.translate, (6, 0, 0))
    assert list(labels.features["class"]) == ["background", "blob"]
    assert set(np.unique(finest(labels))) == {0, 1}


def test_denoising(viewer, results, save_denoiser, run, rng, notifications):
    noisy = rng.integers(100, 900, (2, 300, 280)).astype(np.uint16)
    viewer.add_image(noisy, name="cells", axis_labels=("c", "y", "x"), contrast_limits=(50, 1500))
    save_denoiser()
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Denoise")
    panel.form.source.channel_list.setCurrentIndex(2)
    panel.residual.setChecked(True)
    run(panel)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells · keeper denoised"]
    denoised = viewer.layers[-1]
    assert [level.shape for level in denoised.data] == [(300, 280), (150, 140)]
    np.testing.assert_allclose(finest(denoised), noisy[1], atol=2)
    assert list(denoised.contrast_limits) == [50, 1500]
    assert [path.name for path in results.iterdir()] == ["cells_denoised.ome.zarr"]
    assert any("not shown" in message for _, message in notifications)


def test_a_lazy_layer_is_read_block_by_block(viewer, open_panel, run, blobs):
    class Counted:
        def __init__(self, array):
            self._array, self.shape, self.dtype = array, array.shape, array.dtype
            self.ndim, self.size, self.largest = array.ndim, array.size, 0

        def __getitem__(self, key):
            block = self._array[key]
            self.largest = max(self.largest, block.size)
            return block

        def __array__(self, dtype=None, copy=None):
            pytest.fail("everything was read")

    data = Counted(blobs(8, 64, 64))
    viewer.add_image(data, name="cells", contrast_limits=(0, 1))
    panel = open_panel()
    run(panel)
    assert finest(viewer.layers[-1]).max() == 32
    assert data.largest <= 64 * 64


def test_another_press_in_mid_run_changes_nothing(qtbot, viewer, open_panel, start_held, gate, blobs):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    panel = open_panel()
    layer = start_held(panel)
    panel.runner.start()
    with qtbot.waitSignal(panel.runner.ended, timeout=WAIT_MS):
        gate.open()
    assert layer not in viewer.layers
    assert len(viewer.layers) == 3


def test_a_layer_that_was_taken_away_in_mid_run_stays_away(qtbot, viewer, open_panel, start_held, gate, blobs):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    panel = open_panel()
    viewer.layers.remove(start_held(panel))
    gate.allow(HELD_AFTER + 1)
    qtbot.wait(200)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    with qtbot.waitSignal(panel.runner.ended, timeout=WAIT_MS):
        gate.open()
    assert [layer.name for layer in viewer.layers] == ["cells", "cells · blobs probability", "cells · blobs labels"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="refused is what is not there")
def test_a_run_that_is_refused_leaves_what_a_cancelled_one_computed(
    qtbot, viewer, results, open_panel, start_held, gate, run, blobs, notifications
):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    panel = open_panel()
    start_held(panel)
    end(qtbot, panel, gate)
    devices = panel.form.device
    devices.addItem("a card that is not there", "cuda")
    devices.setCurrentIndex(devices.count() - 1)
    run(panel)
    assert any("is not available" in message for _, message in notifications)
    devices.setCurrentIndex(0)
    run(panel)
    assert any("Going on with" in message for _, message in notifications)


def test_what_is_resized_says_that_nothing_stays(qtbot, viewer, results, open_panel, blobs, monkeypatch):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    panel, write, written, go_on = open_panel(), GrowingArray.__setitem__, threading.Event(), threading.Event()

    def write_and_wait(*arguments):
        write(*arguments)
        written.set()
        go_on.wait(20)

    monkeypatch.setattr(GrowingArray, "__setitem__", write_and_wait)
    panel.form.advanced.set_values({"rescale": 2.0})
    qtbot.mouseClick(panel.runner.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(written.is_set, timeout=WAIT_MS)
    with qtbot.waitSignal(panel.runner.ended, timeout=WAIT_MS):
        panel.runner.cancel()
        go_on.set()
    assert panel.runner.bar.line.text() == "Cancelled."
    assert not list(results.iterdir())


def test_a_cancel_that_comes_too_late_says_where_the_result_lies(
    qtbot, viewer, results, open_panel, gate, blobs, monkeypatch
):
    viewer.add_image(blobs(6, 32, 32), name="cells")
    panel, finish = open_panel(), GrowingResult.finish
    gate.open()

    def finish_and_cancel(*arguments):
        finish(*arguments)
        panel.runner.button._job._errand.stop()

    monkeypatch.setattr(GrowingResult, "finish", finish_and_cancel)
    with qtbot.waitSignal(panel.runner.ended, timeout=WAIT_MS):
        qtbot.mouseClick(panel.runner.bar.button, Qt.MouseButton.LeftButton)
    assert (
        panel.runner.bar.line.text()
        == f"Cancelled. It was too late: the result is whole, and lies in {results / NAME}."
    )
