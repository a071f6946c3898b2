"""Layers that come while somebody paints."""

from __future__ import annotations

import numpy as np
import pytest

from unveil.widgets.segment_panel import SegmentPanel


@pytest.mark.parametrize("mode", ["paint", "pan_zoom"])
def test_a_result_is_selected_unless_somebody_paints(viewer, save_segmenter, run, blobs, mode):
    save_segmenter()
    viewer.add_image(blobs(32, 32), name="cells")
    painted = viewer.add_labels(np.zeros((32, 32), int), name="mine")
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    panel.replace.setChecked(True)
    for _ in range(2):
        viewer.layers.selection.active = painted
        painted.mode = mode
        run(panel)
        chosen = painted if mode == "paint" else viewer.layers[-1]
        assert viewer.layers.selection.active == chosen
        assert set(viewer.layers.selection) == {chosen}
        assert [layer.name for layer in viewer.layers][2:] == ["cells · blobs probability", "cells · blobs labels"]
