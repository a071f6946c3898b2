"""The layer that shows what is held out lies where it judges, whatever the axes and however often it is shown."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from unveil.events import HeldOut
from unveil.widgets.layers import source_of
from unveil.widgets.split_layer import SplitLayer

LAYER = ImageLayer(np.zeros((6, 8, 10)), scale=(3, 2, 1), translate=(0, 5, 7))


def shown(viewer: ViewerModel) -> np.ndarray:
    """Return the places in the world that are tinted, along Z, Y and X; a plane is shown at each Z."""
    (layer,) = viewer.layers
    assert layer.visible
    assert not layer.editable
    pixels = np.asarray(layer.data)
    assert set(np.unique(pixels)) == {0, 1}
    return np.array([layer.data_to_world(index) for index in np.argwhere(pixels)])[[0, -1]]


def test_some_planes_of_a_volume_and_a_part_of_all_planes_are_told_apart() -> None:
    viewer = ViewerModel()
    split, source = SplitLayer(viewer), source_of(LAYER, "ZYX")
    for _ in range(2):
        split.show([HeldOut(0, (4, 0, 0), (6, 8, 10))], [source])
        np.testing.assert_array_equal(shown(viewer), [(12, 5, 7), (15, 19, 16)])
        for part in (HeldOut(0, (0, 0, 7), (6, 8, 10)), HeldOut(0, (0, 7), (8, 10))):
            split.show([part], [source])
            np.testing.assert_array_equal(shown(viewer), [(5, 14), (19, 16)])


def test_other_orders_of_axes_are_heeded() -> None:
    viewer = ViewerModel()
    SplitLayer(viewer).show([HeldOut(0, (4, 0, 0), (8, 10, 6))], [source_of(LAYER, "XZY")])
    np.testing.assert_array_equal(shown(viewer), [(0, 13, 7), (15, 19, 16)])


def test_parts_of_files_are_not_shown_and_what_was_shown_is_hidden() -> None:
    viewer = ViewerModel()
    split, source = SplitLayer(viewer), source_of(LAYER, "ZYX")
    split.show([HeldOut(1, (0, 7), (8, 10))], [source])
    assert not viewer.layers
    split.show([HeldOut(0, (0, 7), (8, 10))], [source])
    split.show([HeldOut(1, (0, 7), (8, 10))], [source])
    assert not viewer.layers[0].visible
