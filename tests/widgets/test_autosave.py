"""Painted layers are written down while the Train panel is open."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from napari.layers import Labels

from unveil.io.images import read_labels
from unveil.widgets.autosave import Autosave


@pytest.fixture
def autosave(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("UNVEIL_RUNS", str(tmp_path / "runs"))
    made = Autosave()
    yield made
    made.close_for_good()


def saved(autosave):
    return sorted(autosave.folder.glob("*.tif")) if autosave.folder.exists() else []


def test_what_was_painted_is_written_once(qtbot, autosave):
    layer, other = Labels(np.zeros((20, 30), int), name="my cells / 1"), Labels(np.zeros((20, 30), int), name="other")
    autosave.watch([layer, other])
    autosave.save()
    qtbot.wait(100)
    assert not saved(autosave)

    layer.paint((5, 5), 3)
    autosave.save()
    qtbot.waitUntil(lambda: bool(saved(autosave)) and autosave.is_idle, timeout=10_000)
    (path,) = saved(autosave)
    assert path.name.startswith("my-cells-1_")
    np.testing.assert_array_equal(np.asarray(read_labels(path).data), layer.data)
    path.unlink()
    autosave.save()
    qtbot.wait(300)
    assert not saved(autosave)


def test_what_was_painted_last_is_written_when_the_panel_closes(qtbot, autosave, notifications):
    layer, bad = Labels(np.zeros((20, 30), int), name="cells"), Labels(np.full((20, 30), -1), name="bad")
    autosave.watch([layer, bad])
    layer.paint((5, 5), 3)
    bad.paint((5, 5), 3)
    autosave.close_for_good()
    (path,) = saved(autosave)
    np.testing.assert_array_equal(np.asarray(read_labels(path).data), layer.data)
    ((severity, text),) = notifications
    assert (severity, "bad_" in text) == ("error", True)


def test_what_is_painted_while_something_is_written_is_not_lost_when_the_panel_closes(qtbot, autosave):
    layer, other = (Labels(np.zeros((20, 30), int), name=name) for name in ("cells", "other"))
    autosave.watch([layer, other])
    for number in (3, 4):
        layer.paint((5, 5), number)
        if number == 3:
            other.paint((5, 5), 7)
            autosave.save()
    autosave.close_for_good()
    qtbot.waitUntil(lambda: autosave.is_idle, timeout=10_000)
    assert [int(np.max(read_labels(path).data)) for path in saved(autosave)] == [4, 7]


def test_what_was_painted_last_is_written_when_napari_closes(tmp_path):
    program = (
        "import napari, numpy as np\n"
        "from qtpy.QtCore import QTimer\n"
        "viewer = napari.Viewer()\n"
        "viewer.add_image(np.zeros((64, 64)))\n"
        "layer = viewer.add_labels(np.zeros((64, 64), int))\n"
        "viewer.window.add_plugin_dock_widget('napari-unveil', 'Train')\n"
        "def paint_and_close():\n"
        "    layer.paint((5, 5), 7)\n"
        "    viewer.window._qt_window.close()\n"
        "QTimer.singleShot(500, paint_and_close)\n"
        "napari.run()\n"
    )
    environment = {**os.environ, "UNVEIL_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = (tmp_path / "autosave").glob("*/*.tif")
    assert np.max(read_labels(path).data) == 7


def test_layers_with_almost_the_same_long_name_are_kept_apart(qtbot, autosave):
    names = [f"2026-11-28_experiment_with_a_very_long_name_DAPI_63x_position_{n} labels" for n in ("012", "013")]
    layers = [Labels(np.zeros((20, 30), int), name=name) for name in names]
    autosave.watch(layers)
    for number, layer in enumerate(layers, start=1):
        layer.paint((5, 5), number)
    autosave.save()
    qtbot.waitUntil(lambda: len(saved(autosave)) == 2 and autosave.is_idle, timeout=10_000)
    assert sorted(int(np.max(read_labels(path).data)) for path in saved(autosave)) == [1, 2]


def test_a_layer_that_cannot_be_written_keeps_no_other_from_it(qtbot, autosave, notifications):
    bad, good = Labels(np.full((20, 30), -1), name="bad"), Labels(np.zeros((20, 30), int), name="good")
    autosave.watch([bad, good])
    for layer in (bad, good):
        layer.paint((5, 5), 3)
    for _ in range(2):
        autosave.save()
        qtbot.waitUntil(lambda: autosave.is_idle, timeout=10_000)
    assert [path.name.split("_")[0] for path in saved(autosave)] == ["good"]
    ((severity, text),) = notifications
    assert severity == "error"
    assert "bad_" in text

    bad.data[:] = 0  # not told by any event: it is still to be written
    bad.paint((5, 5), -2)
    autosave.save()
    qtbot.waitUntil(lambda: autosave.is_idle, timeout=10_000)
    assert len(notifications) == 2  # another reason
    bad.data[:] = 4
    autosave.save()
    qtbot.waitUntil(lambda: autosave.is_idle, timeout=10_000)
    assert [path.name.split("_")[0] for path in saved(autosave)] == ["bad", "good"]
    assert len(notifications) == 2


def test_a_layer_that_is_watched_no_more_is_left_alone(qtbot, autosave):
    layer = Labels(np.zeros((20, 30), int), name="cells")
    autosave.watch([layer])
    autosave.watch([])
    layer.paint((5, 5), 3)
    autosave.save()
    qtbot.wait(200)
    assert not saved(autosave)


def test_what_was_undone_is_written_and_what_is_only_looked_at_is_not(qtbot, autosave):
    layer = Labels(np.zeros((20, 30), int), name="cells")
    autosave.watch([layer])
    layer.paint((5, 5), 3)
    for change, expected in ((layer.undo, 0), (layer.redo, 3)):
        autosave.save()
        qtbot.waitUntil(lambda: bool(saved(autosave)) and autosave.is_idle, timeout=10_000)
        change()
        autosave.save()
        qtbot.waitUntil(lambda: autosave.is_idle, timeout=10_000)
        assert np.max(read_labels(saved(autosave)[0]).data) == expected
    saved(autosave)[0].unlink()
    layer.refresh()
    autosave.save()
    qtbot.waitUntil(lambda: autosave.is_idle, timeout=10_000)
    assert not saved(autosave)
