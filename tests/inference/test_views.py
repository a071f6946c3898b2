"""Averaging over views of an image, and how they disagree: what it means, and that no tile changes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.errors import ImageError, MismatchError
from unveil.events import ignore
from unveil.image import Image
from unveil.inference.engines import open_engine
from unveil.inference.views import FLIPS, TURNS, ManyViews, borrowed_views
from unveil.model.model import Model
from unveil.tasks.denoise import denoise
from unveil.tasks.results import SegmentationSink
from unveil.tasks.segment import segment

EXACT = SegmentationOptions(precision="exact", engine="torch", device="cpu")


def test_it_is_the_mean_of_the_four(make_tiny_model: Any) -> None:
    engine = open_engine(make_tiny_model(), EXACT, print)
    batch = np.random.default_rng(0).random((1, 1, 16, 24)).astype(np.float32)
    mirrors = [(), (2,), (3,), (2, 3)]
    expected = np.mean([np.flip(engine.compute(np.flip(batch, axes).copy()), axes) for axes in mirrors], axis=0)
    mirrored = ManyViews([engine], FLIPS, len(FLIPS))
    np.testing.assert_allclose(mirrored.compute(batch), expected, atol=1e-6)
    same = ("device", "library", "precision", "n_pixels_held")
    assert [getattr(mirrored, name) for name in same] == [getattr(engine, name) for name in same]


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("tile", [9, 30])
def test_no_tile_changes_it(make_tiny_model: Any, make_blobs: Any, n_dims: int, tile: int) -> None:
    image = make_blobs((9, 27, 38)[-n_dims:], "ZYX"[-n_dims:])
    model, accurate = make_tiny_model(n_dims=n_dims), EXACT.model_copy(update={"accurate": True})
    whole, tiled = (
        segment(image, model, options=accurate.model_copy(update={"tile": t}), monitor=ignore) for t in (None, tile)
    )
    np.testing.assert_allclose(tiled.probabilities.data, whole.probabilities.data, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirror_image_gives_the_mirrored_result(make_tiny_model: Any, axis: int) -> None:
    model = make_tiny_model()
    pixels = np.random.default_rng(1).random((32, 40)).astype(np.float32)
    accurate = EXACT.model_copy(update={"accurate": True})
    one, other = (
        np.asarray(segment(Image(p, "YX"), model, options=accurate, monitor=ignore).probabilities.data)[0]
        for p in (pixels, np.flip(pixels, axis))
    )
    np.testing.assert_allclose(other, np.flip(one, axis), atol=1e-5)


UNSURE = EXACT.model_copy(update={"uncertainty": True})


def opinionated(model: Model) -> Model:
    """Return an untrained model that is unsure on the whole, and so cold that its views contradict each other."""
    with torch.no_grad():
        means = (
            model.inference_module()
            .network(torch.from_numpy(model.check_input))
            .mean(dim=(0, *range(2, model.check_input.ndim)))
        )
        model.network.head.bias[:2] -= means[:2]
    return Model.make(model.card.model_copy(update={"temperature": 0.05}), model.network, model.check_input)


def test_uncertainty_is_that_of_all_views_and_models(make_tiny_model: Any) -> None:
    engines = [open_engine(make_tiny_model(seed=seed), EXACT, print) for seed in (0, 1)]
    batch = np.random.default_rng(0).random((1, 1, 16, 24)).astype(np.float32)
    turned = [(k, axes) for k in (0, 1) for axes in ((), (3,))]  # half turns and mirrors make all eight with these
    seen = []
    for engine in engines:
        for k, axes in turned + [(k + 2, axes) for k, axes in turned]:
            shown = np.flip(np.rot90(batch, k, (2, 3)), axes)
            maps = engine.compute(np.ascontiguousarray(shown))
            seen.append(np.rot90(np.flip(maps, axes), -k, (2, 3))[:, :2])
    mean = np.mean(seen, axis=0)
    predictive = -(mean * np.log2(mean)).sum(axis=1)
    expected = np.mean([-(p * np.log2(p)).sum(axis=1) for p in seen], axis=0)
    maps = ManyViews(engines, FLIPS + TURNS, 1, n_classes=2).compute(batch)
    np.testing.assert_allclose(maps[:, -2], predictive, atol=1e-5)
    np.testing.assert_allclose(maps[:, -1], predictive - expected, atol=1e-5)
    np.testing.assert_allclose(maps[:, :-2], np.mean([e.compute(batch) for e in engines], axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "poolings", "views", "n_averaged"),
    [
        ({"accurate": True}, (1, 1), FLIPS, 4),
        ({"uncertainty": True}, (1, 1), FLIPS + TURNS, 1),
        ({"uncertainty": True, "accurate": True}, (1, 1), FLIPS + TURNS, 4),
        ({"uncertainty": True}, (2, 1), FLIPS, 1),  # a turned window would be no window
    ],
)
def test_the_views_are_those_that_are_asked_for(
    make_tiny_model: Any, asked: dict[str, bool], poolings: tuple[int, int], views: Any, n_averaged: int
) -> None:
    model, options = make_tiny_model(poolings=poolings), EXACT.model_copy(update=asked)
    batch = np.random.default_rng(0).random((1, 1, 16, 24)).astype(np.float32)
    n_classes = 2 if "uncertainty" in asked else None
    expected = ManyViews([open_engine(model, EXACT, print)], views, n_averaged, n_classes).compute(batch)
    with borrowed_views([model], options, print) as engine:
        np.testing.assert_allclose(engine.compute(batch), expected, atol=1e-6)
    assert np.ptp(expected[:, -1]) > 1e-6


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("tile", [9, 30])
def test_no_tile_changes_the_uncertainty(make_tiny_model: Any, make_blobs: Any, n_dims: int, tile: int) -> None:
    image, model = make_blobs((9, 27, 38)[-n_dims:], "ZYX"[-n_dims:]), opinionated(make_tiny_model(n_dims=n_dims))
    whole, tiled = (
        segment(image, model, options=UNSURE.model_copy(update={"tile": t}), monitor=ignore).uncertainty
        for t in (None, tile)
    )
    assert whole is not None
    assert tiled is not None
    assert np.asarray(whole.data).reshape(2, -1).max(axis=1).min() > 0.005
    np.testing.assert_allclose(tiled.data, whole.data, rtol=0, atol=1e-4)


def test_uncertainty_changes_no_result(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((32, 40), "YX"), make_tiny_model()
    for options in (EXACT, EXACT.model_copy(update={"accurate": True})):
        plain, unsure = (
            segment(image, model, options=options.model_copy(update={"uncertainty": on}), monitor=ignore)
            for on in (False, True)
        )
        assert plain.uncertainty is None
        np.testing.assert_array_equal(unsure.labels.data, plain.labels.data)
        np.testing.assert_array_equal(unsure.probabilities.data, plain.probabilities.data)


def test_a_network_that_sees_no_direction_does_not_disagree(make_tiny_model: Any, make_blobs: Any) -> None:
    """Kernels that are the same in all eight views make a network whose map turns with the image."""
    model = make_tiny_model()
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.ndim == 4:
                flipped = [
                    torch.flip(w, axes) for w in (weight, weight.swapaxes(2, 3)) for axes in ([], [2], [3], [2, 3])
                ]
                weight.copy_(torch.stack(flipped).mean(dim=0))
    for one, disagrees in ((model, False), (make_tiny_model(), True)):
        found = segment(make_blobs((32, 40), "YX"), opinionated(one), options=UNSURE, monitor=ignore).uncertainty
        assert found is not None
        assert found.channel_names == ("entropy", "disagreement")
        bits = np.asarray(found.data)
        assert bits[0].max() > 0.1
        assert (bits[1].max() > 0.001) == disagrees


def test_poolings_that_differ_along_y_and_x_leave_the_turns_out(make_blobs: Any, make_tiny_model: Any) -> None:
    model = make_tiny_model(n_dims=2, poolings=(2, 1))
    found = segment(make_blobs((24, 31), "YX"), model, options=UNSURE, monitor=ignore).uncertainty
    assert found is not None
    assert np.isfinite(found.data).all()


def test_where_there_is_nothing_to_see_nothing_is_unsure(make_tiny_model: Any, make_blobs: Any) -> None:
    pixels = np.stack([np.asarray(make_blobs((32, 40), "YX").data), np.full((32, 40), 7)])
    found = segment(Image(pixels, "TYX"), make_tiny_model(), options=UNSURE, monitor=ignore).uncertainty
    assert found is not None
    assert found.axes == "TCYX"
    assert np.min(found.data[0, 0]) > 0
    assert not np.any(found.data[1])


def test_arrays_without_room_for_it_are_refused(make_tiny_model: Any, make_blobs: Any) -> None:
    image, model = make_blobs((32, 40), "YX"), make_tiny_model()
    sink = SegmentationSink.create(image, model.card, np.zeros)
    with pytest.raises(ImageError, match="an array for the uncertainty is missing"):
        segment(image, model, options=UNSURE, into=sink)
    unasked = SegmentationSink.create(image, model.card, np.zeros, UNSURE)
    assert segment(image, model, options=EXACT, into=unasked, monitor=ignore).uncertainty is None
    assert not np.any(unasked.uncertainty)


def test_an_ensemble_is_the_mean_of_its_models(make_tiny_model: Any, make_blobs: Any) -> None:
    image, models = make_blobs((32, 40), "YX"), [make_tiny_model(seed=seed) for seed in range(3)]
    alone = [np.asarray(segment(image, m, options=EXACT, monitor=ignore).probabilities.data) for m in models]
    together = segment(image, models[0], others=models[1:], options=EXACT, monitor=ignore)
    np.testing.assert_allclose(together.probabilities.data, np.mean(alone, axis=0), atol=1e-6)
    assert together.report.ensemble == tuple(model.card.weights_sha256 for model in models[1:])


def test_models_of_other_kinds_are_not_averaged(make_tiny_model: Any, make_blobs: Any) -> None:
    with pytest.raises(MismatchError, match="cannot be averaged: they differ in task"):
        segment(make_blobs((32, 40), "YX"), make_tiny_model(), others=[make_tiny_model("denoising")], options=EXACT)


def test_denoising_has_it_too(make_tiny_model: Any, make_blobs: Any) -> None:
    image = make_blobs((32, 40), "YX", dtype=np.float32)
    plain, accurate = (
        denoise(image, make_tiny_model("denoising"), options=DenoisingOptions(accurate=on), monitor=ignore)
        for on in (False, True)
    )
    assert accurate.report.options["accurate"] is True
    assert not np.array_equal(plain.image.data, accurate.image.data)
