"""How far a function moves results apart, found by search: lower bounds and estimates of its Lipschitz constant.

All of them approach the constant from *below*, and none says how near it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]

_SAFE = 1 - 1e-9
"""Covers the rounding errors of a ratio in float64."""
_PERTURBATION = 0.02
"""Root mean square of the first perturbation: small beside the contrast of a normalized image, so that few units of
the network switch within it, and large enough that some do, without which there is no gradient in x."""
_LEARNING_RATE = 0.01


def power_estimate(function: Function, at: Tensor, *, n_iterations: int = 30) -> float:
    """Estimate the norm of the Jacobian of `function` at a point by the power method, from below.

    ``u ← Jᵀ J u / ‖Jᵀ J u‖``, and in the end ``‖J u‖`` (the lecture's). The Jacobian of a convolution layer is the
    convolution itself at that image size, with its padding, wherever the point lies.

    Parameters
    ----------
    at
        Of any shape, float64 for a result that is right to the last digits shown.
    """
    return _power_method(function, at, _random(at), n_iterations)[1]


def steepest_direction(function: Function, at: Tensor, *, n_iterations: int = 10) -> Tensor:
    """Return the unit direction in which the Jacobian at a point stretches most, as far as the power method finds it.

    Parameters
    ----------
    at
        Of any shape and float dtype; the direction has both.
    """
    return _power_method(function, at, _random(at), n_iterations)[0].detach()


def ascend(function: Function, at: Tensor, *, n_rounds: int = 4, n_steps: int = 40) -> float:
    """Return a lower bound of the Lipschitz constant of `function`: the largest ratio found by ascent.

    ``‖f(x + d) − f(x)‖ / ‖d‖`` is raised by gradient steps in x and d (Adam). Each round begins with d along the
    direction in which the Jacobian at x is steepest, by the power method.

    Parameters
    ----------
    at
        Where the search begins, float64.
    """
    point, direction, best = at, _random(at), 0.0
    for _ in range(n_rounds):
        direction, _ = _power_method(function, point, direction, n_iterations=10)
        point, moved, ratio = _raise(function, point, direction * _PERTURBATION * at.numel() ** 0.5, n_steps)
        direction, best = moved / moved.norm(), max(best, ratio)
    return best * _SAFE


def _raise(function: Function, point: Tensor, moved: Tensor, n_steps: int) -> tuple[Tensor, Tensor, float]:
    """Raise the ratio by `n_steps` steps; return the best point, its perturbation and its ratio."""
    point, moved = point.clone().requires_grad_(), moved.clone().requires_grad_()
    optimizer = torch.optim.Adam([point, moved], lr=_LEARNING_RATE)
    best = point.detach().clone(), moved.detach().clone(), 0.0
    for _ in range(n_steps):
        optimizer.zero_grad()
        ratio = (function(point + moved) - function(point)).norm() / moved.norm()
        if ratio.item() > best[2]:
            best = point.detach().clone(), moved.detach().clone(), ratio.item()
        if ratio == 0:
            break  # flat: there is no way up
        ratio.log().neg().backward()
        optimizer.step()
    return best


def _power_method(function: Function, at: Tensor, direction: Tensor, n_iterations: int) -> tuple[Tensor, float]:
    """Return the direction u of the largest stretch at a point, as far as so many iterations find it, and ‖J u‖.

    J u is taken as the derivative of ``Jᵀ w`` by w, which is linear in w: one pass through the function serves all.
    """
    at = at.detach().requires_grad_()
    result = function(at)
    w = torch.zeros_like(result, requires_grad=True)
    (pulled,) = torch.autograd.grad(result, at, w, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled, w, direction, retain_graph=True)
    for _ in range(n_iterations):
        (steepest,) = torch.autograd.grad(result, at, pushed, retain_graph=True)
        if not steepest.any():
            break  # the Jacobian is zero, or the direction in its kernel
        direction = steepest / steepest.norm()
        (pushed,) = torch.autograd.grad(pulled, w, direction, retain_graph=True)
    return direction, pushed.norm().item()


def _random(like: Tensor) -> Tensor:
    """Draw a unit direction, the same one each time."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
    unit: Tensor = drawn / drawn.norm()
    return unit
