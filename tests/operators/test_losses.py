"""Losses: what they weigh, and what they leave out."""

from __future__ import annotations

import math

import pytest
import torch

from unveil.operators.losses import denoising_loss, relative_denoising_loss, segmentation_loss

ONES = torch.ones(2, 1, 4, 4)


def test_even_maps_cost_the_logarithm_of_the_number_of_classes() -> None:
    loss = segmentation_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4), ONES, n_classes=3)
    assert loss.item() == pytest.approx(math.log(3))


def test_the_distance_adds_its_absolute_error() -> None:
    maps = torch.zeros(2, 3, 4, 4)
    target = torch.cat([torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.25)], dim=1)
    assert segmentation_loss(maps, target, ONES, n_classes=2).item() == pytest.approx(math.log(2) + 0.25)


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
