"""The door `segment`: what it returns, what it refuses, and how it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.events import Event, Notice, ignore
from unveil.image import Image
from unveil.io.model_file import load_model
from unveil.model.model import compute
from unveil.operators.instances import label_objects
from unveil.operators.normalization import fit_array
from unveil.tasks.denoise import denoise
from unveil.tasks.frame_canvas import chosen_rule
from unveil.tasks.results import SegmentationSink
from unveil.tasks.segment import segment, separate

SHARED = {"precision": "exact", "engine": "torch", "device": "cpu"}
EXACT = SegmentationOptions(**SHARED)


def test_objects_of_a_plane(squares: Any, brightness_model: Any) -> None:
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


@pytest.mark.parametrize("objects", [True, False])
def test_the_report_says_what_overlap_the_probabilities_expect(
    make_tiny_model: Any, make_blobs: Any, objects: bool
) -> None:
    model = make_tiny_model(objects=objects)
    result = segment(make_blobs((3, 30, 40), "ZYX"), model, options=EXACT, monitor=ignore)
    half = {"threshold": float(np.median(result.probabilities.data)), "min_size": 0}
    for found in (result, separate(result, EXACT.model_copy(update=half))):
        p, predicted = np.asarray(found.probabilities.data, float)[0], np.asarray(found.labels.data) > 0
        expected = p[predicted].sum() / (predicted.sum() + p[~predicted].sum())
        assert found.report.expected_iou == pytest.approx(expected, rel=1e-4)
        assert found.report.provenance()["expected_iou"] == found.report.expected_iou
    assert 0.4 < predicted.mean() < 0.6


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
def test_axes_and_unique_ids(
    axes: str, n_dims: int, labels_axes: str, rng: np.random.Generator, brightness_model: Any
) -> None:
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


def test_classes_without_objects(make_blobs: Any, squares: Any, brightness_model: Any) -> None:
    model = brightness_model(classes=4, objects=False)
    result = segment(Image(squares((20, 20), (4, 6))), model, options=EXACT)
    expected = np.zeros((20, 20), np.int32)
    expected[4:10, 6:12] = 1
    np.testing.assert_array_equal(result.labels.data, expected)
    assert result.probabilities.channel_names == ("class 1", "class 2", "class 3")
    assert result.distance is None
    assert result.report.n_objects is None


def test_threshold_of_two_classes_is_the_cards_or_the_users(brightness_model: Any) -> None:
    pixels = np.full((16, 16), 0, np.uint16)
    pixels[4:8, 4:8], pixels[10:14, 4:8] = 1000, 520
    model = brightness_model(objects=False, threshold=0.9)
    assert set(np.unique(segment(Image(pixels), model, options=EXACT).labels.data[10:14, 4:8])) == {0}
    lower = EXACT.model_copy(update={"threshold": 0.5})
    assert set(np.unique(segment(Image(pixels), model, options=lower).labels.data[10:14, 4:8])) == {1}


def test_separation_of_a_model_without_objects_changes_nothing_and_says_so(squares: Any, brightness_model: Any) -> None:
    events: list[Event] = []
    options = EXACT.model_copy(update={"min_size": 5})
    segment(Image(squares((16, 16), (2, 2))), brightness_model(objects=False), options=options, monitor=events.append)
    assert any(isinstance(event, Notice) and "does not separate objects" in event.message for event in events)


@pytest.mark.parametrize(("classes", "is_told"), [(2, False), (3, True)])
def test_a_threshold_of_several_classes_changes_nothing_and_says_so(
    squares: Any, brightness_model: Any, classes: int, is_told: bool
) -> None:
    events: list[Event] = []
    options = EXACT.model_copy(update={"threshold": 0.3})
    model = brightness_model(classes=classes, objects=False)
    segment(Image(squares((16, 16), (2, 2))), model, options=options, monitor=events.append)
    told = [isinstance(event, Notice) and "threshold changes nothing" in event.message for event in events]
    assert any(told) == is_told


def test_separate_changes_the_labels_alone(squares: Any, brightness_model: Any) -> None:
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


def test_chosen_channel_by_name_and_number(squares: Any, brightness_model: Any) -> None:
    pixels = np.stack([squares((24, 24), (2, 2)), squares((24, 24), (2, 2), (14, 14))])
    image = Image(pixels, "CYX", channel_names=("red", "DAPI"))
    model = brightness_model()
    for channel in (1, "DAPI", "1"):
        options = EXACT.model_copy(update={"channel": channel})
        assert segment(image, model, options=options).report.n_objects == 2


def test_several_channels_go_in_together(squares: Any, brightness_model: Any) -> None:
    image = Image(np.stack([squares((24, 24), (2, 2))] * 3), "CYX")
    assert segment(image, brightness_model(in_channels=3), options=EXACT).report.n_objects == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64, np.float16, np.float32, np.float64, ">u2"])
def test_any_integer_or_float_dtype(dtype: Any, squares: Any, brightness_model: Any) -> None:
    pixels = (squares((24, 24), (2, 2), (12, 12)) / 10).astype(dtype)
    assert segment(Image(pixels), brightness_model(), options=EXACT).report.n_objects == 2


def test_two_pixels_suffice(make_tiny_model: Any) -> None:
    image = Image(np.array([[0, 1], [2, 3]], np.uint8))
    assert segment(image, make_tiny_model(), options=EXACT, monitor=ignore).labels.shape == (2, 2)


@pytest.mark.parametrize(("axes", "channel"), [("YX", None), ("CYX", 1), ("TYX", None)])
def test_the_noise_can_be_removed_first(make_tiny_model: Any, axes: str, channel: int | None) -> None:
    sizes = {"T": 2, "C": 3, "Y": 40, "X": 48}
    rng = np.random.default_rng(0)
    image = Image(rng.normal(100, 9, [sizes[axis] for axis in axes]).astype(np.float32), axes, name="noisy")
    options = EXACT.model_copy(update={"denoise_first": "on", "channel": channel})
    found = segment(image, make_tiny_model(), options=options, monitor=ignore)
    denoiser = load_model("fluorescence-denoiser")
    clean = denoise(image, denoiser, options=DenoisingOptions(**SHARED, channel=channel), monitor=ignore).image
    expected = segment(clean, make_tiny_model(), options=EXACT, monitor=ignore)
    np.testing.assert_array_equal(found.probabilities.data, expected.probabilities.data)
    assert found.report.options["denoise_first"] == "on"
    assert not np.array_equal(
        found.probabilities.data,
        segment(
            image, make_tiny_model(), options=EXACT.model_copy(update={"channel": channel}), monitor=ignore
        ).probabilities.data,
    )
