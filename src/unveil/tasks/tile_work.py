"""The tiles of one frame as work: what is left to compute, and how it is done here or by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from unveil.inference.cluster import ClusterEngine, compute_tile
from unveil.inference.engines import Engine
from unveil.inference.prediction import predict_tiles
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile, Tiling, Window
from unveil.tasks.results import Journal

Write: TypeAlias = Callable[[Window, NDArray[np.float32]], None]
"""Puts maps ``(K, *window)`` where `window` of the frame lies in a result."""
Skip: TypeAlias = Callable[[Window], None]
"""Takes note of a window of the result that was written without `Write` having been called here."""


def skip_silently(window: Window) -> None:
    """Take no note."""


@dataclass(frozen=True, slots=True, eq=False)
class TileWork:
    """What becomes of the tiles of a frame.

    Attributes
    ----------
    is_denoising
        Whether maps are returned to grey values before they are written.
    travels
        Whether `write` works in other processes too, as it does where it writes to a shared disk.
    name
        Of the frame, in the journal.
    """

    frame: NormalizedFrame
    write: Write
    is_denoising: bool
    travels: bool = False
    skip: Skip = skip_silently
    journal: Journal | None = None
    name: str = ""

    def left(self, tiling: Tiling) -> list[Tile]:
        """Return the tiles that the journal does not hold; the others are skipped."""
        left = []
        for tile in tiling:
            if self.journal is not None and self._piece(tile) in self.journal:
                self.skip(tile.inner)
            else:
                left.append(tile)
        return left

    def done_by(self, engine: Engine, tiles: Sequence[Tile]) -> Generator[None]:
        """Compute and write `tiles`, and yield after each."""
        if isinstance(engine, ClusterEngine) and self.travels:
            return self._elsewhere(engine, tiles)
        return self._here(engine, tiles)

    def _here(self, engine: Engine, tiles: Sequence[Tile]) -> Generator[None]:
        """Write one tile while the next one is computed."""
        with ThreadPoolExecutor(1, "writing") as writer, closing(predict_tiles(self.frame, engine, tiles)) as predicted:
            leaving = writer.submit(lambda: None)
            for tile, maps in predicted:
                leaving.result()
                leaving = writer.submit(self._put, tile, maps)
                yield
            leaving.result()

    def _elsewhere(self, engine: ClusterEngine, tiles: Sequence[Tile]) -> Generator[None]:
        """Let workers write; what they wrote is skipped here."""
        shared = engine.models, engine.options, self.frame, self.write, self.is_denoising
        for tile in engine.cluster(compute_tile, tiles, *shared):
            self.skip(tile.inner)
            self._note(tile)
            yield

    def _put(self, tile: Tile, maps: NDArray[np.float32]) -> None:
        self.write(tile.inner, self.frame.intensities.restore(maps) if self.is_denoising else maps)
        self._note(tile)

    def _note(self, tile: Tile) -> None:
        if self.journal is not None:
            self.journal.add(self._piece(tile))

    def _piece(self, tile: Tile) -> str:
        return " ".join([self.name, *(f"{part.start}:{part.stop}" for part in tile.inner)])
