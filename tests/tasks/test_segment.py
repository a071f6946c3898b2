"""The door `segment`: what it returns, what it refuses, and how it ends."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray

from unveil.config.architecture import UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.config.options import SegmentationOptions
from unveil.errors import ConfigError, EngineError, ImageError, InputError, MismatchError, UnveilWarning
from unveil.events import Cancelled, Event, Notice, Progress, ignore
from unveil.image import Image
from unveil.inference.torch_engine import TorchEngine
from unveil.model.card import ModelCard
from unveil.model.model import Model, compute
from unveil.networks.build import build_network
from unveil.operators.instances import label_objects
from unveil.operators.normalization import fit_array
from unveil.tasks import running
from unveil.tasks.results import SegmentationSink
from unveil.tasks.segment import chosen_rule, segment, separate

EXACT = SegmentationOptions(precision="exact", engine="torch", device="cpu")


def brightness_model(
    *,
    n_dims: int = 2,
    in_channels: int = 1,
    classes: int = 2,
    objects: bool = True,
    rule: ObjectRule | None = None,
    **fields: Any,
) -> Model:
    """Make a model by hand: the foreground is what is bright, and the distance is the brightness itself."""
    architecture = UNetConfig(
        n_dims=n_dims,  # type: ignore[arg-type]
        in_channels=in_channels,
        out_channels=classes + objects,
        width=2,
        poolings=1,
    )
    network = build_network(architecture)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    centre = (1,) * n_dims
    with torch.no_grad():
        for convolution in (network.down[0][0], network.down[0][2], network.merge[0][0], network.merge[0][2]):  # type: ignore[index, union-attr]
            convolution.weight[(0, 0, *centre)] = 1  # the first channel passes through, over the skip
        network.head.weight[1, 0] = 20  # type: ignore[index, union-attr]
        network.head.bias[1:classes] = -10  # type: ignore[index, union-attr]
        if objects:
            network.head.weight[classes, 0] = 1  # type: ignore[index, union-attr]
    card = ModelCard.describe(
        architecture,
        **{
            "name": "brightness",
            "task": "segmentation",
            "classes": ("background", *(f"class {i}" for i in range(1, classes))),
            "objects": (rule or ObjectRule()) if objects else None,
            "normalization": PercentileNormalization(low=0, high=100),
        }
        | fields,
    )
    check_input = np.random.default_rng(0).random((1, in_channels, *(8,) * n_dims), dtype=np.float32)
    return Model.make(card, network, check_input)


def squares(shape: tuple[int, ...], *corners: tuple[int, ...], size: int = 6) -> NDArray[np.uint16]:
    """Draw bright squares, one per corner, on black; leading axes of a corner choose the plane."""
    pixels = np.zeros(shape, np.uint16)
    for corner in corners:
        *planes, y, x = corner
        pixels[(*planes, slice(y, y + size), slice(x, x + size))] = 1000
    return pixels


def test_objects_of_a_plane() -> None:
    pixels = squares((40, 50), (4, 6), (20, 30))
    image = Image(pixels, "YX", pixel_size_um={"Y": 0.5, "X": 0.25}, name="cells")
    result = segment(image, brightness_model(), options=EXACT)
    expected = np.zeros((40, 50), np.int32)
    expected[4:10, 6:12], expected[20:26, 30:36] = 1, 2
    np.testing.assert_array_equal(result.labels.data, expected)
    assert result.labels.data.dtype == np.int32
    assert (result.labels.axes, result.probabilities.axes) == ("YX", "CYX")
    assert result.probabilities.channel_names == ("class 1",)
    assert result.probabilities.shape == (1, 40, 50)
    assert result.distance is not None
    assert result.distance.shape == (40, 50)
    assert {tuple(i.pixel_size_um.items()) for i in (result.labels, result.probabilities, result.distance)} == {
        (("Y", 0.5), ("X", 0.25))
    }
    assert result.report.n_objects == 2
    assert result.card.name == "brightness"


@pytest.mark.parametrize(("n_dims", "tile"), [(2, 1), (2, 7), (2, 16), (2, 33), (2, 500), (3, 16), (3, 30), (3, 500)])
def test_every_tile_gives_the_result_of_the_whole(
    make_tiny_model: Any, make_blobs: Any, n_dims: int, tile: int
) -> None:
    model = make_tiny_model(n_dims=n_dims)
    image = make_blobs((9, 27, 38)[-n_dims:], "ZYX"[-n_dims:])
    options = EXACT.model_copy(update={"tile": tile, "threshold": 0.45})
    result = segment(image, model, options=options, monitor=ignore)
    grey = np.asarray(image.data)[np.newaxis]
    frame = fit_array(model.card.normalization, grey).apply(grey)
    step = model.card.size_step
    extended = np.pad(frame, [(0, 0), *((0, -n % s) for n, s in zip(image.shape, step, strict=True))], mode="reflect")
    maps = compute(model.inference_module(), extended[np.newaxis])[0][(slice(None), *map(slice, image.shape))]
    np.testing.assert_allclose(result.probabilities.data[0], maps[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.distance.data, maps[2], rtol=0, atol=1e-5)  # type: ignore[union-attr]
    stitched = np.asarray(result.probabilities.data)[0], np.asarray(result.distance.data)  # type: ignore[union-attr]
    np.testing.assert_array_equal(
        result.labels.data, label_objects(*stitched, chosen_rule(model.card.objects, options))
    )


@pytest.mark.parametrize(
    ("axes", "n_dims", "labels_axes"),
    [
        ("YX", 2, "YX"),
        ("CYX", 2, "YX"),
        ("TYX", 2, "TYX"),
        ("TCZYX", 2, "TZYX"),
        ("ZYX", 3, "ZYX"),
        ("TCZYX", 3, "TZYX"),
    ],
)
def test_axes_and_unique_ids(axes: str, n_dims: int, labels_axes: str, rng: np.random.Generator) -> None:
    sizes = {"T": 2, "C": 1, "Z": 3, "Y": 16, "X": 20}
    pixels = rng.integers(0, 50, [sizes[axis] for axis in axes]).astype(np.uint16)
    pixels[..., 3:7, 5:9] = 1000
    pixels[..., 10:14, 5:9] = 1000
    result = segment(Image(pixels, axes), brightness_model(n_dims=n_dims), options=EXACT)
    labels = np.asarray(result.labels.data)
    assert result.labels.axes == labels_axes
    assert labels.shape == tuple(sizes[axis] for axis in labels_axes)
    assert result.probabilities.axes == "".join(axis for axis in "TCZYX" if axis in labels_axes or axis == "C")
    n_frames = 2 * labels[..., 0, 0].size if n_dims == 2 else 2 * sizes["T"] if "T" in axes else 2
    assert result.report.n_objects == labels.max() == len(np.unique(labels)) - 1 == n_frames


def test_plane_gives_the_same_alone_and_in_its_stack(make_tiny_model: Any, make_blobs: Any) -> None:
    stack = make_blobs((3, 30, 40), "ZYX")
    model = make_tiny_model()
    together = segment(stack, model, options=EXACT, monitor=ignore)
    alone = segment(Image(stack.data[1], "YX"), model, options=EXACT, monitor=ignore)
    np.testing.assert_array_equal(together.probabilities.data[0, 1], alone.probabilities.data[0])


def test_classes_without_objects(make_blobs: Any) -> None:
    model = brightness_model(classes=4, objects=False)
    result = segment(Image(squares((20, 20), (4, 6))), model, options=EXACT)
    expected = np.zeros((20, 20), np.int32)
    expected[4:10, 6:12] = 1
    np.testing.assert_array_equal(result.labels.data, expected)
    assert result.probabilities.channel_names == ("class 1", "class 2", "class 3")
    assert result.distance is None
    assert result.report.n_objects is None


def test_threshold_of_two_classes_is_the_cards_or_the_users() -> None:
    pixels = np.full((16, 16), 0, np.uint16)
    pixels[4:8, 4:8], pixels[10:14, 4:8] = 1000, 520
    model = brightness_model(objects=False, threshold=0.9)
    assert set(np.unique(segment(Image(pixels), model, options=EXACT).labels.data[10:14, 4:8])) == {0}
    lower = EXACT.model_copy(update={"threshold": 0.5})
    assert set(np.unique(segment(Image(pixels), model, options=lower).labels.data[10:14, 4:8])) == {1}


def test_separation_of_a_model_without_objects_changes_nothing_and_says_so() -> None:
    events: list[Event] = []
    options = EXACT.model_copy(update={"min_size": 5})
    segment(Image(squares((16, 16), (2, 2))), brightness_model(objects=False), options=options, monitor=events.append)
    assert any(isinstance(event, Notice) and "does not separate objects" in event.message for event in events)


def test_separate_changes_the_labels_alone() -> None:
    pixels = squares((40, 50), (4, 6), (20, 30))
    pixels[30:32, 3:5] = 1000
    result = segment(Image(pixels, "YX", name="cells"), brightness_model(), options=EXACT)
    assert result.report.n_objects == 3
    fewer = separate(result, SegmentationOptions(min_size=10))
    assert fewer.report.n_objects == 2
    assert fewer.report.options["min_size"] == 10
    assert fewer.report.options["precision"] == "exact"
    assert fewer.probabilities is result.probabilities
    assert result.labels.data.max() == 3
    again = separate(fewer, SegmentationOptions())
    np.testing.assert_array_equal(again.labels.data, result.labels.data)


def test_separate_reads_lazy_maps(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((2, 30, 40), "TYX"), make_tiny_model()
    sink = SegmentationSink.create(image, model.card, lambda shape, dtype: zarr.zeros(shape, dtype=dtype))
    result = segment(image, model, options=EXACT, into=sink, monitor=ignore)
    np.testing.assert_array_equal(separate(result, EXACT).labels.data, np.asarray(sink.labels[:]))


def test_separate_keeps_ids_unique_over_planes(make_blobs: Any, make_tiny_model: Any) -> None:
    options = EXACT.model_copy(update={"threshold": 0.4})
    result = segment(make_blobs((4, 30, 40), "ZYX"), make_tiny_model(), options=options, monitor=ignore)
    np.testing.assert_array_equal(separate(result, options).labels.data, result.labels.data)


def test_chosen_channel_by_name_and_number() -> None:
    pixels = np.stack([squares((24, 24), (2, 2)), squares((24, 24), (2, 2), (14, 14))])
    image = Image(pixels, "CYX", channel_names=("red", "DAPI"))
    model = brightness_model()
    for channel in (1, "DAPI", "1"):
        options = EXACT.model_copy(update={"channel": channel})
        assert segment(image, model, options=options).report.n_objects == 2


def test_several_channels_go_in_together() -> None:
    image = Image(np.stack([squares((24, 24), (2, 2))] * 3), "CYX")
    assert segment(image, brightness_model(in_channels=3), options=EXACT).report.n_objects == 1


@pytest.mark.parametrize(
    ("image", "model", "channel", "message"),
    [
        (
            Image(np.eye(16)[None].repeat(3, 0), "CYX", channel_names=("r", "g", "b"), name="rgb"),
            {},
            None,
            "Image 'rgb' has 3 channels (r, g, b); model 'brightness' expects 1. Choose a channel by name, or by a "
            "number from 0 to 2.",
        ),
        (
            Image(np.eye(16), name="grey"),
            {"in_channels": 2, "channel_names": ("DAPI", "actin")},
            None,
            "Image 'grey' has 1 channel; model 'brightness' expects 2 (DAPI, actin). Give an image with these 2 "
            "channels, or choose another model.",
        ),
        (
            Image(np.eye(16)[None].repeat(2, 0), "CYX", name="two"),
            {"in_channels": 2},
            1,
            "One channel of image 'two' was chosen; model 'brightness' expects 2. It takes 2 channels together: "
            "choose none.",
        ),
        (
            Image(np.eye(16), name="grey"),
            {"n_dims": 3},
            None,
            "Image 'grey' has axes YX; model 'brightness' expects volumes with axes Z, Y and X. Choose a stack, or a "
            "model for planes.",
        ),
    ],
)
def test_image_that_does_not_fit_is_refused(image: Image, model: dict[str, Any], channel: Any, message: str) -> None:
    with pytest.raises(MismatchError) as caught:
        segment(image, brightness_model(**model), options=EXACT.model_copy(update={"channel": channel}))
    assert str(caught.value) == message


def test_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(MismatchError, match="no channel 'GFP'"):
        segment(Image(np.eye(16)), brightness_model(), options=EXACT.model_copy(update={"channel": "GFP"}))


def test_denoiser_is_refused(make_tiny_model: Any) -> None:
    with pytest.raises(MismatchError, match=r"was made for denoising, not for segmentation\. Use it with denoise"):
        segment(Image(np.eye(16)), make_tiny_model("denoising"))


@pytest.mark.parametrize("nothing", [None, np.eye(16), "cells.tif"])
def test_what_is_no_image_is_refused(nothing: Any) -> None:
    with pytest.raises(ImageError, match=r"where an unveil\.Image is expected"):
        segment(nothing, brightness_model())


@pytest.mark.parametrize("name", ["nuclei", None])
def test_what_is_no_model_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"where a model is expected\. Load it first"):
        segment(Image(np.eye(16)), name)


def test_constant_image_has_no_objects_and_says_so() -> None:
    with pytest.warns(UnveilWarning, match="Image 'flat' is constant: there is nothing to find"):
        result = segment(Image(np.full((16, 16), 7), name="flat"), brightness_model(), options=EXACT)
    assert result.report.n_objects == 0
    assert not np.any(result.labels.data)
    assert not np.any(result.probabilities.data)


def test_constant_planes_are_counted() -> None:
    image = Image(squares((3, 16, 16), (1, 2, 2)), "ZYX", name="stack")
    with pytest.warns(UnveilWarning, match="constant in 2 of 3 frames"):
        result = segment(image, brightness_model(), options=EXACT)
    assert result.report.n_objects == 1
    assert len(result.report.notices) == 1


def test_pixels_that_are_not_finite_are_filled_and_counted() -> None:
    pixels = squares((24, 24), (2, 2)).astype(np.float32)
    pixels[20, 20], pixels[21, 3], pixels[4, 20] = np.nan, np.inf, -np.inf
    with pytest.warns(UnveilWarning, match="3 pixels of image 'image' were not finite and were taken for the mean"):
        result = segment(Image(pixels), brightness_model(), options=EXACT)
    assert result.report.n_objects == 1
    assert np.isfinite(result.probabilities.data).all()


def test_image_without_any_finite_pixel_is_refused() -> None:
    untouched = SegmentationSink(*(np.full(shape, 5, np.float32) for shape in ((2, 8, 8), (2, 1, 8, 8), (2, 8, 8))))
    with pytest.raises(ImageError, match="holds no finite pixel"):
        segment(Image(np.full((8, 8), np.nan)), brightness_model(), options=EXACT)
    with pytest.raises(ImageError, match="holds no finite pixel"):
        segment(Image(np.full((2, 8, 8), np.nan), "TYX"), brightness_model(), options=EXACT, into=untouched)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64, np.float16, np.float32, np.float64, ">u2"])
def test_any_integer_or_float_dtype(dtype: Any) -> None:
    pixels = (squares((24, 24), (2, 2), (12, 12)) / 10).astype(dtype)
    assert segment(Image(pixels), brightness_model(), options=EXACT).report.n_objects == 2


def test_two_pixels_suffice(make_tiny_model: Any) -> None:
    image = Image(np.array([[0, 1], [2, 3]], np.uint8))
    assert segment(image, make_tiny_model(), options=EXACT, monitor=ignore).labels.shape == (2, 2)


def test_results_go_into_the_arrays_given(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((2, 40, 50), "TYX"), make_tiny_model()
    sink = SegmentationSink.create(image, model.card, lambda shape, dtype: zarr.zeros(shape, dtype=dtype))
    options = EXACT.model_copy(update={"tile": 16})
    result = segment(image, model, options=options, into=sink, monitor=ignore)
    in_memory = segment(image, model, options=options, monitor=ignore)
    assert result.labels.data is sink.labels
    np.testing.assert_array_equal(np.asarray(sink.probabilities[:]), in_memory.probabilities.data)
    np.testing.assert_array_equal(np.asarray(sink.labels[:]), in_memory.labels.data)


def test_arrays_that_do_not_fit_are_refused_together() -> None:
    sink = SegmentationSink(np.zeros((3, 3), np.int32), np.zeros((16, 16)), None)
    with pytest.raises(ImageError) as caught:
        segment(Image(np.eye(16)), brightness_model(), into=sink)
    for problem in ("distance is missing", "labels have shape (3, 3)", "probabilities have shape (16, 16)"):
        assert problem in str(caught.value)


def test_report_tells_what_was_done() -> None:
    options = SegmentationOptions(device="cpu", engine="openvino", precision="exact", tile=10, threshold=0.25)
    model = brightness_model()
    report = segment(Image(squares((40, 50), (4, 6))), model, options=options).report
    assert (report.model, report.model_sha256) == ("brightness", model.card.weights_sha256)
    assert (report.device, report.engine, report.precision) == ("cpu", "openvino", "float32")
    assert report.tile == (10, 10)
    assert report.options["threshold"] == 0.25
    assert report.seconds > 0
    assert {"unveil", "torch", "openvino", "python"} <= set(report.versions)
    assert json.loads(json.dumps(report.provenance())) == report.provenance()


def test_tile_is_rounded_up_to_the_step(make_tiny_model: Any, make_blobs: Any) -> None:
    options = EXACT.model_copy(update={"tile": 17})
    assert segment(make_blobs((64, 70)), make_tiny_model(), options=options, monitor=ignore).report.tile == (20, 20)


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
    def lend(model: Model, options: Any, notify: Any) -> Iterator[TorchEngine]:
        engine = Counting(model.inference_module(), "cpu", fast=False)
        lent.append(weakref.ref(engine))
        yield engine

    monkeypatch.setattr(running, "borrowed_engine", lend)
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
    def lend(model: Model, options: Any, notify: Any) -> Iterator[TorchEngine]:
        yield engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "borrowed_engine", lend)
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
    def lend(model: Model, options: Any, notify: Any) -> Iterator[TorchEngine]:
        asked.append(options.precision)
        kind = TorchEngine if options.precision == "exact" else Overflowing
        yield kind(model.inference_module(), "cpu", fast=False)

    monkeypatch.setattr(running, "borrowed_engine", lend)
    with pytest.warns(UnveilWarning, match="float16 overflowed; float32 is computed instead"):
        result = segment(make_blobs(), make_tiny_model(), options=SegmentationOptions())
    assert asked == ["auto", "exact"]
    assert result.report.precision == "float32"
    assert np.isfinite(result.probabilities.data).all()


def test_rescaling_brings_the_image_to_the_models_pixel_size() -> None:
    model = brightness_model(pixel_size_um={"Y": 1.0, "X": 1.0}, rule=ObjectRule(reach_px=10))
    image = Image(squares((48, 60), (6, 8), (30, 40), size=12), "YX", pixel_size_um={"Y": 0.5, "X": 0.5})
    with pytest.warns(UnveilWarning, match="resized by 0.50 × 0.50"):
        result = segment(image, model, options=EXACT)
    assert result.report.scale == (0.5, 0.5)
    assert result.report.tile == (24, 30)
    assert result.labels.shape == (48, 60)
    assert result.report.n_objects == 2
    whole = segment(image, model, options=EXACT.model_copy(update={"rescale": "off"}))
    assert whole.report.scale == ()
    differs = np.asarray(result.labels.data) != np.asarray(whole.labels.data)
    assert differs.mean() < 0.05  # interpolation moves borders by at most a pixel
    rule = chosen_rule(model.card.objects, EXACT, result.report.scale)  # type: ignore[arg-type]
    assert rule.reach_px == 20


@pytest.mark.parametrize(
    ("image_um", "model_um", "is_resized"),
    [
        (0.5, 0.6, False),
        (0.5, 0.62, False),
        (0.5, 0.63, True),
        (0.5, 0.3, True),
        (None, 0.3, False),
        (0.5, None, False),
    ],
)
def test_rescaling_begins_beyond_a_quarter(image_um: float | None, model_um: float | None, is_resized: bool) -> None:
    sizes = [{} if um is None else {"Y": um, "X": um} for um in (image_um, model_um)]
    image = Image(squares((32, 32), (6, 8), size=12), "YX", pixel_size_um=sizes[0])
    result = segment(image, brightness_model(pixel_size_um=sizes[1]), options=EXACT, monitor=ignore)
    assert bool(result.report.scale) == is_resized


def test_factor_is_taken_as_it_is() -> None:
    options = EXACT.model_copy(update={"rescale": 2.0})
    result = segment(Image(squares((20, 25), (6, 8))), brightness_model(), options=options, monitor=ignore)
    assert result.report.scale == (2.0, 2.0)
    assert result.report.tile == (40, 50)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1000.0, float("nan")])
def test_impossible_factor_is_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match="cannot be resized by a factor"):
        segment(Image(np.eye(16)), brightness_model(), options=EXACT.model_copy(update={"rescale": factor}))


def test_device_that_is_not_there_is_refused() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(InputError, match=f"Device '{missing}' is not available"):
        segment(Image(np.eye(16)), brightness_model(), options=SegmentationOptions(device=missing))  # type: ignore[arg-type]
