from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import Qt

from unveil.widgets.run_bar import PanelState
from unveil.widgets.segment_panel import SegmentPanel

WAIT_MS = 20_000


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


def open_panel(viewer):
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    return panel


def run(qtbot, panel):
    """Press the button and wait for the end."""
    assert panel.runner.bar.state is PanelState.READY, panel.runner.bar.line.text()
    qtbot.mouseClick(panel.runner.bar.button, Qt.MouseButton.LeftButton)
    assert panel.runner.is_running
    qtbot.waitUntil(lambda: not panel.runner.is_running, timeout=WAIT_MS)


def test_one_click_gives_labels_probabilities_and_measurements(qtbot, viewer, save_segmenter, blobs):
    save_segmenter()
    viewer.add_image(blobs(32, 40), name="cells", scale=(0.5, 0.5), units="um", translate=(3, 4))
    panel = open_panel(viewer)
    run(qtbot, panel)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells · blobs probability", "cells · blobs labels"]
    _, probability, labels = viewer.layers
    assert isinstance(labels, Labels)
    assert isinstance(probability, ImageLayer)
    np.testing.assert_array_equal(np.unique(labels.data), [0, 1, 2, 3, 4])
    for layer in (probability, labels):
        np.testing.assert_allclose(layer.scale, (0.5, 0.5))
        np.testing.assert_allclose(layer.translate, (3, 4))
        assert layer.units == viewer.layers[0].units
    record = labels.metadata["unveil"]
    assert (record["model"], record["source"], record["role"]) == ("blobs", "cells", "labels")
    assert len(record["model_sha256"]) == 64
    assert list(labels.features["index"]) == [0, 1, 2, 3, 4]
    assert labels.features["area_um2"][1] == pytest.approx(64 * 0.25)
    assert "4 objects" in panel.runner.bar.line.text()
