"""Losses: what they weigh, and what they leave out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax

from unveil.operators.losses import denoising_loss, relative_denoising_loss, segmentation_loss

ONES = torch.ones(2, 1, 4, 4)
BOTH = torch.ones(2, 2, 4, 4)


def test_even_maps_cost_the_logarithm_of_the_number_of_classes() -> None:
    loss = segmentation_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4), ONES, n_classes=3)
    assert loss.item() == pytest.approx(math.log(3))


def test_classes_cost_the_logarithm_of_what_softmax_gives_the_true_one() -> None:
    rng = np.random.default_rng(0)
    maps, true = rng.normal(0, 3, (2, 3, 4, 4)), rng.integers(0, 3, (2, 4, 4))
    probabilities = np.take_along_axis(softmax(maps, axis=1), true[:, None], axis=1)
    target = torch.from_numpy(true[:, None]).float()
    loss = segmentation_loss(torch.from_numpy(maps), target, ONES, n_classes=3)
    assert loss.item() == pytest.approx(-np.log(probabilities).mean(), rel=1e-5)


def test_a_temperature_divides_the_scores_of_classes_and_nothing_else() -> None:
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.cat([torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.25)], dim=1)
    divided = torch.cat([maps[:, :2] / 0.1, maps[:, 2:]], dim=1)
    at_low, plain = (
        segmentation_loss(scores, target, BOTH, n_classes=2, overlap=True, temperature=temperature)
        for scores, temperature in ((maps, 0.1), (divided, 1.0))
    )
    torch.testing.assert_close(at_low, plain)


def test_the_distance_adds_its_squared_error() -> None:
    maps = torch.zeros(2, 3, 4, 4)
    target = torch.cat([torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.25)], dim=1)
    assert segmentation_loss(maps, target, BOTH, n_classes=2).item() == pytest.approx(math.log(2) + 20 * 0.25**2)


@pytest.mark.parametrize("overlap", [False, True])
def test_each_map_has_a_weight_of_its_own(overlap: bool) -> None:
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.cat([torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.25)], dim=1)
    weight = BOTH.clone()
    weight[:, 1, :2] = 0  # the distance is not known there
    loss = segmentation_loss(maps, target, weight, n_classes=2, overlap=overlap)
    wild = maps.clone()
    wild[:, 2, :2] = 99
    assert segmentation_loss(wild, target, weight, n_classes=2, overlap=overlap) == loss
    wild[:, 0, :2] = 99
    assert segmentation_loss(wild, target, weight, n_classes=2, overlap=overlap) != loss
    of_classes = segmentation_loss(maps[:, :2], target[:, :1], ONES, n_classes=2, overlap=overlap)
    torch.testing.assert_close(loss, 20 * (maps[:, 2, 2:] - 0.25).square().mean() + of_classes)


def test_the_overlap_counts_judged_objects_of_every_class_alike() -> None:
    target = torch.zeros(1, 1, 20, 20)
    target[..., :10, :10] = 1
    target[..., 15:, 15:] = 2
    weight = torch.ones(1, 1, 20, 20)
    says = torch.full((1, 3, 20, 20), -50.0).scatter(1, target.long(), 50.0)

    def added(maps: torch.Tensor) -> float:
        plain, with_overlap = (
            segmentation_loss(maps, target, weight, n_classes=3, overlap=overlap) for overlap in (False, True)
        )
        return float(with_overlap - plain)

    assert added(says) == pytest.approx(0, abs=1e-5)
    half = says.clone()
    half[:, :, :5, :10] = torch.tensor([50.0, -50, -50]).view(1, 3, 1, 1)  # half of class 1 is missed
    assert added(half) == pytest.approx((1 - (2 * 50 + 1) / (150 + 1)) / 2, abs=1e-5)
    weight[..., :5, :10] = 0
    assert added(half) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("loss", [denoising_loss, relative_denoising_loss])
def test_unjudged_pixels_cost_nothing(loss: object) -> None:
    weight = ONES.clone()
    weight[..., 2:] = 0
    output, wild = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), 0.5)
    wild[..., 2:] = 99
    assert loss(output, torch.zeros_like(output), weight) == loss(wild, torch.zeros_like(output), weight)


def test_nothing_judged_is_no_loss() -> None:
    assert denoising_loss(ONES, 0 * ONES, 0 * ONES).item() == 0


def test_the_relative_loss_weighs_weak_and_strong_noise_alike() -> None:
    def gradients(error: float) -> torch.Tensor:
        output = torch.stack([torch.full((1, 4, 4), error), torch.full((1, 4, 4), 10 * error)]).requires_grad_()
        relative_denoising_loss(output, torch.zeros_like(output), ONES).backward()
        return (output.grad * output).sum(dim=(1, 2, 3)).detach()

    weak, strong = gradients(0.05)
    assert weak.item() == pytest.approx(strong.item(), rel=1e-3)
    assert relative_denoising_loss(0.1 * ONES, 0 * ONES, ONES).item() == pytest.approx(math.log(0.01), abs=1e-3)
