"""Axes that a TIFF file names are known, though napari's own reader takes the pixels alone."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers._source import layer_source
from qtpy.QtWidgets import QFormLayout, QWidget

from unveil.widgets.file_axes import axes_in_file
from unveil.widgets.layers import known_axes
from unveil.widgets.source_form import SourceForm

SHAPES = {"TCYX": (5, 2, 20, 30), "TYX": (5, 20, 30), "ZCYX": (5, 2, 20, 30), "CYX": (2, 20, 30), "YX": (20, 30)}


@pytest.fixture
def opened(tmp_path):
    """Return a viewer that shows a file with such axes as napari's own reader would."""

    def open_file(axes, name="cells.tif", **options):
        pixels = np.arange(np.prod(SHAPES[axes]), dtype=np.uint16).reshape(SHAPES[axes])
        metadata = {"axes": axes} if options or "ome" in name else None
        tifffile.imwrite(tmp_path / name, pixels, metadata=metadata, **options)
        viewer = ViewerModel()
        with layer_source(path=str(tmp_path / name), reader_plugin="napari"):  # no plugin is there in tests
            viewer.add_image(tifffile.imread(tmp_path / name))
        return viewer

    return open_file


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize(("name", "options"), [("cells.tif", {"imagej": True}), ("cells.ome.tif", {})])
def test_axes_of_imagej_and_ome_files_are_known(opened, axes, name, options):
    (layer,) = opened(axes, name, **options).layers
    assert known_axes(layer) == axes
    layer.axis_labels = tuple("zcyx"[-layer.ndim :])  # by hand: the file may be wrong
    assert known_axes(layer) == "ZCYX"[-layer.ndim :]


def test_files_that_name_none_leave_the_choice(opened):
    (layer,) = opened("TYX").layers
    assert axes_in_file(layer) is None


def test_pixels_of_another_shape_are_not_those_of_the_file(opened):
    (layer,) = opened("TYX", imagej=True).layers
    layer.data = layer.data[0]
    assert axes_in_file(layer) is None


def test_a_file_that_is_gone_or_damaged_says_nothing(opened, tmp_path):
    (layer,) = opened("TYX", imagej=True).layers
    (tmp_path / "cells.tif").write_bytes(b"II*\0 nothing")
    assert axes_in_file(layer) is None
    (tmp_path / "cells.tif").unlink()
    assert axes_in_file(layer) is None


def test_the_panel_begins_with_what_the_file_says(qtbot, opened):
    viewer = opened("TCYX", imagej=True)
    rows = QWidget()
    qtbot.addWidget(rows)
    form = SourceForm(viewer, QFormLayout(rows))
    assert form.axes_list.currentData() == "TCYX"
    assert form.axes_list.count() > 1
    form.close_for_good()
