"""How a denoiser's output answers to its input, from which its error is told without a clean image."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from unveil.inference.engines import Engine
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile, Tiling

_PROBE = 0.1
"""Size of a probe's steps, over the root mean square of what was removed: above the rounding of half precision."""
_PROBED_PIXELS = 1 << 18
"""So many pixels are enough; fewer where a frame has fewer."""
_TILES_PER_PROBE, _MOST_PROBES = 8, 4
"""Of a large frame several tiles are probed."""
_TINY = 1e-30


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A tile of a frame, and how the network's output answers to its input; all ``(C, *inner)``."""

    noisy: NDArray[np.float32]
    denoised: NDArray[np.float32]
    answer: NDArray[np.float32]
    """A random sample of ∂ denoised / ∂ noisy at the same pixel."""


def probed_tiles(tiling: Tiling) -> list[Tile]:
    """Choose tiles that speak for their frame."""
    enough = -(-_PROBED_PIXELS // prod(tiling.tile))
    return tiling.spread(max(1, enough, min(len(tiling) // _TILES_PER_PROBE, _MOST_PROBES)))


def probe(frame: NormalizedFrame, tile: Tile, denoised: NDArray[np.float32], engine: Engine) -> Probe:
    """Compute `tile` again with a little noise of known signs.

    Parameters
    ----------
    denoised
        What the tile's inner region became, ``(C, *inner)`` in grey values.
    """
    inner = (slice(None), *tile.crop)
    normalized = frame.read(tile.window)
    noisy = frame.intensities.invert(normalized[inner])
    size = _PROBE * float(np.sqrt(np.mean(np.square(noisy - denoised), dtype=np.float64)))
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), normalized.shape)
    stepped = frame.intensities.apply(frame.intensities.invert(normalized) + size * signs)
    after = frame.intensities.restore(engine.compute(stepped[np.newaxis])[0])[inner]
    return Probe(noisy, denoised, (after - denoised) / max(size, _TINY) * signs[inner])
