"""The geometry of tiles: laws that hold for every frame, tile, step and halo."""

from __future__ import annotations

import sys
from itertools import islice
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.inference.tiling import Tiling, economical_tiling, fit_tiling, round_up, worthwhile_window


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    n_dims = draw(st.integers(1, 3))
    frame = tuple(draw(st.integers(1, 40)) for _ in range(n_dims))
    step = tuple(draw(st.sampled_from([1, 2, 4, 8])) for _ in range(n_dims))
    halo = tuple(s * draw(st.integers(0, 3)) for s in step)
    return Tiling.of(frame, draw(st.integers(1, 50)), step, halo)


@settings(deadline=None)
@given(tilings())
def test_inner_regions_cover_each_pixel_once(tiling: Tiling) -> None:
    covered = np.zeros(tiling.frame, int)
    for tile in tiling:
        covered[tile.inner] += 1
    assert (covered == 1).all()


@settings(deadline=None)
@given(tilings())
def test_windows_have_one_shape_and_lie_in_the_extended_frame(tiling: Tiling) -> None:
    for tile in tiling:
        for w, length, extended in zip(tile.window, tiling.window, tiling.extended, strict=True):
            assert w.start >= 0
            assert w.stop <= extended
            assert w.stop - w.start == length


@settings(deadline=None)
@given(tilings())
def test_borders_lie_on_the_step(tiling: Tiling) -> None:
    for tile in tiling:
        for w, step in zip(tile.window, tiling.step, strict=True):
            assert w.start % step == w.stop % step == 0


@settings(deadline=None)
@given(tilings())
def test_inner_regions_see_their_halo_or_the_edge(tiling: Tiling) -> None:
    for tile in tiling:
        for w, inner, halo, extended in zip(tile.window, tile.inner, tiling.halo, tiling.extended, strict=True):
            assert w.start == 0 or inner.start - w.start >= halo
            assert w.stop == extended or w.stop - inner.stop >= halo


@settings(deadline=None)
@given(tilings())
def test_crop_is_the_inner_region_seen_from_the_window(tiling: Tiling) -> None:
    pixels = np.arange(prod(tiling.extended)).reshape(tiling.extended)
    for tile in tiling:
        np.testing.assert_array_equal(pixels[tile.window][tile.crop], pixels[tile.inner])


@settings(deadline=None)
@given(tilings())
def test_length_is_the_number_of_tiles(tiling: Tiling) -> None:
    assert len(tiling) == len(list(tiling)) == prod(tiling.grid)


@settings(deadline=None)
@given(tilings())
def test_halving_shrinks_the_window_until_it_cannot(tiling: Tiling) -> None:
    smallest = tuple(min(s + 2 * h, e) for s, h, e in zip(tiling.step, tiling.halo, tiling.extended, strict=True))
    while (smaller := tiling.halved()) is not None:
        assert prod(smaller.window) < prod(tiling.window)
        assert smaller.frame == tiling.frame
        tiling = smaller
    assert tiling.window == smallest


@settings(deadline=None)
@given(tilings(), st.integers(1, 4))
def test_worthwhile_windows_compute_no_pixel_very_often(tiling: Tiling, factor: int) -> None:
    grain = tuple(factor * step for step in tiling.step)
    most = worthwhile_window(tiling.frame, tiling.halo, grain)
    fitted = fit_tiling(tiling.frame, tiling.step, tiling.halo, most, grain)
    assert prod(fitted.window) <= most
    spread = zip(fitted.tile, tiling.halo, grain, tiling.frame, strict=True)
    assert sum(tile < min(halo, size) // 2 - least for tile, halo, least, size in spread) == 0


@settings(deadline=None)
@given(tilings(), st.integers(1, 40_000))
def test_windows_grow_where_halos_are_wide(tiling: Tiling, usual: int) -> None:
    geometry = tiling.frame, tiling.step, tiling.halo
    fitted = economical_tiling(*geometry, usual, 10**9, tiling.step)
    assert fitted.repetition <= 3 or len(fitted) == 1
    assert economical_tiling(*geometry, usual, usual, tiling.step) == fit_tiling(*geometry, usual)


@settings(deadline=None)
@given(tilings(), st.integers(1, 4))
def test_halving_keeps_tiles_on_the_chunks(tiling: Tiling, factor: int) -> None:
    grain = tuple(factor * step for step in tiling.step)
    tiling = fit_tiling(tiling.frame, tiling.step, tiling.halo, 10**9, grain)
    while (smaller := tiling.halved(grain)) is not None:
        assert prod(smaller.window) < prod(tiling.window)
        assert all(tile % least == 0 for tile, least in zip(smaller.tile, grain, strict=True))
        tiling = smaller


@settings(deadline=None)
@given(tilings(), st.integers(1, 40_000))
def test_fitted_windows_are_small_enough_or_the_smallest(tiling: Tiling, max_pixels: int) -> None:
    fitted = fit_tiling(tiling.frame, tiling.step, tiling.halo, max_pixels)
    assert prod(fitted.window) <= max_pixels or fitted.halved() is None


def test_frame_that_fits_is_one_tile() -> None:
    tiling = fit_tiling((1100, 700), (8, 8), (48, 48), 1104 * 704)
    assert tiling.window == tiling.extended == (1104, 704)
    assert len(tiling) == 1


def test_frame_that_does_not_fit_is_cut_evenly() -> None:
    tiling = fit_tiling((1100, 1100), (8, 8), (48, 48), 1024 * 1024)
    assert tiling.tile == (552, 1104)
    assert len(tiling) == 2


def test_huge_frame_is_not_listed() -> None:
    tiling = Tiling.of((10**7, 10**7), 16, (8, 8), (48, 48))
    assert len(tiling) == 625_000**2
    assert sys.getsizeof(tiling) < 1000
    last = tiling[len(tiling) - 1]
    assert last.inner == (slice(10**7 - 16, 10**7),) * 2
    assert [tile.inner[1].start for tile in islice(tiling, 3)] == [0, 16, 32]


def test_number_beyond_the_last_tile_is_an_index_error() -> None:
    tiling = Tiling.of((10, 10), 8, (8, 8), (0, 0))
    with pytest.raises(IndexError):
        tiling[4]


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 10**4))
def test_round_up_gives_the_next_multiple(pixels: int, step: int) -> None:
    rounded = round_up(pixels, step)
    assert rounded % step == 0
    assert 0 <= rounded - pixels < step


@pytest.mark.parametrize(("count", "numbers"), [(1, [3]), (2, [1, 4]), (3, [1, 3, 5]), (9, [0, 1, 2, 3, 4, 5])])
def test_some_tiles_are_spread_over_all(count, numbers):
    tiling = Tiling.of((40, 60), 20, (1, 1), (2, 2))
    assert tiling.spread(count) == [tiling[number] for number in numbers]


@settings(deadline=None)
@given(tilings(), st.integers(1, 40_000), st.integers(1, 4))
def test_tiles_are_multiples_of_the_grain(tiling: Tiling, max_pixels: int, factor: int) -> None:
    grain = tuple(factor * step for step in tiling.step)
    fitted = fit_tiling(tiling.frame, tiling.step, tiling.halo, max_pixels, grain)
    assert all(size % least == 0 for size, least in zip(fitted.tile, grain, strict=True))
    smallest = [min(g + 2 * h, e) for g, h, e in zip(grain, tiling.halo, tiling.extended, strict=True)]
    assert prod(fitted.window) <= max(max_pixels, prod(smallest))


def test_the_longest_side_is_halved_wherever_it_lies() -> None:
    for frame in ((400, 100), (100, 400)):
        halved = Tiling.of(frame, 400, (8, 8), (16, 16)).halved()
        assert halved is not None
        assert halved.tile == tuple(200 if side == 400 else 400 for side in frame)
