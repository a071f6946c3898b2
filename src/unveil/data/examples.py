"""Examples: normalized frames with what the network should make of them, ready to be cut into patches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.config.normalization import FixedNormalization, Normalization
from unveil.data.annotation import Annotation
from unveil.data.split import Block
from unveil.errors import ImageError
from unveil.image import Frame, Image, frames, whole
from unveil.operators.finite import LARGEST, usable
from unveil.operators.metrics import peak
from unveil.operators.normalization import IntensityMap, fit_array
from unveil.operators.targets import class_target, cut_objects, normalized_distance


@dataclass(frozen=True, slots=True, eq=False)
class GreyScale:
    """How normalized intensities of one example become grey values again, and the clean image's peak for its PSNR."""

    intensities: IntensityMap
    peak: float


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
        1 where judged: per map of the target, or ``(1, *spatial)`` for all alike.
    scale
        Grey values per unit of normalized intensity, per channel.
    grey
        Of a denoiser's real pair; None where noise is synthetic, or the clean image has no range.
    """

    image: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    scale: NDArray[np.float64]
    grey: GreyScale | None = None

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Lengths of the spatial axes."""
        return self.image.shape[1:]


def segmentation_examples(
    pairs: Iterable[tuple[Image, Annotation]], normalization: Normalization, *, n_dims: int, objects: bool
) -> list[Example]:
    """Make one example per annotated plane or volume; frames without any judged pixel are left out.

    Raises
    ------
    ImageError
        If labels do not fit their image, or volumes were labelled in single planes.
    """
    examples = []
    for image, annotation in pairs:
        _check_same_space(image, annotation.labels)
        for frame in frames(image, n_dims, tuple(range(image.size("C")))):
            labels, mask = annotation.frame(frame.result_key(annotation.labels.axes, whole(frame.shape[1:])))
            if not mask.any():
                continue
            if annotation.has_outlines and _is_flat(labels, mask):
                raise ImageError(
                    f"Most of what labels '{annotation.labels.name}' show is one plane thick, and a network that sees "
                    f"volumes would learn that objects end there. Label them in all planes that show them, or let the "
                    f"network see planes (2D)."
                )
            grey = finite_pixels(frame)
            intensities = fit_array(normalization, grey)
            target, weight = _segmentation_target(
                labels, mask, objects=objects, has_outlines=annotation.has_outlines, spacing=frame.spacing
            )
            examples.append(Example(intensities.apply(grey), target, weight, intensities.scale))
    return examples


def _is_flat(labels: NDArray[Any], mask: NDArray[np.bool_]) -> bool:
    """Say whether most labelled voxels of a volume have judged background right above and below."""
    if labels.ndim < 3 or len(labels) < 2:
        return False
    drawn = mask & (labels != 0)
    ground = np.pad(mask & (labels == 0), ((1, 1), (0, 0), (0, 0)), constant_values=True)
    return bool(2 * np.count_nonzero(drawn & ground[:-2] & ground[2:]) > np.count_nonzero(drawn))


def _segmentation_target(
    labels: NDArray[Any],
    mask: NDArray[np.bool_],
    *,
    objects: bool,
    has_outlines: bool,
    spacing: tuple[float, ...] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return class and distance maps and where each of them counts; nobody's class is 0.

    An object that runs into pixels nobody judged has an unknown outline, and so its distance does not count. Scribbles
    have no outlines at all: their distance is taught as 1, and 0 on the background, which parts what they part.
    """
    target, weight = [class_target(labels, objects=objects) * mask], [mask.astype(np.float32)]
    if objects and has_outlines:
        target.append(normalized_distance(labels, spacing))
        weight.append((mask & ~cut_objects(labels, mask)).astype(np.float32))
    elif objects:
        target.append(target[0])
        weight.append(weight[0])
    return np.stack(target), np.stack(weight)


def denoising_examples(
    pairs: Iterable[tuple[Image, Image]], normalization: Normalization, *, n_dims: int, noisy_targets: bool = False
) -> list[Example]:
    """Make one example per channel of each plane or volume of (noisy, clean) images.

    Where noisy and clean are the same image, the example is one that awaits synthetic noise, or hidden pixels.

    Parameters
    ----------
    noisy_targets
        What is called clean is as noisy: another frame of the same scene.
    """
    examples = []
    for noisy, clean in pairs:
        _check_same_space(noisy, clean)
        for channel in range(noisy.size("C")):
            sources = frames(noisy, n_dims, (channel,))
            for frame, reference in zip(sources, frames(clean, n_dims, (channel,)), strict=True):
                grey = finite_pixels(frame)
                intensities = fit_array(normalization, grey)
                normalize = intensities.apply if noisy is clean or noisy_targets else intensities.expect
                clean_grey = finite_pixels(reference)
                target = normalize(clean_grey)
                example = Example(intensities.apply(grey), target, np.ones_like(target[:1]), intensities.scale)
                is_pair = noisy is not clean and np.ptp(clean_grey) > 0
                examples.append(replace(example, grey=GreyScale(intensities, peak(clean_grey))) if is_pair else example)
    return examples


def successive_frames(stack: Image, n_dims: int) -> tuple[Image, Image]:
    """Return a stack, and the same with each frame in the place of the one before: what one predicts of the next.

    The frames lie along T, or along Z where there is no T and planes are learnt from.

    Raises
    ------
    ImageError
        If there are no two frames.
    """
    axis = "T" if "T" in stack.axes else "Z"
    if stack.size(axis) < 2 or (axis == "Z" and n_dims == 3):
        raise ImageError(
            f"Image '{stack.name}' has no frames to compare (axes {stack.axes}, sizes {stack.shape}); learning from "
            f"repeated frames needs at least two along T. Choose a stack, or blind-spot training."
        )
    return stack, stack.like(np.roll(np.asarray(stack.data), -1, axis=stack.axes.index(axis)), stack.axes)


def held_out(examples: Sequence[Example], block: Block, step: tuple[int, ...]) -> tuple[list[Example], list[Example]]:
    """Divide examples of one image into a teaching and a judging part.

    Teaching parts are cut off before the block: augmentation may look further than the gap, and never sees what
    judges. Judging parts are cut to the block and the gap around it, on multiples of `step`: a network gives them the
    values that it would give in the whole image.
    """
    teaching, judging = [], []
    for example in examples:
        shape = example.spatial_shape
        taught, judged = (example.weight * where(shape) for where in (block.teaching, block.judging))
        if taught[0].any():
            teaching.append(_cut(replace(example, weight=taught.astype(np.float32)), block.axis, *block.beside(shape)))
        if judged[0].any():
            context = block.context(step[block.axis])
            judging.append(_cut(replace(example, weight=judged.astype(np.float32)), block.axis, *context))
    return teaching, judging


def _cut(example: Example, axis: int, start: int, stop: int) -> Example:
    key = (*[slice(None)] * (1 + axis), slice(start, stop))
    return replace(example, image=example.image[key], target=example.target[key], weight=example.weight[key])


def fit_fixed(images: Sequence[Image]) -> FixedNormalization:
    """Fit the lecture's normalization: mean and standard deviation of each channel over all `images`."""
    channels = range(images[0].size("C"))
    values = [
        np.concatenate([finite_pixels(f).ravel() for image in images for f in frames(image, 2, (c,))]).astype(float)
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


def finite_pixels(frame: Frame) -> NDArray[Any]:
    """Return the pixels of `frame`, ``(C, *spatial)``.

    Raises
    ------
    ImageError
        If some are NaN, infinite, or as large as what stands for a missing value.
    """
    grey = frame.read(whole(frame.shape[1:]))
    if n_missing := int(np.isnan(usable(grey)).sum()):
        raise ImageError(
            f"Image '{frame.image.name}' holds NaN, infinity or numbers beyond {LARGEST:g} in {n_missing} of "
            f"{grey.size} pixels; training needs finite numbers. Replace them first."
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
