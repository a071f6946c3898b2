"""The stable denoiser: what a step is, and that no weights let it move two images apart unseen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.config.architecture import NonexpansiveConfig
from unveil.errors import InputError
from unveil.networks.build import build_network, count_parameters
from unveil.networks.lipschitz import certified_bound
from unveil.networks.nonexpansive import LARGEST_NORM, NonexpansiveNetwork, Step, cosines
from unveil.operators.lipschitz import descent
from unveil.operators.stretching import ascend
from unveil.training.norm_limits import norm_limits, settle


def random_network(seed: int, scale: float = 1.0, **settings: object) -> NonexpansiveNetwork:
    """Return a small network of random weights, float64, with limits that some responses exceed and others do not."""
    torch.manual_seed(seed)
    network = build_network(NonexpansiveConfig(width=3, **settings)).double().requires_grad_(False)  # type: ignore[arg-type]
    for step in network.steps:  # type: ignore[union-attr]
        step.filters.weight.copy_(scale * torch.randn_like(step.filters.weight))
        step.log_limits.uniform_(-3, 0)
    return network  # type: ignore[return-value]


def jacobian(network: torch.nn.Module, at: torch.Tensor) -> torch.Tensor:
    dense = torch.autograd.functional.jacobian(network, at)
    return dense.reshape(at.numel(), at.numel())


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.05, 0.2, 1.0]),
    st.sampled_from([(3, (1,)), (3, (2, 1)), (3, (1, 1, 2)), (5, (1, 1)), (1, (1,))]),
)
def test_the_jacobian_never_exceeds_the_bound(seed: int, scale: float, form: tuple[int, tuple[int, ...]]) -> None:
    network = random_network(seed, scale, taps=form[0], dilations=form[1])
    at = torch.rand(1, 1, 6, 8, dtype=torch.float64)
    assert torch.linalg.matrix_norm(jacobian(network, at), 2) <= certified_bound(network) * (1 + 1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(2, (2, 1)), (3, (1,))]))
def test_settled_weights_are_certified_and_nothing_found_moves_apart(
    seed: int, form: tuple[int, tuple[int, ...]]
) -> None:
    network = random_network(seed, n_dims=form[0], dilations=form[1])
    assert certified_bound(network) > 1  # else there is nothing to settle
    settle(norm_limits(network))
    assert certified_bound(network) == 1
    at = torch.rand(1, 1, *(6,) * form[0], dtype=torch.float64)
    assert 0.3 < ascend(network, at, n_rounds=1, n_steps=15) <= 1


def test_the_law_of_a_step_is_reached() -> None:
    """One filter of one tap: the step multiplies by 1 − ‖W‖² where it is not limited, and by 1 where it is."""
    for norm in (0.5, 1.0, LARGEST_NORM, 2.0):
        step = Step(2, 1, 1, 3).double().requires_grad_(False)
        step.filters.weight.zero_()
        step.filters.weight[0, :, 1, 1] = norm / 2
        step.log_limits.fill_(0.0)
        along = torch.full((1, 4, 3, 3), 1e-3, dtype=torch.float64)
        torch.testing.assert_close(step(along), (1 - norm**2) * along)
        torch.testing.assert_close(step(along + 100) - step(100 + 0 * along), along)
        assert descent(norm) == pytest.approx(max(1, norm**2 - 1))
    assert descent(1.0) == descent(1.414) == 1.0


@pytest.mark.parametrize("taps", [3, 5])
def test_it_begins_as_a_soft_threshold_that_keeps_what_is_constant(taps: int) -> None:
    n_pixels = (2 * taps) ** 2
    filters = cosines(2, n_pixels - 1, taps)[0].double()
    gram = torch.einsum("fcyx,fdyx->cd", filters, filters)  # at one place; the pixels of a block see each other evenly
    assert torch.allclose(filters.sum((1, 2, 3)), torch.zeros(n_pixels - 1, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(gram.diagonal(), torch.full((4,), 1 - 1 / n_pixels, dtype=torch.float64), atol=1e-6)
    network = build_network(NonexpansiveConfig(dilations=(1,), taps=taps))
    inner = network(torch.full((1, 1, 24, 24), 0.3))[..., 8:-8, 8:-8]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.3))


def test_the_default_is_small_and_certified() -> None:
    network = build_network(NonexpansiveConfig())
    assert count_parameters(network) <= 100_000
    assert certified_bound(network) == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_limits_that_are_not_finite_have_no_bound(broken: float) -> None:
    network = random_network(0, dilations=(1,))
    network.steps[0].log_limits[0] = broken  # type: ignore[index, union-attr]
    with pytest.raises(InputError, match="not finite"):
        certified_bound(network)
