"""Learn to denoise without clean images: predict a pixel from its neighbours (Noise2Void, arXiv 1811.10980)."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor


def hide_pixels(
    noisy: Tensor, generator: torch.Generator, *, share: float = 0.15, radius_px: int = 2, n_shifts: int = 8
) -> tuple[Tensor, Tensor]:
    """Replace a random share of the pixels by a random neighbour each.

    A network that is to predict the hidden pixels cannot copy them; where the noise of a pixel says nothing about the
    noise of its neighbours, what it learns to predict is the signal.

    Parameters
    ----------
    noisy
        ``(N, C, *spatial)`` float32.
    share
        Part of the pixels that is hidden, 0 to 1.
    radius_px
        How far away the neighbour may lie along each axis; it is never the pixel itself. An image goes on at its
        other side.
    n_shifts
        How many directions, drawn anew at each call, the neighbours lie in.

    Returns
    -------
    with_hidden
        As `noisy`.
    hidden
        ``(N, 1, *spatial)`` float32: 1 where a pixel was replaced.
    """
    spatial = noisy.shape[2:]
    where = (len(noisy), 1, *spatial)
    hidden = torch.rand(where, generator=generator, device=noisy.device) < share
    shifts = [
        shift
        for shift in product(range(-radius_px, radius_px + 1), repeat=len(spatial))
        if any(step % length for step, length in zip(shift, spatial, strict=True))
    ]
    drawn = torch.randperm(len(shifts), generator=generator, device=noisy.device)[:n_shifts].tolist()
    chosen = torch.randint(len(drawn), where, generator=generator, device=noisy.device)
    axes = tuple(range(2, noisy.dim()))
    result = noisy
    for number, index in enumerate(drawn):
        result = torch.where(hidden & (chosen == number), torch.roll(noisy, shifts[index], axes), result)
    return result, hidden.to(noisy.dtype)
