from __future__ import annotations

from functools import partial

import numpy as np
import pytest


@pytest.fixture
def section(inspect_panel):
    return inspect_panel.stability


@pytest.fixture
def report(press_and_wait, section):
    return partial(press_and_wait, section)


def test_a_press_gives_a_sentence_and_a_layer(viewer, inspect_panel, section, report, blobs):
    source = viewer.add_image(blobs(32, 32), name="cells", scale=(0.5, 0.5), translate=(3, 4), units="um")
    assert section.figures.isHidden()
    section.form.set_values({"strength": 0.02})

    report()

    told = section.button.bar.line.text()
    assert told.startswith("'blobs' on 'cells': Random noise of 2.0% of the image's range changes the class")
    assert "certified bound" in section.figures.text()
    layer = viewer.layers[-1]
    assert layer.name == "cells · blobs sensitivity"
    assert layer.data.shape == (32, 32)
    np.testing.assert_allclose(layer.scale, source.scale)
    np.testing.assert_allclose(layer.translate, source.translate)
    assert told.endswith(layer.metadata["unveil"]["sentence"])
    assert inspect_panel.inspected.source.layer_list.count() == 1  # the sensitivity is no image to work on
    report()
    assert len(viewer.layers) == 2
    section.set_problem(None)  # something else is chosen
    assert section.figures.isHidden()
    assert section.button.bar.line.text() == ""


def test_the_layer_lies_over_the_plane_and_region_looked_at(viewer, section, report, rng):
    stack = np.zeros((5, 600, 600), np.float32)
    stack[2] = rng.normal(0, 0.01, (600, 600))
    stack[2, 420:460, 430:470] = 1
    viewer.add_image(stack, name="stack", scale=(3, 0.5, 0.5), units="um", axis_labels=("t", "y", "x"))

    report()

    layer = viewer.layers[-1]
    assert layer.data.shape[0] == 1
    corner, end = layer.data_to_world((0, 0, 0)), layer.data_to_world(np.array(layer.data.shape) - 1)
    assert corner[0] == 2 * 3
    assert (corner[1] <= 420 * 0.5) & (end[1] >= 459 * 0.5)
    assert (corner[2] <= 430 * 0.5) & (end[2] >= 469 * 0.5)


def test_the_layer_of_one_plane_reaches_through_all_channels(viewer, inspect_panel, report, blobs):
    image = viewer.add_image(blobs(3, 2, 32, 32), axis_labels=("z", "c", "y", "x"))
    viewer.dims.set_current_step(0, 2)
    inspect_panel.inspected.source.channel_list.setCurrentIndex(1)
    report()
    layer = viewer.layers[-1]
    assert layer.data.shape == (1, 1, 32, 32)
    for channel in range(2):
        there = layer.world_to_data(image.data_to_world((2, channel, 5, 6)))
        np.testing.assert_array_equal(np.rint(there), (0, 0, 5, 6))


def test_a_resized_region_has_its_own_pixels(viewer, section, report, save_segmenter, blobs, qtbot):
    save_segmenter(pixel_size_um={"Y": 0.5, "X": 0.5})
    viewer.add_image(np.kron(blobs(32, 32), np.ones((2, 2))), scale=(0.25, 0.25), units="um")

    report()

    layer = viewer.layers[-1]
    assert layer.data.shape == (32, 32)
    np.testing.assert_allclose(layer.scale, 0.5)
    np.testing.assert_allclose(layer.translate, 0.125)  # between the first two pixels of the image


def test_without_the_box_nothing_is_added(viewer, section, report, blobs):
    viewer.add_image(blobs(32, 32))
    section.layer.setChecked(False)
    report()
    assert len(viewer.layers) == 1
    assert section.result is not None


def test_without_an_image_the_user_is_told(section, notifications):
    section.button.start()
    assert not section.button.is_running
    assert "no image layer" in notifications[0][1]


def test_it_can_be_cancelled(viewer, section, blobs, qtbot):
    viewer.add_image(blobs(32, 32))
    with qtbot.waitSignal(section.button.ended, timeout=60_000):
        section.button.start()
        section.button.cancel()
    assert section.button.bar.line.text() == "Cancelled."
    assert len(viewer.layers) == 1


def test_a_narrow_dock_holds_it(section):
    assert section.minimumSizeHint().width() <= 300
