"""Lipschitz constants: how far results can move apart, per distance of what goes in, in the Euclidean norm.

``‖T(x) − T(y)‖ ≤ L ‖x − y‖`` for all x, y. The laws take upper bounds of the parts and give one of the whole, rounded
up. They are those of the lecture, and each has its proof in a line. A bias moves x and y alike, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from math import fsum, hypot, nextafter, prod
from types import MappingProxyType
from typing import Literal

Activation = Literal["relu", "clip", "tanh", "sigmoid", "softplus", "softsign"]

ACTIVATIONS: Mapping[Activation, float] = MappingProxyType(
    {"relu": 1.0, "clip": 1.0, "tanh": 1.0, "sigmoid": 0.25, "softplus": 1.0, "softsign": 1.0}
)
"""Pointwise functions: the largest slope, sup |σ'| (mean value theorem)."""

MAX_POOLING = 1.0
"""Windows that do not overlap: |max a − max b| ≤ max |a − b| ≤ ‖a − b‖ in each, and each pixel lies in one."""


def softmax(temperature: float = 1.0) -> float:
    """Return the constant of ``softmax(x / temperature)``: 1 / (2 · temperature) (Nair 2025, arXiv 2510.23012).

    The Jacobian ``diag(p) − p pᵀ`` is symmetric with row sums of magnitudes ``2 pᵢ (1 − pᵢ) ≤ 1/2``, which bound its
    eigenvalues (Gershgorin). Two equal probabilities reach it.
    """
    return _up(0.5 / temperature)


def compose(*bounds: float) -> float:
    """Bound operators one after the other: Lip(T₂ ∘ T₁) ≤ L₂ L₁. Factors of 1 need no rounding."""
    factors = [bound for bound in bounds if bound != 1]
    return _up(prod(factors), len(factors)) if factors else 1.0


def concatenate(*bounds: float) -> float:
    """Bound operators of one input whose results are stacked: √(L₁² + … + Lₙ²), by the squared norm of the stack."""
    return _up(hypot(*bounds), len(bounds))


def separate(*bounds: float) -> float:
    """Bound operators that each take channels of their own, results stacked: max Lᵢ, by Σ Lᵢ² ‖xᵢ‖² ≤ max Lᵢ² ‖x‖²."""
    return max(bounds)


def combine(coefficients: Iterable[float], bounds: Iterable[float]) -> float:
    """Bound the linear combination Σ aᵢ Tᵢ of one input: Σ |aᵢ| Lᵢ (triangle inequality)."""
    terms = [abs(a) * bound for a, bound in zip(coefficients, bounds, strict=True)]
    return _up(fsum(terms), len(terms))


def descent(norm: float) -> float:
    """Bound x − Wᵀ σ(W x + b) for σ with slopes from 0 to 1 in each component: max(1, ‖W‖² − 1).

    Its Jacobian I − Wᵀ D W, D diagonal with 0 ≤ D ≤ 1, is symmetric with eigenvalues from 1 − ‖W‖² to 1 (Meunier
    2022, arXiv 2110.12690), and so has its mean between two points. Up to ‖W‖ = √2 the bound is exactly 1.
    """
    return max(1.0, _up(_up(norm * norm) - 1))


def residual(bound: float) -> float:
    """Bound x − T(x), or x + T(x): 1 + L."""
    return combine((1, 1), (1, bound))


def at_most(bound: float, n_digits: int = 3) -> float:
    """Round an upper bound up to so many digits, so that what is printed or promised holds too."""
    return float(Context(n_digits, ROUND_CEILING).create_decimal_from_float(bound))


def at_least(bound: float, n_digits: int = 3) -> float:
    """Round a lower bound down to so many digits."""
    return float(Context(n_digits, ROUND_FLOOR).create_decimal_from_float(bound))


def _up(value: float, n_operations: int = 1) -> float:
    """Return a number above what was meant, where each of so many operations erred by half a unit in the last place."""
    for _ in range(n_operations + 1):
        value = nextafter(value, float("inf"))
    return value
