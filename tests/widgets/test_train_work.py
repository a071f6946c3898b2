"""What a training learns from when a folder stands beside the layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unveil.config.training import SegmentationTraining
from unveil.data.annotation import Annotation
from unveil.events import Cancelled, Event, Progress, ignore
from unveil.image import Image
from unveil.io.runs import create_run
from unveil.io.writing import write_image, write_labels
from unveil.widgets.folder_pairs import FolderPairs
from unveil.widgets.train_work import TrainingRequest, TrainingWork, free_name, with_folder
from unveil.widgets.training_layers import Extent, Scribbles, Sparse, TrainingTask, Whole


def in_folder(folder: Path, labels: list[int], extent: Extent) -> FolderPairs:
    """Write an image with stripes of `labels`."""
    write_image(folder / "images" / "1.tif", Image(np.zeros((len(labels), 8), np.uint8)))
    write_labels(folder / "labels" / "1.tif", Image(stripes(labels)))
    return FolderPairs(folder / "images", folder / "labels", TrainingTask.CLASSES, extent, n_dims=2)


def stripes(labels: list[int]) -> np.ndarray:
    return np.repeat(np.array(labels, np.uint8)[:, None], 8, axis=1)


CLASSES = SegmentationTraining(objects=False, classes=("background", "class 3", "class 255"))


@pytest.mark.parametrize(
    ("extent", "in_file", "classes", "ours", "theirs"),
    [
        (Whole(), [0, 7, 255], ("class 3", "class 7", "class 255"), [0, 1, 3], [0, 2, 3]),
        (Whole(), [0, 255, 3], ("class 3", "class 255"), [0, 1, 2], [0, 2, 1]),
        (Scribbles(2), [0, 2, 7, 3], ("class 3", "class 7", "class 255"), [0, 1, 3], [0, 0, 2, 1]),
    ],
    ids=["another number", "the same", "scribbles"],
)
def test_classes_have_one_numbering(tmp_path, extent, in_file, classes, ours, theirs) -> None:
    layer = Annotation(Image(stripes([0, 1, 2])))
    order = TrainingRequest(
        [Image(np.zeros((3, 8), np.uint8))],
        [layer],
        CLASSES,
        folder=in_folder(tmp_path, in_file, extent),
        class_numbers=(3, 255),
    )
    images, targets, settings = with_folder(order)
    assert settings.classes == ("background", *classes)
    assert len(images) == 2
    assert [np.asarray(target.labels.data)[:, 0].tolist() for target in targets] == [ours, theirs]


def test_reading_a_folder_tells_how_far_it_is_and_can_be_cancelled(tmp_path) -> None:
    order = TrainingRequest(None, None, CLASSES, folder=in_folder(tmp_path, [0, 1], Whole()))
    told = []
    with_folder(order, told.append)
    assert told == [Progress(0, 1, "files"), Progress(1, 1, "files")] * 2  # the image, and its labels

    def cancel(event: Event) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        with_folder(order, cancel)


def test_labels_of_a_folder_are_sparse_as_those_of_layers_are(tmp_path) -> None:
    numbers = [0] * 20 + [1] * 6 + [0] * 20
    order = TrainingRequest(None, None, CLASSES, folder=in_folder(tmp_path, numbers, Sparse()))
    (annotation,) = with_folder(order)[1]
    assert annotation.mask[20:26].all()
    assert 6 < np.count_nonzero(annotation.mask[:, 0]) < 20


def test_a_folder_alone_names_its_classes(tmp_path) -> None:
    settings = SegmentationTraining(objects=False)
    order = TrainingRequest(None, None, settings, folder=in_folder(tmp_path, [0, 255], Whole()))
    _, targets, settings = with_folder(order)
    assert settings.classes == ("background", "class 255")
    assert np.asarray(targets[0].labels.data)[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize("is_given_up", [True, False])
def test_a_training_cancelled_before_it_goes_on_is_kept_or_given_up_as_later(
    tmp_path, monkeypatch, is_given_up
) -> None:
    monkeypatch.setenv("UNVEIL_RUNS", str(tmp_path))
    run = create_run([Image(np.zeros((4, 8), np.uint8))], [Annotation(Image(stripes([0, 1, 1, 0])))], CLASSES)
    run.checkpoint.touch()
    work = TrainingWork(run)
    if is_given_up:
        work.give_up()
    work.interrupt()
    with pytest.raises(Cancelled):
        work(ignore)
    assert run.is_resumable is not is_given_up


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("cells", "cells"),
        ("Zellkerne µ (Tag 1)", "Zellkerne µ (Tag 1)"),
        ("Image:0 :: DAPI", "Image-0 - DAPI"),
        ("../../day 1/cells", "day 1-cells"),
        (".hidden.", "hidden"),
        ("?", "model"),
        ("..", "model"),
        ("aux", "model-aux"),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_model_is_called_as_a_file_may_be(tmp_path, monkeypatch, wanted, name) -> None:
    monkeypatch.setenv("UNVEIL_MODELS", str(tmp_path))
    assert free_name(wanted) == name == free_name(name)


def test_a_model_replaces_none_where_case_does_not_count(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNVEIL_MODELS", str(tmp_path))
    (tmp_path / "cells.safetensors").touch()
    (tmp_path / "CELLS-2.safetensors").touch()
    assert free_name("Cells") == "Cells-3"
    assert free_name("Nuclei") == "Nuclei-2"  # one that ships with Unveil
