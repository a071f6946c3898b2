"""Searches for the worst perturbation, and the norms of a Jacobian's columns, against matrices where both are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unveil.operators.perturbation import Aim, projected, random_perturbations, sensitivity, worst_found
from unveil.operators.stretching import steepest_direction

MATRIX = torch.randn((12, 9), generator=torch.Generator().manual_seed(1))
NORM = 0.3


def image_of(perturbation: Tensor) -> Tensor:
    return MATRIX @ perturbation


def no_tick() -> None:
    pass


@pytest.fixture
def distance() -> Aim:
    return Aim(lambda output: output.norm(), lambda output: float(output.norm()))


@pytest.fixture
def start() -> Tensor:
    return next(random_perturbations(torch.zeros(9), NORM, 1))


def test_the_worst_of_a_matrix_is_its_norm(distance: Aim, start: Tensor) -> None:
    found = worst_found(image_of, distance, [start], NORM, n_steps=200, tick=no_tick)

    assert found.norm() == pytest.approx(NORM, rel=1e-5)
    assert distance.score(image_of(found)) == pytest.approx(NORM * torch.linalg.matrix_norm(MATRIX, 2).item(), rel=1e-3)


def test_more_steps_never_find_less(distance: Aim, start: Tensor) -> None:
    def score(n_steps: int) -> float:
        return distance.score(image_of(worst_found(image_of, distance, [start], NORM, n_steps=n_steps, tick=no_tick)))

    scores = [score(n) for n in (0, 1, 2, 5, 10)]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(distance.score(image_of(start)))
    assert scores[-1] > 1.1 * scores[0]


def test_the_best_is_kept_where_the_gradient_leads_astray() -> None:
    start = NORM * torch.linalg.svd(MATRIX).Vh[0]
    away = Aim(lambda output: -output.norm(), lambda output: float(output.norm()))

    found = worst_found(image_of, away, [start], NORM, n_steps=5, tick=no_tick)

    torch.testing.assert_close(found, start)


def test_a_function_without_slope_ends_the_search(distance: Aim, start: Tensor) -> None:
    ticks: list[None] = []

    worst_found(
        lambda d: d * 0 + 1,
        Aim(lambda o: o.sum(), distance.score),
        [start],
        NORM,
        n_steps=9,
        tick=lambda: ticks.append(None),
    )

    assert len(ticks) == 1


def test_the_steepest_direction_of_a_matrix_is_its_first_singular_vector() -> None:
    found = steepest_direction(image_of, torch.zeros(9), n_iterations=200)

    first = torch.linalg.svd(MATRIX).Vh[0]
    assert abs(float(found @ first)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("length", "kept"), [(0.1, 0.1), (0.3, 0.3), (5.0, 0.3)])
def test_projection(length: float, kept: float) -> None:
    direction = torch.ones(4) / 2

    assert projected(direction * length, NORM).norm() == pytest.approx(kept, rel=1e-5)


def test_random_perturbations_have_the_norm_and_differ() -> None:
    first, second = random_perturbations(torch.zeros(2, 3), NORM, 2, seed=4)

    assert first.norm() == pytest.approx(NORM, rel=1e-5)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, next(random_perturbations(torch.zeros(2, 3), NORM, 1, seed=4)))


@pytest.mark.parametrize("function", [image_of, lambda x: image_of(x**3)], ids=["matrix", "curved"])
def test_sensitivity_is_the_norm_of_each_column(function: Callable[[Tensor], Tensor]) -> None:
    at = torch.linspace(0.5, 1.5, 9)

    found = sensitivity(function, at, n_probes=4000, tick=no_tick)

    columns = torch.autograd.functional.jacobian(function, at).norm(dim=0)
    torch.testing.assert_close(found, columns, rtol=0.06, atol=0)
