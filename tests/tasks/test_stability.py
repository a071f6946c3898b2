"""What `stability` says of models whose answer is known, and what it promises of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unveil
from unveil.config.architecture import DnCNNConfig
from unveil.config.normalization import PercentileNormalization, StabilizedNormalization
from unveil.config.options import StabilityOptions
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import Cancelled, Event, Progress, ignore
from unveil.image import Image
from unveil.io.model_file import load_model
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.build import build_network
from unveil.tasks.stability import stability
from unveil.tasks.stability_report import FEW_PIXELS, Change, Stability

QUICK = StabilityOptions(n_steps=3)
ZOO = Path(unveil.__file__).parent / "zoo"


def keeper(normalization: Any = None, *, factor: float = 1.0) -> Model:
    """Make a denoiser that multiplies the normalized image by `factor`."""
    architecture = DnCNNConfig(depth=2, width=4)
    network = build_network(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, _, last = network.layers  # type: ignore[misc]
        for channel, sign in enumerate((1, -1)):  # x = max(x, 0) − max(−x, 0)
            first.weight[channel, 0, 1, 1] = sign
            last.weight[0, channel, 1, 1] = sign * (1 - factor)
    card = ModelCard.describe(
        architecture, name="keeper", task="denoising", normalization=normalization or PercentileNormalization()
    )
    return Model.make(card, network, np.zeros((1, 1, 16, 16), np.float32))


@pytest.fixture
def noisy(rng: np.random.Generator) -> Image:
    yy, xx = np.mgrid[:64, :72]
    clean = 100 + 400 * (np.hypot(yy - 30, xx - 40) < 15)
    return Image((clean + rng.normal(0, 20, clean.shape)).astype(np.float32), "YX", pixel_size_um={"Y": 0.2, "X": 0.2})


@pytest.mark.parametrize("factor", [1.0, 0.25, 3.0])
def test_a_multiple_stretches_everything_alike(noisy: Image, factor: float) -> None:
    found = stability(noisy, keeper(factor=factor), options=StabilityOptions(strength=0.05, n_steps=2), monitor=ignore)

    assert found.found is not None
    assert found.sensitivity is not None
    assert found.strength_from == "choice"
    for change in (found.random, found.found):
        assert change.stretch == pytest.approx(factor, rel=1e-3)
        assert change.rms == pytest.approx(factor * found.strength_grey, rel=1e-2)
        assert change.flipped is None
    np.testing.assert_allclose(found.sensitivity.data, factor, rtol=1e-4)
    assert found.level == ("steady" if factor <= 1 else "sensitive") or factor == 1.0
    assert found.bound is not None
    assert found.bound >= factor * 0.999
    assert all(shift.rms < 1e-3 for shift in found.shifts)


def test_the_strength_is_that_of_the_images_noise(noisy: Image) -> None:
    found = stability(noisy, keeper(), options=QUICK, monitor=ignore)

    assert found.strength_from == "noise"
    assert found.strength_grey == pytest.approx(20, rel=0.15)


def test_grey_values_come_back_from_a_curved_scale(noisy: Image) -> None:
    found = stability(noisy, keeper(StabilizedNormalization()), options=QUICK, monitor=ignore)

    assert found.strength_grey == pytest.approx(20, rel=0.3)
    assert found.random.rms == pytest.approx(found.strength_grey, rel=0.1)


def test_an_image_without_noise_gets_one_hundredth_of_its_range() -> None:
    ramp = Image(np.add.outer(np.arange(64.0), np.arange(64.0)).astype(np.float32))

    found = stability(ramp, keeper(), options=QUICK, monitor=ignore)

    assert (found.strength, found.strength_from) == (0.01, "default")


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("task", ["segmentation", "denoising"])
def test_chance_finds_no_more_than_the_search_and_the_search_no_more_than_the_bound(
    make_tiny_model: Any, make_blobs: Any, task: str, n_dims: int
) -> None:
    image = make_blobs(((40, 56), (6, 24, 32))[n_dims - 2], "ZYX"[-n_dims:])

    found = stability(image, make_tiny_model(task, n_dims=n_dims), options=QUICK, monitor=ignore)

    assert found.found is not None
    assert found.bound is not None
    assert found.random.stretch < found.found.stretch <= found.bound * (1 + 1e-4)
    assert found.random.rms <= found.found.rms
    assert found.random.largest <= found.found.largest
    if task == "segmentation":
        assert 0 <= found.random.flipped <= found.found.flipped <= 1  # type: ignore[operator]
    assert found.sensitivity is not None
    assert found.sensitivity.shape == tuple(stop - start for start, stop in found.region)


def test_classes_flip_where_they_are_decided_by_little(brightness_model: Callable[..., Model]) -> None:
    pixels = np.full((64, 64), 500, np.float32)
    pixels[:, 32:] = 510  # the foreground begins at half of the range
    pixels[0, :32], pixels[0, 32:] = 0, 1000
    model = brightness_model(objects=False)

    near, far = (
        stability(Image(p), model, options=StabilityOptions(strength=0.05, n_steps=4), monitor=ignore)
        for p in (pixels, np.where(pixels > 505, 1000, 0).astype(np.float32))
    )

    assert near.found is not None
    assert near.found.flipped is not None
    assert near.found.flipped >= near.random.flipped > 0.2  # type: ignore[operator]
    assert near.level == "sensitive"
    assert far.found is not None
    assert far.random.flipped == 0
    assert far.found.flipped is not None
    assert far.found.flipped < FEW_PIXELS
    assert far.level == "steady"
    assert "can be counted on" in far.sentence
    assert "changes the class of none of the pixels (the worst" in far.sentence


def test_poolings_break_shifts_but_those_by_their_step(make_tiny_model: Any, make_blobs: Any) -> None:
    found = stability(make_blobs((120, 120)), make_tiny_model(), options=QUICK, monitor=ignore)

    assert [shift.px for shift in found.shifts] == [1, 2, 3, 4]
    assert found.shifts[-1].largest < 1e-6
    assert min(shift.largest for shift in found.shifts[:-1]) > 1e-5


def test_what_is_looked_at_does_not_grow_with_the_image(make_blobs: Any) -> None:
    image = make_blobs((700, 900))

    found = stability(image, keeper(), options=StabilityOptions(n_steps=1), monitor=ignore)

    sizes = [stop - start for start, stop in found.region]
    assert np.prod(sizes) <= 1 << 16
    assert min(sizes) > 150


def test_the_region_with_most_structure_is_looked_at(rng: np.random.Generator) -> None:
    pixels = rng.normal(100, 1, (600, 600)).astype(np.float32)
    pixels[420:460, 430:470] = 900

    (top, bottom), (left, right) = stability(Image(pixels), keeper(), options=QUICK, monitor=ignore).region

    assert top <= 420 < 460 <= bottom
    assert left <= 430 < 470 <= right


def test_the_middle_plane_and_the_chosen_channel_are_looked_at(make_tiny_model: Any, rng: np.random.Generator) -> None:
    stack = np.zeros((5, 2, 48, 48), np.float32)
    stack[2, 1] = rng.normal(100, 10, (48, 48))
    image = Image(stack, "TCYX")

    found = stability(image, make_tiny_model(), options=QUICK.model_copy(update={"channel": 1}), monitor=ignore)

    assert found.frame == {"T": 2}
    with pytest.raises(MismatchError, match="has 2 channels"):
        stability(image, make_tiny_model(), options=QUICK, monitor=ignore)


def test_a_segmentation_is_resized_as_in_a_run(brightness_model: Callable[..., Model], make_blobs: Any) -> None:
    model = brightness_model(pixel_size_um={"Y": 0.5, "X": 0.5})
    image = make_blobs((64, 96), pixel_size_um={"Y": 0.25, "X": 0.25})

    found = stability(image, model, options=QUICK, monitor=ignore)

    assert found.region == ((0, 64), (0, 96))
    assert found.sensitivity is not None
    assert found.sensitivity.shape == (32, 48)
    assert dict(found.sensitivity.pixel_size_um) == {"Y": 0.5, "X": 0.5}


def test_places_are_those_of_the_image(brightness_model: Callable[..., Model], rng: np.random.Generator) -> None:
    model = brightness_model(pixel_size_um={"Y": 0.5, "X": 0.5})
    pixels = np.zeros((1100, 1300), np.float32)
    pixels[800:840, 1010:1050] = rng.normal(10, 1, (40, 40))
    size, origin = {"Y": 0.25, "X": 0.25}, {"Y": 100.0, "X": -7.0}

    found = stability(Image(pixels, pixel_size_um=size, origin_um=origin), model, options=QUICK, monitor=ignore)

    (top, bottom), (left, right) = found.region
    assert top <= 800 < 840 <= bottom <= 1100
    assert left <= 1010 < 1050 <= right <= 1300
    assert f"pixels {top:.0f} to {bottom:.0f} × {left:.0f} to {right:.0f}" in found.details["looked at"]
    seen = found.sensitivity
    assert seen is not None
    row, column = np.unravel_index(np.argmax(np.asarray(seen.data)), seen.shape)
    there = {"Y": row, "X": column}
    y, x = (seen.origin_um[axis] + there[axis] * seen.pixel_size_um[axis] for axis in "YX")
    assert 799 <= (y - 100.0) / 0.25 <= 840
    assert 1009 <= (x + 7.0) / 0.25 <= 1050


def test_the_same_seed_gives_the_same_report(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((48, 48)), make_tiny_model()
    first, second, other = (
        stability(image, model, options=QUICK.model_copy(update={"seed": seed}), monitor=ignore) for seed in (1, 1, 2)
    )

    assert first.found == second.found
    assert first.random != other.random


def test_filters_are_tried_by_chance_alone(noisy: Image) -> None:
    events: list[Event] = []

    found = stability(noisy, load_model(ZOO / "median-filter.safetensors"), options=QUICK, monitor=events.append)

    assert found.found is None
    assert found.sensitivity is None
    assert found.bound is None
    assert 0 < found.random.stretch < 1
    assert found.level == "steady"
    assert "worst" not in found.sentence
    assert "nothing else was tried" in found.sentence
    assert ["classical filter" in notice for notice in found.notices] == [True]
    with pytest.raises(ConfigError, match="features of texture"):
        stability(noisy, load_model(ZOO / "two-textures.safetensors"), options=QUICK, monitor=ignore)


def test_a_constant_image_is_refused() -> None:
    with pytest.raises(ImageError, match="is constant"):
        stability(Image(np.ones((32, 32))), keeper(), options=QUICK, monitor=ignore)


def test_it_ends_when_it_is_asked_to(noisy: Image, make_tiny_model: Any) -> None:
    events: list[Event] = []

    def monitor(event: Event) -> None:
        events.append(event)
        if len(events) == 12:
            raise Cancelled

    with pytest.raises(Cancelled):
        stability(noisy, make_tiny_model(), options=QUICK, monitor=monitor)
    assert len(events) == 12


def test_progress_counts_to_its_end(noisy: Image, make_tiny_model: Any) -> None:
    events: list[Event] = []
    stability(noisy, make_tiny_model(), options=QUICK, monitor=events.append)

    counted = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in counted] == sorted(event.done for event in counted)
    assert counted[-1].done == counted[-1].total


def test_levels_and_words(noisy: Image, make_tiny_model: Any) -> None:
    found = stability(noisy, make_tiny_model(), options=QUICK, monitor=ignore)

    def of(random: float, worst: float) -> Stability:
        changes = [Change(0.1, 0.2, 1.0, flipped) for flipped in (random, worst)]
        return replace(found, random=changes[0], found=changes[1])

    below, above = FEW_PIXELS / 2, FEW_PIXELS * 2
    assert of(below, below).level == "steady"
    assert of(below, above).level == "steady to noise"
    assert of(above, above).level == "sensitive"
    assert "the worst disturbance of that strength that was found" in of(below, above).sentence
    assert "0.50% of the pixels" in of(below, above).sentence
    assert "noise of 0.04% of the image's range" in replace(found, strength=4e-4, strength_from="choice").sentence
    assert "says nothing" in replace(found, bound=1e9, bound_says_nothing=True).details["certified bound"]
    assert "says nothing" not in replace(found, bound=0.5, bound_says_nothing=False).details["certified bound"]


def test_a_small_bound_says_something(noisy: Image, make_tiny_model: Any) -> None:
    said = stability(noisy, keeper(factor=0.5), options=StabilityOptions(strength=0.01), monitor=ignore)
    assert said.bound is not None
    assert not said.bound_says_nothing
