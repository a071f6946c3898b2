"""Examples: normalized frames with what the network should make of them, ready to be cut into patches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.config.normalization import FixedNormalization, Normalization
from unveil.data.annotation import Annotation
from unveil.errors import ImageError
from unveil.image import Frame, Image, frames
from unveil.operators.normalization import fit_array
from unveil.operators.targets import class_target, normalized_distance


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One plane or volume to learn from, all arrays float32.

    Attributes
    ----------
    image
        Normalized input, ``(C, *spatial)``.
    target
        Segmentation: class number, then the distance where there are objects, ``(1 or 2, *spatial)``.
        Denoising: the clean image in the input's normalization, ``(C, *spatial)``.
    weight
        ``(1, *spatial)``: 1 where judged.
    scale
        Grey values per unit of normalized intensity, per channel.
    """

    image: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    scale: NDArray[np.float64]

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Lengths of the spatial axes."""
        return self.image.shape[1:]


def segmentation_examples(
    pairs: Iterable[tuple[Image, Annotation]], normalization: Normalization, *, n_dims: int, objects: bool
) -> list[Example]:
    """Make one example per annotated plane or volume; frames without any judged pixel are left out."""
    examples = []
    for image, annotation in pairs:
        _check_same_space(image, annotation.labels)
        for frame in frames(image, n_dims, tuple(range(image.size("C")))):
            labels, mask = annotation.frame(frame.result_key(annotation.labels.axes, _all(frame)))
            if not mask.any():
                continue
            target = [class_target(labels, objects=objects)]
            if objects:
                target.append(normalized_distance(labels))
            grey = _finite(frame)
            affine = fit_array(normalization, grey)
            weight = mask[None].astype(np.float32)
            examples.append(Example(affine.apply(grey), np.stack(target), weight, affine.scale))
    return examples


def denoising_examples(
    pairs: Iterable[tuple[Image, Image]], normalization: Normalization, *, n_dims: int
) -> list[Example]:
    """Make one example per channel of each plane or volume of (noisy, clean) images.

    Where noisy and clean are the same image, the example is a clean one that awaits synthetic noise.
    """
    examples = []
    for noisy, clean in pairs:
        _check_same_space(noisy, clean)
        for channel in range(noisy.size("C")):
            sources = frames(noisy, n_dims, (channel,))
            for frame, reference in zip(sources, frames(clean, n_dims, (channel,)), strict=True):
                grey = _finite(frame)
                affine = fit_array(normalization, grey)
                target = affine.apply(_finite(reference))
                examples.append(Example(affine.apply(grey), target, np.ones_like(target[:1]), affine.scale))
    return examples


def fit_fixed(images: Sequence[Image]) -> FixedNormalization:
    """Fit the lecture's normalization: mean and standard deviation of each channel over all `images`."""
    channels = range(images[0].size("C"))
    values = [
        np.concatenate([_finite(f).ravel() for image in images for f in frames(image, 2, (c,))]).astype(float)
        for c in channels
    ]
    return FixedNormalization(mean=tuple(v.mean() for v in values), std=tuple(max(v.std(), 1e-12) for v in values))


def digest_of(pairs: Iterable[Iterable[NDArray[Any]]]) -> str:
    """Return the SHA-256 over shapes, dtypes and pixels of `pairs` of image and target, in whatever order they come."""
    sha = hashlib.sha256()
    for one in sorted(_digest(pair) for pair in pairs):
        sha.update(one)
    return sha.hexdigest()


def _digest(arrays: Iterable[NDArray[Any]]) -> bytes:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype};".encode())
        sha.update(array.tobytes())
    return sha.digest()


def _all(frame: Frame) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in frame.shape[1:])


def _finite(frame: Frame) -> NDArray[Any]:
    grey = frame.read(_all(frame))
    if not np.isfinite(grey).all():
        raise ImageError(
            f"Image '{frame.image.name}' holds NaN or infinity in {int((~np.isfinite(grey)).sum())} of {grey.size} "
            f"pixels; training needs finite numbers. Replace them first."
        )
    return grey


def _check_same_space(image: Image, other: Image) -> None:
    ours = {axis: image.size(axis) for axis in "TZYX"}
    theirs = {axis: other.size(axis) for axis in "TZYX"}
    if ours != theirs:
        raise ImageError(
            f"Image '{image.name}' is {_sizes(ours)} and its reference '{other.name}' is {_sizes(theirs)}: "
            f"both must show the same pixels. Choose the pair that belongs together."
        )


def _sizes(sizes: dict[str, int]) -> str:
    return " × ".join(f"{axis} {n}" for axis, n in sizes.items() if n > 1)
