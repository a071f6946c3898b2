"""Bring frames to the pixel size of a model, and its maps back to the image's grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import RESCALE_FACTORS, RESCALE_FROM
from unveil.errors import MismatchError
from unveil.image import Image
from unveil.model.card import ModelCard


def scale_factors(image: Image, card: ModelCard, rescale: Literal["auto", "off"] | float) -> tuple[float, ...]:
    """Return the factor per spatial axis by which frames are resized before the network; empty where they are not.

    ``"auto"`` takes the ratio of the pixel sizes where both are known and one of them differs by over 25 %. It leaves
    images that are denoised as they are, since noise changes with every resizing.

    Raises
    ------
    MismatchError
        If ``"auto"`` finds pixel sizes that are too far apart.
    """
    if rescale == "off" or (rescale == "auto" and card.task == "denoising"):
        return ()
    if rescale != "auto":
        return () if rescale == 1 else (float(rescale),) * card.n_dims
    problem = size_problem(image.name, image.pixel_size_um, card)
    if problem is not None:
        raise MismatchError(problem)
    return factors_to_model(image.pixel_size_um, card)


def factors_to_model(size_um: Mapping[str, float], card: ModelCard) -> tuple[float, ...]:
    """Return pixel sizes over those of the model, per axis it sees; empty unless all are known and one is far off."""
    axes = "ZYX"[-card.n_dims :]
    if not all(axis in size_um and axis in card.pixel_size_um for axis in axes):
        return ()
    factors = tuple(size_um[axis] / card.pixel_size_um[axis] for axis in axes)
    return factors if any(max(factor, 1 / factor) > RESCALE_FROM for factor in factors) else ()


def size_problem(name: str, size_um: Mapping[str, float], card: ModelCard) -> str | None:
    """Say why an image of these pixel sizes is not resized to those of the model; None where it may be."""
    conflict = size_conflict(name, size_um, card)
    return conflict and f"{conflict}. Correct the wrong one, or choose rescale off (--rescale off)."


def size_conflict(name: str, size_um: Mapping[str, float], card: ModelCard) -> str | None:
    """Say how far the pixel sizes of image and model are apart, without a full stop; None where both may be right."""
    factors = dict(zip("ZYX"[-card.n_dims :], factors_to_model(size_um, card), strict=False))
    axis = max(factors, key=lambda axis: max(factors[axis], 1 / factors[axis]), default=None)
    smallest, largest = RESCALE_FACTORS
    if axis is None or smallest <= factors[axis] <= largest:
        return None
    return (
        f"Image '{name}' has pixels of {size_um[axis]:.3g} µm along {axis} and model '{card.name}' expects "
        f"{card.pixel_size_um[axis]:.3g} µm: they differ {max(factors[axis], 1 / factors[axis]):,.0f}-fold, so that "
        f"hardly both are right"
    )


def resized_shape(shape: tuple[int, ...], factors: tuple[float, ...]) -> tuple[int, ...]:
    """Return the spatial shape after resizing by `factors`, at least one pixel each."""
    return tuple(max(1, round(size * factor)) for size, factor in zip(shape, factors, strict=True))


def resized(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize ``(C, *spatial)`` to the spatial `shape`, linearly, smoothed beforehand where it shrinks."""
    from skimage.transform import resize  # slow to import, and most images are not resized

    result: NDArray[np.float32] = resize(  # type: ignore[no-untyped-call]
        array.astype(np.float32), (len(array), *shape), order=1, mode="reflect", preserve_range=True
    )
    return result
