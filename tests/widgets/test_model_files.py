"""Models in the panels: the library, files dropped on the viewer, files opened by the button."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtCore import Qt

from unveil.model.card import LipschitzCertificate, MeasuredScores
from unveil.widgets import session_models as sessions
from unveil.widgets.model_picker import ModelPicker, describe
from unveil.widgets.reader import get_reader
from unveil.widgets.segment_panel import SegmentPanel


@pytest.fixture(autouse=True)
def fresh_session(monkeypatch):
    """A process that has opened no model yet."""
    fresh = sessions.SessionModels()
    for module in ("session_models", "model_picker"):
        monkeypatch.setattr(f"unveil.widgets.{module}.session_models", fresh)
    return fresh


@pytest.fixture
def elsewhere(save_segmenter, tmp_path):
    """A model file that is in no library."""
    path = save_segmenter("dropped", description="Squares of the sort that tests like. And more.")
    return shutil.move(path, tmp_path / "dropped.safetensors")


def test_the_picker_lists_the_library_by_task(qtbot, save_segmenter, save_denoiser, models_folder):
    save_segmenter("a")
    save_segmenter("b")
    save_denoiser("c")
    (models_folder / "broken.safetensors").write_bytes(b"nothing")
    picker = ModelPicker("segmentation")
    qtbot.addWidget(picker)
    qtbot.addWidget(picker.summary)
    texts = [picker.list.itemText(row) for row in range(picker.list.count())]
    assert texts == ["a", "b", "broken (cannot be used)"]
    assert not picker.list.model().item(2).isEnabled()
    assert "safetensors" in picker.list.itemData(2, Qt.ItemDataRole.ToolTipRole)
    assert picker.entry.name == "a"
    picker.list.setCurrentIndex(2)
    assert picker.entry is None


def test_the_card_in_a_few_words(qtbot, save_segmenter):
    scores = (MeasuredScores(data="squares. All of them.", values={"iou": 0.9, "ap": {"0.50": 0.8}, "n_images": 3}),)
    save_segmenter(
        description="Bright squares. On dark ground.",
        pixel_size_um={"Y": 0.5, "X": 0.5},
        scores=scores,
        license="CC0-1.0",
    )
    picker = ModelPicker("segmentation")
    qtbot.addWidget(picker)
    qtbot.addWidget(picker.summary)
    assert picker.summary.text().splitlines() == [
        "U-Net 2D · 1 channel · 0.5 µm/px",
        "Bright squares",
        "IoU 0.90, AP 0.80 on squares",
    ]
    assert "CC0-1.0" in describe(picker.card)


def test_long_names_of_models_can_be_told_apart(qtbot, save_segmenter):
    for number in ("012", "013"):
        save_segmenter(f"2026-11-28_experiment_with_a_very_long_name_DAPI_63x_position_{number}-segmenter")
    picker = ModelPicker("segmentation")
    for widget in (picker, picker.summary):
        qtbot.addWidget(widget)
    picker.list.setFixedSize(240, 24)
    looks = []
    for row in range(2):
        picker.list.setCurrentIndex(row)
        looks.append(picker.list.grab().toImage())
    assert looks[0] != looks[1]


def test_a_certificate_counts_once_it_was_recomputed_from_the_weights(qtbot, save_denoiser, notifications):
    about = {"method": "Gram iteration", "covers": "the network"}
    save_denoiser("borne-out", certificate=LipschitzCertificate(bound=1.5, **about))
    save_denoiser("forged", certificate=LipschitzCertificate(bound=0.5, **about))
    picker = ModelPicker("denoising")
    qtbot.addWidget(picker)
    qtbot.addWidget(picker.summary)
    assert "being recomputed" in picker.summary.text()
    qtbot.waitUntil(lambda: "✓ Moves no two images more than 1.5 times" in picker.summary.text(), timeout=60_000)
    assert notifications == []
    picker.list.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "⚠ NOT borne out" in picker.summary.text(), timeout=60_000)
    assert [severity for severity, text in notifications if "'forged'" in text] == ["warning"]
    picker.list.setCurrentIndex(0)
    assert "✓" in picker.summary.text()  # without asking the weights again


def test_a_dropped_model_is_chosen_in_the_open_panel(viewer, save_segmenter, elsewhere, notifications):
    save_segmenter("library")
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.form.models.entry.name == "library"
    assert viewer.open(str(elsewhere), plugin="napari-unveil") == []
    assert panel.form.models.entry.name == "dropped"
    assert "Squares of the sort" in panel.form.models.summary.text()
    assert ("info", "Model 'dropped' is chosen in the Segment panel.") in notifications
    assert len(viewer.window.dock_widgets) == 1


def test_a_dropped_model_opens_its_panel(viewer, models_folder, elsewhere):
    viewer.open(str(elsewhere), plugin="napari-unveil")
    (panel,) = viewer.window.dock_widgets.values()
    assert panel.form.models.entry.name == "dropped"


def test_a_dropped_model_is_chosen_though_others_come_first(viewer, save_segmenter, elsewhere):
    save_segmenter("a")
    viewer.open(str(elsewhere), plugin="napari-unveil")
    (panel,) = viewer.window.dock_widgets.values()
    assert panel.form.models.entry.name == "dropped"


def test_a_model_dropped_on_one_of_two_viewers_is_chosen_there_alone(
    viewer, make_napari_viewer, save_segmenter, elsewhere
):
    save_segmenter("a")
    first = SegmentPanel(viewer)
    viewer.window.add_dock_widget(first)
    other = make_napari_viewer()
    other.open(str(elsewhere), plugin="napari-unveil")
    (panel,) = other.window.dock_widgets.values()
    assert panel.form.models.entry.name == "dropped"
    assert len(viewer.window.dock_widgets) == 1
    assert first.form.models.entry.name == "a"
    assert first.form.models.list.findText("dropped") >= 0


def test_a_dropped_model_shows_its_hidden_panel(viewer, models_folder, elsewhere):
    panel = SegmentPanel(viewer)
    dock = viewer.window.add_dock_widget(panel)
    dock.hide()
    viewer.open(str(elsewhere), plugin="napari-unveil")
    assert not dock.isHidden()
    assert len(viewer.window.dock_widgets) == 1


def test_a_broken_model_is_named(viewer, models_folder, tmp_path, notifications):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x80\x04nothing at all")
    assert viewer.open(str(path), plugin="napari-unveil") == []
    ((severity, message),) = notifications
    assert severity == "error"
    assert "broken.safetensors" in message
    assert len(viewer.window.dock_widgets) == 0


def test_the_reader_takes_model_files_only():
    assert get_reader("cells.tif") is None
    assert get_reader(["a.safetensors", "b.tif"]) is None
    assert get_reader("a.safetensors") is not None
    assert get_reader(["a.safetensors", "b.SAFETENSORS"]) is not None


def test_opening_a_model_of_the_other_task_is_refused(qtbot, save_denoiser, notifications):
    path = save_denoiser()
    picker = ModelPicker("segmentation")
    qtbot.addWidget(picker)
    qtbot.addWidget(picker.summary)
    picker.open(path)
    assert notifications[-1][0] == "error"
    assert "made for denoising" in notifications[-1][1]
    assert picker.entry is None
