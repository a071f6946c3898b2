from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.model.card import ModelCard
from unveil.model.model import CHECK_TOLERANCE, Model, compute, digest, with_activation
from unveil.networks.build import build_network

ARCHITECTURES = [
    UNetConfig(width=3, poolings=1, out_channels=3),
    UNetConfig(n_dims=3, width=2, poolings=(0, 1, 1), in_channels=2, out_channels=3),
    DnCNNConfig(depth=3, width=4),
    DnCNNConfig(n_dims=3, depth=2, width=3, in_channels=2),
]


def _model(architecture, seed=0):
    torch.manual_seed(seed)
    is_unet = isinstance(architecture, UNetConfig)
    card = ModelCard.describe(
        architecture,
        name="test",
        task="segmentation" if is_unet else "denoising",
        classes=("background", "cell") if is_unet else (),
        objects=ObjectRule() if is_unet else None,
        normalization=PercentileNormalization(),
    )
    shape = (1, architecture.in_channels, *(8,) * architecture.n_dims)
    check_input = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return Model.make(card, build_network(architecture), check_input)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_restoring_from_its_tensors_gives_the_same_model(architecture):
    model = _model(architecture)
    restored = Model.restore(model.card, model.tensors())
    assert restored.card == model.card
    assert digest(restored.tensors()) == model.card.weights_sha256
    assert restored.check_deviation() == 0
    image = np.random.default_rng(1).standard_normal((2, *model.check_input.shape[1:])).astype(np.float32)
    assert np.array_equal(compute(restored.inference_module(), image), compute(model.inference_module(), image))


@pytest.mark.parametrize("part", [np.s_[..., ::2], np.s_[..., ::-1]])
def test_the_check_input_may_be_any_view_of_an_image(part):
    made = _model(ARCHITECTURES[0])
    model = Model.make(made.card, made.network, np.repeat(made.check_input, 2, axis=-1)[part])
    assert model.tensors()["check.input"].is_contiguous()
    assert digest(model.tensors()) == model.card.weights_sha256


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_is_ready_to_compute_and_frozen(architecture):
    model = _model(architecture)
    for network in (model.network, Model.restore(model.card, model.tensors()).network):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
        assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_changed_weight_shows_in_the_check_output(architecture):
    model = _model(architecture)
    first = next(iter(model.network.parameters()))
    first.mul_(3)
    assert model.check_deviation() > CHECK_TOLERANCE


def test_a_check_leaves_as_many_threads_as_there_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _model(ARCHITECTURES[0]).check_deviation()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_tensors_that_do_not_fit_the_card_are_refused():
    model = _model(ARCHITECTURES[0])
    tensors = model.tensors()
    with pytest.raises(RuntimeError, match="Missing key"):
        Model.restore(model.card, {name: t for name, t in tensors.items() if name != "network.head.bias"})
    with pytest.raises(RuntimeError, match="size mismatch"):
        Model.restore(model.card, tensors | {"network.head.bias": torch.zeros(7)})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        Model.restore(model.card, tensors | {"network.tail": torch.zeros(7)})


def test_the_digest_sees_every_change_and_no_order():
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2)}
    same = dict(reversed(tensors.items()))
    assert digest(same) == digest(tensors)
    assert digest({"a": tensors["a"].T.contiguous().T, "b": tensors["b"]}) == digest(tensors)
    changes = [
        {"b": tensors["b"] + 1e-7},
        {"a": tensors["a"].reshape(3, 2)},
        {"b": tensors["b"].double()},
        {"c": torch.zeros(0)},
    ]
    digests = {digest(tensors | change) for change in changes}
    assert len(digests | {digest(tensors)}) == len(changes) + 1
    assert digest({"a": tensors["a"], "z": tensors["b"]}) != digest(tensors)


def test_segmentation_gives_probabilities_and_a_clipped_distance():
    architecture = UNetConfig(width=2, poolings=1, out_channels=4)
    card = ModelCard.describe(
        architecture, name="test", task="segmentation", classes=("ground", "a", "b", "c"),
        normalization=PercentileNormalization(),
    )  # fmt: skip
    logits = np.random.default_rng(2).standard_normal((1, 4, 8, 8)).astype(np.float32) * 3
    for temperature in (1.0, 2.5):
        tempered = card.model_copy(update={"temperature": temperature})
        output = compute(with_activation(nn.Identity(), tempered), logits)
        weights = np.exp(logits / temperature)
        assert np.allclose(output, weights / weights.sum(axis=1, keepdims=True), atol=1e-6)
    objects = card.model_copy(update={"classes": ("ground", "a", "b"), "objects": ObjectRule()})
    mixed = compute(with_activation(nn.Identity(), objects), logits)
    assert np.allclose(mixed[:, :3].sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(mixed[:, 3], np.clip(logits[:, 3], 0, 1))


def test_a_denoiser_has_no_activation():
    model = _model(DnCNNConfig(depth=2, width=2))
    assert model.inference_module() is model.network
