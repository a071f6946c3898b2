"""Validation: what is measured, and that pixels nobody judged change nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import unveil.training.validation as validation
from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import PercentileNormalization, StabilizedNormalization
from unveil.data.examples import Example, denoising_examples
from unveil.image import Image
from unveil.networks.build import build_network
from unveil.operators.losses import relative_denoising_loss, segmentation_loss
from unveil.operators.metrics import psnr
from unveil.training.validation import (
    denoising_judge,
    maps_of,
    noisy_judge,
    on_device,
    segmentation_judge,
    temperature_of,
)

CROSS_ENTROPY = partial(segmentation_loss, n_classes=2)
UNET = UNetConfig(width=2, poolings=1, out_channels=3)
DNCNN = DnCNNConfig(depth=2, width=2)


def segmented(n: int = 1, size: int = 32) -> list[Example]:
    rng = np.random.default_rng(n)
    found = []
    for _ in range(n):
        target = np.stack([np.zeros((size, size)), rng.random((size, size))]).astype(np.float32)
        target[0, 8:20, 8:20] = 1
        weight = np.ones((2, size, size), np.float32)
        weight[:, :, size // 2 :] = 0
        found.append(
            Example(target[:1] + rng.normal(0, 0.1, (1, size, size)).astype(np.float32), target, weight, np.ones(1))
        )
    return found


def says(foreground: np.ndarray) -> validation.Apply:
    """A network that is sure of `foreground`, and of a distance of 0."""
    logits = torch.from_numpy(np.where(foreground, 50.0, -50.0).astype(np.float32))
    return lambda batch: torch.stack([-logits, logits, torch.zeros_like(logits)])[None]


def test_the_overlap_counts_judged_pixels_alone() -> None:
    (example,) = segmented()
    judge = segmentation_judge([example], UNET, CROSS_ENTROPY, n_classes=2)
    true = example.target[0] > 0
    assert judge(says(true)).metric == 1
    wrong_beside = true.copy()
    wrong_beside[:, 16:] ^= True
    assert judge(says(wrong_beside)) == judge(says(true))
    half = true.copy()
    half[:14] = False
    assert judge(says(half)).metric == pytest.approx(0.5)
    assert judge(says(np.zeros_like(true))).metric == 0


def test_labels_that_nobody_judged_change_no_verdict() -> None:
    examples = segmented(2)
    changed = [replace(e, target=np.where(e.weight > 0, e.target, 1 - e.target)) for e in examples]
    network = on_device(build_network(UNET), torch.device("cpu"), None)
    verdicts = [segmentation_judge(part, UNET, CROSS_ENTROPY, n_classes=2)(network) for part in (examples, changed)]
    assert verdicts[0] == verdicts[1]
    assert not np.array_equal(examples[0].target, changed[0].target)
    for example in examples:
        example.weight[0] = 1
    assert segmentation_judge(changed, UNET, CROSS_ENTROPY, n_classes=2)(network) != verdicts[0]


def test_the_overlap_is_pooled_and_the_loss_weighed_by_judged_pixels() -> None:
    small, large = segmented(1, 24)[0], segmented(1, 48)[0]
    alone = [segmentation_judge([part], UNET, CROSS_ENTROPY, n_classes=2) for part in (small, large)]
    both = segmentation_judge([small, large], UNET, CROSS_ENTROPY, n_classes=2)
    network = on_device(build_network(UNET), torch.device("cpu"), None)
    n_small, n_large = small.weight[0].sum(), large.weight[0].sum()
    expected = (alone[0](network).loss * n_small + alone[1](network).loss * n_large) / (n_small + n_large)
    assert both(network).loss == pytest.approx(float(expected), rel=1e-6)


def test_nothing_found_where_nothing_is_is_right() -> None:
    (example,) = segmented()
    example.target[0] = 0
    assert segmentation_judge([example], UNET, CROSS_ENTROPY, n_classes=2)(says(np.zeros((32, 32), bool))).metric == 1


def noisy(clean: np.ndarray, sigma: float, seed: int = 0) -> Example:
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape).astype(np.float32)
    return Example(clean + noise, clean, np.ones((1, *clean.shape[1:]), np.float32), np.ones(1))


def identity(batch: Tensor) -> Tensor:
    return batch


def test_psnr_is_that_of_the_judged_pixels_against_the_range() -> None:
    clean = np.tile(np.linspace(0, 2, 64, dtype=np.float32), (1, 64, 1))
    example = noisy(clean, 0.2)
    verdict = denoising_judge([example], DNCNN)(identity)
    assert verdict.loss == pytest.approx(0.04, rel=0.05)
    assert verdict.metric == pytest.approx(10 * math.log10(2**2 / verdict.loss), rel=1e-6)
    example.weight[..., :32] = 0
    example.image[..., :32] = 99
    partly = denoising_judge([example], DNCNN)(identity)
    assert partly.loss == pytest.approx(0.04, rel=0.05)
    assert partly.metric == pytest.approx(10 * math.log10(2**2 / partly.loss), rel=1e-6)
    in_decibels = denoising_judge([example], DNCNN, relative_denoising_loss)(identity)
    assert in_decibels.loss == pytest.approx(math.log(0.04), rel=0.05)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("normalization", [StabilizedNormalization(), PercentileNormalization()])
def test_psnr_is_that_of_an_evaluation_in_grey_values(normalization: Any, dtype: type) -> None:
    rng = np.random.default_rng(0)
    clean = np.tile(np.linspace(20, 120, 96), (96, 1)).astype(dtype)
    noisy_one = rng.poisson(clean).astype(dtype)
    (example,) = denoising_examples([(Image(noisy_one), Image(clean))], normalization, n_dims=2)
    assert denoising_judge([example], DNCNN)(identity).metric == pytest.approx(psnr(noisy_one, clean), abs=0.1)


def test_without_a_clean_image_no_psnr_is_claimed() -> None:
    flat = np.zeros((1, 64, 64), np.float32)
    example = noisy(flat, 1.0)
    both_noisy = replace(example, target=noisy(flat, 1.0, seed=1).image)
    verdict = noisy_judge([both_noisy], DNCNN, hide=False)(identity)
    assert verdict.metric is None
    assert verdict.loss == pytest.approx(2, rel=0.1)  # the variances of two independent noises
    assert verdict.losses == ((verdict.loss, flat.size),), "all pixels are judged"


def test_hidden_pixels_are_judged_and_always_the_same() -> None:
    flat = np.zeros((1, 64, 64), np.float32)
    example = noisy(flat, 1.0)
    example = replace(example, target=example.image)
    judge = noisy_judge([example], DNCNN, hide=True)
    assert judge(identity).loss == pytest.approx(2, rel=0.3), "copying what stands there instead is no use"
    assert judge(identity) == judge(identity)
    assert judge(torch.zeros_like).loss == pytest.approx(1, rel=0.2)
    example.target[..., :32] = 99
    example.weight[..., :32] = 0
    assert noisy_judge([example], DNCNN, hide=True)(torch.zeros_like).loss == pytest.approx(1, rel=0.3)


@pytest.mark.parametrize("shape", [(1, 61, 90), (1, 90, 61)])
def test_tiles_change_nothing(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = UNetConfig(width=3, poolings=2)
    torch.manual_seed(0)
    calls: list[tuple[int, ...]] = []
    network = build_network(architecture)

    def counted(batch: Tensor) -> Tensor:
        calls.append(tuple(batch.shape))
        output: Tensor = network(batch)
        return output

    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    whole = maps_of(counted, image, architecture)
    assert len(calls) == 1
    monkeypatch.setattr(validation, "_MOST_PIXELS", 70 * 70)
    tiled = maps_of(counted, image, architecture)
    assert len(calls) > 2
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert whole.shape == (2, *shape[1:])
    extended = np.pad(image, [(0, 0), *((0, -length % 4) for length in shape[1:])], mode="reflect")
    with torch.inference_mode():
        expected = network(torch.from_numpy(extended)[None])[0, :, : shape[1], : shape[2]]
    np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_judging_leaves_the_network_in_training_mode_and_the_number_format_as_it_is_asked_for() -> None:
    network = build_network(DNCNN).train()
    seen = torch.rand(1, 1, 8, 8)
    assert torch.equal(on_device(network, torch.device("cpu"), None)(seen), network(seen))
    modes = []
    network.register_forward_hook(lambda module, *_: modes.append(module.training))
    on_device(network, torch.device("cpu"), None)(torch.zeros(1, 1, 8, 8))
    assert modes == [False]
    assert network.training


def wrong_about(share: float, size: int, sureness: float) -> tuple[Example, validation.Apply]:
    """A scene, and a network that takes a share of its pixels for the other class, as sure as of the others."""
    rng = np.random.default_rng(0)
    target = np.stack([rng.random((size, size)) < 0.5, np.zeros((size, size))]).astype(np.float32)
    example = Example(target[:1], target, np.ones_like(target), np.ones(1))
    says_foreground = (target[0] > 0) ^ (rng.random((size, size)) < share)
    logits = torch.from_numpy(np.where(says_foreground, sureness / 2, -sureness / 2).astype(np.float32))
    return example, lambda batch: torch.stack([-logits, logits, torch.zeros_like(logits)])[None]


def test_the_temperature_makes_a_network_as_sure_as_it_is_right() -> None:
    example, network = wrong_about(0.1, 256, 2 * math.log(9))
    assert temperature_of(network, [example], UNET, n_classes=2) == pytest.approx(2, rel=0.03)


def test_what_learnt_at_a_temperature_is_judged_at_it() -> None:
    example, network = wrong_about(0.1, 256, 2 * math.log(9) / 100)
    found = temperature_of(network, [example], UNET, n_classes=2, learnt_at=0.01)
    assert found == pytest.approx(0.02, rel=0.03)
    few = replace(example, weight=example.weight * (np.indices((256, 256)).sum(axis=0) < 20))
    assert temperature_of(network, [few], UNET, n_classes=2, learnt_at=0.01) == 0.01


def test_what_is_judged_sets_the_temperature_and_too_little_sets_none() -> None:
    example, network = wrong_about(0.1, 256, 2 * math.log(9))
    weight = np.zeros_like(example.weight)
    weight[:, :90, :90] = 1
    assert temperature_of(network, [replace(example, weight=weight)], UNET, n_classes=2) == 1
    weight[:, :200, :200] = 1
    assert temperature_of(network, [replace(example, weight=weight)], UNET, n_classes=2) != 1
    alone = replace(example, target=np.zeros_like(example.target))
    assert temperature_of(network, [alone], UNET, n_classes=2) == 1


def test_a_network_without_an_error_is_not_made_surer_without_bound() -> None:
    example, network = wrong_about(0, 128, 3)
    assert temperature_of(network, [example], UNET, n_classes=2) == 0.5


def test_a_blank_clean_image_has_no_psnr() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    one, blank = (Example(target + 0.1, target, np.ones_like(target), np.ones(1)) for target in (ramp, 0 * ramp))
    judge = partial(denoising_judge, architecture=DnCNNConfig(depth=2, width=2))
    assert judge([one, blank])(torch.nn.Identity()).metric == judge([one])(torch.nn.Identity()).metric
    assert judge([blank])(torch.nn.Identity()).metric is None
    assert len(judge([one, blank])(torch.nn.Identity()).losses) == 2


@pytest.mark.parametrize("size", [2, 3])
def test_of_the_smallest_image_a_pixel_is_hidden_too(size: int) -> None:
    pixels = np.arange(size**2, dtype=np.float32).reshape(1, size, size)
    judge = noisy_judge([Example(pixels, pixels, np.ones_like(pixels), np.ones(1))], DnCNNConfig(), hide=True)
    assert judge(torch.nn.Identity()).loss > 0
