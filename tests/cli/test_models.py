from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unveil.io.card_file import read_card


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segmenter: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("UNVEIL_MODELS", str(folder))
    shutil.copy(segmenter, folder / "mine.safetensors")
    (folder / "broken.safetensors").write_bytes(b"not a model")
    return folder


def test_own_models_are_listed_and_broken_ones_explained(unveil: Callable[..., Any], own_models: Path) -> None:
    outcome = unveil("models", "list")

    assert outcome.code == 0
    assert "mine" in outcome.out
    assert "cannot be used" in " ".join(outcome.out.split())


def test_the_list_as_json(unveil: Callable[..., Any], own_models: Path) -> None:
    models = {model["name"]: model for model in unveil("models", "list", "--json").json["models"]}

    assert models["mine"]["card"]["task"] == "segmentation"
    assert models["mine"]["path"] == str(own_models / "mine.safetensors")
    assert models["broken"]["card"] is None
    assert models["broken"]["problem"]


def test_the_card_as_json_counts_the_parameters(unveil: Callable[..., Any], segmenter: Path) -> None:
    from unveil.io.model_file import load_model

    shown = unveil("models", "show", segmenter, "--json").json

    network = load_model(segmenter).network
    assert shown.pop("n_parameters") == sum(parameter.numel() for parameter in network.parameters())
    assert shown == read_card(segmenter).model_dump(mode="json")


def test_the_card_for_people(unveil: Callable[..., Any], own_models: Path) -> None:
    out = unveil("models", "show", "mine").out

    assert "tiny-segmentation" in out
    assert "parameters" in out


def test_a_narrow_screen_cuts_nothing_off_the_card(
    unveil: Callable[..., Any], own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    out = unveil("models", "show", "mine").out

    shown = "".join(line.split("│")[2].strip() for line in out.splitlines() if line.startswith("│"))
    assert read_card(own_models / "mine.safetensors").weights_sha256 in shown
    assert str(own_models / "mine.safetensors") in shown


def test_a_narrow_screen_cuts_no_name_off(
    unveil: Callable[..., Any], own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    names = "".join(line.split("│")[1].strip() for line in unveil("models", "list").out.splitlines() if "│" in line)
    layers = [line.split("│")[1].strip() for line in unveil("inspect", "mine").out.splitlines() if "│" in line]

    assert "fluorescence-denoiser" in names
    assert {"down.0.0", "pool.0", "head"} <= set(layers)


def test_the_card_of_volumes_tells_micrometres_of_their_voxels(
    unveil: Callable[..., Any], own_models: Path, make_tiny_model: Callable[..., Any]
) -> None:
    from unveil.io.model_file import save_model
    from unveil.model.appearance import Appearance, CloudRecord

    model = make_tiny_model(n_dims=3)
    appearance = Appearance(
        n_images=4,
        statistics=("grey",),
        looks=CloudRecord(mean=(0.0,), spread=(1.0,), rest=1.0),
        threshold=1.0,
        object_px=(10.0, 20.0, 30.0),
        object_dims=3,
    )
    size = {"X": 0.5, "Y": 0.5, "Z": 4.0}
    card = model.card.model_copy(update={"appearance": appearance, "pixel_size_um": size})
    save_model(replace(model, card=card), own_models / "volumes.safetensors")

    out = " ".join(unveil("models", "show", "volumes").out.split())

    assert "4 × 0.5 × 0.5 µm" in out
    assert "10 to 30 px in diameter, half of them below 20 px (10 to 30 µm)" in out  # a voxel of 1 µm³


@pytest.mark.parametrize(("n_judging", "judges"), [(15, "what was held out of 15 images"), (0, "what was held out")])
def test_the_card_tells_how_the_training_went(
    unveil: Callable[..., Any], own_models: Path, make_tiny_model: Callable[..., Any], n_judging: int, judges: str
) -> None:
    from unveil.io.model_file import save_model
    from unveil.model.card import Epoch, TrainingRecord

    record = TrainingRecord(
        config={},
        data_sha256="0",
        n_images=45,
        n_validation_images=n_judging,
        validation_images=tuple(f"dish_{number}" for number in range(n_judging)),
        metric_name="IoU",
        history=tuple(Epoch(epoch=number, training_loss=1 / number, metric=0.87) for number in (1, 2, 3)),
        seed=0,
        versions={},
        timestamp="2026-01-01T00:00:00Z",
        seconds=83,
        ended_by="time",
    )
    model = make_tiny_model()
    card = model.card.model_copy(update={"training": record})
    save_model(replace(model, card=card), own_models / "trained.safetensors")

    out = " ".join(unveil("models", "show", "trained").out.replace("│", " ").split())

    assert f"training 3 epochs on 45 images in 83 s, IoU 0.870 on {judges}, ended when the time was up" in out
    assert ("judged by dish_0, dish_1," in out) == ("dish_14" in out) == (n_judging > 0)
    assert "epoch" not in unveil("models", "show", "mine").out


def test_the_card_tells_scores_and_what_intervals_rest_on(
    unveil: Callable[..., Any], own_models: Path, make_tiny_model: Callable[..., Any]
) -> None:
    from unveil.io.model_file import save_model
    from unveil.model.card import ConformalRecord, MeasuredScores

    scores = MeasuredScores(data="9 dishes", values={"iou": 0.9125, "n": 40, "ap": {"0.50": 0.851}})
    record = ConformalRecord(data="other dishes", iou=(0.1, 0.2, 0.3))
    model = make_tiny_model()
    card = model.card.model_copy(update={"scores": (scores,), "conformal": record})
    save_model(replace(model, card=card), own_models / "scored.safetensors")
    save_model(make_tiny_model("denoising"), own_models / "denoiser.safetensors")

    scored, mine, denoiser = (
        " ".join(unveil("models", "show", name).out.replace("│", " ").split())
        for name in ("scored", "mine", "denoiser")
    )

    assert "9 dishes: iou 0.912, n 40, ap@0.50 0.851" in scored
    assert "intervals other dishes (n = 3)" in scored
    assert "intervals none: they need" in mine
    assert "intervals" not in denoiser


@pytest.mark.parametrize("promised", [1.0, 1e-6])
def test_a_certificate_that_the_weights_do_not_bear_out_is_said_loudly(
    unveil: Callable[..., Any], own_models: Path, make_tiny_model: Callable[..., Any], promised: float
) -> None:
    from unveil.io.model_file import save_model
    from unveil.model.lipschitz import with_certificate

    model = with_certificate(make_tiny_model("denoising"))
    lowered = model.card.certificate.model_copy(update={"bound": promised * model.card.certificate.bound})
    save_model(
        replace(model, card=model.card.model_copy(update={"certificate": lowered})), own_models / "a.safetensors"
    )

    outcome = unveil("models", "show", "a")

    assert ("Do not rely on it" in outcome.err) == (promised < 1)
    assert unveil("models", "show", "a", "--json").json["certificate_check"]["holds"] == (promised == 1)


@pytest.mark.parametrize("name", ["nix", "nowhere/model.safetensors", "broken"])
def test_no_such_model(refused: Callable[..., str], own_models: Path, name: str) -> None:
    assert Path(name).name in refused("models", "show", name)
