"""Bring frames to the pixel size of a model, and its maps back to the image's grid."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import RESCALE_FROM
from unveil.image import Image
from unveil.model.card import ModelCard


def scale_factors(image: Image, card: ModelCard, rescale: Literal["auto", "off"] | float) -> tuple[float, ...]:
    """Return the factor per spatial axis by which frames are resized before the network; empty where they are not.

    ``"auto"`` takes the ratio of the pixel sizes where both are known and one of them differs by over 25 %.
    """
    axes = "ZYX"[-card.n_dims :]
    if rescale == "off":
        return ()
    if rescale != "auto":
        return () if rescale == 1 else (float(rescale),) * len(axes)
    if not all(axis in image.pixel_size_um and axis in card.pixel_size_um for axis in axes):
        return ()
    factors = tuple(image.pixel_size_um[axis] / card.pixel_size_um[axis] for axis in axes)
    differs = any(max(factor, 1 / factor) > RESCALE_FROM for factor in factors)
    return factors if differs else ()


def resized_shape(shape: tuple[int, ...], factors: tuple[float, ...]) -> tuple[int, ...]:
    """Return the spatial shape after resizing by `factors`, at least one pixel each."""
    return tuple(max(1, round(size * factor)) for size, factor in zip(shape, factors, strict=True))


def resized(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize ``(C, *spatial)`` to the spatial `shape`, linearly, smoothed beforehand where it shrinks."""
    from skimage.transform import resize  # slow to import, and most images are not resized

    target = (len(array), *shape)
    shrinks = any(new < old for new, old in zip(target, array.shape, strict=True))
    result: NDArray[np.float32] = resize(  # type: ignore[no-untyped-call]
        array.astype(np.float32), target, order=1, mode="reflect", anti_aliasing=shrinks, preserve_range=True
    )
    return result.astype(np.float32, copy=False)
