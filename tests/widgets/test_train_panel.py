"""The Train panel in a real viewer: start, watch, stop, cancel, close, kill, resume, use, correct, repeat."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from napari._qt import qt_main_window
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QDialog, QLabel, QMessageBox

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.events import Preview, Progress, TrainingStart
from unveil.image import Image
from unveil.io.card_file import read_card
from unveil.io.runs import Run, resumable_runs
from unveil.io.settings import read_settings
from unveil.io.writing import write_image, write_labels
from unveil.widgets.after_training import CardDialog
from unveil.widgets.docks import open_panel
from unveil.widgets.layer_roles import role_of
from unveil.widgets.layers import source_of
from unveil.widgets.preview_layer import PreviewLayer
from unveil.widgets.proposal import propose_task
from unveil.widgets.train_bar import TrainState
from unveil.widgets.train_panel import TrainPanel
from unveil.widgets.train_work import Trained, TrainingWork
from unveil.widgets.training_layers import (
    ANNOTATED,
    LayerPair,
    Rectangles,
    Scribbles,
    Sparse,
    TrainingTask,
    Whole,
    blocks_name,
)

WAIT_MS = 90_000
QUICK = {"patch_px": 32, "batch_size": 2, "epochs": 2, "steps_per_epoch": 2, "precision": "exact", "device": "cpu"}
ENDLESS = QUICK | {"epochs": 5000}
SCRIBBLED = ("other", "strokes"), ("cells", "painted")


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of training runs."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("UNVEIL_RUNS", str(folder))
    return folder


@pytest.fixture
def scene(viewer: Any) -> Any:
    """A viewer with discs on a dark ground and their labels, both with a scale."""
    rng = np.random.default_rng(0)
    labels = np.zeros((160, 160), np.uint16)
    yy, xx = np.mgrid[:160, :160]
    for number, (y, x) in enumerate(((y, x) for y in range(16, 160, 32) for x in range(16, 160, 32)), start=1):
        labels[(yy - y) ** 2 + (xx - x) ** 2 < 64] = number
    viewer.add_image(
        (100 * (labels > 0) + rng.normal(20, 5, labels.shape)).astype(np.float32), name="cells", scale=(2, 2)
    )
    viewer.add_labels(labels, name="painted", scale=(2, 2))
    return viewer


@pytest.fixture
def panel(scene: Any, models_folder: Path, runs_folder: Path) -> TrainPanel:
    """The panel in a dock, set to a tiny network and few steps."""
    made = TrainPanel(scene)
    scene.window.add_dock_widget(made, name="Train")
    use_tiny_networks(made)
    made.form.settings.form("segmentation").set_values(QUICK)
    made.form.settings.form("denoising").set_values(QUICK)
    return made


def use_tiny_networks(panel: TrainPanel) -> None:
    panel.form.settings.form("segmentation").set_values({"architecture": UNetConfig(width=4, poolings=1)})
    panel.form.settings.form("denoising").set_values({"architecture": DnCNNConfig(depth=2, width=4)})


def press(qtbot: Any, button: Any) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def start(qtbot: Any, panel: TrainPanel, **settings: Any) -> None:
    panel.form.settings.form("segmentation").set_values(settings)
    assert panel.bar.state is TrainState.READY, panel.bar.line.text()
    press(qtbot, panel.bar.start_button)
    assert panel.bar.state is TrainState.STARTING


def wait_for_steps(qtbot: Any, panel: TrainPanel) -> None:
    qtbot.waitUntil(lambda: panel.bar.state is TrainState.RUNNING and panel.bar.bar.value() > 0, timeout=WAIT_MS)


def wait_for_end(qtbot: Any, panel: TrainPanel) -> None:
    qtbot.waitUntil(lambda: not panel.is_training, timeout=WAIT_MS)


def points(panel: TrainPanel, curve: str) -> int:
    panel.plot.redraw()
    drawn = panel.plot.curves[curve].getOriginalDataset()[0]
    return 0 if drawn is None else len(drawn)


def trainers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may end while it is asked
            if child.status() != psutil.STATUS_ZOMBIE and "unveil.tasks.isolated" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_train_watch_use_and_repeat(qtbot, scene, panel, models_folder, notifications, monkeypatch):
    assert panel.form.task is TrainingTask.OBJECTS
    assert "object" in panel.form.reason.text()
    before = [layer.data.copy() for layer in scene.layers]
    scene.layers.selection.active = scene.layers["painted"]
    camera = scene.scene.camera if hasattr(scene, "scene") else scene.camera  # moved in napari 0.9
    view = camera.center, camera.zoom
    shown: set[str] = set()
    scene.layers.events.inserted.connect(lambda event: shown.add(event.value.name))
    told: list[str] = []
    show_steps = panel.bar.show_steps
    monkeypatch.setattr(panel.bar, "show_steps", lambda *steps: told.append(steps[-1]) or show_steps(*steps))

    start(qtbot, panel, epochs=40)
    wait_for_steps(qtbot, panel)
    assert "cpu, float32" in panel.bar.line.text()
    qtbot.waitUntil(lambda: points(panel, "metric") > 0, timeout=WAIT_MS)
    wait_for_end(qtbot, panel)

    assert {"cells · training preview", "held out for validation"} <= shown
    assert [layer.name for layer in scene.layers if layer.visible] == ["cells", "painted"]
    assert scene.layers["held out for validation"].data.mean() == pytest.approx(0.25, abs=0.1)
    assert scene.layers.selection.active == scene.layers["painted"]
    assert (camera.center, camera.zoom) == view
    for layer, pixels in zip(scene.layers[:2], before, strict=True):
        np.testing.assert_array_equal(layer.data, pixels)
    assert panel.bar.state is TrainState.READY
    assert points(panel, "steps") == 80
    assert told[-1] == "1 of 1 images for the rule of objects"

    (model,) = models_folder.glob("*.safetensors")
    card = read_card(model)
    assert card.pixel_size_um == {}
    assert card.training is not None
    assert card.training.ended_by == "schedule"
    assert card.training.n_validation_images == 1
    assert not panel.after.isHidden()
    assert not [words for severity, words in notifications if severity == "error"]

    press(qtbot, panel.after.card_button)
    (dialog,) = panel.after.findChildren(CardDialog)
    assert "ran to its end" in dialog.text.text()
    assert "1 image to learn from" in dialog.text.text()
    dialog.close()


def test_preparing_is_shown_and_can_be_cancelled(qtbot, panel, models_folder, monkeypatch):
    is_over = threading.Event()

    def prepare(work, monitor):
        monitor(Progress(3, 12, "images prepared"))
        is_over.wait()
        monitor(Progress(4, 12, "images prepared"))

    monkeypatch.setattr(TrainingWork, "__call__", prepare)
    monkeypatch.setattr(TrainingWork, "interrupt", lambda work: is_over.set())
    start(qtbot, panel)
    qtbot.waitUntil(lambda: panel.bar.line.text() == "3 of 12 images prepared", timeout=WAIT_MS)
    assert (panel.bar.bar.value(), panel.bar.bar.maximum()) == (3, 12)
    press(qtbot, panel.bar.cancel_button)
    wait_for_end(qtbot, panel)
    assert panel.bar.line.text() == "Cancelled."
    assert not list(models_folder.glob("*.safetensors"))


def test_the_bar_begins_anew_when_the_training_does(qtbot, panel, monkeypatch):
    is_over = threading.Event()

    def prepare(work, monitor):
        monitor(Progress(12, 12, "images prepared"))
        architecture = UNetConfig().model_dump(mode="json")
        monitor(TrainingStart("cpu", "float32", 40, {"architecture": architecture}, (), ()))
        is_over.wait()

    monkeypatch.setattr(TrainingWork, "__call__", prepare)
    monkeypatch.setattr(TrainingWork, "interrupt", lambda work: is_over.set())
    monkeypatch.setattr(panel.form, "show_choices", lambda event: None)
    start(qtbot, panel)
    qtbot.waitUntil(lambda: panel.bar.state is TrainState.RUNNING, timeout=WAIT_MS)
    assert (panel.bar.bar.value(), panel.bar.bar.maximum()) == (0, 40)
    press(qtbot, panel.bar.cancel_button)
    wait_for_end(qtbot, panel)


def test_what_is_copied_repeats_the_training(qtbot, panel, models_folder, tmp_path):
    start(qtbot, panel)
    wait_for_end(qtbot, panel)
    (trained,) = models_folder.glob("*.safetensors")
    press(qtbot, panel.after.command_button)
    command = shlex.split(QApplication.clipboard().text())
    settings_file = Path(command[command.index("--config") + 1])
    assert "time_budget_s" not in settings_file.read_text().partition("\n")[2]
    assert command[0] == "unveil"
    press(qtbot, panel.after.python_button)
    lines = QApplication.clipboard().text()
    for words in (["-m", *command], ["-c", lines]):
        folder = tmp_path / words[0]
        folder.mkdir()
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True, timeout=120)
        (again,) = folder.glob("*.safetensors")
        assert read_card(again).weights_sha256 == read_card(trained).weights_sha256


def test_segment_with_it_is_one_click(qtbot, scene, panel):
    start(qtbot, panel, epochs=3, steps_per_epoch=30, learning_rate=0.01)
    wait_for_end(qtbot, panel)
    press(qtbot, panel.after.use_button)
    qtbot.waitUntil(lambda: any(role_of(layer) == "labels" for layer in scene.layers), timeout=WAIT_MS)
    labels = next(layer for layer in scene.layers if role_of(layer) == "labels")
    assert labels.metadata["unveil"]["source"] == "cells"
    press(qtbot, panel.after.correct_button)
    assert "cells corrected" in scene.layers


def test_stop_keeps_the_best_and_cancel_keeps_nothing(qtbot, panel, models_folder):
    start(qtbot, panel, **ENDLESS)
    wait_for_steps(qtbot, panel)
    press(qtbot, panel.bar.pause_button)
    assert panel.bar.state is TrainState.PAUSED
    qtbot.wait(700)
    reached = panel.bar.bar.value()
    qtbot.wait(700)
    assert panel.bar.bar.value() == reached
    press(qtbot, panel.bar.pause_button)
    qtbot.waitUntil(lambda: panel.bar.bar.value() > reached, timeout=WAIT_MS)
    press(qtbot, panel.bar.stop_button)
    wait_for_end(qtbot, panel)
    (model,) = models_folder.glob("*.safetensors")
    training = read_card(model).training
    assert training is not None
    assert training.ended_by == "user"
    assert training.config["stop_after"] == len(training.history)

    start(qtbot, panel, **ENDLESS)
    wait_for_steps(qtbot, panel)
    asked = time.monotonic()
    press(qtbot, panel.bar.cancel_button)
    wait_for_end(qtbot, panel)
    assert time.monotonic() - asked < 10
    assert panel.bar.line.text() == "Cancelled."
    assert len(list(models_folder.glob("*.safetensors"))) == 1
    assert not resumable_runs()
    assert not trainers()


def test_a_killed_trainer_can_be_resumed(qtbot, scene, panel, models_folder, notifications):
    start(qtbot, panel, **(QUICK | {"epochs": 60}))
    qtbot.waitUntil(lambda: points(panel, "metric") > 0, timeout=WAIT_MS)
    (trainer,) = trainers()
    trainer.kill()
    wait_for_end(qtbot, panel)
    assert any(severity == "error" and "killed" in words for severity, words in notifications)
    assert not panel.resume.isHidden()

    press(qtbot, panel.resume.resume_button)
    wait_for_steps(qtbot, panel)
    assert not scene.layers["held out for validation"].visible  # what it learns from may be another image
    wait_for_end(qtbot, panel)
    assert panel.resume.isHidden()
    (model,) = models_folder.glob("*.safetensors")
    training = read_card(model).training
    assert training is not None
    assert [epoch.epoch for epoch in training.history] == list(range(1, 61))


def test_closing_the_dock_in_mid_run_leaves_no_process_and_what_it_learnt(qtbot, scene, panel, notifications):
    start(qtbot, panel, **ENDLESS)
    qtbot.waitUntil(lambda: points(panel, "metric") > 0, timeout=WAIT_MS)
    assert trainers()
    qtbot.waitUntil(lambda: "cells · training preview" in scene.layers, timeout=WAIT_MS)
    scene.window.remove_dock_widget(panel)
    assert "cells · training preview" not in scene.layers
    assert not scene.layers["held out for validation"].visible
    qtbot.waitUntil(lambda: not trainers(), timeout=WAIT_MS)
    qtbot.wait(300)
    assert not [words for severity, words in notifications if severity == "error"]
    assert len(resumable_runs()) == 1
    panel.deleteLater()


def test_napari_asks_before_it_closes_in_mid_run(qtbot, scene, panel, monkeypatch):
    questions: list[str] = []

    def reject(dialog: Any) -> QDialog.DialogCode:
        questions.extend(label.text() for label in dialog.findChildren(QLabel))
        return QDialog.DialogCode.Rejected

    monkeypatch.setattr(qt_main_window.ConfirmCloseDialog, "exec_", reject)
    start(qtbot, panel, **ENDLESS)
    wait_for_steps(qtbot, panel)
    event = QCloseEvent()
    event.spontaneous = lambda: True  # as from the window's own button
    scene.window._qt_window.closeEvent(event)
    assert not event.isAccepted()
    assert any("Training cells-segmenter" in question for question in questions)
    assert panel.is_training
    press(qtbot, panel.bar.cancel_button)
    wait_for_end(qtbot, panel)


def test_too_little_for_a_validation_is_asked_about(qtbot, scene, panel, models_folder, monkeypatch):
    labels = scene.layers["painted"]
    labels.data = np.where(labels.data == 1, 1, 0).astype(np.uint16)
    asked: list[str] = []

    def agree(parent: Any, title: str, question: str) -> Any:
        asked.append(question)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", agree)
    start(qtbot, panel)
    qtbot.waitUntil(lambda: bool(asked), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: bool(list(models_folder.glob("*.safetensors"))), timeout=WAIT_MS)
    wait_for_end(qtbot, panel)
    assert "Too little is annotated" in asked[0]
    (model,) = models_folder.glob("*.safetensors")
    training = read_card(model).training
    assert training is not None
    assert training.n_validation_images == 0


def test_what_a_training_starts_from(panel):
    form = panel.form
    assert form.start_list.currentText() == "automatic"
    assert form.request().parent is None  # the tiny network fits nothing

    form.settings.form("segmentation").set_values({"architecture": UNetConfig(out_channels=3)})
    parent = form.request().parent
    assert parent is not None
    assert parent.name == "simulated-cells.safetensors"

    form.start_list.setCurrentText("scratch")
    assert form.request().parent is None


def test_problems_are_told_before_anything_starts(qtbot, scene, panel, notifications, runs_folder):
    scene.layers["painted"].data = np.zeros((160, 160), np.uint16)
    press(qtbot, panel.bar.start_button)
    assert not panel.is_training
    ((severity, words),) = notifications
    assert severity == "error"
    assert "painted" in words
    assert not runs_folder.exists()


def test_predicted_labels_become_an_annotation(qtbot, scene, panel):
    predicted = scene.add_labels(
        np.ones((160, 160), int),
        name="cells · m labels",
        scale=(2, 2),
        metadata={"unveil": {"role": "labels", "source": "cells"}},
    )
    panel.form.correct_prediction()
    corrected = scene.layers["cells corrected"]
    np.testing.assert_array_equal(corrected.data, predicted.data)
    corrected.data[0, 0] = 7
    assert predicted.data[0, 0] == 1
    assert scene.layers.selection.active == corrected
    (pair,) = panel.form.pairs.pairs()
    assert pair.target == corrected
    assert list(corrected.scale) == [2, 2]


def predict(scene: Any, labels: np.ndarray, **arguments: Any) -> Any:
    metadata = {"unveil": {"role": "labels", "source": "cells"}}
    return scene.add_labels(labels, name="cells · m labels", scale=(2, 2), metadata=metadata, **arguments)


def test_a_prediction_is_corrected_after_its_image_got_another_name(scene, panel):
    predicted = predict(scene, np.ones((160, 160), int))
    scene.layers["cells"].name = "patient 7"
    panel.form.correct_prediction()
    assert panel.form.pairs.pairs()[0].target == scene.layers["patient 7 corrected"]
    panel.form.pairs._ids.clear()  # renamed before the panel was opened
    predicted.metadata["unveil"]["layer"] = scene.layers["patient 7"].unique_id
    panel.form.correct_prediction()
    assert panel.form.pairs.pairs()[0].target == scene.layers["patient 7 corrected [1]"]


def test_without_a_prediction_there_is_nothing_to_correct(scene, panel, notifications):
    panel.form.correct_prediction()
    assert "no prediction to correct" in notifications[-1][1]


def test_a_prediction_that_was_converted_to_an_image_is_not_corrected(scene, panel, notifications):
    earlier = predict(scene, np.ones((160, 160), int))
    converted = scene.add_image(earlier.data, name="converted", metadata=dict(earlier.metadata))
    panel.form.correct_prediction()
    np.testing.assert_array_equal(scene.layers["cells corrected"].data, earlier.data)
    scene.layers.remove(earlier)
    panel.form.correct_prediction()
    assert "no prediction to correct" in notifications[-1][1]
    assert converted in scene.layers


def test_corrected_labels_are_no_scribbles(scene, panel, notifications):
    scene.add_image(scene.layers["cells"].data, name="other")
    scene.add_labels(scene.layers["painted"].data, name="strokes")
    pairs = [LayerPair(scene.layers[image], scene.layers[labels]) for image, labels in SCRIBBLED]
    panel.form.pairs.set_pairs(pairs)
    panel.form.extent.choose(Scribbles(1))
    predict(scene, np.where(scene.layers["painted"].data, 1, 0))
    panel.form.correct_prediction()
    assert isinstance(panel.form.extent.extent(), Whole)
    assert "'strokes' still hold scribbles" in notifications[-1][1]
    first, _ = panel.form.request().targets[::-1]
    assert first.mask is None
    np.testing.assert_array_equal(first.labels.data, scene.layers["cells corrected"].data)


def test_corrected_scribbles_have_another_background(scene, panel, notifications):
    panel.form.pairs.set_pairs([LayerPair(scene.layers["cells"], scene.layers["painted"])])
    panel.form.extent.choose(Scribbles(4))
    predict(scene, scene.layers["painted"].data)
    panel.form.correct_prediction()
    assert "0 is its background: erase, and paint 4 no more" in notifications[-1][1]


def test_corrected_labels_alone_are_whole(scene, panel):
    extent = panel.form.extent
    predict(scene, scene.layers["painted"].data)
    scene.add_image(np.zeros((160, 160)), name="other")
    for name, words in (("other", "only near objects"), ("cells", "the whole image")):
        panel.form.pairs.set_pairs([LayerPair(scene.layers[name], scene.layers["painted"])])
        extent.choose(Sparse())
        panel.form.correct_prediction()
        assert extent.kind_list.currentText() == words


def test_corrected_classes_have_the_numbers_that_were_painted(scene, panel):
    mask = np.where(scene.layers["painted"].data, 255, 0).astype(np.uint8)
    scene.add_image(scene.layers["cells"].data, name="other")
    scene.add_labels(mask, name="mask")
    panel.form.task_list.setCurrentIndex(panel.form.task_list.findData("classes"))
    panel.form.pairs.set_pairs([LayerPair(scene.layers["other"], scene.layers["mask"])])
    predicted = (mask > 0).astype(np.int32)
    predict(scene, predicted, features={"index": [0, 1], "class": ["background", "class 255"]})
    panel.form.correct_prediction()
    np.testing.assert_array_equal(scene.layers["cells corrected"].data, mask)
    assert panel.form.request().settings.classes == ("background", "class 255")
    predict(scene, predicted, features={"index": [0, 1], "class": ["background", "blob"]})
    panel.form.correct_prediction()
    assert scene.layers[-1].data.max() == 1


def names(panel: TrainPanel) -> list[tuple[str, ...]]:
    return [tuple(layer.name for layer in (pair.image, pair.target) if layer) for pair in panel.form.pairs.pairs()]


def test_all_that_is_annotated_teaches_until_somebody_chooses(qtbot, scene, panel):
    for name in ("second", "third"):
        scene.add_image(scene.layers["cells"].data, name=name, scale=(2, 2))
        scene.add_labels(scene.layers["painted"].data, name=f"{name} labels", scale=(2, 2))
    denoised = scene.add_image(
        scene.layers["cells"].data, name="clear", scale=(2, 2), metadata={"unveil": {"role": "denoised"}}
    )
    pairs = [("cells", "painted"), ("second", "second labels"), ("third", "third labels")]
    assert names(panel) == pairs
    assert "Labels 'painted' hold 25 numbers" in panel.form.reason.text()
    assert [image.name for image in panel.form.request().images] == ["cells", "second", "third"]

    press(qtbot, panel.form.pairs.rows[0].remove_button)
    assert panel.form.reason.text() == ""  # it was about labels that teach nothing now
    scene.add_labels(scene.layers["painted"].data, name="more", scale=(2, 2))
    assert names(panel) == pairs[1:]
    scene.layers.remove("cells")
    panel.form.pairs.add_pair()
    assert names(panel)[2] == ()  # what was denoised is nobody's guess
    panel.form.pairs.rows[2].image_list.setCurrentText("clear")
    assert panel.form.pairs.pairs()[2].image == denoised

    scene.layers.clear()
    for name in ("a", "b"):
        scene.add_image(np.zeros((32, 32)), name=name)
        scene.add_labels(np.eye(32, dtype=int), name=f"{name} labels")
    assert names(panel) == [("a", "a labels"), ("b", "b labels")]


def test_predicted_labels_are_not_proposed_beside_painted_ones(scene, panel):
    scene.add_image(scene.layers["cells"].data, name="other", scale=(2, 2))
    predict(scene, scene.layers["painted"].data)
    assert len(names(panel)) == 1
    assert panel.form.pairs.pairs()[0].target == scene.layers["painted"]


def test_results_that_come_and_go_are_no_reason_to_look_at_all_layers_again(scene, panel, monkeypatch):
    looked = []

    def look(layers, *args):
        looked.append(len(layers))
        return propose_task(layers, *args)

    monkeypatch.setattr("unveil.widgets.train_form.propose_task", look)
    for role in ("probability", "denoised", "preview", "growing"):
        scene.add_image(np.zeros((160, 160)), name=role, metadata={"unveil": {"role": role}})
        scene.layers.remove(role)
    assert looked == []
    scene.add_image(np.zeros((160, 160)), name="more cells")
    scene.add_labels(np.ones((160, 160), int), name="predicted", metadata={"unveil": {"role": "labels"}})
    scene.layers.remove("more cells")
    assert looked == [3, 4, 3]


def test_what_the_user_says_is_annotated_stays(scene, panel):
    extent = panel.form.extent
    scene.add_shapes(np.array([[0, 0], [0, 60], [60, 60], [60, 0]]), shape_type="path", name="areas")
    assert isinstance(extent.extent(), Whole)
    extent.kind_list.setCurrentText("only inside shapes")
    scene.add_points(np.zeros((1, 2)), name="any")
    assert extent.extent() == Rectangles((scene.layers["areas"],))
    extent.kind_list.setCurrentText("scribbles")
    extent.background.setValue(3)
    scene.layers.remove("any")
    assert extent.extent() == Scribbles(3)


def paint_some(scene, choose=lambda: None):
    """Open an image of bright discs, `choose`, and paint a few; return their layer and labels of all."""
    rows, columns = np.indices((160, 160)) % 20 - 10
    labels = np.where(rows**2 + columns**2 < 36, np.arange(1, 65).reshape(8, 8).repeat(20, 0).repeat(20, 1), 0)
    scene.add_image((labels > 0) + np.random.default_rng(0).normal(0, 0.1, labels.shape), name="discs")
    choose()
    layer = scene.add_labels(np.zeros_like(labels), name="discs labels")
    layer.data_setitem(np.nonzero(np.isin(labels, (1, 2, 9, 10))), 1)
    layer.events.paint(value=[])
    return layer, labels


def test_what_was_painted_is_looked_at_when_the_brush_rests(qtbot, viewer, runs_folder):
    panel = TrainPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Train")
    form = panel.form
    layer, labels = paint_some(viewer)
    assert "still empty" in form.reason.text()
    qtbot.waitUntil(lambda: isinstance(form.extent.extent(), Sparse), timeout=WAIT_MS)
    assert form.task is TrainingTask.CLASSES  # one number in four places
    layer.data = labels
    qtbot.waitUntil(lambda: isinstance(form.extent.extent(), Whole), timeout=WAIT_MS)
    assert form.task is TrainingTask.OBJECTS
    area = viewer.add_shapes(name="done")
    area.add_rectangles([[0, 0], [0, 50], [50, 50], [50, 0]])
    qtbot.waitUntil(lambda: form.extent.extent() == Rectangles((area,)), timeout=WAIT_MS)


def test_what_is_chosen_where_it_stands_is_chosen(qtbot, scene, panel):
    extent = panel.form.extent
    assert isinstance(extent.extent(), Whole)
    qtbot.keyClick(extent.kind_list, Qt.Key.Key_F4)
    qtbot.keyClick(extent.kind_list.view(), Qt.Key.Key_Return)
    scene.add_shapes(np.array([[0, 0], [0, 60], [60, 60], [60, 0]]), name="areas")
    assert isinstance(extent.extent(), Whole)


def test_what_was_painted_just_now_counts_in_a_task_of_ones_own_choice(viewer, runs_folder):
    panel = TrainPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Train")
    form = panel.form
    paint_some(viewer, lambda: form.task_list.setCurrentText("Segment objects"))
    (annotation,) = form.request().targets
    assert form.task is TrainingTask.OBJECTS
    assert annotation.mask.mean() < 0.2
    assert form.extent.kind_list.currentText() == "only near objects"
    assert form.reason.text() == ""  # it is about classes
    form.task_list.setCurrentText("Segment classes")
    for words, outcome in (("only near objects", "only what is near"), ("the whole image", "teach as background")):
        form.extent.kind_list.setCurrentText(words)
        assert outcome in form.reason.text()


def test_shapes_are_listed_by_their_present_names(scene, panel):
    extent = panel.form.extent
    mine, other = (scene.add_shapes([[[0, 0], [0, 90], [90, 90], [90, 0]]], name=name) for name in ("mine", "other"))
    extent.choose(Rectangles((mine,)))
    mine.name, other.name = "done by Anna", "not done"
    assert [extent.shapes_list.itemText(row) for row in range(2)] == ["not done", "done by Anna"]
    assert extent.shapes_list.currentText() == "done by Anna"
    for name, listed in ((blocks_name("cells"), ANNOTATED), ("mine again", "mine again")):
        mine.name = name
        assert extent.shapes_list.currentText() == listed
        assert extent.extent() == Rectangles((mine,))
    panel.form.close_for_good()
    mine.name = "too late"
    assert extent.shapes_list.currentText() == "mine again"


def test_a_folder_teaches_beside_the_layers(qtbot, scene, panel, models_folder, tmp_path):
    for number in range(2):
        write_image(tmp_path / "images" / f"{number}.tif", Image(scene.layers["cells"].data + number))
        write_labels(tmp_path / "labels" / f"{number}.tif", Image(scene.layers["painted"].data))
    panel.form.folder.choose(tmp_path / "images", tmp_path / "labels")
    start(qtbot, panel)
    wait_for_end(qtbot, panel)
    (model,) = models_folder.glob("*.safetensors")
    training = read_card(model).training
    assert training is not None
    assert (training.n_images, training.n_validation_images) == (2, 1)

    scene.layers.clear()
    assert panel.bar.state is TrainState.READY
    panel.form.folder.choose(None, None)
    assert panel.bar.state is TrainState.BLOCKED


def test_the_preview_follows_the_plane_in_view_and_the_place_of_the_image(qtbot, scene, panel):
    cells, painted = (np.stack([scene.layers[name].data] * 3) for name in ("cells", "painted"))
    scene.layers.clear()
    scene.add_image(cells, name="stack")
    scene.add_labels(painted, name="painted stack")
    scene.dims.set_point(0, 0)
    start(qtbot, panel, **ENDLESS)
    qtbot.waitUntil(lambda: "stack · training preview" in scene.layers, timeout=WAIT_MS)
    preview = scene.layers["stack · training preview"]
    assert preview.translate[0] == 0
    scene.dims.set_point(0, 2)
    qtbot.waitUntil(lambda: preview.translate[0] == 2, timeout=WAIT_MS)
    scene.layers["stack"].scale = (1, 0.5, 0.5)
    qtbot.waitUntil(lambda: preview.scale[1] == 0.5, timeout=WAIT_MS)
    panel.cancel()
    wait_for_end(qtbot, panel)


def test_only_a_plane_that_the_network_can_see_is_previewed(qtbot, scene, panel, notifications):
    cells, painted = (np.stack([scene.layers[name].data] * 3) for name in ("cells", "painted"))
    scene.layers.clear()
    scene.add_image(cells, name="stack")
    scene.add_labels(painted, name="painted stack")
    start(qtbot, panel, **ENDLESS)
    qtbot.waitUntil(lambda: "stack · training preview" in scene.layers, timeout=WAIT_MS)
    scene.add_image(np.zeros((3, 64, 64, 3), np.uint8), rgb=True, name="colours")
    scene.layers.remove("stack")
    scene.dims.set_point(0, 2)
    qtbot.wait(700)
    reached = points(panel, "metric")
    qtbot.waitUntil(lambda: points(panel, "metric") > reached + 1, timeout=WAIT_MS)
    assert not notifications
    panel.cancel()
    wait_for_end(qtbot, panel)


def test_a_preview_of_another_shape_is_dropped(scene):
    preview = PreviewLayer(scene)
    preview.begin(source_of(scene.layers["cells"], "YX"), "")
    preview.update(Preview(1, np.zeros((2, 80, 80), np.float32)), "segmentation")
    preview.update(Preview(1, np.zeros((2, 1, 160, 160), np.float32)), "segmentation")
    assert len(scene.layers) == 2
    preview.update(Preview(2, np.zeros((2, 160, 160), np.float32)), "segmentation")
    assert "cells · training preview" in scene.layers


def test_a_model_of_channels_is_used_on_channels(qtbot, scene, panel, save_segmenter, blobs, tmp_path):
    scene.layers.clear()
    scene.add_image(blobs(2, 32, 32), name="both")
    (axes,) = panel.form.pairs.axes_form.lists
    axes.setCurrentIndex(axes.findData("CYX"))
    model = save_segmenter("both-segmenter", in_channels=2)
    panel.after.use.emit(Trained(model, read_card(model), Run(tmp_path)))
    qtbot.waitUntil(lambda: any(role_of(layer) == "labels" for layer in scene.layers), timeout=WAIT_MS)
    assert scene.layers["both · both-segmenter labels"].data.shape == (32, 32)


def test_a_panel_at_work_is_left_alone(scene, panel, save_segmenter, tmp_path, notifications, monkeypatch):
    save_segmenter("blobs")
    model = save_segmenter("newer")
    trained = Trained(model, read_card(model), Run(tmp_path))
    segment = open_panel(scene, "Segment")
    segment.form.models.choose(model.with_stem("blobs"))
    monkeypatch.setattr(type(segment.runner), "is_running", True)
    panel.after.use.emit(trained)
    assert segment.form.models.list.currentText() == "blobs"
    assert "at work" in notifications[-1][1]


def test_adapting_fits_a_denoiser_to_the_image(qtbot, scene, panel, models_folder, save_segmenter, save_denoiser):
    save_segmenter()
    start = read_card(save_denoiser("keeper"))
    form = panel.form
    form.task_list.setCurrentIndex(form.task_list.findData("adapt"))
    assert [form.start_list.itemText(i) for i in range(form.start_list.count())] == ["automatic", "keeper"]
    assert form.request().parent.name == "fluorescence-denoiser.safetensors"

    form.start_list.setCurrentText("keeper")
    press(qtbot, panel.bar.start_button)
    wait_for_end(qtbot, panel)
    (made,) = (path for path in models_folder.glob("*.safetensors") if path.stem not in ("keeper", "blobs"))
    card = read_card(made)
    assert card.architecture == start.architecture
    assert card.training is not None
    assert card.training.parent_sha256 == start.weights_sha256
    assert card.training.config["noisy_only"] == "adapt"
    assert panel.after.use_button.text() == "Denoise with it"


def test_noisy_only_and_fine_tuning(qtbot, scene, panel, models_folder):
    panel.form.task_list.setCurrentIndex(panel.form.task_list.findData("noisy_only"))
    assert panel.bar.state is TrainState.READY, panel.bar.line.text()
    press(qtbot, panel.bar.start_button)
    wait_for_end(qtbot, panel)
    (first,) = models_folder.glob("*.safetensors")
    assert read_card(first).task == "denoising"
    assert panel.after.use_button.text() == "Denoise with it"

    press(qtbot, panel.after.train_on_button)
    assert panel.bar.state is TrainState.STARTING
    wait_for_end(qtbot, panel)
    (second,) = set(models_folder.glob("*.safetensors")) - {first}
    training = read_card(second).training
    assert training is not None
    assert training.parent_sha256 == read_card(first).weights_sha256


def rows(panel: TrainPanel) -> list[tuple[str, str]]:
    return [(pair.image.name, pair.target.name) for pair in panel.form.pairs.pairs() if pair.image and pair.target]


def test_labels_that_were_painted_keep_their_row(qtbot, scene, panel):
    assert rows(panel) == [("cells", "painted")]
    other = np.zeros((160, 160), np.uint8)
    scene.add_labels(other, name="cells labels", scale=(2, 2))
    scene.add_labels(other + 1, name="tissue mask", scale=(2, 2))
    assert rows(panel) == [("cells", "painted")]
    assert panel.form.task is TrainingTask.OBJECTS


def test_what_was_painted_is_saved_though_its_row_is_gone(qtbot, scene, panel):
    painted = scene.layers["painted"]
    painted.data_setitem((np.array([0]), np.array([0])), 9)
    other = scene.add_labels(np.ones((160, 160), np.uint8), name="other", scale=(2, 2))
    panel.form.pairs.set_pairs([LayerPair(scene.layers["cells"], other)])
    panel.autosave.save()
    qtbot.waitUntil(lambda: panel.autosave.is_idle, timeout=WAIT_MS)
    assert len(list(panel.autosave.folder.glob("painted_*.tif"))) == 1


def test_what_is_opened_after_a_training_teaches_nothing(qtbot, scene, panel):
    panel.form.request()
    scene.add_image(np.zeros((96, 96), np.float32), name="test")
    scene.add_labels(np.ones((96, 96), np.uint8), name="test truth")
    assert rows(panel) == [("cells", "painted")]


def test_rows_stand_in_the_order_in_which_images_were_opened(scene, panel):
    for number in range(2):
        scene.add_image(np.zeros((96, 90 + number), np.float32), name=f"i{number}")
        scene.add_labels(np.ones((96, 90 + number), np.uint8), name=f"i{number} labels")
    opened_later = TrainPanel(scene)
    assert [image for image, _ in rows(panel)] == [image for image, _ in rows(opened_later)] == ["cells", "i0", "i1"]
    opened_later.close_for_good()
    opened_later.deleteLater()


def test_a_choice_of_what_is_annotated_ends_with_its_layers(scene, panel):
    panel.form.extent.choose(Scribbles(1))
    scene.layers.clear()
    scene.add_image(np.zeros((96, 96), np.float32), name="new")
    labels = np.zeros((96, 96), np.uint8)
    labels[10:20, 10:20], labels[40:50, 40:50] = 1, 2
    scene.add_labels(labels, name="new labels")
    assert not isinstance(panel.form.extent.extent(), Scribbles)


def test_no_row_goes_as_more_images_are_opened(scene, panel, monkeypatch):
    monkeypatch.setattr("unveil.widgets.proposal._MOST_IMAGES", 2)
    for number in range(4):
        scene.add_image(np.zeros((96, 90 + number), np.float32), name=f"i{number}")
        scene.add_labels(np.ones((96, 90 + number), np.uint8), name=f"i{number} labels")
    assert rows(panel) == [("cells", "painted"), *((f"i{number}", f"i{number} labels") for number in range(4))]


def test_saved_settings_hold_what_is_asked_outside_of_the_fold(panel, tmp_path):
    form, file = panel.form, tmp_path / "training.yaml"
    form.task_list.setCurrentText("Segment classes")
    form.time_list.setCurrentText("about 3 minutes")
    form.settings.save(file)
    assert {"objects": False, "time_budget_s": 180.0}.items() <= read_settings(file).items()
    form.time_list.setCurrentText("automatic")
    form.settings.load(file)
    assert form.request().settings.time_budget_s == 180
    assert form.time_list.currentText() == "about 3 minutes"


def test_a_time_of_a_settings_file_is_shown_and_can_be_taken_back(panel, tmp_path):
    form, file = panel.form, tmp_path / "training.yaml"
    file.write_text("time_budget_s: 45\n")
    form.settings.load(file)
    assert form.time_list.currentText() == "about 45 s"
    assert form.request().settings.time_budget_s == 45
    form.time_list.setCurrentText("automatic")
    assert form.request().settings.time_budget_s is None
    file.write_text("seed: 3\n")
    form.settings.load(file)
    assert form.time_list.currentText() == "automatic"


def test_saved_settings_hold_whether_the_network_sees_volumes(scene, panel, tmp_path):
    scene.layers.clear()
    scene.add_image(np.zeros((12, 64, 64), np.float32), name="stack")
    labels = np.zeros((12, 64, 64), np.uint8)
    labels[2:9, 10:30, 10:30] = 1
    scene.add_labels(labels, name="stack labels")
    form, file = panel.form, tmp_path / "training.yaml"
    form.sees_list.setCurrentText("volumes (3D)")
    form.settings.form("segmentation").set_values({"architecture": None})
    form.settings.save(file)
    saved = read_settings(file)["architecture"]
    assert saved == form.request().settings.architecture.model_dump(mode="json")
    assert (saved["n_dims"], saved["poolings"]) == (3, [1, 3, 3])
    form.sees_list.setCurrentText("planes, one by one")
    form.settings.load(file)
    assert form.sees_list.currentText() == "volumes (3D)"
