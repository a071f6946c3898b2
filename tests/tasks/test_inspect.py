from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unveil import Image, Model
from unveil.errors import ConfigError, ImageError, InputError, MismatchError
from unveil.events import Cancelled, Event, Progress
from unveil.model.lipschitz import LipschitzBounds
from unveil.networks.tracing import Operation, trace
from unveil.operators.normalization import fit_array
from unveil.tasks.inspect import LipschitzTable, feature_maps, layer_filters, lipschitz_table, summarize


def whole(model: Model, image: Image, layer: str) -> np.ndarray:
    """Compute a layer on the whole image, extended to a multiple of the step."""
    grey = np.asarray(image.data)[np.newaxis]
    normalized = fit_array(model.card.normalization, grey).apply(grey)
    padding = [(0, -size % step) for size, step in zip(grey.shape[1:], model.card.size_step, strict=True)]
    batch = torch.from_numpy(np.pad(normalized, [(0, 0), *padding], mode="reflect")[np.newaxis])
    if layer == "input":
        return batch[0].numpy()
    found = {}

    def look(operation: Operation) -> None:
        found[operation.name] = operation.output[0].numpy()

    with torch.inference_mode():
        trace(model.network, batch, look)
    return found[summarize(model).layer(layer).output]


@pytest.mark.parametrize("layer", ["input", "down.0.2", "pool.1", "down.2.0", "up.0", "concatenate.1", "head"])
@pytest.mark.parametrize("centre", [None, (0, 90), (45, 5)])
def test_maps_of_a_region_are_those_of_the_whole(
    make_blobs: Callable[..., Image], make_tiny_model: Callable[..., Model], layer: str, centre: tuple[int, int] | None
) -> None:
    image, model = make_blobs((70, 94), pixel_size_um={"Y": 0.5, "X": 0.25}), make_tiny_model()
    maps = feature_maps(image, model, layer, centre=centre, size_px=18)
    region = tuple(
        slice(start // step, (start + 20) // step) for start, step in zip(maps.start, maps.stride, strict=True)
    )
    np.testing.assert_allclose(maps.maps, whole(model, image, layer)[(slice(None), *region)], atol=1e-5)
    assert maps.axes == "CYX"
    assert maps.pixel_size_um == {"Y": 0.5 * maps.stride[0], "X": 0.25 * maps.stride[1]}
    for start, middle in zip(maps.start, centre or (35, 47), strict=True):
        assert start <= middle < start + 20
        assert start % 4 == 0


def test_the_values_are_those_after_the_relu(
    make_blobs: Callable[..., Image], make_tiny_model: Callable[..., Model]
) -> None:
    model, image = make_tiny_model("denoising"), make_blobs()
    assert feature_maps(image, model, "layers.0").maps.min() == 0
    assert feature_maps(image, model, "layers.4").maps.min() < 0


def test_a_small_image_is_taken_whole(make_blobs: Callable[..., Image], make_tiny_model: Callable[..., Model]) -> None:
    maps = feature_maps(make_blobs((30, 41)), make_tiny_model(), "pool.1")
    assert (maps.start, maps.maps.shape) == ((0, 0), (8, 8, 11))


def test_volumes(make_blobs: Callable[..., Image], make_tiny_model: Callable[..., Model]) -> None:
    image, model = make_blobs((21, 30, 40), "ZYX"), make_tiny_model(n_dims=3)
    maps = feature_maps(image, model, "down.1.0", size_px=12, centre=(20, 3, 20))
    assert (maps.axes, maps.start, maps.stride, maps.maps.shape) == ("CZYX", (12, 0, 12), (2, 2, 2), (8, 6, 6, 6))
    expected = whole(model, image, "down.1.0")[:, 6:12, :6, 6:12]
    np.testing.assert_allclose(maps.maps, expected, atol=1e-5)


def test_one_frame_of_several_is_chosen(
    make_blobs: Callable[..., Image], make_tiny_model: Callable[..., Model]
) -> None:
    stack, model = make_blobs((3, 24, 24), "ZYX"), make_tiny_model()
    maps = feature_maps(stack, model, "head", frame=2)
    plane = Image(np.asarray(stack.data)[2], "YX")
    np.testing.assert_array_equal(maps.maps, feature_maps(plane, model, "head").maps)
    with pytest.raises(ConfigError, match="no plane or volume 3: it has 3"):
        feature_maps(stack, model, "head", frame=3)
    with pytest.raises(ConfigError, match="no plane or volume -1"):
        feature_maps(stack, model, "head", frame=-1)


def test_channels_are_chosen_and_never_guessed(make_tiny_model: Callable[..., Model], rng: np.random.Generator) -> None:
    data, model = rng.random((2, 24, 24), dtype=np.float32), make_tiny_model("denoising")
    image = Image(data, "CYX", channel_names=("a", "b"))
    with pytest.raises(MismatchError, match="has 2 channels"):
        feature_maps(image, model, "layers.0")
    alone = feature_maps(Image(data[1], "YX"), model, "layers.0")
    np.testing.assert_array_equal(feature_maps(image, model, "layers.0", channel="b").maps, alone.maps)
    with pytest.raises(MismatchError, match="has 2 channels"):
        feature_maps(image, make_tiny_model(in_channels=3), "head")


def test_pixels_that_are_not_finite_are_filled(make_tiny_model: Callable[..., Model], rng: np.random.Generator) -> None:
    data = rng.random((24, 24), dtype=np.float32)
    data[3, 4] = np.nan
    assert np.isfinite(feature_maps(Image(data, "YX"), make_tiny_model(), "head").maps).all()
    with pytest.raises(ImageError, match="no finite pixel"):
        feature_maps(Image(np.full_like(data, np.nan), "YX"), make_tiny_model(), "head")


def test_progress_counts_layers_and_cancels_between_them(
    make_blobs: Callable[..., Image], make_tiny_model: Callable[..., Model]
) -> None:
    image, model, events = make_blobs(), make_tiny_model(), list[Event]()
    feature_maps(image, model, "pool.1", monitor=events.append)
    counted = [event for event in events if isinstance(event, Progress) and event.total]
    assert [(event.done, event.total, event.unit) for event in counted] == [(n, 6, "layers") for n in range(1, 7)]

    def cancel_at_the_third(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        feature_maps(image, model, "pool.1", monitor=cancel_at_the_third)


def test_mistakes_are_refused(make_blobs: Callable[..., Image], make_tiny_model: Callable[..., Model]) -> None:
    image, model = make_blobs(), make_tiny_model()
    with pytest.raises(ConfigError, match="no layer 'nose'"):
        feature_maps(image, model, "nose")
    with pytest.raises(ConfigError, match="1 numbers; the image needs 2"):
        feature_maps(image, model, "head", centre=(3,))
    with pytest.raises(ConfigError, match="Load it first"):
        summarize("nuclei")  # type: ignore[arg-type]


def test_filters_are_the_weights_output_first(make_tiny_model: Callable[..., Model]) -> None:
    model = make_tiny_model()
    first, up = layer_filters(model, "down.0.0"), layer_filters(model, "up.1")
    np.testing.assert_array_equal(first, model.network.down[0][0].weight.numpy())  # type: ignore[index, union-attr]
    assert (first.shape, up.shape) == ((4, 1, 3, 3), (8, 16, 2, 2))
    np.testing.assert_array_equal(up[1, 5], model.network.up[1].weight[5, 1].numpy())  # type: ignore[index, union-attr]
    first[:] = 0
    assert layer_filters(model, "down.0.0").any()
    with pytest.raises(ConfigError, match=r"'pool\.0' has no filters. Choose one of down\.0\.0"):
        layer_filters(model, "pool.0")


def test_the_lipschitz_table_holds_every_convolution(make_tiny_model: Callable[..., Model]) -> None:
    model, events = make_tiny_model("denoising"), list[Any]()
    table = lipschitz_table(model, monitor=events.append)
    assert [row.name for row in table.layers] == ["layers.0", "layers.2", "layers.4"]
    assert all(0 < row.power_method <= row.certified for row in table.layers)
    assert 0 < table.bounds.lower <= table.bounds.upper
    assert events[0] == Progress(0, 4, "rows")
    assert events[-1] == Progress(3, 4, "rows")


def test_lipschitz_numbers_can_be_cancelled_in_the_search(make_tiny_model: Callable[..., Model]) -> None:
    n_calls = 0

    def cancel_late(event: Event) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 30:
            raise Cancelled

    with pytest.raises(Cancelled):
        lipschitz_table(make_tiny_model("denoising"), monitor=cancel_late)
    assert n_calls == 30


def test_classical_filters_show_what_they_have(make_blobs: Callable[..., Image]) -> None:
    from unveil import load_model

    model, image = load_model("median-filter"), make_blobs()
    maps = feature_maps(image, model, "filter")
    assert maps.maps.shape == (1, 64, 96)
    with pytest.raises(ConfigError, match="this one has none"):
        layer_filters(model, "filter")
    with pytest.raises(InputError, match="No Lipschitz bound is known for a classical filter"):
        lipschitz_table(model)


def test_regions_and_shapes_without_pixels_are_refused(make_tiny_model: Any, make_blobs: Any) -> None:
    model = make_tiny_model()
    for size_px in (0, -8):
        with pytest.raises(ConfigError, match=f"The region is {size_px} pixels wide; at least 1 is needed"):
            feature_maps(make_blobs((32, 32)), model, "input", size_px=size_px)
    for shape in ((64,), (64, 0), (4, 64, 64)):
        with pytest.raises(ConfigError, match="expects 2 numbers of at least 1 pixel each"):
            summarize(model, shape=shape)


@pytest.mark.parametrize(("upper", "is_useless"), [(120.0, False), (3.18e20, True)])
def test_a_bound_that_promises_nothing_is_called_so(upper: float, is_useless: bool) -> None:
    words = LipschitzTable((), LipschitzBounds(upper=upper, lower=1.0)).words
    assert ("no useful bound" in words) == is_useless
