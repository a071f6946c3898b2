from __future__ import annotations

import csv
import threading
from contextlib import nullcontext

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QPushButton, QToolTip

from unveil.model.card import ConformalRecord
from unveil.widgets.requests import compute_segmentation, compute_separation
from unveil.widgets.run_bar import PanelState
from unveil.widgets.segment_panel import SegmentPanel


@pytest.fixture
def open_panel(viewer, save_segmenter):
    """Open the panel with one model that finds bright squares."""

    def make(**model):
        save_segmenter(**model)
        panel = SegmentPanel(viewer)
        viewer.window.add_dock_widget(panel, name="Segment")
        return panel

    return make


def _names(viewer):
    return [layer.name for layer in viewer.layers]


def test_one_click_gives_labels_probabilities_and_measurements(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 40), name="cells", scale=(0.5, 0.5), units="um", translate=(3, 4))
    panel = open_panel()
    run(panel)
    assert _names(viewer) == ["cells", "cells · blobs probability", "cells · blobs labels"]
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


def test_everything_about_space_is_carried(viewer, open_panel, run, blobs):
    affine = np.array([[1, 0.1, 5], [0, 1.2, 6], [0, 0, 1]])
    source = viewer.add_image(
        blobs(32, 32), scale=(0.5, 0.25), rotate=30, shear=[0.2], affine=affine, axis_labels=("y", "x"), units="um"
    )
    run(open_panel())
    for result in list(viewer.layers)[1:]:
        for corner in ((0, 0), (10, 3), (31, 31)):
            np.testing.assert_allclose(result.data_to_world(corner), source.data_to_world(corner))
        assert result.axis_labels == ("y", "x")


def test_a_second_run_adds_or_replaces(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32), name="cells")
    panel = open_panel()
    run(panel)
    run(panel)
    assert len(viewer.layers) == 5
    panel.replace.setChecked(True)
    kept = viewer.layers[2]
    run(panel)
    assert len(viewer.layers) == 5
    assert viewer.layers[2] == kept
    viewer.layers[3].name = "renamed by the user"
    run(panel)
    assert len(viewer.layers) == 5


KINDS = {
    "uint8": (lambda a: (a * 255).astype(np.uint8), (32, 32), {}, (32, 32), 4),
    "int32": (lambda a: (a * 9999).astype(np.int32), (32, 32), {}, (32, 32), 4),
    "float64": (lambda a: a.astype(np.float64), (32, 32), {}, (32, 32), 4),
    "stack": (lambda a: a, (3, 32, 32), {}, (3, 32, 32), 12),
    "time": (lambda a: a, (3, 32, 32), {"axis_labels": ("t", "y", "x")}, (3, 32, 32), 12),
    "time and depth": (lambda a: a, (2, 3, 32, 32), {}, (2, 3, 32, 32), 24),
    "rgb": (lambda a: np.stack([(a * 255).astype(np.uint8)] * 3, -1), (32, 32), {"rgb": True}, (32, 32), 4),
    "channels": (lambda a: a, (2, 32, 32), {"axis_labels": ("c", "y", "x")}, (32, 32), 4),
    "channels in depth": (lambda a: a, (3, 2, 32, 32), {"axis_labels": ("z", "c", "y", "x")}, (3, 1, 32, 32), 12),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_layers(viewer, open_panel, run, blobs, kind):
    convert, shape, arguments, expected_shape, n_objects = KINDS[kind]
    viewer.add_image(convert(blobs(*shape)), **arguments)
    panel = open_panel()
    form = panel.form.source
    if kind in ("rgb", "channels", "channels in depth"):
        assert panel.runner.bar.state is PanelState.BLOCKED
        assert "channel" in panel.runner.bar.line.text()
        form.channel_list.setCurrentIndex(2)
    else:
        assert not form.channel_list.isVisibleTo(panel)
    run(panel)
    labels = viewer.layers[-1]
    assert labels.data.shape == expected_shape
    assert labels.data.max() == n_objects


@pytest.mark.parametrize("kind", ["dask", "zarr", "multiscale"])
def test_lazy_layers(viewer, open_panel, run, blobs, dask_in_this_thread, kind):
    import dask.array
    import zarr

    stack = blobs(3, 32, 32)
    data = {
        "dask": lambda: dask.array.from_array(stack),
        "zarr": lambda: zarr.array(stack),
        "multiscale": lambda: [stack, stack[:, ::2, ::2]],
    }[kind]()
    viewer.add_image(data)
    run(open_panel())
    assert viewer.layers[-1].data.shape == (3, 32, 32)
    assert viewer.layers[-1].data.max() == 12


def test_this_plane_only_lies_at_its_plane(qtbot, viewer, open_panel, run, blobs):
    viewer.add_image(blobs(5, 32, 32), scale=(2, 1, 1))
    panel = open_panel()
    viewer.dims.set_current_step(0, 3)
    panel.form.source.planes_list.setCurrentIndex(1)
    run(panel)
    labels = viewer.layers[-1]
    assert labels.data.shape == (1, 32, 32)
    np.testing.assert_allclose(labels.translate, (6, 0, 0))
    assert labels.data.max() == 4
    assert panel.result.table["z"].tolist() == labels.features["z"][1:].tolist() == [3] * 4
    assert list(panel.result.table)[:3] == ["index", "z", "area_px"]
    before = panel.result
    panel.refine.sliders["threshold"].setValue(0.55)
    qtbot.waitUntil(lambda: panel.result is not before, timeout=10_000)
    assert panel.result.table["z"].tolist() == [3] * 4


def test_a_volume_model_takes_the_stack_at_once(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(8, 32, 32), scale=(1, 0.5, 0.5), units="um")
    panel = open_panel(n_dims=3)
    assert not panel.form.source.planes_list.isVisibleTo(panel)
    run(panel)
    labels = viewer.layers[-1]
    assert labels.data.max() == 4
    assert labels.features["volume_um3"][1] == pytest.approx(8 * 64 * 0.25)


def test_a_model_of_classes_has_no_objects(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32), name="cells")
    panel = open_panel(objects=False)
    run(panel)
    assert set(np.unique(viewer.layers[-1].data)) == {0, 1}
    assert panel.refine.sliders["threshold"].isVisibleTo(panel)
    assert not panel.refine.sliders["separation"].isVisibleTo(panel)
    assert not panel.measurements.isVisibleTo(panel)
    assert list(viewer.layers[-1].features["class"]) == ["background", "blob"]


def test_classes_have_the_colours_that_they_were_painted_in(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32), name="cells")
    run(open_panel(objects=False, classes=("background", "class 3")))
    painted = Labels(np.zeros((2, 2), int))
    np.testing.assert_array_equal(viewer.layers[-1].get_color(1), painted.get_color(3))
    np.testing.assert_array_equal(viewer.layers[-1].get_color(2), painted.get_color(2))


def test_sliders_separate_again_without_the_network(qtbot, viewer, open_panel, run, blobs, monkeypatch):
    image = blobs(48, 48)
    image[20:36, 20:36] = 1.0  # larger than the others
    image[4:12, 4:12] = 0.6  # found at a threshold of one half, lost at 0.95
    viewer.add_image(image)
    panel = open_panel()
    run(panel)
    labels = viewer.layers[-1]
    assert labels.data.max() == 4
    assert panel.refine.sliders["min_size"].maximum() >= 100
    monkeypatch.setattr("unveil.widgets.requests.load", lambda path: pytest.fail("the network was asked"))
    panel.refine.sliders["threshold"].setValue(0.95)
    qtbot.waitUntil(lambda: labels.data.max() == 3, timeout=10_000)
    assert len(labels.features) == 4
    assert "3 objects" in panel.runner.bar.line.text()
    assert labels.metadata["unveil"]["options"]["threshold"] == 0.95
    panel.refine.sliders["min_size"].setValue(100)
    qtbot.waitUntil(lambda: labels.data.max() == 1, timeout=10_000)
    assert len(viewer.layers) == 3
    panel.refine.reset.click()
    qtbot.waitUntil(lambda: labels.data.max() == 4, timeout=10_000)


def test_slider_values_serve_the_next_run(qtbot, viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    first = viewer.layers[-1]
    panel.refine.sliders["min_size"].setValue(100)
    qtbot.waitUntil(lambda: first.data.max() == 0, timeout=10_000)
    run(panel)
    assert viewer.layers[-1].data.max() == 0
    assert viewer.layers[-1].metadata["unveil"]["options"]["min_size"] == 100


def test_a_slider_moved_during_a_run_counts_for_its_result(qtbot, viewer, open_panel, run, blobs, monkeypatch):
    at_rest = threading.Event()
    at_rest.set()

    def compute(request, monitor):
        assert at_rest.wait(10)
        return compute_segmentation(request, monitor)

    monkeypatch.setattr("unveil.widgets.segment_panel.compute_segmentation", compute)
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    at_rest.clear()
    panel.refine.changed.connect(at_rest.set)
    with qtbot.waitSignal(panel.runner.ended, timeout=60_000):
        panel.runner.bar.button.click()
        panel.refine.sliders["min_size"].setValue(100)
    second = viewer.layers[-1]
    qtbot.waitUntil(lambda: second.data.max() == 0, timeout=10_000)
    assert second.metadata["unveil"]["options"]["min_size"] == 100


def test_a_result_that_agrees_with_the_sliders_is_not_separated_again(viewer, open_panel, run, blobs, monkeypatch):
    monkeypatch.setattr("unveil.widgets.segment_panel.SegmentPanel._separate", lambda panel: pytest.fail("again"))
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    panel.refine.sliders["min_size"].setValue(100)
    panel.refine.changed.disconnect()
    run(panel)
    assert viewer.layers[-1].metadata["unveil"]["options"]["min_size"] == 100


def test_labels_changed_by_hand_are_left_alone(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    labels = viewer.layers[-1]
    labels.paint((0, 0), 9)
    assert not panel.refine.sliders["threshold"].isEnabled()
    assert "by hand" in panel.refine.line.text()
    run(panel)
    assert panel.refine.sliders["threshold"].isEnabled()


def test_labels_that_something_else_has_replaced_are_left_alone(qtbot, viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    panel.replace.setChecked(True)
    run(panel)
    labels, threshold = viewer.layers[-1], panel.refine.sliders["threshold"]
    threshold.setValue(0.9)
    qtbot.waitUntil(lambda: "threshold" in labels.metadata["unveil"]["options"], timeout=5000)
    assert threshold.isEnabled()  # it was the slider itself
    labels.data = np.full((32, 32), 7)
    assert not threshold.isEnabled()
    run(panel)
    assert labels in viewer.layers
    assert labels.data.min() == 7


def test_labels_of_another_shape_are_no_result_any_more(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    assert panel.measurements.isVisibleTo(panel)
    viewer.layers[-1].data = np.ones((2, 32, 32), int)
    assert panel.result is None
    assert not panel.measurements.isVisibleTo(panel)


def test_strokes_are_safe_from_a_slider_that_was_just_moved(qtbot, viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    labels = viewer.layers[-1]
    changed = []
    panel.refine.changed.connect(lambda: changed.append(1))
    panel.refine.sliders["min_size"].setValue(100)
    labels.paint((0, 0), 9)
    qtbot.wait(400)
    assert not changed
    assert labels.data[0, 0] == 9
    assert labels.data.max() == 9


@pytest.mark.parametrize("is_dragging", [False, True])
def test_strokes_are_safe_from_a_separation_at_work(qtbot, viewer, open_panel, run, blobs, monkeypatch, is_dragging):
    goes_on = threading.Event()

    def separate(segmented, options):
        goes_on.wait(10)
        return compute_separation(segmented, options)

    monkeypatch.setattr("unveil.widgets.segment_panel.compute_separation", separate)
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    labels = viewer.layers[-1]
    with qtbot.waitSignal(panel.refine.changed):
        panel.refine.sliders["min_size"].setValue(100)
    with labels.block_history() if is_dragging else nullcontext():
        labels.paint((0, 0), 9)
        goes_on.set()
        qtbot.wait(400)
        assert labels.data[0, 0] == 9
        assert len(np.unique(labels.data)) == 6
    assert not panel.refine.sliders["threshold"].isEnabled()


def test_a_result_corrected_by_hand_is_not_replaced(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32), name="cells")
    panel = open_panel()
    panel.replace.setChecked(True)
    run(panel)
    corrected = viewer.layers[-1]
    corrected.fill((6, 6), 0)
    run(panel)
    assert _names(viewer) == [
        "cells",
        "cells · blobs labels",
        "cells · blobs probability",
        "cells · blobs labels [1]",
    ]
    assert viewer.layers[1] == corrected
    assert corrected.data[6, 6] == 0
    assert "'cells · blobs labels' was changed by hand and is kept." in panel.runner.bar.line.text()
    run(panel)
    assert len(viewer.layers) == 4
    assert "kept" not in panel.runner.bar.line.text()


def test_sliders_stay_where_they_are_when_a_result_is_replaced(qtbot, viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    panel.replace.setChecked(True)
    run(panel)
    first = viewer.layers[-1]
    panel.refine.sliders["min_size"].setValue(100)
    qtbot.waitUntil(lambda: first.data.max() == 0, timeout=10_000)
    for _ in range(2):
        run(panel)
        assert panel.refine.sliders["min_size"].value() == 100
        assert viewer.layers[-1].metadata["unveil"]["options"]["min_size"] == 100


def test_painting_on_an_older_result_locks_no_slider(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    older = viewer.layers[-1]
    run(panel)
    older.paint((0, 0), 9)
    assert panel.refine.sliders["threshold"].isEnabled()
    viewer.layers[-1].paint((0, 0), 9)
    assert not panel.refine.sliders["threshold"].isEnabled()


@pytest.mark.parametrize("axes", ["yx", "zcyx"])
def test_labels_changed_by_hand_are_measured_as_they_are(qtbot, viewer, open_panel, run, blobs, tmp_path, axes):
    viewer.add_image(blobs(*(3, 2, 32, 32)[-len(axes) :]), axis_labels=tuple(axes))
    panel = open_panel()
    panel.form.source.channel_list.setCurrentIndex(1)
    run(panel)
    labels = viewer.layers[-1]
    n_objects = labels.data.max()
    labels.fill((0,) * (len(axes) - 2) + (6, 6), 0)
    labels.data_setitem(tuple(np.array([at]) for at in (0,) * (len(axes) - 2) + (0, 0)), 99)
    file = tmp_path / "objects.csv"
    panel.save_measurements(file)
    qtbot.waitUntil(file.exists, timeout=10_000)
    with file.open() as lines:
        areas = {int(row["index"]): row["area_px"] for row in csv.DictReader(lines)}
    assert areas == {**dict.fromkeys(range(2, n_objects + 1), "64"), 99: "1"}
    assert np.isnan(labels.features["area_px"][1])
    assert labels.features["area_px"][99] == 1
    labels.undo()
    panel.table_button.click()
    qtbot.waitUntil(lambda: len(labels.features) == n_objects + 1, timeout=10_000)
    (table,) = [dock for dock in viewer.window.dock_widgets.values() if hasattr(dock, "table")]
    assert table.table.model().rowCount() == n_objects + 1


def test_rows_of_the_table_select_labels(qtbot, viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    panel.table_button.click()
    (table,) = [dock for dock in viewer.window.dock_widgets.values() if hasattr(dock, "table")]
    model = table.table.model()
    assert model.rowCount() == 5
    table.table.selectRow(3)
    assert viewer.layers[-1].selected_label == 3


def test_one_object_is_no_plural(viewer, open_panel, run, blobs, tmp_path, notifications):
    viewer.add_image(blobs(32, 32)[:16, :16])
    panel = open_panel()
    run(panel)
    assert panel.runner.bar.line.text().startswith("1 object in ")
    panel.save_measurements(tmp_path / "objects.csv")
    assert notifications[-1][1].startswith("Measurements of 1 object are in ")


def test_measurements_are_saved(viewer, open_panel, run, blobs, tmp_path, notifications):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    panel.save_measurements(tmp_path / "objects.csv")
    with (tmp_path / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["area_px"] for row in rows} == {"64"}
    assert "4 objects" in notifications[-1][1]
    panel.save_measurements(tmp_path / "objects.csv" / "under a file.csv")
    assert notifications[-1][0] == "error"


def test_rescaling_is_offered_where_it_matters(viewer, open_panel, blobs):
    layer = viewer.add_image(blobs(32, 32), scale=(0.5, 0.5), units="um")
    panel = open_panel(pixel_size_um={"Y": 0.6, "X": 0.6})
    assert not panel.form.rescale.isVisibleTo(panel)
    layer.scale = (0.2, 0.2)
    assert panel.form.rescale.isVisibleTo(panel)
    assert panel.form.rescale.isChecked()
    assert "0.2 µm" in panel.form.rescale.text()
    assert panel.form.options().rescale == "auto"
    panel.form.rescale.setChecked(False)
    assert panel.form.options().rescale == "off"


@pytest.mark.parametrize(
    ("image_um", "model_um", "is_offered"),
    [
        ((3.0, 0.5, 0.5), {"Z": 1.0, "Y": 0.5, "X": 0.5}, False),  # a model of planes does not see Z
        ((1.0, 0.2, 0.2), {"X": 0.5}, False),
        ((3.0, 0.2, 0.2), {"Z": 1.0, "Y": 0.5, "X": 0.5}, True),
    ],
)
def test_no_rescaling_is_promised_that_a_run_does_not_do(viewer, open_panel, blobs, image_um, model_um, is_offered):
    viewer.add_image(np.stack([blobs(32, 32)] * 2), name="cells", scale=image_um, units="um")
    panel = open_panel(pixel_size_um=model_um)
    rescale = panel.form.rescale
    assert rescale.isVisibleTo(panel) == is_offered
    assert not is_offered or rescale.text() == "Rescale: image 0.2 µm,\nmodel 0.5 µm per pixel"


def test_a_pixel_size_that_cannot_be_right_is_told_before_a_run(viewer, open_panel, blobs):
    viewer.add_image(blobs(32, 32), name="cells", scale=(0.5, 0.5), units="nm")
    panel = open_panel(pixel_size_um={"Y": 0.5, "X": 0.5})
    assert panel.form.rescale.isVisibleTo(panel)
    assert panel.runner.bar.state is PanelState.BLOCKED
    assert "1,000-fold" in panel.form.problem()
    panel.form.rescale.setChecked(False)
    assert panel.runner.bar.state is PanelState.READY


def test_uncertainty_becomes_layers_and_columns(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 40), name="cells", scale=(0.5, 0.5), units="um")
    panel = open_panel()
    assert panel.form.advanced.values()["uncertainty"] is False
    panel.form.advanced.set_values({"uncertainty": True})
    run(panel)
    assert _names(viewer)[1:] == [
        f"cells · blobs {role}" for role in ("probability", "disagreement (bits)", "uncertainty (bits)", "labels")
    ]
    _, probability, disagreement, unsure, labels = viewer.layers
    assert (unsure.visible, disagreement.visible) == (True, False)
    assert unsure.contrast_limits == [0, 1]
    np.testing.assert_allclose(unsure.scale, (0.5, 0.5))
    p = np.clip(probability.data, 1e-7, 1 - 1e-7)  # the network sees no direction: all views say the same
    np.testing.assert_allclose(unsure.data, -p * np.log2(p) - (1 - p) * np.log2(1 - p), atol=1e-4)
    assert disagreement.data.max() < 1e-5
    assert labels.features["mean_entropy_bits"][1] == pytest.approx(unsure.data[labels.data == 1].mean(), abs=1e-6)


def test_intervals_are_told_where_the_model_has_a_record(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 40), name="cells")
    record = ConformalRecord(data="drawn blobs", iou=(0.5,) * 9, n_objects=(1.0,) * 9)
    panel = open_panel(conformal=record)
    run(panel)
    words = panel.runner.bar.line.text()
    assert "4 objects (3 to 6) in" in words
    assert "Each range holds the truth in 9 of 10 images" in words
    panel.refine.sliders["threshold"].setValue(0.3)
    run(panel)
    assert "9 of 10" not in panel.runner.bar.line.text()


def test_a_folder_becomes_files(qtbot, viewer, open_panel, blobs, tmp_path, notifications):
    import tifffile

    images, output = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    for name in ("a2", "a10"):
        tifffile.imwrite(images / f"{name}.tif", blobs(32, 32))
    for number in range(7):
        (images / f"broken{number}.tif").write_bytes(b"II*\0 nothing")
    panel = open_panel()
    with qtbot.waitSignal(panel.runner.ended, timeout=20_000):
        panel.runner.start_folder(images, output)
    assert sorted(path.name for path in output.iterdir()) == [
        "a10_labels.tif",
        "a10_objects.csv",
        "a2_labels.tif",
        "a2_objects.csv",
    ]
    assert tifffile.imread(output / "a2_labels.tif").max() == 4
    done, *broken, more = panel.runner.bar.line.text().splitlines()[:7]
    assert "2 of 9 images" in done
    assert [line.split(":")[0] for line in broken] == [f"broken{number}.tif" for number in range(5)]
    assert more == "… and 2 more"
    assert not notifications, "they would be gone in the morning"
    with qtbot.waitSignal(panel.runner.ended, timeout=20_000):
        panel.runner.start_folder(images, images)
    assert "Choose another folder" in notifications[-1][1]


def test_the_table_of_no_objects_is_empty(viewer, open_panel, run):
    viewer.add_image(np.full((32, 32), 7.0, np.float32))
    panel = open_panel()
    run(panel)
    assert viewer.layers[-1].data.max() == 0
    assert list(viewer.layers[-1].features["index"]) == [0]
    assert "0 objects" in panel.runner.bar.line.text()


def test_two_textures_show_what_they_saw(viewer, run, rng):
    pixels = np.where(np.arange(80) < 40, 2, 30) * rng.normal(0, 1, (60, 80))
    viewer.add_image(pixels, name="wound", scale=(0.5, 0.5))
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    panel.form.models.list.setCurrentText("two-textures")
    run(panel)
    names = [layer.name for layer in viewer.layers]
    assert names[1] == "wound · two-textures DCT 0,1"
    assert len(names) == 1 + 8 + 1 + 1
    assert [layer.visible for layer in viewer.layers] == [True, *[False] * 9, True]
    assert all(tuple(layer.scale) == (0.5, 0.5) for layer in viewer.layers)
    labels = viewer.layers[-1]
    assert labels.data[:, :30].max() == 0
    assert labels.data[:, 50:].min() == 1
    assert panel.refine.isVisibleTo(panel)
    assert panel.measurements.isHidden()


def test_a_number_painted_on_another_plane_is_measured_too(qtbot, viewer, open_panel, run, blobs, tmp_path):
    viewer.add_image(blobs(3, 32, 32))
    panel = open_panel()
    run(panel)
    labels = viewer.layers[-1]
    n_objects = labels.data.max()
    labels.data_setitem((np.array([2]), np.array([0]), np.array([0])), 1)
    file = tmp_path / "objects.csv"
    panel.save_measurements(file)
    qtbot.waitUntil(file.exists, timeout=10_000)
    with file.open() as lines:
        numbers = [int(row["index"]) for row in csv.DictReader(lines)]
    assert sorted(numbers) == sorted([*range(1, n_objects + 1), 1])
    assert len(labels.features) == n_objects + 1


def test_the_result_of_another_channel_is_not_replaced(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(2, 32, 32), name="two", axis_labels=("c", "y", "x"))
    panel = open_panel()
    panel.replace.setChecked(True)
    for channel in (1, 2, 2):
        panel.form.source.channel_list.setCurrentIndex(channel)
        run(panel)
    assert sum(isinstance(layer, Labels) for layer in viewer.layers) == 2


def test_closing_while_labels_are_measured_is_told(qtbot, viewer, open_panel, run, blobs, tmp_path, notifications):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    viewer.layers[-1].fill((6, 6), 0)
    panel.save_measurements(tmp_path / "objects.csv")
    panel.close_for_good()
    assert "no table was made" in notifications[-1][1]
    qtbot.wait(300)
    assert not (tmp_path / "objects.csv").exists()


def test_the_tooltip_of_a_list_says_what_is_chosen_in_full(viewer, open_panel, blobs):
    viewer.add_image(blobs(2, 3, 32, 32))
    axes = open_panel().form.source.axes_list
    QApplication.sendEvent(axes, QHelpEvent(QEvent.Type.ToolTip, QPoint(2, 2), axes.mapToGlobal(QPoint(2, 2))))
    assert QToolTip.text() == f"What the dimensions of this layer mean: {axes.currentText()}"
    QToolTip.hideText()


def test_buttons_have_a_tooltip_where_they_do_not_say_it_all(viewer, open_panel, run, blobs):
    viewer.add_image(blobs(32, 32))
    panel = open_panel()
    run(panel)
    buttons = [button for button in panel.findChildren(QPushButton) if button.isVisibleTo(panel)]
    assert [button.text() for button in buttons if not button.toolTip()] == ["Advanced", "Segment"]
