"""Certificates: made by a training, kept in the card, and worth nothing where the weights say otherwise."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from unveil import DenoisingTraining, Image, Model, denoise, load_model, save_model, train
from unveil.config.architecture import DnCNNConfig, NonexpansiveConfig, TrainableArchitecture
from unveil.config.normalization import FixedNormalization
from unveil.config.options import DenoisingOptions
from unveil.errors import ModelFileError
from unveil.events import ignore
from unveil.model.lipschitz import model_bound, with_certificate
from unveil.model.model import digest
from unveil.operators.normalization import fit_array
from unveil.tasks.certificate import check_certificate
from unveil.tasks.inspect import feature_maps
from unveil.tasks.verify import verify


def trained(architecture: TrainableArchitecture, **settings: Any) -> Model:
    clean = [Image(np.random.default_rng(n).random((32, 33), np.float32)) for n in range(2)]
    short = {"epochs": 2, "steps_per_epoch": 3, "batch_size": 2, "patch_px": 16, "learning_rate": 0.05}
    return train(None, clean, DenoisingTraining(architecture=architecture, **short, **settings), monitor=ignore)


@pytest.fixture(scope="module")
def stable() -> Model:
    return trained(NonexpansiveConfig(width=6, dilations=(1, 2)))


def test_a_stable_network_is_certified_after_its_training(stable: Model) -> None:
    check = check_certificate(stable)
    assert check is not None
    assert check.is_stable
    assert (check.bound, check.promised) == (1, 1)
    assert "moves no two images apart" in check.words


@pytest.mark.parametrize("shape", [(16, 16), (17, 19), (2, 5)])
def test_the_door_moves_no_two_images_apart_whatever_their_size(stable: Model, shape: tuple[int, int]) -> None:
    """An odd image is extended: a pixel that lay twice in the extension could count twice."""
    fixed = FixedNormalization(mean=(0.0,), std=(1.0,))
    model = replace(stable, card=stable.card.model_copy(update={"normalization": fixed, "weights_sha256": ""}))
    rng = np.random.default_rng(0)
    grey = rng.random(shape, np.float32)  # an image of one value is given back as it is
    for change in (rng.normal(size=shape), np.indices(shape).sum(axis=0) == sum(shape) - 2, np.ones(shape)):
        other = grey + change.astype(np.float32)
        both = [np.asarray(denoise(Image(image), model, monitor=lambda _: None).image.data) for image in (grey, other)]
        assert np.linalg.norm(both[1] - both[0]) <= np.linalg.norm(other - grey) * (1 + 1e-5)


def test_lip1_layers_are_certified_and_earn_no_badge() -> None:
    check = check_certificate(trained(DnCNNConfig(depth=3, width=4), lip1_layers=True))
    assert check is not None
    assert check.holds
    assert not check.is_stable
    assert check.bound is not None
    assert 1 < check.bound <= 2 + 1e-9
    assert check_certificate(trained(DnCNNConfig(depth=3, width=4))) is None


def test_the_certificate_survives_the_file(stable: Model, tmp_path: Path) -> None:
    save_model(stable, tmp_path / "stable.safetensors")
    loaded = load_model(tmp_path / "stable.safetensors")
    assert loaded.card == stable.card
    assert check_certificate(loaded) is not None


def test_a_file_whose_weights_were_edited_is_refused(stable: Model, tmp_path: Path) -> None:
    path = tmp_path / "edited.safetensors"
    save_model(stable, path)
    n_header = struct.unpack("<Q", path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8 : 8 + n_header])
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors["network.steps.0.filters.weight"] *= 2
    path.write_bytes(safetensors.numpy.save(tensors, metadata=header["__metadata__"]))
    with pytest.raises(ModelFileError, match="other weights"):
        check_certificate(path)


def forged(stable: Model) -> Model:
    """Return a model with twice the weights, its digest and check output made to fit, and the certificate of before."""
    tensors = {name: tensor.clone() for name, tensor in stable.tensors().items()}
    tensors["network.steps.0.filters.weight"] *= 2
    changed = Model.restore(stable.card, tensors)
    return Model.make(stable.card, changed.network, stable.check_input)


def test_a_forged_model_loses_the_badge_though_its_digest_fits(stable: Model, tmp_path: Path) -> None:
    path = tmp_path / "forged.safetensors"
    save_model(forged(stable), path)
    assert digest(load_model(path).tensors()) == load_model(path).card.weights_sha256
    check = check_certificate(path)
    assert check is not None
    assert not check.holds
    assert not check.is_stable
    assert "NOT borne out" in check.words
    assert check.bound == model_bound(forged(stable)) > 1


def test_weights_without_a_bound_bear_nothing_out(stable: Model) -> None:
    tensors = {name: tensor.clone() for name, tensor in stable.tensors().items()}
    tensors["network.steps.0.filters.weight"][0, 0, 0, 0] = torch.nan
    check = check_certificate(Model.restore(stable.card, tensors))
    assert check is not None
    assert not check.holds
    assert "not finite" in check.words


def test_promising_more_than_is_true_is_no_certificate(stable: Model) -> None:
    certificate = with_certificate(stable).card.certificate
    assert certificate is not None
    card = stable.card.model_copy(update={"certificate": certificate.model_copy(update={"bound": 0.5})})
    check = check_certificate(replace(stable, card=card))
    assert check is not None
    assert not check.holds


def test_the_command_shows_the_badge_and_warns_of_a_forgery(
    stable: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from unveil.cli.main import main

    run: Callable[..., Any] = main
    for name, model in (("stable", stable), ("forged", forged(stable))):
        save_model(model, tmp_path / f"{name}.safetensors")
        run(["models", "show", str(tmp_path / f"{name}.safetensors")])
        out, err = capsys.readouterr()
        assert ("moves no two images" in " ".join(out.split())) == (name == "stable")
        assert ("Do not rely on it" in " ".join(err.split())) == (name == "forged")


def test_whatever_looks_at_a_frame_extends_it_as_a_run_does(stable: Model) -> None:
    """An odd side is extended: by zeros where no two images may be moved apart."""
    image = Image(np.random.default_rng(1).random((41, 53), np.float32) * 100, name="odd")
    checks = {check.name: check.passed for check in verify(stable, image, monitor=ignore).checks}
    assert checks["engine"]
    maps = feature_maps(image, stable, "to_pixels", monitor=ignore).maps
    intensities = fit_array(stable.card.normalization, np.asarray(image.data)[np.newaxis])
    exact = DenoisingOptions(precision="exact")
    denoised = denoise(image, stable, options=exact, monitor=ignore).image.data
    np.testing.assert_allclose(intensities.restore(maps)[0, :41, :53], denoised, atol=1e-2)
