from __future__ import annotations

import shutil

import numpy as np
import pytest
from qtpy.QtCore import Qt
from skimage.transform import rescale

from unveil.image import Image
from unveil.io.model_file import load_model, save_model
from unveil.tasks.recording import with_appearance
from unveil.widgets.segment_panel import SegmentPanel


def _discs(seed, scale=1):
    """Draw discs of one size with a little noise, and magnify the image."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:96, :96]
    grey = rng.normal(20, 2, (96, 96))
    for y, x in rng.uniform(0, 96, (12, 2)):
        grey[(yy - y) ** 2 + (xx - x) ** 2 < 36] = 200
    return rescale(grey, scale, order=1).astype(np.float32)


@pytest.fixture(scope="session")
def knowing(tmp_path_factory):
    """Where the model that knows discs of one size is kept, once a test has made it."""
    return tmp_path_factory.mktemp("knowing") / "discs.safetensors"


@pytest.fixture
def panel(viewer, save_segmenter, knowing):
    """The panel with a model that knows discs of one size."""
    path = save_segmenter()
    if not knowing.exists():
        images = [Image(_discs(seed)) for seed in range(6)]
        save_model(with_appearance(load_model(path), images), knowing)
    shutil.copy(knowing, path)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    return panel


def test_like_images_are_not_warned_of(viewer, panel, run):
    viewer.add_image(_discs(0))
    run(panel)
    assert not panel.runner.warning.isVisibleTo(panel)


def test_an_inverted_image_has_a_line_and_no_button(viewer, panel, run, notifications):
    viewer.add_image(255 - _discs(50), name="swapped")
    run(panel)
    warning = panel.runner.warning
    assert warning.isVisibleTo(panel)
    assert "invert" in warning.line.text()
    assert not warning.button.isVisibleTo(panel)
    assert not [message for _, message in notifications if "unlike" in message]


def test_the_button_rescales_and_runs_again(viewer, panel, run, qtbot):
    viewer.add_image(_discs(50, 3), name="large")
    run(panel)
    warning = panel.runner.warning
    assert "larger than in training" in warning.line.text()
    factor = float(warning.button.text().removeprefix("Rescale by "))
    assert 0.2 < factor < 0.6
    with qtbot.waitSignal(panel.runner.ended, timeout=20_000):
        qtbot.mouseClick(warning.button, Qt.MouseButton.LeftButton)
    assert panel.form.advanced.values()["rescale"] == pytest.approx(factor)
    report = panel.result.segmentation.report
    assert report.scale == pytest.approx((factor, factor))
    assert report.suggested_rescale is None


def test_another_choice_takes_the_warning_away(viewer, panel, run):
    viewer.add_image(255 - _discs(50))
    run(panel)
    panel.form.advanced.set_values({"rescale": "off"})
    assert not panel.runner.warning.isVisibleTo(panel)
