"""Each check passes where nothing is wrong, and fails where what it is about is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unveil
from unveil.config.options import EngineOptions
from unveil.errors import ConfigError, ImageError
from unveil.events import Cancelled, Event, Progress, ignore
from unveil.image import Image
from unveil.inference.labelling import label_frame
from unveil.inference.openvino_engine import OpenVinoEngine
from unveil.inference.tiling import Tiling
from unveil.inference.torch_engine import TorchEngine
from unveil.io.model_file import load_model
from unveil.io.samples import sample_for
from unveil.model.lipschitz import model_bound, with_certificate
from unveil.model.model import Model
from unveil.tasks import verify as verify_module
from unveil.tasks.verification import Check, Verification, as_markdown
from unveil.tasks.verify import verify

ZOO = Path(unveil.__file__).parent / "zoo"
TORCH = EngineOptions(engine="torch", device="cpu")
NAMES = ["weights", "check output", "tiles", "engine", "labels", "certificate"]


def checks(model: Model, image: Image, options: EngineOptions = TORCH) -> dict[str, Check]:
    return {check.name: check for check in verify(model, image, options=options, monitor=ignore).checks}


def part_of(sample: Image) -> Image:
    """Cut a quarter out of the middle of a sample of 512² pixels."""
    return sample.like(np.asarray(sample.data)[..., 128:384, 128:384], sample.axes)


@pytest.fixture
def image(make_blobs: Any) -> Image:
    found: Image = make_blobs((120, 150), name="blobs")
    return found


@pytest.mark.parametrize("engine", ["auto", "torch"])
@pytest.mark.parametrize("task", ["segmentation", "denoising"])
def test_everything_holds(make_tiny_model: Any, image: Image, task: str, engine: Any) -> None:
    verification = verify(make_tiny_model(task), image, options=EngineOptions(engine=engine), monitor=ignore)

    assert verification.passed
    outcomes = {check.name: check.passed for check in verification.checks}
    assert outcomes == {**dict.fromkeys(NAMES, True), "labels": task == "segmentation" or None, "certificate": None}
    measured = {check.name: check.measured for check in verification.checks}
    assert measured["tiles"] is not None
    assert measured["engine"] is not None
    assert "tiles of" in next(check.words for check in verification.checks if check.name == "tiles")


def test_volumes_channels_and_classes(make_tiny_model: Any, make_blobs: Any) -> None:
    volume = checks(make_tiny_model(n_dims=3), make_blobs((8, 120, 120), "ZYX"))
    assert volume["tiles"].passed
    assert volume["labels"].passed
    two = checks(make_tiny_model(in_channels=2), make_blobs((2, 120, 120), "CYX"))
    assert two["engine"].passed
    pair = checks(make_tiny_model("denoising", in_channels=2), make_blobs((2, 120, 120), "CYX"))
    assert pair["engine"].passed
    classes = checks(make_tiny_model(objects=False), make_blobs((120, 120)))
    assert classes["labels"].passed is None
    assert "no objects" in classes["labels"].words


@pytest.mark.parametrize("name", ["median-filter", "two-textures"])
def test_filters_hold_what_concerns_them(image: Image, name: str) -> None:
    found = checks(load_model(ZOO / f"{name}.safetensors"), image)

    assert {name: check.passed for name, check in found.items()} == {
        **dict.fromkeys(NAMES[:4], True),
        "labels": None,
        "certificate": None,
    }


@pytest.mark.slow
def test_the_shipped_segmenter_holds() -> None:
    model = load_model(ZOO / "nuclei.safetensors")

    verification = verify(model, part_of(sample_for(model.card)), monitor=ignore)

    assert verification.passed
    found = {check.name: check for check in verification.checks}
    assert all(found[name].passed for name in NAMES[:5])
    assert "0 objects" not in found["labels"].words
    assert found["certificate"].measured is not None
    assert 1 < found["certificate"].measured < np.inf


def test_altered_weights_fail_and_nothing_further_is_computed(make_tiny_model: Any, image: Image) -> None:
    model = make_tiny_model()
    tensors = {name: tensor.clone() for name, tensor in model.tensors().items()}
    tensors["network.head.bias"] += 0.01
    altered = Model.restore(model.card, tensors)

    found = checks(altered, image)

    assert list(found) == ["weights", "check output"]  # kept engines are known by the digest that is wrong here
    assert found["weights"].passed is False
    assert model.card.weights_sha256 in found["weights"].words


def test_another_check_output_fails(make_tiny_model: Any, image: Image) -> None:
    model = make_tiny_model()

    found = checks(replace(model, check_output=model.check_output + np.float32(0.002)), image)

    assert found["check output"].passed is False
    assert found["check output"].measured == pytest.approx(0.002, rel=0.01)
    assert (
        checks(replace(model, check_output=model.check_output * np.float32(np.nan)), image)["check output"].passed
        is False
    )


@pytest.mark.parametrize("task", ["segmentation", "denoising"])
def test_a_halo_too_small_fails(make_tiny_model: Any, image: Image, task: str) -> None:
    model = make_tiny_model(task)
    card = model.card.model_copy(update={"halo": (0, 0)})

    tiles = checks(replace(model, card=card), image)["tiles"]

    assert tiles.passed is False
    assert tiles.measured is not None
    assert tiles.measured > 1e-3


def test_an_image_too_small_for_tiles_is_not_called_passed(make_tiny_model: Any, make_blobs: Any) -> None:
    tiles = checks(make_tiny_model(), make_blobs((24, 24)))["tiles"]

    assert tiles.passed is None
    assert "too small" in tiles.words


@pytest.mark.parametrize(("engine", "kind"), [("torch", TorchEngine), ("openvino", OpenVinoEngine)])
@pytest.mark.parametrize("task", ["segmentation", "denoising"])
def test_an_engine_that_computes_something_else_fails(
    make_tiny_model: Any, image: Image, monkeypatch: pytest.MonkeyPatch, task: str, engine: Any, kind: Any
) -> None:
    right = kind.compute
    monkeypatch.setattr(kind, "compute", lambda self, batch: right(self, batch) + np.float32(0.01))

    found = checks(make_tiny_model(task), image, EngineOptions(engine=engine, device="cpu"))

    assert found["engine"].passed is False
    assert found["tiles"].passed  # wrong everywhere alike


@pytest.mark.parametrize("task", ["segmentation", "denoising"])
@pytest.mark.parametrize(("error", "holds"), [(1e-4, True), (0.02, False)])
def test_half_precision_is_held_to_its_own_tolerance(
    make_tiny_model: Any, image: Image, monkeypatch: pytest.MonkeyPatch, task: str, error: float, holds: bool
) -> None:
    right, rng = TorchEngine.compute, np.random.default_rng(0)

    def rounded(self: TorchEngine, batch: Any) -> Any:
        maps = right(self, batch)
        return maps + (error * rng.standard_normal(maps.shape)).astype(np.float32)

    monkeypatch.setattr(TorchEngine, "compute", rounded)
    monkeypatch.setattr(TorchEngine, "precision", property(lambda self: "bfloat16"))

    pixels = 1e-20 * np.asarray(image.data, np.float32)  # grey values in any unit
    pixels[40:44, :20] = np.nan
    seen = image.like(pixels, "YX")
    engine = checks(make_tiny_model(task), seen, EngineOptions(engine="torch", precision="fast"))["engine"]

    assert engine.passed is holds
    assert "RMS" in engine.unit
    assert "bfloat16" in engine.words
    assert ("--precision exact" in engine.words) is not holds


def test_one_object_is_no_plural(brightness_model: Callable[..., Model], squares: Any) -> None:
    pixels = squares((48, 48), (20, 20), size=8)
    assert checks(brightness_model(), Image(pixels))["labels"].words.startswith("1 object from 9 blocks: ")


def test_labels_that_depend_on_the_blocks_fail(
    make_tiny_model: Any, brightness_model: Callable[..., Model], image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = brightness_model()
    assert checks(model, image)["labels"].passed
    assert "0 objects" not in checks(model, image)["labels"].words

    def without_halo(canvas: Any, rule: Any, blocks: Tiling, *rest: Any) -> Any:
        shift = 0 if len(blocks) == 1 else 1  # numbers begin elsewhere
        return label_frame(canvas, rule, blocks, shift, *rest[1:])

    monkeypatch.setattr(verify_module, "label_frame", without_halo)

    labels = checks(model, image)["labels"]
    assert labels.passed is False
    assert labels.measured is not None
    assert labels.measured > 0


def test_a_bound_above_the_claim_fails(make_tiny_model: Any, image: Image) -> None:
    model = with_certificate(make_tiny_model())
    certificate = model.card.certificate
    assert certificate is not None

    def checked(claim: float) -> Check:
        promise = certificate.model_copy(update={"bound": claim})
        card = model.card.model_copy(update={"certificate": promise})
        return checks(replace(model, card=card), image)["certificate"]

    holds = checked(certificate.bound)
    assert holds.passed is True
    assert holds.measured is not None
    assert model_bound(model) <= holds.measured <= model_bound(model) * 1.001
    assert checked(certificate.bound * 0.99).passed is False


def test_a_large_image_is_cut_in_its_middle(make_tiny_model: Any, rng: np.random.Generator) -> None:
    pixels = np.zeros((3, 700, 560), np.uint16)
    pixels[1] = rng.integers(0, 999, (700, 560))
    model = make_tiny_model("denoising")

    found = verify(model, Image(pixels, "TYX"), options=TORCH, monitor=ignore)

    assert found.setting.part == "pixels 94 to 606 × 24 to 536, T 1"
    pixels[1, 300, 300] += 1
    again = verify(model, Image(pixels, "TYX"), options=TORCH, monitor=ignore)
    assert found.setting.image_sha256 != again.setting.image_sha256


def test_what_cannot_be_verified_is_refused(make_tiny_model: Any, image: Image) -> None:
    with pytest.raises(ImageError, match="constant"):
        verify(make_tiny_model(), Image(np.ones((64, 64))), options=TORCH, monitor=ignore)
    with pytest.raises(ConfigError, match="where a model is expected"):
        verify("nuclei", image)  # type: ignore[arg-type]


def test_it_ends_when_it_is_asked_to(make_tiny_model: Any, image: Image) -> None:
    events: list[Event] = []

    def monitor(event: Event) -> None:
        events.append(event)
        if len(events) == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        verify(make_tiny_model(), image, options=TORCH, monitor=monitor)
    assert all(isinstance(event, Progress) for event in events)


def test_the_report_says_everything(make_tiny_model: Any, image: Image) -> None:
    good = verify(make_tiny_model(), image, options=TORCH, monitor=ignore)
    bad = Verification(good.setting, (replace(good.checks[0], passed=False), *good.checks[1:]), good.scores)

    text = as_markdown([good, bad])

    assert "1 of 2 failed" in text
    assert "Everything that was checked holds." in as_markdown([good])
    for fact in (good.setting.model_sha256, good.setting.image_sha256, good.setting.date, torch.__version__, "FAILED"):
        assert fact in text
    assert bad.sentence == "Model 'tiny-segmentation': 1 of 5 checks failed: weights."
    assert json.loads(json.dumps(bad.as_dict()))["passed"] is False
    assert json.loads(json.dumps(good.as_dict()))["checks"][0]["name"] == "weights"


def test_scores_of_the_card_are_listed() -> None:
    model = load_model(ZOO / "fluorescence-denoiser.safetensors")

    text = as_markdown([verify(model, part_of(sample_for(model.card)), options=TORCH, monitor=ignore)])

    assert "recorded in the card, not measured again" in text
    assert f"psnr {model.card.scores[0].values['psnr']:.4g}" in text
