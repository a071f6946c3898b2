"""The norm of a convolution between channels: its largest gain, in the Euclidean norm.

A convolution on the infinite grid multiplies each frequency ω by the matrix ``H(ω) = Σ_k K[k] exp(−i ω·k)``; its norm
is the largest singular value of H over all ω (Parseval). Zero padding cuts input and output of that same convolution,
at any image size, and can only make the norm smaller. A dilation deals the grid out to sets that never meet, and leaves
it as it is. A stride s makes s × s channels of one, each with every s-th pixel, on which the convolution moves by 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import cos, isfinite, pi, prod

import numpy as np
from numpy.typing import NDArray

from unveil.errors import InputError

N_ITERATIONS = 14
"""Squarings of the Gram iteration: with 1024 channels at most 1.0003 times the largest singular value."""
_OVERSAMPLING = {1: 32, 2: 16, 3: 8}
"""Frequencies along an axis per step from tap to tap, by number of axes: between them the response is at most 1.06
times as large."""
_SLACK = 1e-4
"""A frequency is left out where it is lower than another by more than this, which no rounding amounts to."""
_EPSILON = float(np.finfo(np.float64).eps)
_MOST_NUMBERS = 2**21
"""Complex numbers held at once."""


def frequency_response_norm(kernel: NDArray[np.floating], size: int, *, stride: int | tuple[int, ...] = 1) -> float:
    """Return the norm of a convolution with periodic padding: the maximum of its frequency response.

    For zero padding it is neither a bound nor an estimate from one side.

    Parameters
    ----------
    kernel
        ``(out, in, *spatial)``; for a transposed convolution ``(in, out, *spatial)``, as PyTorch keeps both.
    size
        Of the image along each axis, in pixels; a multiple of the stride.
    """
    phases = _polyphase(np.asarray(kernel, np.float64), stride)
    n_axes = phases.ndim - 2
    strides = (stride,) * n_axes if isinstance(stride, int) else stride
    found = floor = 0.0
    for responses in _responses(phases, tuple(size // step for step in strides)):
        uppers, floor = _gram(responses, floor)
        contenders = responses[uppers > 0]
        found = max(found, float(np.linalg.svd(contenders, compute_uv=False).max(initial=0.0)))
    return found


def gram_bound(kernel: NDArray[np.floating], *, stride: int | tuple[int, ...] = 1) -> float:
    """Return a certified upper bound of the norm of a convolution, for zero padding at every image size.

    At each frequency of a grid the largest singular value is bounded by Gram iteration (Delattre 2024, arXiv
    2402.00240, in its form for periodic padding); a factor covers the frequencies between. ::

        σ(H) ≤ ‖Gₜ‖_F ^ (1/2ᵗ)                       G₀ = H, Gₜ₊₁ = Gₜ* Gₜ
        max over ω ≤ max over grid / Π cos(π/(2 m))   m (k − 1) grid frequencies along an axis of k > 1 taps

    The factor: with u, v the singular vectors at the maximum, ``f = Re u* H v`` is, along each axis, a trigonometric
    polynomial of degree (k − 1)/2 once the kernel is centred, and ``f'² ≤ ((k − 1)/2)² (max f² − f²)``
    (Bernstein–Szegő) lets it fall no faster than a cosine: half a grid step from its maximum M it is still
    M cos(π/(2 m)).

    The paper's own form for zero padding correlates the kernel with itself, as large as that becomes: after five
    iterations a 3×3 kernel of 256 channels would be at (256 · 65²)^(1/32) = 1.54 times its norm.

    Parameters
    ----------
    kernel
        ``(out, in, *spatial)``; for a transposed convolution ``(in, out, *spatial)``, as PyTorch keeps both.

    Raises
    ------
    InputError
        If a weight is not finite.
    """
    weights = np.asarray(kernel, np.float64)
    scale = _largest(weights)
    if scale == 0:
        return 0.0
    phases = _polyphase(weights / scale, stride)
    taps = phases.shape[2:]
    oversampling = _OVERSAMPLING[len(taps)]
    highest = floor = 0.0
    for responses in _responses(phases, tuple(max(1, oversampling * (k - 1)) for k in taps)):
        uppers, floor = _gram(responses, floor)
        highest = max(highest, float(uppers.max()))
    between = prod(1 / cos(pi / (2 * oversampling)) for k in taps if k > 1)
    return scale * highest * between * (1 + _rounding(phases.shape))


def _largest(weights: NDArray[np.float64]) -> float:
    largest = float(np.abs(weights).max())
    if not isfinite(largest):
        raise InputError("A kernel has weights that are not finite, so that it has no norm. Train the network again.")
    return largest


def _rounding(shape: tuple[int, ...]) -> float:
    """Return a relative margin above the rounding errors of a bound in float64.

    A product of matrices with n summands errs by at most 2 (n + 2) ε times both Frobenius norms, which exceed the
    largest singular values at most √r times for rank r; what iteration t errs counts 2^−t. The sum over the taps errs
    by at most 2 (taps + 4) ε √taps √r, and the logarithms by 15 ε |log σ|. The margin is several times all that.
    """
    rows, columns, *taps = shape
    return _EPSILON * 64 * (1024 + rows * columns + prod(taps) * prod(taps) * min(rows, columns))


def _polyphase(kernel: NDArray[np.float64], stride: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Return the kernel of the convolution by 1 on ``in · stride^d`` channels that equals the strided one.

    ::

        taps along an axis, stride 2:   a b c   →   phase 0: a c    phase 1: b 0
    """
    n_out, n_in, *taps = kernel.shape
    strides = (stride,) * len(taps) if isinstance(stride, int) else stride
    steps = [-(-k // step) for k, step in zip(taps, strides, strict=True)]
    padding = [(0, n * step - k) for n, step, k in zip(steps, strides, taps, strict=True)]
    padded = np.pad(kernel, [(0, 0), (0, 0), *padding])
    split = padded.reshape(n_out, n_in, *(number for pair in zip(steps, strides, strict=True) for number in pair))
    axes = range(2, split.ndim, 2)
    phases = split.transpose(0, 1, *(axis + 1 for axis in axes), *axes).reshape(n_out, -1, *steps)
    return phases if phases.shape[0] >= phases.shape[1] else phases.swapaxes(0, 1)  # the adjoint has the same norm


def _responses(kernel: NDArray[np.float64], sizes: tuple[int, ...]) -> Iterator[NDArray[np.complex128]]:
    """Yield the matrices ``(frequencies, rows, columns)`` of a grid in parts; of ω and −ω, which are conjugate, one."""
    rows, columns, *taps = kernel.shape
    weights = kernel.reshape(rows * columns, -1).T
    positions = np.array(list(product(*map(range, taps))))
    half = (*sizes[:-1], sizes[-1] // 2 + 1)
    frequencies = np.array(list(product(*map(range, half))))
    at_once = max(1, _MOST_NUMBERS // (rows * columns))
    for start in range(0, len(frequencies), at_once):
        turns = frequencies[start : start + at_once, np.newaxis] * positions % sizes / sizes  # (F, taps, axes)
        waves = np.exp(-2j * pi * turns.sum(axis=-1))
        yield (waves @ weights).reshape(-1, rows, columns)


def _gram(matrices: NDArray[np.complex128], floor: float) -> tuple[NDArray[np.float64], float]:
    """Bound the largest singular value of each matrix ``(F, rows, columns)`` from above by Gram iteration.

    ::

        ‖Gₜ‖_F ^ (1/2ᵗ) / r ^ (1/2ᵗ⁺¹) ≤ σ ≤ ‖Gₜ‖_F ^ (1/2ᵗ)     r the lesser of rows and columns

    A matrix whose bound is below `floor`, or below the left side of another, cannot be the largest: it goes out.

    Returns
    -------
    uppers
        ``(F,)``, 0 for those that went out.
    floor
        What the largest of all surely reaches.
    """
    rank, root = min(matrices.shape[1:]), 1.0
    alive = np.flatnonzero(np.linalg.norm(matrices, axis=(1, 2)) > 0)
    gram, logarithm = matrices[alive], np.zeros(len(alive))
    uppers = np.zeros(len(matrices))
    for iteration in range(N_ITERATIONS + 1):
        if iteration:
            gram, root, logarithm = gram.conj().swapaxes(1, 2) @ gram, root / 2, 2 * logarithm
        norms = np.linalg.norm(gram, axis=(1, 2))
        logarithm += np.log(norms)
        gram /= norms[:, np.newaxis, np.newaxis]
        bounds = np.exp(root * logarithm)
        floor = max(floor, float(bounds.max(initial=0.0)) * rank ** (-root / 2))
        stays = bounds >= floor * (1 - _SLACK)
        gram, logarithm, alive = gram[stays], logarithm[stays], alive[stays]
    uppers[alive] = np.exp(root * logarithm)
    return uppers, floor
