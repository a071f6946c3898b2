"""Intervals from a record: when they are given, what they contain, and that the record travels with the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unveil.config.normalization import FixedNormalization
from unveil.config.options import EvaluationOptions, SegmentationOptions
from unveil.data.annotation import Annotation
from unveil.errors import ImageError
from unveil.events import Cancelled, Event, Progress, ignore
from unveil.image import Image
from unveil.io.card_file import read_card
from unveil.io.model_file import load_model, save_model
from unveil.model.model import Model
from unveil.operators.conformal import count_score, overlap_score
from unveil.tasks.calibration import calibrate
from unveil.tasks.evaluate import evaluate
from unveil.tasks.interval_record import record_intervals
from unveil.tasks.object_rule import fit_object_rule
from unveil.tasks.segment import segment, separate
from unveil.tasks.train import train
from unveil.training import magnification

Make = Callable[..., Model]
GREY = FixedNormalization(mean=(0,), std=(1,))


def drawn(seed: int) -> tuple[Image, Image]:
    """Draw bright squares, some blurred away, and the truth of them."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((64, 64), np.uint8)
    for number in range(1, rng.integers(3, 9)):
        y, x = rng.integers(0, 8, 2) * 8
        truth[y : y + 6, x : x + 6] = number
    grey = np.where(truth > 0, rng.uniform(0.5, 0.9), 0.2) + rng.normal(0, 0.1, truth.shape)
    return Image(grey.astype(np.float32), name=f"drawn {seed}"), Image(truth)


@pytest.fixture(scope="module")
def recorded(brightness_model: Make) -> Model:
    model = brightness_model(normalization=GREY)
    return record_intervals(model, *zip(*(drawn(seed) for seed in range(20)), strict=True), data="drawn squares")


def test_most_new_images_lie_in_their_intervals(recorded: Model) -> None:
    pairs = [drawn(seed) for seed in range(100, 140)]
    covered_iou, covered_count = [], []
    for image, truth in pairs:
        found = segment(image, recorded, monitor=ignore)
        (low, high), (least, most) = found.report.iou_interval or (1, 0), found.report.n_objects_interval or (1, 0)
        is_found, is_true = np.asarray(found.labels.data) > 0, np.asarray(truth.data) > 0
        covered_iou.append(low <= (is_found & is_true).sum() / (is_found | is_true).sum() <= high)
        covered_count.append(least <= np.unique(np.asarray(truth.data)).size - 1 <= most)
    assert 0.75 <= np.mean(covered_iou) <= 1
    assert 0.75 <= np.mean(covered_count) <= 1
    scores = evaluate(
        recorded, *(list(part) for part in zip(*pairs, strict=True)), options=EvaluationOptions(), monitor=ignore
    )
    assert scores.as_dict()["iou_coverage"] == pytest.approx(np.mean(covered_iou))


def test_the_record_is_of_what_was_expected_and_what_is_true(brightness_model: Make) -> None:
    model, pairs = brightness_model(normalization=GREY), [drawn(seed) for seed in range(9)]
    iou, n_objects = [], []
    for image, truth in pairs:
        found = segment(image, model, monitor=ignore)
        is_found, is_true = np.asarray(found.labels.data) > 0, np.asarray(truth.data) > 0
        assert found.report.expected_iou is not None
        assert found.report.n_objects is not None
        overlap = (is_found & is_true).sum() / (is_found | is_true).sum()
        iou.append(overlap_score(found.report.expected_iou, float(overlap)))
        n_objects.append(count_score(found.report.n_objects, len(np.unique(truth.data)) - 1))
    dark = Image(np.full((64, 64), 0.5, np.float32)), pairs[0][1]
    record = record_intervals(model, *zip(*pairs, dark, strict=True), data="one shows nothing").card.conformal
    assert record is not None
    np.testing.assert_allclose(record.iou, sorted(iou))
    assert record.n_objects == tuple(sorted(n_objects))


def test_a_run_unlike_the_record_has_none(recorded: Model) -> None:
    image, _ = drawn(7)
    plain = segment(image, recorded, monitor=ignore)
    assert plain.report.iou_interval is not None
    assert plain.report.n_objects_interval is not None
    for change in ({"threshold": 0.3}, {"min_size": 3}, {"accurate": True}, {"rescale": 0.5}, {"denoise_first": "off"}):
        options = SegmentationOptions.model_validate(change)
        report = segment(image, recorded, options=options, monitor=ignore).report
        assert (report.iou_interval, report.n_objects_interval) == (None, None), change
    stack = Image(np.stack([np.asarray(image.data)] * 2), "ZYX")
    assert segment(stack, recorded, monitor=ignore).report.iou_interval is None
    moved = separate(plain, SegmentationOptions(threshold=0.3))
    assert moved.report.iou_interval is None
    assert separate(moved, SegmentationOptions()).report.iou_interval == pytest.approx(plain.report.iou_interval)


def test_other_probabilities_or_objects_make_the_record_void(recorded: Model) -> None:
    pairs = [drawn(seed) for seed in range(3)]
    for changed in (calibrate, fit_object_rule):
        assert changed(recorded, *zip(*pairs, strict=True)).card.conformal is None


def test_too_few_scores_bound_nothing(recorded: Model) -> None:
    assert recorded.card.conformal is not None
    short = recorded.card.conformal.model_copy(update={"iou": (0.1,) * 8})
    model = replace(recorded, card=recorded.card.model_copy(update={"conformal": short}))
    report = segment(drawn(7)[0], model, monitor=ignore).report
    assert report.iou_interval is None
    assert report.n_objects_interval is not None
    with pytest.raises(ImageError, match="8 images cannot say what holds for 9 in 10; at least 9"):
        record_intervals(model, *zip(*(drawn(seed) for seed in range(8)), strict=True), data="few")


def test_stacks_are_not_one_image(recorded: Model) -> None:
    stack, truth = (Image(np.zeros((2, 8, 8), dtype), "ZYX", name="stack") for dtype in (np.float32, np.uint8))
    with pytest.raises(ImageError, match="'stack' has several planes"):
        record_intervals(recorded, [stack], [truth], data="a stack")


def test_recording_can_be_cancelled(recorded: Model) -> None:
    told: list[Event] = []

    def cancel(event: Event) -> None:
        told.append(event)
        if event == Progress(1, 2, "images for the intervals"):
            raise Cancelled

    with pytest.raises(Cancelled):
        record_intervals(recorded, *zip(drawn(0), drawn(1), strict=True), data="two", monitor=cancel)
    assert told[0] == Progress(0, 2, "images for the intervals")


def test_the_record_travels_with_the_model(recorded: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(recorded, path)
    assert read_card(path).conformal == recorded.card.conformal
    again = segment(drawn(7)[0], load_model(path), monitor=ignore).report.provenance()
    assert again["n_objects_interval"] == list(
        segment(drawn(7)[0], recorded, monitor=ignore).report.n_objects_interval or ()
    )


def test_a_model_of_classes_has_an_interval_of_overlap_alone(brightness_model: Make) -> None:
    model = brightness_model(objects=False, normalization=GREY)
    model = record_intervals(model, *zip(*(drawn(seed) for seed in range(9)), strict=True), data="drawn")
    report = segment(drawn(20)[0], model, monitor=ignore).report
    assert report.iou_interval is not None
    assert report.n_objects_interval is None


@pytest.mark.parametrize(("n_validation", "n_whole"), [(9, 9), (9, 8), (8, 8)])
def test_training_records_where_whole_images_suffice(
    scenes: Any, segmentation: Any, n_validation: int, n_whole: int
) -> None:
    images, annotations = scenes(2 + n_validation, size=32, n_objects=2)
    half = np.zeros((32, 32), bool)
    half[:, :16] = True
    judging = [a if number < n_whole else Annotation(a.labels, mask=half) for number, a in enumerate(annotations[2:])]
    model = train(
        images[:2],
        annotations[:2],
        segmentation(epochs=1),
        validation=(images[2:], judging),
        monitor=ignore,
    )
    record = model.card.conformal
    assert (record is not None) == (n_whole >= 9)
    if record is not None:
        assert len(record.iou) == len(record.n_objects) == 9
        assert "the 9 validation images of its training" in record.data


def test_training_records_on_what_it_held_out_itself(
    scenes: Any, segmentation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(magnification, "_STEPS_PER_SAMPLE", 1)  # of no interest here, and slow
    images, annotations = scenes(12, size=32, n_objects=2)
    model = train(images, annotations, segmentation(epochs=1, validation_fraction=0.75), monitor=ignore)
    assert model.card.training is not None
    assert model.card.training.n_validation_images == 9
    assert model.card.conformal is not None


def test_images_of_another_pixel_size_are_recorded_as_they_are(brightness_model: Make) -> None:
    model = brightness_model(normalization=GREY, pixel_size_um={"Y": 0.5, "X": 0.5})
    size = {"Y": 1.0, "X": 1.0}
    images = [drawn(seed) for seed in range(20)]
    larger = [(replace(image, pixel_size_um=size), truth) for image, truth in images]
    records = [record_intervals(model, *zip(*pairs, strict=True), data="squares") for pairs in (images, larger)]
    assert records[0].card.conformal == records[1].card.conformal
    report = segment(larger[0][0], records[1], options=SegmentationOptions(rescale="off"), monitor=ignore).report
    assert report.iou_interval is not None
