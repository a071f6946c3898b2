"""Compute a network over a frame, tile by tile."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from unveil.errors import EngineError
from unveil.inference.engines import Engine
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile, Tiling


class NotFiniteError(EngineError):
    """A network's output holds NaN or infinity: half precision has overflowed, or the input is out of all bounds."""


def predict_tiles(
    frame: NormalizedFrame, engine: Engine, tiling: Tiling
) -> Generator[tuple[Tile, NDArray[np.float32]]]:
    """Yield each tile of `tiling` with its maps ``(K, *inner)``, float32, in raster order.

    A window is read when its turn comes, and nothing is kept of it: the memory taken is that of one tile.

    Raises
    ------
    MemoryError
        If a window does not fit; smaller tiles may.
    NotFiniteError
        If the network's output cannot be used.
    EngineError
        If the engine fails.
    """
    for tile in tiling:
        maps = engine.compute(frame.read(tile.window)[np.newaxis])[0]
        if not np.isfinite(maps).all():
            raise NotFiniteError(
                f"The network's output is not finite ({engine.precision}): the image holds values far beyond those "
                f"that the model was trained on. Check the image, or cut extreme values off."
            )
        yield tile, maps[(slice(None), *tile.crop)]
