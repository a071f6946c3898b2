"""Blocks to annotate next: where the model is unsure, never where a person was, never two that overlap."""

from __future__ import annotations

import tracemalloc
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from unveil.config.options import RunOptions
from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import Cancelled, Notice, Progress, ignore
from unveil.image import Image
from unveil.io.model_file import load_model
from unveil.tasks import suggest
from unveil.tasks.suggest import SuggestedBlock, suggest_blocks

BLOCK = 32


@pytest.fixture
def model(brightness_model) -> Any:
    """A model that is sure of what is dark or bright, and of nothing in between."""
    return brightness_model()


@pytest.fixture
def scene(squares) -> Image:
    """A dark image with bright squares; what is grey lies in the block of rows 64 and columns 32."""
    pixels = squares((128, 128), (4, 4), (40, 100), (100, 8), (70, 70))
    pixels[70:90, 38:60] = 500
    return Image(pixels, name="scene")


def suggested(images, model, annotations=None, **options) -> list[SuggestedBlock]:
    return suggest_blocks(images, model, annotations, block_px=BLOCK, monitor=options.pop("monitor", ignore), **options)


def corners(blocks: list[SuggestedBlock]) -> list[tuple[int, int, int]]:
    return [(block.image, block.window[0].start, block.window[1].start) for block in blocks]


def test_before_anything_is_annotated_the_block_with_objects_on_background_wins(scene, model):
    pixels = np.asarray(scene.data).copy()
    pixels[0:32, 96:112] = 1000  # half of its block
    pixels[32:64, 0:32] = 1000  # all of it
    first, *others = suggested([Image(pixels)], model, n=4)
    assert first.window == (slice(0, 32), slice(96, 128))
    assert first.index == {}
    assert first.score > max(block.score for block in others)
    assert "takes 50% of its pixels for objects" in first.reason


def test_later_the_block_where_the_model_is_unsure_wins(scene, model, squares):
    scene.data[0:32, 96:112] = 1000  # of most contrast
    assert corners(suggested([scene], model, n=1)) == [(0, 0, 96)]
    pixels = squares((128, 128), (4, 4))
    sure = Image(pixels, name="sure")
    mask = np.zeros(scene.shape, bool)
    mask[:32, :32] = True
    first, *_ = suggested([sure, scene], model, [Annotation(Image((pixels > 0).astype(np.uint8)), mask), None], n=4)
    assert (first.image, first.window) == (1, (slice(64, 96), slice(32, 64)))
    assert "of its pixels to be wrong" in first.reason


def test_blocks_are_distinct_and_do_not_overlap_and_end_when_there_are_no_more(scene, model):
    uneven = Image(np.asarray(scene.data)[:100, :120], name="uneven")  # no multiple of a block
    blocks = suggested([uneven], model, n=50)
    assert len(blocks) == 6  # 3 rows; of the 4 columns neighbours share 3 pixels
    for one, other in combinations(blocks, 2):
        rows, columns = ((a, b) for a, b in zip(one.window, other.window, strict=True))
        assert any(a.stop <= b.start or b.stop <= a.start for a, b in (rows, columns))


def test_annotated_blocks_never_return(scene, model):
    mask = np.zeros(scene.shape, bool)
    seen: list[tuple[int, int, int]] = []
    nothing = Image(np.zeros(scene.shape, np.uint8))
    while blocks := suggested([scene], model, [Annotation(nothing, mask)], n=5):
        seen += corners(blocks)
        for block in blocks:
            mask[block.window] = True
    assert len(seen) == len(set(seen)) == 16
    assert suggested([scene], model, [Annotation(nothing)]) == []


def test_one_scribbled_pixel_makes_a_block_annotated(scene, model):
    mask = np.zeros(scene.shape, bool)
    mask[80, 50] = True
    annotation = Annotation(Image(np.zeros(scene.shape, np.uint8)), mask, has_outlines=False)
    assert (0, 64, 32) not in corners(suggested([scene], model, [annotation], n=16))
    outlined = Annotation(annotation.labels, mask)
    assert (0, 64, 32) in corners(suggested([scene], model, [outlined], n=16))


def test_the_reason_tells_how_many_blocks_look_alike_wherever_their_objects_lie(model, squares, monkeypatch):
    monkeypatch.setattr(model.network, "encode", lambda batch: batch)
    corner = {n: [(4, 4), (20, 56), (10, 70), (2, 120)][:n] for n in (1, 2, 4)}
    first = {n: suggested([Image(squares((128, 128), *at))], model, n=1)[0] for n, at in corner.items()}
    assert first[1].reason == "the model takes 4% of its pixels for objects"
    assert first[2].reason.endswith("for objects, and 1 other block looks much like it")
    assert first[4].reason.endswith("for objects, and 3 other blocks look much like it")


def test_images_take_turns(scene, model):
    assert [image for image, *_ in corners(suggested([scene, scene], model, n=6))] == [0, 1] * 3


def test_of_many_blocks_those_with_most_to_learn_of_are_compared(scene, model, monkeypatch):
    mask = np.zeros(scene.shape, bool)
    mask[64:] = True
    half = Annotation(Image(np.zeros(scene.shape, np.uint8)), mask)

    def compared(n: int, annotation: Annotation | None) -> tuple[int, tuple[int, int, int]]:
        events: list[Any] = []
        first, *_ = suggested([scene], model, [annotation], n=n, monitor=events.append)
        return max(e.total for e in events if isinstance(e, Progress) and e.unit == "blocks"), corners([first])[0]

    (n_all, best), (n_open, best_open) = compared(1, None), compared(1, half)
    assert (n_all, n_open) == (16, 16)
    monkeypatch.setattr(suggest, "_MOST_COMPARED", 2)
    monkeypatch.setattr(suggest, "_PER_SUGGESTION", 1)
    assert compared(1, None) == compared(2, None) == (2, best)
    assert compared(5, None) == (5, best)
    assert compared(2, half) == (4, best_open)  # two annotated ones speak for their like


def test_the_plane_of_a_stack_is_named(scene, model):
    sure = np.zeros(scene.shape, np.uint16)
    sure[0, 0] = 1000
    stack = Image(np.stack([sure, np.asarray(scene.data), sure]), "ZYX")
    assert suggested([stack], model, n=1)[0].index == {"Z": 1}


def test_the_tile_changes_nothing(scene, model):
    whole, tiled = (suggested([scene], model, options=RunOptions(tile=tile, precision="exact")) for tile in (None, 16))
    assert corners(whole) == corners(tiled)
    assert [block.score for block in whole] == pytest.approx([block.score for block in tiled], abs=1e-5)


def test_smaller_images_than_a_block_are_one_block(model, squares):
    small = Image(squares((20, 64), (4, 4)))
    assert [block.window[0] for block in suggested([small], model)] == [slice(0, 20)] * 2


def test_blocks_are_no_larger_than_the_image(model, squares):
    images = [Image(squares((20, 40), (4, at))) for at in (4, 18, 30)]
    tracemalloc.start()
    try:
        far = suggest_blocks(images, model, block_px=4000, monitor=ignore)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert far == suggest_blocks(images, model, block_px=40, monitor=ignore)
    assert peak < 4000**2


def test_progress_reaches_its_end_and_a_request_to_cancel_is_heard(scene, model):
    events: list[Any] = []
    suggested([scene, scene], model, monitor=events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    assert {event.unit for event in progress} == {"images", "blocks"}
    assert progress[-1].done == progress[-1].total
    for at in (1, len(progress) // 2, len(progress)):
        calls = 0

        def cancel(event: Any, at: int = at) -> None:
            nonlocal calls
            calls += isinstance(event, Progress)
            if calls == at:
                raise Cancelled

        with pytest.raises(Cancelled):
            suggested([scene, scene], model, monitor=cancel)


def test_what_cannot_be_looked_at_is_refused(scene, model, brightness_model, make_tiny_model):
    with pytest.raises(ImageError, match="no images"):
        suggested([], model)
    with pytest.raises(ConfigError, match="at least 1"):
        suggested([scene], model, n=0)
    with pytest.raises(ImageError, match="1 image and 2 annotations"):
        suggested([scene], model, [None, None])
    with pytest.raises(ImageError, match="same pixels"):
        suggested([scene], model, [Annotation(Image(np.zeros((8, 8), np.uint8)))])
    with pytest.raises(MismatchError, match="made for denoising, not for segmentation"):
        suggested([scene], make_tiny_model("denoising"))
    with pytest.raises(MismatchError, match="is a filter, which learns nothing"):
        suggested([scene], load_model("two-textures"))
    with pytest.raises(MismatchError, match="volumes"):
        suggested([Image(np.zeros((4, 8, 8), np.uint8), "ZYX")], brightness_model(n_dims=3))


def test_blocks_are_compared_at_the_models_pixel_size(squares, brightness_model, monkeypatch):
    model = brightness_model(pixel_size_um={"Y": 1.0, "X": 1.0})
    scene = squares((64, 64), (4, 4), (40, 30), (8, 40))
    magnified = Image(np.kron(scene, np.ones((2, 2), np.uint16)), pixel_size_um={"Y": 0.5, "X": 0.5})
    seen, encode = list[Any](), model.network.encode
    monkeypatch.setattr(model.network, "encode", lambda batch: (seen.append(batch.numpy()), encode(batch))[1])
    ranked = suggest_blocks([magnified], model, block_px=2 * BLOCK, monitor=ignore)
    alone = suggest_blocks([Image(scene)], model, block_px=BLOCK, monitor=ignore)
    assert len(ranked) == len(alone) == 4
    resized, original = seen
    assert resized.shape == original.shape == (4, 1, BLOCK, BLOCK)
    assert np.abs(resized - original).mean() < 0.02  # resizing smooths edges


def test_an_image_whose_pixel_size_hardly_is_right_is_looked_at_as_it_is(scene, brightness_model):
    model = brightness_model(pixel_size_um={"Y": 1.0, "X": 1.0})
    wrong = Image(scene.data, name="wrong", pixel_size_um={"Y": 1000.0, "X": 1000.0})
    events: list[Any] = []
    assert corners(suggested([wrong], model, monitor=events.append)) == corners(suggested([scene], model))
    told = [event.message for event in events if isinstance(event, Notice)]
    assert told == [
        "Image 'wrong' has pixels of 1e+03 µm along Y and model 'brightness' expects 1 µm: they differ 1,000-fold, "
        "so that hardly both are right. It is looked at as it is."
    ]
