"""Average over the mirror images of what a network sees (test-time augmentation)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unveil.inference.engines import Engine

_MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes along which an input is mirrored: none, X, Y, both."""


class MirroredEngine:
    """An engine that computes each batch four times: as it is, mirrored along X, along Y, and along both.

    The maps are mirrored back and averaged. Windows begin and end on the network's step, so that poolings see the same
    groups of pixels in a mirror, whatever the tile.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def device(self) -> str:
        """Where: cpu, cuda or mps."""
        return self._engine.device

    @property
    def library(self) -> str:
        """What computes."""
        return self._engine.library

    @property
    def precision(self) -> str:
        """Number format of the convolutions."""
        return self._engine.precision

    @property
    def n_pixels_held(self) -> int:
        """Pixels of the batches whose maps still take memory."""
        return self._engine.n_pixels_held

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean maps ``(N, K, *spatial)`` of `batch` ``(N, C, *spatial)``."""
        total = self._mirrored(batch, _MIRRORS[0])
        for axes in _MIRRORS[1:]:
            total += self._mirrored(batch, axes)
        return total / np.float32(len(_MIRRORS))

    def release(self) -> None:
        """Give back what was taken for computing."""
        self._engine.release()

    def _mirrored(self, batch: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float32]:
        maps = self._engine.compute(np.ascontiguousarray(np.flip(batch, axes)))
        return np.array(np.flip(maps, axes))
