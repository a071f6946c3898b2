"""What is found of blocks, tile by tile, beside the same from the maps of a whole segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.config.options import RunOptions, SegmentationOptions
from unveil.data.annotation import Annotation
from unveil.events import Notice, Progress, ignore
from unveil.image import Image
from unveil.operators.acquisition import block_starts
from unveil.tasks.plane_blocks import planes_of
from unveil.tasks.running import Run
from unveil.tasks.segment import segment

BLOCK = 32
EXACT = {"precision": "exact", "engine": "torch", "device": "cpu"}


@pytest.mark.parametrize("block_px", [BLOCK, 400])
def test_blocks_are_what_their_pixels_are_in_the_mean(block_px: int, brightness_model: Any) -> None:
    rng = np.random.default_rng(0)
    stack = Image(rng.uniform(0, 1, (2, 90, 117)) ** np.linspace(1, 6, 117), "ZYX")
    model = brightness_model()
    model.network.head.bias[2] = 1  # distances are no probabilities
    maps = np.asarray(segment(stack, model, options=SegmentationOptions(**EXACT), monitor=ignore).probabilities.data)
    planes = list(planes_of([stack], model, None, block_px, RunOptions(tile=16, **EXACT), ignore))
    assert [dict(plane.frame.index) for plane in planes] == [{"Z": 0}, {"Z": 1}]
    for plane, foreground in zip(planes, maps.reshape(2, 90, 117).astype(np.float64), strict=True):
        assert plane.starts == (block_starts(90, block_px), block_starts(117, block_px))
        for y, top in enumerate(plane.starts[0]):
            for x, left in enumerate(plane.starts[1]):
                p = foreground[top : top + block_px, left : left + block_px]
                expected = np.minimum(p, 1 - p).mean(), p.mean(), p.var(), np.maximum(2 * p - 1, 0).mean()
                np.testing.assert_allclose(plane.found[:, y, x], expected, atol=1e-5)
        assert not plane.is_annotated.any()


def test_a_block_is_annotated_where_more_than_half_of_it_was_judged(squares: Any, brightness_model: Any) -> None:
    stack = Image(squares((2, 64, 96), (0, 4, 4), (1, 40, 40)), "TYX")
    mask = np.zeros(stack.shape, bool)
    mask[0, :17, :32] = mask[0, :16, 32:64] = mask[1, 50, 50] = True
    annotation = Annotation(Image(np.zeros(stack.shape, np.uint8), "TYX"), mask)

    def judged(annotation: Annotation | None) -> list[Any]:
        found = planes_of([stack], brightness_model(), [annotation], BLOCK, RunOptions(**EXACT), ignore)
        return [plane.is_annotated.tolist() for plane in found]

    assert judged(annotation) == [[[True, False, False], [False] * 3], [[False] * 3] * 2]
    scribbles = Annotation(annotation.labels, mask, has_outlines=False)
    assert judged(scribbles) == [[[True, True, False], [False] * 3], [[False] * 3, [False, True, False]]]
    assert np.all(judged(Annotation(annotation.labels)))


def test_blocks_count_once_where_tiles_begin_anew(squares: Any, brightness_model: Any, monkeypatch: Any) -> None:
    """As they do when memory runs out, and smaller ones are taken."""
    image, options = Image(squares((64, 64), (4, 4), (40, 40))), RunOptions(tile=16, **EXACT)
    (once,) = planes_of([image], brightness_model(), None, BLOCK, options, ignore)
    predict = Run.predict
    monkeypatch.setattr(Run, "predict", lambda *given: (predict(*given), predict(*given))[1])
    (twice,) = planes_of([image], brightness_model(), None, BLOCK, options, ignore)
    np.testing.assert_array_equal(twice.found, once.found)


def test_one_image_is_told_of_in_tiles(squares: Any, brightness_model: Any) -> None:
    model = brightness_model(pixel_size_um={"Y": 1.0, "X": 1.0})
    far = Image(squares((32, 32), (4, 4)), pixel_size_um={"Y": 0.001, "X": 0.001})
    events: list[Any] = []
    list(planes_of([far], model, None, BLOCK, RunOptions(rescale="off", **EXACT), events.append))
    assert {event.unit for event in events if isinstance(event, Progress)} == {"tiles"}
    assert not any("as it is" in event.message for event in events if isinstance(event, Notice))


def test_what_every_image_would_be_told_of_is_told_once(squares: Any, brightness_model: Any) -> None:
    model = brightness_model(pixel_size_um={"Y": 1.0, "X": 1.0})
    image = Image(squares((32, 32), (4, 4)), pixel_size_um={"Y": 0.5, "X": 0.5})
    events: list[Any] = []
    assert len(list(planes_of([image] * 3, model, None, BLOCK, RunOptions(**EXACT), events.append))) == 3
    told = [event.message for event in events if isinstance(event, Notice)]
    assert told
    assert len(told) == len(set(told))
    progress = [(event.done, event.total, event.unit) for event in events if isinstance(event, Progress)]
    assert sorted(set(progress)) == [(n, 3, "images") for n in range(4)]
    assert progress == sorted(progress)
