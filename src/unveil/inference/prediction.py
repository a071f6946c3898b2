"""Compute a network over a frame, tile by tile."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from unveil.errors import EngineError
from unveil.inference.engines import Engine
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile


class NotFiniteError(EngineError):
    """A network's output holds NaN or infinity: half precision has overflowed, or the input is out of all bounds."""


def predict_tiles(
    frame: NormalizedFrame, engine: Engine, tiles: Iterable[Tile]
) -> Generator[tuple[Tile, NDArray[np.float32]]]:
    """Yield each of `tiles` with its maps ``(K, *inner)``, float32, in the order given.

    While one window is computed the next one is read; the memory taken is that of one tile and one window.

    Raises
    ------
    MemoryError
        If a window does not fit; smaller tiles may.
    NotFiniteError
        If the network's output cannot be used.
    EngineError
        If the engine fails.
    """
    with ThreadPoolExecutor(1, "reading") as reader:
        coming: deque[tuple[Tile, Future[NDArray[np.float32]]]] = deque()
        for tile in tiles:
            coming.append((tile, reader.submit(frame.read, tile.window)))
            if len(coming) > 1:
                yield _predicted(engine, *coming.popleft())
        while coming:
            yield _predicted(engine, *coming.popleft())


def _predicted(engine: Engine, tile: Tile, window: Future[NDArray[np.float32]]) -> tuple[Tile, NDArray[np.float32]]:
    return tile, predict_window(engine, window.result())[(slice(None), *tile.crop)]


def predict_window(engine: Engine, window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the maps ``(K, *spatial)`` of a normalized window ``(C, *spatial)``, checked.

    Raises
    ------
    NotFiniteError
        If they cannot be used.
    """
    maps: NDArray[np.float32] = engine.compute(window[np.newaxis])[0]
    if not np.isfinite(maps).all():
        raise NotFiniteError(
            f"The network's output is not finite ({engine.precision}): the image holds values far beyond those "
            f"that the model was trained on. Check the image, or cut extreme values off."
        )
    return maps
