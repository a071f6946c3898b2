"""Models and images that do not fit each other are refused before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.config.options import SegmentationOptions
from unveil.config.training import DenoisingTraining
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import ignore
from unveil.image import Image
from unveil.tasks.evaluate import evaluate
from unveil.tasks.matching import channel_sets, check_fit, choose_channels
from unveil.tasks.segment import segment
from unveil.tasks.train import train

EXACT = SegmentationOptions(precision="exact", engine="torch", device="cpu")


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
def test_image_that_does_not_fit_is_refused(
    image: Image, model: dict[str, Any], channel: Any, message: str, brightness_model: Any
) -> None:
    with pytest.raises(MismatchError) as caught:
        segment(image, brightness_model(**model), options=EXACT.model_copy(update={"channel": channel}))
    assert str(caught.value) == message
    with pytest.raises(MismatchError) as caught:
        check_fit(image, brightness_model(**model).card, channel)
    assert str(caught.value) == message


def test_channel_that_is_not_there_is_refused(brightness_model: Any) -> None:
    with pytest.raises(MismatchError, match="no channel 'GFP': it has one channel"):
        segment(Image(np.eye(16)), brightness_model(), options=EXACT.model_copy(update={"channel": "GFP"}))


def test_denoiser_is_refused(make_tiny_model: Any) -> None:
    with pytest.raises(MismatchError, match=r"was made for denoising, not for segmentation\. Use it with denoise"):
        segment(Image(np.eye(16)), make_tiny_model("denoising"))


@pytest.mark.parametrize("nothing", [None, np.eye(16), "cells.tif"])
def test_what_is_no_image_is_refused(nothing: Any, brightness_model: Any) -> None:
    with pytest.raises(ImageError, match=r"where an unveil\.Image is expected"):
        segment(nothing, brightness_model())


@pytest.mark.parametrize("name", ["nuclei", None])
def test_what_is_no_model_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"where a model is expected\. Load it first"):
        segment(Image(np.eye(16)), name)
    with pytest.raises(ConfigError, match=r"where a model is expected\. Load it first"):
        evaluate(name, [Image(np.eye(16))], [Image(np.eye(16))])


def test_what_is_no_model_cannot_be_trained_on() -> None:
    start: Any = "nuclei"
    with pytest.raises(ConfigError, match=r"where a model is expected\. Load it first"):
        train(None, [Image(np.eye(16))], DenoisingTraining(), start=start)


def test_channels_are_taken_by_name_where_the_image_has_them(brightness_model: Any) -> None:
    card = brightness_model(in_channels=2, channel_names=("DAPI", "actin")).card

    def taken(*names: str) -> tuple[int, ...]:
        image = Image(np.zeros((len(names) or 2, 8, 8)), "CYX", channel_names=names)
        return choose_channels(image, card, None)

    assert taken("DAPI", "actin") == taken() == taken("405", "561") == taken("405", "405") == (0, 1)
    twice = brightness_model(in_channels=2, channel_names=("GFP", "GFP")).card
    assert choose_channels(Image(np.zeros((2, 8, 8)), "CYX", channel_names=("GFP", "RFP")), twice, None) == (0, 1)
    assert taken("actin", "DAPI") == (1, 0)
    assert taken("561", "actin", "DAPI") == (2, 1)
    with pytest.raises(
        MismatchError, match=r"has 2 channels \(actin, 561\); model 'brightness' expects 2 \(DAPI, actin\)"
    ):
        taken("actin", "561")
    image = Image(np.zeros((2, 8, 8)), "CYX", channel_names=("DAPI", "actin"))
    with pytest.raises(MismatchError, match="takes 2 channels together: choose none"):
        choose_channels(image, card, "DAPI")
    with pytest.raises(MismatchError, match=r"expects 1 \(DAPI\)\. Choose a channel by name"):
        choose_channels(image, brightness_model(channel_names=("DAPI",)).card, None)


def test_models_of_other_pixel_sizes_are_not_averaged(brightness_model: Any, make_blobs: Any) -> None:
    fine, nearly, coarse, unknown = (
        brightness_model(name=name, pixel_size_um={axis: um for axis in "YX" if um})
        for name, um in (("fine", 0.25), ("nearly", 0.3), ("coarse", 0.5), ("unknown", None))
    )
    image = make_blobs((32, 40), "YX")
    message = r"'fine' and 'coarse' cannot be averaged: they differ in pixel size \(0.25 × 0.25 and 0.5 × 0.5 µm\)"
    with pytest.raises(MismatchError, match=message):
        segment(image, fine, others=[nearly, coarse], options=EXACT)
    assert segment(image, fine, others=[nearly, unknown], options=EXACT, monitor=ignore).report.ensemble


def test_models_of_other_orders_of_channels_are_not_averaged(brightness_model: Any, make_blobs: Any) -> None:
    one, other = (brightness_model(in_channels=2, channel_names=names) for names in (("a", "b"), ("b", "a")))
    for models, orders in (((one, other), "a, b; b, a"), ((other, one), "b, a; a, b")):
        with pytest.raises(MismatchError, match=rf"they differ in order of channels \({orders}\)"):
            segment(make_blobs((2, 32, 40), "CYX"), models[0], others=models[1:], options=EXACT)


def test_a_denoiser_of_one_channel_takes_the_chosen_one_or_each_by_itself(make_tiny_model: Any) -> None:
    image = Image(np.zeros((3, 8, 8)), "CYX", channel_names=("r", "g", "b"))
    one, three = (make_tiny_model("denoising", in_channels=n).card for n in (1, 3))
    assert channel_sets(image, one, None) == [(0,), (1,), (2,)]
    assert channel_sets(image, one, "g") == channel_sets(image, one, 1) == [(1,)]
    assert channel_sets(image, three, None) == [(0, 1, 2)]
    with pytest.raises(MismatchError, match="choose none"):
        channel_sets(image, three, "g")
    check_fit(image, one, None)
