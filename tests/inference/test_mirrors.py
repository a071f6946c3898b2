"""Averaging over mirror images: what it means, and that no tile changes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.events import ignore
from unveil.image import Image
from unveil.inference.engines import open_engine
from unveil.inference.mirrors import MirroredEngine
from unveil.tasks.denoise import denoise
from unveil.tasks.segment import segment

EXACT = SegmentationOptions(precision="exact", engine="torch", device="cpu")


def test_it_is_the_mean_of_the_four(make_tiny_model: Any) -> None:
    engine = open_engine(make_tiny_model(), EXACT, print)
    batch = np.random.default_rng(0).random((1, 1, 16, 24)).astype(np.float32)
    mirrors = [(), (2,), (3,), (2, 3)]
    expected = np.mean([np.flip(engine.compute(np.flip(batch, axes).copy()), axes) for axes in mirrors], axis=0)
    mirrored = MirroredEngine(engine)
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


def test_denoising_has_it_too(make_tiny_model: Any, make_blobs: Any) -> None:
    image = make_blobs((32, 40), "YX", dtype=np.float32)
    plain, accurate = (
        denoise(image, make_tiny_model("denoising"), options=DenoisingOptions(accurate=on), monitor=ignore)
        for on in (False, True)
    )
    assert accurate.report.options["accurate"] is True
    assert not np.array_equal(plain.image.data, accurate.image.data)
