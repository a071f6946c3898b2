"""Where the pixels of layers lie, and whether those of one are pixels of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from unveil.axes import without
from unveil.errors import ImageError
from unveil.widgets.layers import pixels

_TOLERANCE_PX = 0.25
"""Pixels that lie closer together are the same one."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelGrid:
    """The pixels of a layer without its channels: ``world = linear @ index + origin``, in the layer's units.

    Attributes
    ----------
    axes
        Letters in the layer's order, less C.
    linear
        float64, shape ``(n, n)``.
    origin
        float64, shape ``(n,)``.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    linear: NDArray[np.float64]
    origin: NDArray[np.float64]
    units: tuple[Any, ...]

    def index_of(self, world: NDArray[np.float64], units: tuple[Any, ...]) -> NDArray[np.float64]:
        """Return the pixel coordinates of points ``(n_points, n)`` of the world, given in `units`."""
        offset = world * factors(units, self.units) - self.origin
        return np.asarray(np.linalg.solve(self.linear, offset.T).T, np.float64)


def grid_of(layer: Layer, axes: str, shape: tuple[int, ...]) -> PixelGrid:
    """Take down the grid of `layer`, whose `axes` are named in its order and have the lengths `shape`."""
    kept = [number for number, letter in enumerate(axes) if letter != "C"]
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), float)
    columns = [np.asarray(layer.data_to_world(corner), float) - origin for corner in np.eye(layer.ndim)]
    return PixelGrid(
        layer.name,
        without(axes, "C"),
        tuple(int(shape[number]) for number in kept),
        np.stack(columns, axis=1)[np.ix_(kept, kept)],
        origin[kept],
        tuple(layer.units[number] for number in kept),
    )


def factors(units: tuple[Any, ...], wanted: tuple[Any, ...]) -> NDArray[np.float64]:
    """Return by what lengths in `units` are multiplied to be in `wanted`; by 1 where one is no measure of the other."""
    both = zip(units, wanted, strict=True)
    return np.array([float((1 * own).to(to).magnitude) if own.is_compatible_with(to) else 1.0 for own, to in both])


def labels_axes(labels: Labels, axes: str) -> str:
    """Return the axes of labels on an image of `axes`: those of the image, with or without its channels."""
    return axes if labels.ndim == len(axes) else without(axes, "C")


def is_same_size(labels: Labels, image: ImageLayer, axes: str) -> bool:
    """Say whether `labels` have the shape of `image` less channels, or of one plane of it."""
    own = labels_axes(labels, axes)
    found, whole = pixels(labels).shape, dict(zip(axes, pixels(image).shape, strict=False))
    return len(found) == len(own) and all(
        n == whole[letter] or (n == 1 and letter not in "YX") for n, letter in zip(found, own, strict=True)
    )


def place_labels(labels: Labels, image: ImageLayer, axes: str) -> dict[str, int]:
    """Return at which plane of `image` the `labels` begin, per axis; not 0 only for labels of one plane.

    Parameters
    ----------
    axes
        Letters of the image's axes in its order; an RGB image's channels are not named.

    Raises
    ------
    ImageError
        If the labels have another shape, or other pixels: shifted, scaled, rotated or sheared.
    """
    whole = grid_of(image, axes, pixels(image).shape)
    if not is_same_size(labels, image, axes):
        raise ImageError(
            f"Labels '{labels.name}' have shape {pixels(labels).shape}; image '{image.name}' without its channels has "
            f"{whole.shape}. Choose the labels that belong to it, or press 'New labels'."
        )
    part = grid_of(labels, labels_axes(labels, axes), pixels(labels).shape)
    is_part = np.array(part.shape) < whole.shape
    corners = np.stack([np.zeros(len(part.shape)), *np.diag(np.maximum(np.array(part.shape) - 1, 1.0))])
    index = whole.index_of(corners @ part.linear.T + part.origin, part.units)
    start = np.clip(np.where(is_part, np.rint(index[0]), 0), 0, np.array(whole.shape) - 1)
    index -= start
    compared = [True, *(n > 1 for n in part.shape)]  # along a single plane there is nothing to be scaled
    if np.abs(index - corners)[compared].max() > _TOLERANCE_PX:
        raise ImageError(
            f"Labels '{labels.name}' do not lie on image '{image.name}': they are "
            f"{_difference(index, corners, whole)}. Every label must lie on its pixel: choose other labels, "
            f"or give them the image's scale and place."
        )
    return dict(zip(whole.axes, start.astype(int).tolist(), strict=True))


def _difference(index: NDArray[np.float64], corners: NDArray[np.float64], whole: PixelGrid) -> str:
    """Say how labels whose corners lie at `index` of the image differ from it."""
    lengths = corners[1:].max(axis=1)
    linear = (index[1:] - index[0]).T / lengths  # columns: one pixel of the labels, in pixels of the image
    off = np.abs(linear - np.diag(np.diag(linear))) * lengths
    scales, shift = np.diag(linear), index[0]
    resized = np.abs(scales - 1) * lengths > _TOLERANCE_PX
    words = []
    if off.max() > _TOLERANCE_PX:
        words.append("rotated or sheared")
    elif resized.any():
        words.append(f"scaled by {_per_axis(whole.axes, scales, resized)}")
    if np.abs(shift).max() > _TOLERANCE_PX:
        words.append(f"shifted by {_per_axis(whole.axes, shift, np.abs(shift) > _TOLERANCE_PX)} pixels")
    return " and ".join(words)


def _per_axis(axes: str, values: NDArray[np.float64], shown: NDArray[np.bool_]) -> str:
    return ", ".join(f"{letter} {value:.4g}" for letter, value, show in zip(axes, values, shown, strict=True) if show)
