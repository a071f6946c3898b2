"""A run that was ended goes on where it stood, and gives what an unbroken one gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

from unveil.config.objects import ObjectRule
from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.events import Cancelled, Event, Progress, ignore
from unveil.image import Image
from unveil.tasks.denoise import denoise
from unveil.tasks.results import SegmentationSink
from unveil.tasks.segment import segment

SHARED = {"precision": "exact", "engine": "torch", "device": "cpu", "tile": 16}
SEGMENTATION = SegmentationOptions(**SHARED, threshold=0.45)
DENOISING = DenoisingOptions(**SHARED)


def in_chunks(shape: tuple[int, ...], dtype: Any) -> Any:
    return zarr.zeros(shape, dtype=dtype, chunks=(*(1,) * (len(shape) - 2), 16, 16))


def ended_after(n_tiles: int) -> Any:
    """Return a monitor that ends the work once so many tiles are done."""

    def monitor(event: Event) -> None:
        if isinstance(event, Progress) and event.unit == "tiles" and event.done >= n_tiles:
            raise Cancelled

    return monitor


@pytest.mark.parametrize("n_tiles", [1, 5, 9, 13])
def test_a_segmentation_goes_on(make_tiny_model: Any, make_blobs: Any, n_tiles: int) -> None:
    image, model = make_blobs((2, 40, 50), "TYX"), make_tiny_model()
    unbroken = segment(image, model, options=SEGMENTATION, monitor=ignore)
    sink, journal = SegmentationSink.create(image, model.card, in_chunks), set[str]()
    with pytest.raises(Cancelled):
        segment(image, model, options=SEGMENTATION, into=sink, journal=journal, monitor=ended_after(n_tiles))
    before = set(journal)
    assert n_tiles - 1 <= len(before) < 24
    result = segment(image, model, options=SEGMENTATION, into=sink, journal=journal, monitor=ignore)
    assert len(journal) == 24
    for one, other in ((result.labels, unbroken.labels), (result.probabilities, unbroken.probabilities)):
        np.testing.assert_array_equal(np.asarray(one.data[:]), other.data)
    assert result.report.n_objects == unbroken.report.n_objects
    assert result.report.expected_iou == pytest.approx(unbroken.report.expected_iou)


def test_what_the_journal_holds_is_not_computed_again(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((40, 50), "YX"), make_tiny_model()
    sink = SegmentationSink.create(image, model.card, in_chunks)
    sink.probabilities[0, 16:32, :16] = 0.25
    segment(image, model, options=SEGMENTATION, into=sink, journal={"0 16:32 0:16"}, monitor=ignore)
    assert np.all(sink.probabilities[0, 16:32, :16] == 0.25)
    assert not np.any(sink.probabilities[0, :16, :] == 0.25)


def test_a_denoising_goes_on_and_expects_what_an_unbroken_one_does(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((40, 50), "YX"), make_tiny_model(task="denoising")
    unbroken = denoise(image, model, options=DENOISING, monitor=ignore)
    target, journal = in_chunks((40, 50), "f4"), set[str]()
    with pytest.raises(Cancelled):
        denoise(image, model, options=DENOISING, into=target, journal=journal, monitor=ended_after(7))
    assert 6 <= len(journal) < 12
    result = denoise(image, model, options=DENOISING, into=target, journal=journal, monitor=ignore)
    np.testing.assert_array_equal(np.asarray(target[:]), unbroken.image.data)
    assert result.report.expected_psnr == pytest.approx(unbroken.report.expected_psnr)


def test_tiles_are_multiples_of_the_chunks(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((90, 100), "YX"), make_tiny_model()
    sink = SegmentationSink.create(image, model.card, lambda shape, dtype: zarr.zeros(shape, dtype=dtype, chunks=24))
    options = SEGMENTATION.model_copy(update={"tile": 25})
    assert segment(image, model, options=options, into=sink, monitor=ignore).report.tile[0] % 24 == 0


def test_images_of_many_blocks_have_the_labels_of_one(
    make_tiny_model: Any, make_blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, model = make_blobs((150, 170), "YX"), make_tiny_model()
    options = SEGMENTATION.model_copy(update={"tile": None})
    whole = segment(image, model, options=options, monitor=ignore)
    events: list[Event] = []
    monkeypatch.setattr("unveil.tasks.frame_canvas.largest_block", lambda n_dims: 120 * 120)
    in_blocks = segment(image, model, options=options, monitor=events.append)
    assert [event for event in events if isinstance(event, Progress) and event.unit == "blocks"]
    np.testing.assert_array_equal(in_blocks.labels.data, whole.labels.data)
    assert in_blocks.report.expected_iou == pytest.approx(whole.report.expected_iou)


def test_blocks_are_as_wide_as_what_they_look_at_beyond(
    make_blobs: Any, brightness_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, model = make_blobs((150, 170), "YX"), brightness_model(rule=ObjectRule(reach_px=20))
    whole = segment(image, model, options=SEGMENTATION, monitor=ignore)
    events: list[Event] = []
    monkeypatch.setattr("unveil.tasks.frame_canvas.largest_block", lambda n_dims: 1)
    in_blocks = segment(image, model, options=SEGMENTATION, monitor=events.append)
    totals = {event.total for event in events if isinstance(event, Progress) and event.unit == "blocks"}
    assert totals
    assert max(totals) < 200
    np.testing.assert_array_equal(in_blocks.labels.data, whole.labels.data)


def test_classes_are_named_block_by_block(
    make_blobs: Any, brightness_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, model = make_blobs((60, 70), "YX"), brightness_model(classes=4, objects=False)
    whole = segment(image, model, options=SEGMENTATION, monitor=ignore)
    monkeypatch.setattr("unveil.tasks.frame_canvas.largest_block", lambda n_dims: 30 * 30)
    in_blocks = segment(image, model, options=SEGMENTATION, monitor=ignore)
    np.testing.assert_array_equal(in_blocks.labels.data, whole.labels.data)
    assert in_blocks.report.expected_iou == pytest.approx(whole.report.expected_iou)


def test_a_constant_image_is_written_block_by_block(brightness_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unveil.tasks.frame_canvas.largest_block", lambda n_dims: 30 * 30)
    image, model = Image(np.full((60, 70), 5, np.uint8)), brightness_model()
    sink = SegmentationSink.create(image, model.card, lambda shape, dtype: np.ones(shape, dtype))
    segment(image, model, options=SEGMENTATION, into=sink, monitor=ignore)
    assert not np.any(sink.labels[:])
    assert not np.any(sink.probabilities[:])
