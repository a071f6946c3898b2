"""Rectangles, polygons and ellipses of a Shapes layer as pixels of an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from unveil.errors import ImageError
from unveil.widgets.pixel_grid import PixelGrid, factors

_WITH_INSIDE = {"rectangle", "polygon", "ellipse"}
_N_AROUND = 360
"""Points on an ellipse: one with a radius of 1,000 pixels is off by less than a tenth of one."""
_FLAT_PX = 0.5
"""Corners of a shape in one plane lie closer together than this along the axes across the plane."""


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """A polygon in the plane Y, X of an image.

    Attributes
    ----------
    index
        The plane it was drawn on; along an axis that is not named it is meant on all.
    outline
        Corners, float64, shape ``(n_corners, 2)``: Y and X in pixels, whose centres are whole numbers.
    """

    index: Mapping[str, int]
    outline: NDArray[np.float64]


def has_area(shapes: Shapes) -> bool:
    """Say whether `shapes` hold something that has an inside."""
    return bool(_WITH_INSIDE & set(map(str, shapes.shape_type)))


def areas_on(shapes: Shapes, grid: PixelGrid, channel_at: int | None) -> list[Area]:
    """Return the rectangles, polygons and ellipses of `shapes` in the pixels of an image, through the world.

    Parameters
    ----------
    channel_at
        Which axis of the image's layer holds channels; None for none.

    Raises
    ------
    ImageError
        If there is no shape, some shape has no inside, or does not lie in a plane Y, X.
    """
    if not shapes.nshapes:
        raise ImageError(
            f"Shapes layer '{shapes.name}' is empty; rectangles say which part is annotated. Draw one around what you "
            f"have annotated, or choose 'the whole image'."
        )
    kinds = list(map(str, shapes.shape_type))
    if others := sorted(set(kinds) - _WITH_INSIDE):
        raise ImageError(
            f"Shapes layer '{shapes.name}' holds shapes of the kind {', '.join(others)}, which have no inside; "
            f"rectangles, polygons and ellipses have. Draw those instead."
        )
    in_pixels = _in_pixels(shapes, grid, channel_at)
    return [
        _area(_around_ellipse(corners) if kind == "ellipse" else corners, shapes, grid)
        for kind, corners in zip(kinds, in_pixels, strict=True)
    ]


def fill(areas: Iterable[Area], index: Mapping[str, int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels of a frame lie inside an area, borders included.

    Parameters
    ----------
    index
        Which frame, along the axes across it.
    shape
        ``(Y, X)`` or ``(Z, Y, X)``.
    """
    mask = np.zeros(shape, bool)
    for area in areas:
        if any(area.index.get(letter, number) != number for letter, number in index.items()):
            continue
        depth = area.index.get("Z") if len(shape) == 3 else None
        if depth is None or 0 <= depth < shape[0]:
            _fill_polygon(mask if depth is None else mask[depth], area.outline)
    return mask


def _in_pixels(shapes: Shapes, grid: PixelGrid, channel_at: int | None) -> Iterable[NDArray[np.float64]]:
    """Yield each shape's corners ``(n_corners, n)`` in pixels; NaN along axes that the Shapes layer does not have.

    As in the viewer, axes are the same counted from the last. A layer of as many axes as the image has one for the
    channels, which is left out.
    """
    n = len(grid.shape)
    axes_shown = list(range(n)) if channel_at is None else np.insert(np.arange(n), channel_at, -1).tolist()
    matched = axes_shown[-shapes.ndim :] if shapes.ndim >= len(axes_shown) else list(range(n))[-shapes.ndim :]
    for corners in shapes.data:
        world = np.array([shapes.data_to_world(corner) for corner in corners])[:, -len(matched) :]
        units = tuple(shapes.units)[-len(matched) :]
        points = np.tile(grid.origin, (len(world), 1))
        for column, axis in enumerate(matched):
            if axis >= 0:
                points[:, axis] = world[:, column] * factors((units[column],), (grid.units[axis],))[0]
        index = grid.index_of(points, grid.units)
        index[:, [axis for axis in range(n) if axis not in matched]] = np.nan
        yield index


def _around_ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on the ellipse inside the parallelogram of four `corners`, in their order; shapes ``(n, axes)``."""
    centre, half, other = corners.mean(axis=0), (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, _N_AROUND, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angles) * half + np.sin(angles) * other, np.float64)


def _area(corners: NDArray[np.float64], shapes: Shapes, grid: PixelGrid) -> Area:
    along = dict(zip(grid.axes, corners.T, strict=True))
    across = {letter: at for letter, at in along.items() if letter not in "YX" and not np.isnan(at).any()}
    outline = np.stack([along["Y"], along["X"]], axis=1)
    if np.isnan(outline).any() or any(np.ptp(at) > _FLAT_PX for at in across.values()):
        raise ImageError(
            f"Shapes layer '{shapes.name}' holds a shape that runs through planes of '{grid.name}'; shapes must lie in "
            f"a plane Y, X. Show Y and X in the viewer, and draw it again."
        )
    return Area({letter: int(np.rint(at.mean())) for letter, at in across.items()}, outline.round(6))


def _fill_polygon(plane: NDArray[np.bool_], outline: NDArray[np.float64]) -> None:
    """Set the pixels of `plane` whose centres lie inside `outline` or on it."""
    from skimage.measure import grid_points_in_poly

    low = np.clip(np.floor(outline.min(axis=0)), 0, plane.shape).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)) + 1, low, plane.shape).astype(int)
    if (high > low).all():
        inside = grid_points_in_poly(tuple(high - low), outline - low, binarize=False)
        plane[low[0] : high[0], low[1] : high[1]] |= inside > 0
