"""Compute a network over a frame, tile by tile."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from unveil.errors import EngineError
from unveil.inference.engines import Engine, one_ahead
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile


class NotFiniteError(EngineError):
    """A network's output holds NaN or infinity: half precision has overflowed, or the input is out of all bounds."""


def predict_tiles(
    frame: NormalizedFrame, engine: Engine, tiles: Iterable[Tile]
) -> Generator[tuple[Tile, NDArray[np.float32]]]:
    """Yield each of `tiles` with its maps ``(K, *inner)``, float32, in the order given.

    While one window is computed the next one is read, and where another device computes, two are on their way; the
    memory taken is that of one tile and two windows.

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
        read = one_ahead((tile, reader.submit(frame.read, tile.window)) for tile in tiles)
        begun = one_ahead((tile, engine.begin(window.result()[np.newaxis])) for tile, window in read)
        for tile, maps in begun:
            yield tile, _checked(maps(), engine)[(slice(None), *tile.crop)]


def predict_window(engine: Engine, window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the maps ``(K, *spatial)`` of a normalized window ``(C, *spatial)``, checked.

    Raises
    ------
    NotFiniteError
        If they cannot be used.
    """
    return _checked(engine.compute(window[np.newaxis]), engine)


def _checked(batch: NDArray[np.float32], engine: Engine) -> NDArray[np.float32]:
    """Return the only maps of `batch`."""
    if not np.isfinite(batch).all():
        raise NotFiniteError(
            f"The network's output is not finite ({engine.precision}): the image holds values far beyond those "
            f"that the model was trained on. Check the image, or cut extreme values off."
        )
    maps: NDArray[np.float32] = batch[0]
    return maps
