"""What all doors do alike: settings come as such or by name and value, and arrays without axes are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unveil.config.options import DenoisingOptions
from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, ImageError
from unveil.events import ignore
from unveil.tasks.denoise import denoise
from unveil.tasks.evaluate import evaluate
from unveil.tasks.segment import segment
from unveil.tasks.stability import stability
from unveil.tasks.suggest import suggest_blocks
from unveil.tasks.suitability import compare
from unveil.tasks.train import train
from unveil.tasks.verify import verify

Make = Callable[..., Any]


@pytest.fixture
def doors(make_tiny_model: Make, scenes: Make) -> dict[str, Callable[[Any], Any]]:
    """Every door, waiting for its settings alone."""
    (image,), (annotation,) = scenes(1)
    segmenter, denoiser = make_tiny_model(), make_tiny_model("denoising")
    return {
        "segment": lambda options: segment(image, segmenter, options=options, monitor=ignore),
        "denoise": lambda options: denoise(image, denoiser, options=options, monitor=ignore),
        "evaluate": lambda options: evaluate(segmenter, [image], [annotation.labels], options=options, monitor=ignore),
        "verify": lambda options: verify(segmenter, image, options=options, monitor=ignore),
        "stability": lambda options: stability(image, segmenter, options=options, monitor=ignore),
        "suggest_blocks": lambda options: suggest_blocks([image], segmenter, options=options, monitor=ignore),
        "compare": lambda options: compare(image, segmenter, options=options),
        "train": lambda config: train([image], [annotation], config, monitor=ignore),
    }


DOORS = ["segment", "denoise", "evaluate", "verify", "stability", "suggest_blocks", "compare", "train"]


@pytest.mark.parametrize("door", DOORS)
def test_settings_that_fit_nothing_are_refused_in_a_sentence(door: str, doors: dict[str, Callable[[Any], Any]]) -> None:
    task = {"task": "segmentation"} if door == "train" else {}
    with pytest.raises(ConfigError, match="chanel: not known"):
        doors[door]({"chanel": 0} | task)
    for other in ("fast", None, 3):
        with pytest.raises(ConfigError, match="names and values"):
            doors[door](other)


@pytest.mark.parametrize("door", [door for door in DOORS if door != "train"])
def test_names_and_values_do_as_well(door: str, doors: dict[str, Callable[[Any], Any]]) -> None:
    doors[door]({"channel": 0})
    with pytest.raises(Exception, match="no channel '7'"):
        doors[door]({"channel": 7})


def test_a_training_is_told_from_names_and_values_by_its_task(scenes: Make, segmentation: Make) -> None:
    config = segmentation(epochs=1, steps_per_epoch=1)
    models = [train(*scenes(2), given, monitor=ignore) for given in (config, config.model_dump())]
    assert models[0].card.weights_sha256 == models[1].card.weights_sha256
    clean = {"task": "denoising", "epochs": 1, "steps_per_epoch": 1, "patch_px": 8, "batch_size": 1}
    assert train(None, scenes(2)[0], clean, monitor=ignore).card.task == "denoising"


def test_options_of_another_task_are_refused(doors: dict[str, Callable[[Any], Any]]) -> None:
    with pytest.raises(ConfigError, match="Found DenoisingOptions where SegmentationOptions"):
        doors["segment"](DenoisingOptions())


def test_a_training_takes_images_in_any_collection_and_no_arrays(scenes: Make, segmentation: Make) -> None:
    (image,), (annotation,) = scenes(1)
    pixels, config = np.asarray(image.data), segmentation(epochs=1, steps_per_epoch=1, validation_fraction=0)
    assert train((i for i in [image]), iter([annotation]), config, monitor=ignore).card.training.n_images == 1
    for images, targets in (([pixels], [annotation]), (pixels[None], [annotation]), ([image], [pixels])):
        with pytest.raises(ImageError, match="Found an ndarray where an unveil"):
            train(images, targets, config)
    with pytest.raises(ImageError, match="Found an ndarray where an unveil"):
        Annotation(pixels)
    with pytest.raises(ImageError, match="single Image where a list"):
        train(image, [annotation], config)
    with pytest.raises(ImageError, match="single Annotation where a list"):
        train([image], annotation, config)
    with pytest.raises(ImageError, match="single Image where a list"):
        train([image], [annotation], config, validation=(image, annotation))
