"""One run: what it finds on the way, how it is cancelled, and what it does when memory runs out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unveil.config.options import SegmentationOptions
from unveil.errors import EngineError, ImageError, InputError, UnveilWarning
from unveil.events import Cancelled, Event, Notice, Progress, ignore
from unveil.image import Image
from unveil.inference import views
from unveil.inference.torch_engine import TorchEngine
from unveil.model.model import Model
from unveil.tasks.results import SegmentationSink
from unveil.tasks.segment import segment

EXACT = SegmentationOptions(precision="exact", engine="torch", device="cpu")


def test_constant_image_has_no_objects_and_says_so(brightness_model: Any) -> None:
    with pytest.warns(UnveilWarning, match="Image 'flat' is constant: there is nothing to find"):
        result = segment(Image(np.full((16, 16), 7), name="flat"), brightness_model(), options=EXACT)
    assert result.report.n_objects == 0
    assert not np.any(result.labels.data)
    assert not np.any(result.probabilities.data)


def test_constant_planes_are_counted(squares: Any, brightness_model: Any) -> None:
    image = Image(squares((3, 16, 16), (1, 2, 2)), "ZYX", name="stack")
    with pytest.warns(UnveilWarning, match="constant in 2 of 3 frames"):
        result = segment(image, brightness_model(), options=EXACT)
    assert result.report.n_objects == 1
    assert len(result.report.notices) == 1


def test_pixels_that_are_not_finite_are_filled_and_counted(squares: Any, brightness_model: Any) -> None:
    pixels = squares((24, 24), (2, 2)).astype(np.float32)
    pixels[20, 20], pixels[21, 3], pixels[4, 20] = np.nan, np.inf, -np.inf
    with pytest.warns(UnveilWarning, match="3 pixels of image 'image' were not finite and were taken for the mean"):
        result = segment(Image(pixels), brightness_model(), options=EXACT)
    assert result.report.n_objects == 1
    assert np.isfinite(result.probabilities.data).all()


def test_image_without_any_finite_pixel_is_refused(brightness_model: Any) -> None:
    untouched = SegmentationSink(*(np.full(shape, 5, np.float32) for shape in ((2, 8, 8), (2, 1, 8, 8), (2, 8, 8))))
    with pytest.raises(ImageError, match="holds no finite pixel"):
        segment(Image(np.full((8, 8), np.nan)), brightness_model(), options=EXACT)
    with pytest.raises(ImageError, match="holds no finite pixel"):
        segment(Image(np.full((2, 8, 8), np.nan), "TYX"), brightness_model(), options=EXACT, into=untouched)


def test_tile_is_rounded_up_to_the_step(make_tiny_model: Any, make_blobs: Any) -> None:
    options = EXACT.model_copy(update={"tile": 17})
    assert segment(make_blobs((64, 70)), make_tiny_model(), options=options, monitor=ignore).report.tile == (20, 20)


def test_windows_grow_beyond_the_usual_where_their_halo_is_wide(
    make_tiny_model: Any, make_blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unveil.tasks.running.largest_window", lambda *_, **__: 1)
    options = EXACT.model_copy(update={"skip_check": True})
    events: list[Event] = []
    report = segment(make_blobs((200, 200)), make_tiny_model(), options=options, monitor=events.append).report
    assert report.tile is not None
    assert min(report.tile) > 20
    assert not [event for event in events if isinstance(event, Notice)]


def test_too_little_memory_for_the_halo_is_told(
    make_tiny_model: Any, make_blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("largest_window", "affordable_window"):
        monkeypatch.setattr(f"unveil.tasks.running.{name}", lambda *_, **__: 1)
    with pytest.warns(UnveilWarning, match="tiles of 4 × 4 pixels: each pixel is computed .* times. Close other"):
        segment(make_blobs((60, 60)), make_tiny_model(), options=EXACT.model_copy(update={"skip_check": True}))


def test_progress_is_reported_for_every_tile(make_tiny_model: Any, make_blobs: Any) -> None:
    events: list[Event] = []
    options = EXACT.model_copy(update={"tile": 16})
    segment(make_blobs((2, 40, 50), "TYX"), make_tiny_model(), options=options, monitor=events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    n_tiles = 2 * 3 * 4
    assert {p.total for p in progress} == {n_tiles}
    assert {p.done for p in progress} == set(range(n_tiles + 1))
    assert [p.done for p in progress] == sorted(p.done for p in progress)


def stop_at(call: int) -> Callable[[Event], None]:
    """Make a monitor that cancels at its `call`-th call."""
    calls = iter(range(1, call))

    def monitor(event: Event) -> None:
        if next(calls, None) is None:
            raise Cancelled

    return monitor


@pytest.mark.parametrize("call", [1, 2, 5, 11])
def test_cancelling_ends_the_work_within_a_tile(
    make_tiny_model: Any, make_blobs: Any, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    lent: list[weakref.ref[Any]] = []
    n_computed = 0

    class Counting(TorchEngine):
        def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            nonlocal n_computed
            n_computed += 1
            return super().compute(batch)

    @contextmanager
    def lend(model: Model, options: Any, notify: Any, **_: Any) -> Iterator[TorchEngine]:
        engine = Counting(model.inference_module(), "cpu", fast=False)
        lent.append(weakref.ref(engine))
        yield engine

    monkeypatch.setattr(views, "borrowed_engine", lend)
    options = EXACT.model_copy(update={"tile": 16})
    with pytest.raises(Cancelled):
        segment(make_blobs((64, 64)), make_tiny_model(), options=options, monitor=stop_at(call))
    assert n_computed == call - 1  # the first call comes before the first tile
    gc.collect()
    assert lent[0]() is None  # nothing is left behind


@contextmanager
def small_memory(largest: int, model: Model) -> Iterator[Any]:
    """Lend an engine that can hold windows of at most `largest` pixels, and note what it is given."""

    class Small(TorchEngine):
        shapes: list[tuple[int, ...]] = []  # noqa: RUF012

        def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            if batch[0, 0].size > largest:
                raise MemoryError("The engine ran out of memory")
            self.shapes.append(batch.shape)
            return super().compute(batch)

    engine = Small(model.inference_module(), "cpu", fast=False)

    @contextmanager
    def lend(model: Model, options: Any, notify: Any, **_: Any) -> Iterator[TorchEngine]:
        yield engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "borrowed_engine", lend)
        yield engine


def test_tile_is_halved_when_memory_runs_out(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((3, 150, 170), "TYX"), make_tiny_model()
    expected = segment(image, model, options=EXACT, monitor=ignore)
    events: list[Event] = []
    with small_memory(100 * 120, model) as engine:
        result = segment(image, model, options=EXACT, monitor=events.append)
    assert max(shape[2] * shape[3] for shape in engine.shapes) <= 100 * 120
    assert len(set(engine.shapes)) == 1
    halved = [event.message for event in events if isinstance(event, Notice)]
    assert halved == list(result.report.notices)
    assert len(halved) >= 1
    assert all("ran out of memory; the tile is halved from" in message for message in halved)
    assert max(result.report.tile) < 170
    np.testing.assert_allclose(result.probabilities.data, expected.probabilities.data, atol=1e-5)


def test_too_little_memory_for_the_smallest_tile_is_an_error(make_tiny_model: Any, make_blobs: Any) -> None:
    model = make_tiny_model()
    with small_memory(1, model), pytest.raises(EngineError, match=r"at the smallest tile of .* pixels\. Close other"):
        segment(make_blobs((64, 64)), model, options=EXACT, monitor=ignore)


def test_overflow_of_half_precision_is_computed_again_exactly(
    make_tiny_model: Any, make_blobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Overflowing(TorchEngine):
        precision = "float16"

        def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(super().compute(batch), np.nan)

    @contextmanager
    def lend(model: Model, options: Any, notify: Any, **_: Any) -> Iterator[TorchEngine]:
        asked.append(options.precision)
        kind = TorchEngine if options.precision == "exact" else Overflowing
        yield kind(model.inference_module(), "cpu", fast=False)

    monkeypatch.setattr(views, "borrowed_engine", lend)
    with pytest.warns(UnveilWarning, match="float16 overflowed; float32 is computed instead"):
        result = segment(make_blobs(), make_tiny_model(), options=SegmentationOptions())
    assert asked == ["auto", "exact"]
    assert result.report.precision == "float32"
    assert np.isfinite(result.probabilities.data).all()


def test_device_that_is_not_there_is_refused(brightness_model: Any) -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(InputError, match=f"Device '{missing}' is not available"):
        segment(Image(np.eye(16)), brightness_model(), options=SegmentationOptions(device=missing))  # type: ignore[arg-type]
