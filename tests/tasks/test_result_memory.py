from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.image import Image
from unveil.tasks.denoise import denoise
from unveil.tasks.result_memory import result_bytes
from unveil.tasks.results import Segmentation
from unveil.tasks.segment import segment


def _n_bytes(*images: Image | None) -> int:
    return sum(np.asarray(image.data).nbytes for image in images if image is not None)


@pytest.mark.parametrize("objects", [True, False])
def test_a_segmentation_is_as_large_as_foretold(make_tiny_model: Callable[..., Any], objects: bool) -> None:
    image, model = Image(np.eye(40, 36)[None].repeat(2, 0), "ZYX"), make_tiny_model(objects=objects)
    found: Segmentation = segment(image, model)
    maps = _n_bytes(found.labels, found.probabilities, found.distance)
    assert result_bytes(image, model.card, SegmentationOptions()) == maps


@pytest.mark.parametrize("options", [DenoisingOptions(), DenoisingOptions(channel=1, residual=True)])
def test_a_denoised_image_is_as_large_as_foretold(
    make_tiny_model: Callable[..., Any], rng: np.random.Generator, options: DenoisingOptions
) -> None:
    image, model = Image(rng.random((3, 40, 36)), "CYX"), make_tiny_model("denoising")
    found = denoise(image, model, options=options)
    assert result_bytes(image, model.card, options) == _n_bytes(found.image, found.residual)
