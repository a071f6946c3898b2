"""Where tiles lie: geometry only, no pixels.

A network is computed on windows of one shape. What it says near a window's edge is wrong, since it lacks the pixels
beyond; the *halo* holds that part, and only the *inner* region is kept. Inner regions cover every pixel of a frame
exactly once, so nothing is blended and no seam can appear. One axis, five tiles::

    frame       ├──────────────────────────────────────────────┤           any number of pixels
    extended    ├──────────────────────────────────────────────┼──┤        by reflection, to a multiple of the step

    inner       ├─────────┼─────────┼─────────┼─────────┼──────┤           tile, …, tile, and what is left
    window 0    ├══════════╌╌╌╌╌╌╌╌╌┤                                       tile + 2 · halo;  ═ inner  ╌ halo
    window 1         ├╌╌╌╌═══════════╌╌╌╌┤
    window 2                   ├╌╌╌╌═══════════╌╌╌╌┤
    window 3                             ├╌╌╌╌═══════════╌╌╌╌┤
    window 4                                  ├╌╌╌╌╌╌╌╌╌════════╌╌┤        shifted inward to the edge

Three things make a tiled result *equal* to that of the whole extended image (compare Majurski and Bajcsy,
arXiv 2101.05846):

- every border of a window is a multiple of the step, so that poolings see the same groups of pixels;
- the halo is at least the network's margin, so that the inner region sees all that it depends on;
- a window at the border is shifted inward until its edge is the extended image's edge, so that the zero padding of
  each layer acts there as it does in the whole.

All windows of a frame share one shape, since engines want fixed shapes; an axis shorter than a window gets its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Self, TypeAlias

Window: TypeAlias = tuple[slice, ...]
"""One slice per spatial axis, with explicit start and stop."""
_OFTEN = 3
"""Times that a pixel is computed from which larger windows are worth their memory."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One window to compute and the part of it to keep."""

    window: Window
    """What the network reads, in coordinates of the extended frame."""
    inner: Window
    """What the result is kept for, in coordinates of the frame."""

    @property
    def crop(self) -> Window:
        """Return where the inner region lies in the window."""
        return tuple(
            slice(inner.start - window.start, inner.stop - window.start)
            for inner, window in zip(self.inner, self.window, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiles of one frame, in raster order; each is made when it is asked for.

    All fields hold one number of pixels per spatial axis.
    """

    frame: tuple[int, ...]
    """Size of the frame."""
    tile: tuple[int, ...]
    """Size of the inner regions, a multiple of `step`."""
    step: tuple[int, ...]
    """What window borders are multiples of."""
    halo: tuple[int, ...]
    """Width of the halo, a multiple of `step`."""

    def __post_init__(self) -> None:
        assert len(self.frame) == len(self.tile) == len(self.step) == len(self.halo)
        assert all(size > 0 and tile > 0 and halo >= 0 for size, tile, _, halo in self._axes())
        assert all(tile % step == 0 == halo % step for _, tile, step, halo in self._axes())

    @classmethod
    def of(cls, frame: tuple[int, ...], tile: int, step: tuple[int, ...], halo: tuple[int, ...]) -> Self:
        """Tile `frame` with inner regions of `tile` pixels along every axis, rounded up to the step."""
        return cls(frame, tuple(round_up(tile, s) for s in step), step, halo)

    @property
    def extended(self) -> tuple[int, ...]:
        """Size of the frame once extended to multiples of the step."""
        return tuple(round_up(size, step) for size, _, step, _ in self._axes())

    @property
    def window(self) -> tuple[int, ...]:
        """Shape that all windows share."""
        return tuple(
            min(tile + 2 * halo, extended)
            for (_, tile, _, halo), extended in zip(self._axes(), self.extended, strict=True)
        )

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(-(-size // tile) for size, tile, _, _ in self._axes())

    @property
    def repetition(self) -> float:
        """How often a pixel of the frame is computed, in the mean."""
        return len(self) * prod(self.window) / prod(self.frame)

    def __len__(self) -> int:
        return prod(self.grid)

    def __getitem__(self, number: int) -> Tile:
        if not 0 <= number < len(self):
            raise IndexError(f"tile {number} of {len(self)}")
        position: list[int] = []
        for n_tiles in reversed(self.grid):
            number, along_axis = divmod(number, n_tiles)
            position.insert(0, along_axis)
        return self._tile_at(tuple(position))

    def __iter__(self) -> Iterator[Tile]:
        return (self[number] for number in range(len(self)))

    def spread(self, count: int) -> list[Tile]:
        """Choose at most `count` tiles, evenly spread in raster order."""
        count = min(count, len(self))
        return [self[(2 * number + 1) * len(self) // (2 * count)] for number in range(count)]

    def halved(self, grain: tuple[int, ...] | None = None) -> Tiling | None:
        """Return a tiling with smaller windows, the inner side of the longest halved; None where none can shrink.

        Parameters
        ----------
        grain
            What tiles stay multiples of, as in `fit_tiling`; the step if not given.
        """
        grain = grain or self.step
        shrinkable = self._shrinkable(grain)
        if not shrinkable:
            return None
        axis = max(shrinkable, key=lambda a: self.window[a])
        return self._split(axis, -(-min(self.tile[axis], self.frame[axis]) // 2), grain)

    def _shrinkable(self, grain: tuple[int, ...]) -> list[int]:
        """Axes along which a smaller tile, still a multiple of `grain`, gives a smaller window."""
        return [
            axis
            for axis, (least, halo) in enumerate(zip(grain, self.halo, strict=True))
            if least + 2 * halo < self.window[axis]
        ]

    def _split(self, axis: int, part: int, grain: tuple[int, ...]) -> Tiling:
        """Cut `axis` into inner regions of about `part` pixels, at most so many that the window shrinks."""
        least = grain[axis]
        smaller = (self.window[axis] - 2 * self.halo[axis] - 1) // least * least
        part = min(round_up(part, least), smaller)
        return Tiling(self.frame, (*self.tile[:axis], part, *self.tile[axis + 1 :]), self.step, self.halo)

    def _tile_at(self, position: tuple[int, ...]) -> Tile:
        windows, inners = [], []
        for i, (size, tile, _, halo), length, extended in zip(
            position, self._axes(), self.window, self.extended, strict=True
        ):
            start = min(max(i * tile - halo, 0), extended - length)
            windows.append(slice(start, start + length))
            inners.append(slice(i * tile, min((i + 1) * tile, size)))
        return Tile(tuple(windows), tuple(inners))

    def _axes(self) -> zip[tuple[int, int, int, int]]:
        return zip(self.frame, self.tile, self.step, self.halo, strict=True)


def fit_tiling(
    frame: tuple[int, ...],
    step: tuple[int, ...],
    halo: tuple[int, ...],
    max_pixels: int,
    grain: tuple[int, ...] | None = None,
) -> Tiling:
    """Tile `frame` evenly, with as few tiles as windows of at most `max_pixels` allow.

    Starting from one tile, the axis with the longest window is split into one part more until the window fits; where
    even the smallest window is too large, that one is used. Even parts matter: 1,100 pixels cut as 1,024 and 76 would
    be computed nearly twice, since all windows have one shape.

    Parameters
    ----------
    grain
        What tiles are multiples of, itself a multiple of the step: the chunks of the array that results go to, so that
        no two tiles write one chunk. The step if not given.
    """
    grain = grain or step
    tiling = Tiling(frame, tuple(round_up(size, least) for size, least in zip(frame, grain, strict=True)), step, halo)
    while prod(tiling.window) > max_pixels and (shrinkable := tiling._shrinkable(grain)):
        axis = max(shrinkable, key=lambda a: tiling.window[a])
        tiling = tiling._split(axis, -(-frame[axis] // (tiling.grid[axis] + 1)), grain)
    return tiling


def economical_tiling(
    frame: tuple[int, ...],
    step: tuple[int, ...],
    halo: tuple[int, ...],
    usual_pixels: int,
    most_pixels: int,
    grain: tuple[int, ...],
) -> Tiling:
    """Tile `frame` by `fit_tiling`, in windows of `usual_pixels`.

    Where the halo is so wide that each pixel would be computed more than three times, windows grow, to `most_pixels`
    if need be.
    """
    tiling = fit_tiling(frame, step, halo, usual_pixels, grain)
    while tiling.repetition > _OFTEN and usual_pixels < most_pixels:
        usual_pixels = min(2 * usual_pixels, most_pixels)
        tiling = fit_tiling(frame, step, halo, usual_pixels, grain)
    return tiling


def worthwhile_window(frame: tuple[int, ...], halo: tuple[int, ...], grain: tuple[int, ...]) -> int:
    """Return the pixels of a window whose inner part is as wide as its halo: smaller ones compute most pixels often."""
    axes = zip(frame, halo, grain, strict=True)
    return prod(min(round_up(max(width, 1), least) + 2 * width, round_up(size, least)) for size, width, least in axes)


def round_up(pixels: int, step: int) -> int:
    """Return the smallest multiple of `step` that is at least `pixels`."""
    return -(-pixels // step) * step
