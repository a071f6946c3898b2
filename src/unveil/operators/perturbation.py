"""How far a function's output moves for a perturbation of a given norm: random ones, and the worst that a search finds.

::

    d ← Π(d + ε g / ‖g‖)        g the gradient of an objective at x + d,  Π the projection onto ‖d‖ ≤ ε

is projected gradient ascent in the Euclidean ball (Madry 2018, arXiv 1706.06083; here with steps as long as the ball's
radius). What it returns was reached; how much worse the worst is, it cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Aim:
    """What is to become large: an output is judged by `score`, and moved along the gradient of `objective`.

    Both take the output of the function; the objective gives a scalar tensor with a gradient.
    """

    objective: Callable[[Tensor], Tensor]
    score: Callable[[Tensor], float]


def random_perturbations(like: Tensor, norm: float, n: int, *, seed: int = 0) -> Iterator[Tensor]:
    """Yield `n` perturbations of Euclidean norm `norm`, their directions evenly distributed over the sphere."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        drawn = torch.randn(like.shape, generator=generator).to(like)
        yield drawn * (norm / drawn.norm())


def worst_found(
    function: Callable[[Tensor], Tensor],
    aim: Aim,
    starts: Sequence[Tensor],
    norm: float,
    *,
    n_steps: int,
    tick: Callable[[], None],
) -> Tensor:
    """Return the perturbation with the highest score of all that projected gradient ascent came past.

    Parameters
    ----------
    function
        Takes a perturbation, gives the output.
    starts
        Perturbations of norm `norm` or less; the result scores at least as high as each of them.
    tick
        Called after each step.
    """
    best, highest = starts[0], float("-inf")
    for start in starts:
        moved = start
        for _ in range(n_steps + 1):
            moved = moved.detach().requires_grad_()
            output = function(moved)
            if (score := aim.score(output.detach())) > highest:
                best, highest = moved.detach(), score
            (gradient,) = torch.autograd.grad(aim.objective(output), moved)
            tick()
            length = gradient.norm()
            if not 0 < length < float("inf"):
                break  # flat: there is no way up
            moved = projected(moved + gradient * (norm / length), norm)
    return best


def projected(perturbation: Tensor, norm: float) -> Tensor:
    """Return the nearest perturbation of Euclidean norm `norm` at most."""
    length = perturbation.norm()
    return perturbation * (norm / length) if length > norm else perturbation


def sensitivity(
    function: Callable[[Tensor], Tensor], at: Tensor, *, n_probes: int, seed: int = 0, tick: Callable[[], None]
) -> Tensor:
    """Estimate the norm of each column of the Jacobian J of `function` at a point.

    ::

        s_i = √ Σ_j J_ji²  =  √ E[(Jᵀ v)_i²]        v of independent random signs (Hutchinson 1990)

    says how far the whole output moves, in Euclidean norm, per small change of the input i alone. With n probes in
    place of the expectation its relative standard error is about 1 / √(2 n).

    Returns
    -------
    Tensor
        Of the shape of `at`.
    """
    generator = torch.Generator().manual_seed(seed)
    at = at.detach().requires_grad_()
    output = function(at)
    total = torch.zeros_like(at)
    for _ in range(n_probes):
        signs = torch.randint(0, 2, output.shape, generator=generator).to(output) * 2 - 1
        (pulled,) = torch.autograd.grad(output, at, signs, retain_graph=True)
        total = total + pulled.square()
        tick()
    return (total / n_probes).sqrt().detach()
