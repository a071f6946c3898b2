"""The button "Annotate here next": blocks drawn, refreshed, taken over as annotated, all off the main thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from unveil.errors import ImageError
from unveil.tasks.suggest import SuggestedBlock
from unveil.widgets.drawn_areas import areas_on
from unveil.widgets.layer_roles import shapes_among
from unveil.widgets.layers import source_of
from unveil.widgets.pixel_grid import grid_of
from unveil.widgets.run_bar import PanelState
from unveil.widgets.suggested_layer import ANNOTATE_NEXT
from unveil.widgets.train_panel import TrainPanel
from unveil.widgets.training_layers import ANNOTATED, LayerPair, Rectangles, Sparse, Whole

WAIT_MS = 60_000


@pytest.fixture
def scene(viewer: Any) -> Any:
    """A viewer with an image of 4 × 3 blocks, most to see in that of row 3, and bare labels; both have a scale."""
    pixels = np.zeros((384, 288), np.float32)
    pixels[::40, ::40] = 1
    pixels[300:360, 110:170] = 0.5
    viewer.add_image(pixels, name="cells", scale=(2, 2), translate=(10, 0))
    viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="painted", scale=(2, 2), translate=(10, 0))
    return viewer


@pytest.fixture
def panel(scene: Any, save_segmenter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainPanel:
    """The panel in a dock; a training would start from a model that is unsure about what is grey."""
    monkeypatch.setenv("UNVEIL_RUNS", str(tmp_path / "runs"))
    model = save_segmenter()
    made = TrainPanel(scene)
    scene.window.add_dock_widget(made, name="Train")
    made.form.start_from(model)
    return made


def ask(qtbot: Any, panel: TrainPanel) -> None:
    with qtbot.waitSignal(panel.next.button.ended, timeout=WAIT_MS):
        qtbot.mouseClick(panel.next.button.bar.button, Qt.MouseButton.LeftButton)
        assert panel.next.button.bar.state is PanelState.RUNNING


def blocks(scene: Any) -> Any:
    return scene.layers[ANNOTATE_NEXT]


def test_blocks_are_drawn_where_there_is_something_to_learn_and_nothing_else_changes(qtbot, scene, panel):
    scene.layers.selection.active = scene.layers["painted"]
    ask(qtbot, panel)
    layer = blocks(scene)
    assert layer.nshapes == 10
    assert layer.features["rank"].tolist() == list(range(1, 11))
    first = np.array([layer.data_to_world(corner) for corner in layer.data[0]])
    np.testing.assert_allclose(first.min(axis=0), [10 + 2 * (288 - 0.5), 2 * (96 - 0.5)])
    np.testing.assert_allclose(first.max(axis=0), [10 + 2 * (384 - 0.5), 2 * (192 - 0.5)])
    assert len({tuple(colour) for colour in layer.edge_color}) == 10
    assert "of its pixels for objects" in panel.next.button.bar.line.text()
    assert scene.layers.selection.active == scene.layers["painted"]
    assert layer not in shapes_among(scene.layers)  # what is suggested is not annotated


def test_selected_blocks_become_what_is_annotated_and_do_not_return(qtbot, scene, panel):
    ask(qtbot, panel)
    assert isinstance(panel.form.extent.extent(), Whole)
    scene.layers["painted"].data[310:330, 120:140] = 1
    blocks(scene).selected_data = {0, 1}
    taken = [corners.copy() for corners in blocks(scene).data[:2]]
    qtbot.mouseClick(panel.next.done_button, Qt.MouseButton.LeftButton)
    assert blocks(scene).nshapes == 8
    extent = panel.form.extent.extent()
    assert isinstance(extent, Rectangles)
    (annotated,) = extent.layers
    assert annotated.name == f"{ANNOTATED} · cells"
    np.testing.assert_allclose(annotated.data, taken)

    (annotation,) = panel.form.request().targets
    assert annotation.mask.sum() == 2 * 96 * 96
    assert annotation.mask[288:, 96:192].all()

    ask(qtbot, panel)
    assert sum(layer.name.startswith(ANNOTATE_NEXT) for layer in scene.layers) == 1
    assert blocks(scene).nshapes == 10
    again = {tuple(corners.min(axis=0)) for corners in blocks(scene).data}
    assert not again & {tuple(corners.min(axis=0)) for corners in taken}

    blocks(scene).selected_data = {3}
    qtbot.mouseClick(panel.next.done_button, Qt.MouseButton.LeftButton)
    assert annotated.nshapes == 3


def test_blocks_count_beside_objects_painted_elsewhere(qtbot, scene, panel):
    labels = scene.layers["painted"].data
    labels[10:20, 10:20] = 1
    panel.form.extent.choose(Sparse())
    ask(qtbot, panel)
    first = blocks(scene).data[0].min(axis=0)
    labels[310:330, 120:140] = 2
    blocks(scene).selected_data = {0}
    panel.next.take_selected()
    (annotation,) = panel.form.request().targets
    assert annotation.mask[288:, 96:192].all()
    assert annotation.mask[10:20, 10:20].all()
    assert annotation.mask.sum() < 96 * 96 + 40 * 40
    ask(qtbot, panel)
    assert not any((corners.min(axis=0) == first).all() for corners in blocks(scene).data)


def test_nothing_selected_and_nothing_left_are_said(qtbot, scene, panel, notifications):
    ask(qtbot, panel)
    panel.next.take_selected()
    assert "No block is selected" in notifications[-1][1]
    scene.layers["painted"].data[0, 0] = 1
    ask(qtbot, panel)
    assert "Every block is annotated" in panel.next.button.bar.line.text()
    assert not panel.next.layers.layers()


def test_planes_of_a_stack_are_told_apart(qtbot, scene, panel, models_folder):
    stack = np.zeros((3, 96, 96), np.float32)
    stack[:, ::40, ::40] = 1
    stack[1, 20:60, 20:60] = 0.5
    scene.layers.clear()
    scene.add_image(stack, name="stack")
    scene.add_labels(np.zeros(stack.shape, np.uint8), name="painted")
    panel.form.start_from(next(models_folder.iterdir()))
    ask(qtbot, panel)
    assert next(corners[0, 0] for corners in blocks(scene).data) == 1
    assert blocks(scene).ndim == 3


def test_each_image_has_a_layer_of_its_own(qtbot, scene, panel):
    other = np.zeros((96, 96), np.float32)
    other[::40, ::40] = 1
    other[50:70, 50:70] = 0.5
    scene.add_image(other, name="more")
    scene.add_labels(np.zeros(other.shape, np.uint8), name="more painted")
    names = ("cells", "painted"), ("more", "more painted")
    panel.form.pairs.set_pairs([LayerPair(scene.layers[image], scene.layers[labels]) for image, labels in names])
    ask(qtbot, panel)
    assert {layer.name for layer in panel.next.layers.layers()} == {
        f"{ANNOTATE_NEXT} · cells",
        f"{ANNOTATE_NEXT} · more",
    }


@pytest.fixture
def two_images(scene: Any, panel: TrainPanel) -> tuple[Any, Any]:
    """Two images at the same place, each with a painted cell and a block around it: above on A, below on B."""
    scene.layers.clear()
    for name in "AB":
        scene.add_image(np.eye(128, dtype=np.float32), name=name)
        scene.add_labels(np.zeros((128, 128), np.int32), name=f"{name} labels")
    scene.layers["A labels"].data[4:20, 4:20] = 1
    scene.layers["B labels"].data[80:100, 80:100] = 1
    panel.form.pairs.set_pairs([LayerPair(scene.layers[name], scene.layers[f"{name} labels"]) for name in "AB"])
    blocks = [
        SuggestedBlock(0, {}, (slice(0, 64), slice(0, 64)), 1.0, "cells"),
        SuggestedBlock(1, {}, (slice(64, 128), slice(64, 128)), 1.0, "cells"),
    ]
    images = [scene.layers[name] for name in "AB"]
    panel.next.layers.show(blocks, [source_of(image, "YX") for image in images], [image.unique_id for image in images])
    return scene, panel


def judged(panel: TrainPanel) -> list[Any]:
    return [annotation.mask for annotation in panel.form.request().targets]


def test_a_block_teaches_of_its_own_image_alone(qtbot, two_images):
    scene, panel = two_images
    first, other = panel.next.layers.layers()
    first.selected_data = {0}
    panel.next.take_selected()
    with pytest.raises(ImageError, match="No block of 'B' is annotated"):
        panel.form.request()
    other.selected_data = {0}
    panel.next.take_selected()
    assert [layer.name for layer in panel.form.extent.extent().layers] == [f"{ANNOTATED} · B", f"{ANNOTATED} · A"]
    assert panel.form.extent.shapes_list.currentText() == ANNOTATED
    masks = judged(panel)
    assert [mask.sum() for mask in masks] == [64 * 64, 64 * 64]
    assert masks[0][:64, :64].all()
    assert masks[1][64:, 64:].all()

    scene.layers["A"].name = "of Monday"
    np.testing.assert_array_equal(judged(panel), masks)


def test_blocks_of_an_image_that_is_opened_again_are_its_own(two_images):
    scene, panel = two_images
    (first, _) = panel.next.layers.layers()
    first.selected_data = {0}
    panel.next.take_selected()
    pixels, labels = scene.layers["A"].data, scene.layers["A labels"]
    scene.layers.remove("A")
    panel.form.pairs.set_pairs([LayerPair(scene.add_image(pixels, name="A"), labels)])
    assert [mask.sum() for mask in judged(panel)] == [64 * 64]


@pytest.mark.parametrize(("axes", "shape"), [("ZCYX", (4, 3, 64, 64)), ("CZYX", (3, 4, 64, 64)), ("CYX", (3, 64, 64))])
def test_blocks_lie_at_their_plane_at_every_channel(scene, panel, axes, shape):
    scene.layers.clear()
    image = scene.add_image(np.zeros(shape, np.float32), axis_labels=tuple(axes.lower()))
    plane = {"Z": 2} if "Z" in axes else {}
    block = SuggestedBlock(0, plane, (slice(0, 32), slice(32, 64)), 1.0, "cells")
    panel.next.layers.show([block], [source_of(image, axes)], [image.unique_id])
    (layer,) = panel.next.layers.layers()
    for channel in (0, 2):
        scene.dims.set_point(range(len(axes)), [{"C": channel, "Z": 2}.get(letter, 0) for letter in axes])
        assert len(layer._data_view.displayed_vertices), channel
    if plane:
        scene.dims.set_point(axes.index("Z"), 1)
        assert not len(layer._data_view.displayed_vertices)
    (area,) = areas_on(layer, grid_of(image, axes, shape), axes.index("C"))
    assert area.index == plane
    np.testing.assert_allclose(area.outline.min(axis=0), (-0.5, 31.5))


def test_blocks_from_a_file_know_their_image_by_name_and_what_is_drawn_counts_for_all(qtbot, two_images):
    scene, panel = two_images
    boxes = [np.array([[y, y], [y, y + 63], [y + 63, y + 63], [y + 63, y]], float) for y in (0, 64)]
    for name, box in zip("AB", boxes, strict=True):
        scene.add_shapes([box], name=f"{ANNOTATED} · {name}")
    drawn = scene.add_shapes(boxes, name="boxes")
    panel.form.extent.choose(Rectangles((scene.layers[f"{ANNOTATED} · A"],)))
    assert [mask.sum() for mask in judged(panel)] == [64 * 64, 64 * 64]
    panel.form.extent.choose(Rectangles((drawn,)))
    assert [mask.sum() for mask in judged(panel)] == [2 * 64 * 64] * 2


def test_without_a_model_it_says_what_to_do_and_nothing_of_before(scene, panel, notifications):
    panel.next.button.say("10 blocks")
    panel.form.start_list.setCurrentIndex(panel.form.start_list.findData("scratch"))
    panel.next.button.start()
    assert "no model to ask" in notifications[-1][1]
    assert panel.next.button.bar.line.text() == ""
    assert panel.next.button.bar.state is PanelState.READY


def test_cancelling_and_closing_leave_nothing_behind(qtbot, scene, panel):
    panel.next.button.start()
    with qtbot.waitSignal(panel.next.button.ended, timeout=WAIT_MS):
        panel.next.button.cancel()
    assert not panel.next.layers.layers()
    assert panel.next.button.bar.state is PanelState.READY
    panel.next.button.start()
    panel.close_for_good()
