"""How far an output pixel sees, derived from the architecture.

The tiling rests on three numbers per axis::

    step     sizes and tile borders are multiples of it (2 to the number of poolings; the stride)
    margin   pixels beyond a tile's border that its output depends on
    halo     the margin, rounded up to the step: with it a tile equals the whole (arXiv 2101.05846)
"""

from __future__ import annotations

from typing import Literal, assert_never

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, NonexpansiveConfig, UNetConfig

BLOCK_PX = 2
"""Edge of the blocks of pixels that are channels of a nonexpansive network."""
GAUSSIAN_REACH = 4
"""Standard deviations after which a Gaussian ends."""


def size_step(architecture: Architecture) -> tuple[int, ...]:
    """Return, per spatial axis, the number that sizes and tile borders are multiples of, in pixels."""
    match architecture:
        case UNetConfig():
            return tuple(2**n for n in architecture.poolings_per_axis)
        case NonexpansiveConfig():
            return (BLOCK_PX,) * architecture.n_dims
        case DnCNNConfig():
            return (architecture.stride,) * architecture.n_dims
        case FilterConfig():
            return (1,) * architecture.n_dims
        case _:
            assert_never(architecture)


def extension(architecture: Architecture) -> Literal["reflect", "constant"]:
    """Return how images are extended to multiples of the step, as np.pad calls it: by reflection, or by zeros.

    By zeros where nothing may count twice, lest two images be farther apart after it than before.
    """
    return "constant" if isinstance(architecture, NonexpansiveConfig) else "reflect"


def margin(architecture: Architecture) -> tuple[int, ...]:
    """Return, per spatial axis, how many pixels beyond a tile (borders on the step) its output depends on."""
    match architecture:
        case UNetConfig():
            factors = pooled_axes(architecture)
            return tuple(_unet_margin([factor[axis] for factor in factors]) for axis in range(architecture.n_dims))
        case DnCNNConfig():
            return (architecture.stride * sum(architecture.dilation_per_layer),) * architecture.n_dims
        case NonexpansiveConfig():  # each step looks out and back
            return (BLOCK_PX * 2 * (architecture.taps // 2) * sum(architecture.dilations),) * architecture.n_dims
        case FilterConfig():
            return (_filter_margin(architecture),) * architecture.n_dims
        case _:
            assert_never(architecture)


def halo(architecture: Architecture) -> tuple[int, ...]:
    """Return, per spatial axis, the margin rounded up to the size step, in pixels."""
    return tuple(
        -(-pixels // step) * step for pixels, step in zip(margin(architecture), size_step(architecture), strict=True)
    )


def pooled_axes(architecture: UNetConfig) -> list[tuple[int, ...]]:
    """Return each level's pooling factors, 1 or 2 per axis; axes with fewer poolings join at the deepest levels."""
    poolings = architecture.poolings_per_axis
    depth = max(poolings)
    return [tuple(2 if level >= depth - n else 1 for n in poolings) for level in range(depth)]


def _filter_margin(config: FilterConfig) -> int:
    if config.kind == "median":
        return int(config.size_px)
    blur = int(GAUSSIAN_REACH * config.size_px + 0.5)
    return blur + 1 if config.kind == "texture" else blur


def _unet_margin(factors: list[int]) -> int:
    """Follow the left border of a tile at 0 from the output back to the input.

    ::

        output  0 ──2 convolutions──▶ −2 ──up-convolution──▶ ⌊−2/2⌋ = −1 ──2 convolutions──▶ −3 …
        input   … ◀──2 convolutions── ·2 ◀──pooling── deepest level
    """
    border = 0
    for factor in factors:
        border = (border - 2) // factor
    border -= 2
    for factor in reversed(factors):
        border = border * factor - 2
    return -border
