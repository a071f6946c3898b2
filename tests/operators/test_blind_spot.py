"""Blind spots: how many, what stands in for them, and that no pixel stands in for itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unveil.operators.blind_spot import hide_pixels


def numbered(shape: tuple[int, ...]) -> torch.Tensor:
    """Pixels that are all unlike each other."""
    return torch.arange(float(np.prod(shape))).reshape(shape)


def hide(noisy: torch.Tensor, seed: int = 0, **how: float) -> tuple[torch.Tensor, torch.Tensor]:
    return hide_pixels(noisy, torch.Generator().manual_seed(seed), **how)  # type: ignore[arg-type]


@st.composite
def batches(draw: st.DrawFn) -> torch.Tensor:
    n_dims = draw(st.integers(2, 3))
    spatial = [draw(st.integers(1 if axis == 0 and n_dims == 3 else 2, 9)) for axis in range(n_dims)]
    return numbered((draw(st.integers(1, 3)), draw(st.integers(1, 2)), *spatial))


@given(batches(), st.integers(0, 99), st.integers(1, 3))
def test_a_hidden_pixel_is_a_neighbour_never_itself_and_others_stay(
    noisy: torch.Tensor, seed: int, radius_px: int
) -> None:
    result, hidden = hide(noisy, seed, share=0.5, radius_px=radius_px)
    assert hidden.shape == (len(noisy), 1, *noisy.shape[2:])
    assert set(hidden.unique().tolist()) <= {0.0, 1.0}
    replaced = (hidden > 0).expand_as(noisy)
    assert torch.equal(result[~replaced], noisy[~replaced])
    assert (result[replaced] != noisy[replaced]).all()
    for ours, theirs in zip(noisy.flatten(0, 1), result.flatten(0, 1), strict=True):
        came_from = torch.stack(torch.unravel_index((theirs - ours.min()).long(), ours.shape))
        here = torch.stack(torch.meshgrid(*(torch.arange(n) for n in ours.shape), indexing="ij"))
        for axis, length in enumerate(ours.shape):
            away = (came_from[axis] - here[axis]).abs()
            assert torch.minimum(away, length - away).max() <= radius_px


@pytest.mark.parametrize("share", [0.04, 0.3])
def test_about_the_asked_share_is_hidden(share: float) -> None:
    _, hidden = hide(numbered((4, 1, 64, 64)), share=share)
    deviation = (share * (1 - share) / hidden.numel()) ** 0.5
    assert hidden.mean().item() == pytest.approx(share, abs=4 * deviation)


@pytest.mark.parametrize(("asked", "found"), [(8, 8), (99, 24)])
def test_neighbours_come_from_as_many_sides_as_asked_or_there_are(asked: int, found: int) -> None:
    noisy = numbered((1, 1, 64, 64))
    result, hidden = hide(noisy, share=0.3, radius_px=2, n_shifts=asked)
    moves = torch.where(hidden > 0, result - noisy, 0)[0, 0, 2:-2, 2:-2]
    assert len(set(moves[moves != 0].tolist())) == found


def test_channels_are_hidden_together() -> None:
    noisy = numbered((2, 3, 16, 16))
    result, hidden = hide(noisy, share=0.2)
    assert torch.equal(result != noisy, (hidden > 0).expand_as(noisy))


def test_the_input_stays_as_it_is_and_the_seed_decides() -> None:
    noisy = numbered((1, 1, 16, 16))
    before = noisy.clone()
    first, again, other = hide(noisy, 1), hide(noisy, 1), hide(noisy, 2)
    assert torch.equal(noisy, before)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[1], other[1])
