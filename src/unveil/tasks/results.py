"""What the doors return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import lcm
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from unveil.axes import in_order, without
from unveil.config.options import SegmentationOptions
from unveil.errors import ImageError
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.operators.uncertainty import NAMES


class WritableArray(Protocol):
    """An array that a result is written to, piece by piece: NumPy and zarr arrays are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Type of the values."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...


_DEFAULTS = SegmentationOptions()

MakeArray: TypeAlias = Callable[[tuple[int, ...], Any], WritableArray]
"""Makes an array of zeros from a shape and a dtype."""


class Journal(Protocol):
    """Which pieces of a result are written, so that a run that was ended can be gone on with."""

    def __contains__(self, piece: str, /) -> bool:
        """Say whether `piece` was written before."""

    def add(self, piece: str, /) -> None:
        """Remember that `piece` is written."""


@dataclass(frozen=True, slots=True, eq=False)
class RunReport:
    """What was run and how, for the record."""

    model: str
    model_sha256: str
    options: dict[str, JsonValue]
    device: str
    engine: str
    precision: str
    """Number format of the convolutions: float32, float16 or bfloat16."""
    tile: tuple[int, ...]
    """Inner size of the tiles, per spatial axis, in pixels that the network saw."""
    seconds: float
    n_objects: int | None
    """None where the model does not separate objects."""
    notices: tuple[str, ...]
    versions: dict[str, str]
    scale: tuple[float, ...] = ()
    """Factors by which frames were resized before the network, per spatial axis; empty where they were not."""
    expected_iou: float | None = None
    """Segmentation: the overlap of the foreground with the truth that the probabilities themselves expect; as good as
    these are calibrated, and so for images like those that taught. None where there is no foreground."""
    iou_interval: tuple[float, float] | None = None
    """Segmentation: where the overlap with the truth lies for 9 in 10 images like those that `ModelCard.conformal` was
    recorded on; None where the card has no such record, or the run is not like those of the record."""
    n_objects_interval: tuple[int, int] | None = None
    """Segmentation: the same for the number of objects."""
    ensemble: tuple[str, ...] = ()
    """Digests of the weights of further models that were averaged with this one."""
    unlikeness: float | None = None
    """How far the image lies from those that taught the model, over what is usual: above 1 it is unlike them, and the
    notices say why. None where it was not compared."""
    suggested_rescale: float | None = None
    """The factor for the option `rescale` at which it would be more like them; None where there is none."""
    noise_level: float | None = None
    """Denoising: root mean square of the noise, in grey values, estimated from the image; None where it was not
    assessed, as all of these."""
    expected_psnr: float | None = None
    """Denoising: the PSNR to be expected, in dB, where the noise is independent from pixel to pixel; its peak is 255
    for uint8 and the range of the denoised image for others."""
    residual_correlation: float | None = None
    """Denoising: correlation between neighbours of what was removed. White noise gives 0 or a little less; more says
    that something of the image went with it, or that the noise is not independent, and `expected_psnr` too high."""

    @property
    def objects_range(self) -> str:
        """The interval of the number of objects as words to follow it, such as `` (110 to 131)``; empty without one."""
        return _as_words(self.n_objects_interval, "d")

    @property
    def iou_range(self) -> str:
        """The interval of the expected overlap as words to follow it, such as `` (0.84 to 0.95)``."""
        return _as_words(self.iou_interval, ".2f")

    def provenance(self) -> dict[str, Any]:
        """Return all fields as plain values that JSON can hold."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _as_words(interval: tuple[float, float] | None, how: str) -> str:
    return "" if interval is None else f" ({interval[0]:{how}} to {interval[1]:{how}})"


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """An image's segmentation: labels, and the maps they were made from."""

    labels: Image
    """Axes of the image less C, int32: 0 is background; ids of objects are unique across planes and frames."""
    probabilities: Image
    """Axes of the image with one channel per foreground class, float32, 0 to 1."""
    distance: Image | None
    """Normalized distance to the object's border, axes of the image less C, float32, 0 to 1; models of objects only."""
    card: ModelCard
    report: RunReport
    uncertainty: Image | None = None
    """How unsure the model is, axes of the image with two channels, float32, in bits: ``entropy`` of the mean over
    flips and turns (and models), and ``disagreement``, the mutual information in it (`unveil.operators.uncertainty`);
    only where asked for."""
    features: Image | None = None
    """What a texture filter saw, axes of the image with one channel per feature, float32; None of other models."""


@dataclass(frozen=True, slots=True, eq=False)
class Denoised:
    """A denoised image."""

    image: Image
    """Axes of the input, less C where one channel was chosen; float32, in the input's grey values."""
    report: RunReport
    residual: Image | None = None
    """What was removed, noisy less denoised, as `image`, computed when it is read; only where asked for."""
    autocorrelation: NDArray[np.float64] | None = None
    """How the residual correlates with itself shifted by −10 to 10 pixels along Y and X, ``(21, 21)``, 1 in the middle;
    None where it was not assessed."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationSink:
    """Arrays that a segmentation is written to, for images larger than memory."""

    labels: WritableArray
    probabilities: WritableArray
    distance: WritableArray | None = None
    features: WritableArray | None = None
    uncertainty: WritableArray | None = None
    make: MakeArray = np.zeros
    """Makes further arrays of zeros, from shape and dtype, for what lies between: an image that is denoised first."""

    @classmethod
    def create(cls, image: Image, card: ModelCard, make: MakeArray, options: SegmentationOptions = _DEFAULTS) -> Self:
        """Make the arrays that a segmentation of `image` by the model of `card` needs.

        Parameters
        ----------
        make
            Called with shape and dtype of each array, such as ``numpy.zeros``.
        """
        shapes = segmentation_shapes(image, card, options)
        return cls(
            **{name: make(shape, np.int32 if name == "labels" else np.float32) for name, shape in shapes.items()},
            make=make,
        )

    @property
    def arrays(self) -> list[WritableArray]:
        """All arrays that are written to."""
        arrays = (self.labels, self.probabilities, self.distance, self.features, self.uncertainty)
        return [array for array in arrays if array is not None]

    def grain(self, n_dims: int) -> tuple[int, ...]:
        """Return what pieces must be multiples of, per spatial axis, so that no two write one chunk."""
        return common_grain(self.arrays, n_dims)

    def check(self, image: Image, card: ModelCard, options: SegmentationOptions = _DEFAULTS) -> None:
        """Refuse arrays of other shapes than a segmentation of `image` needs.

        Raises
        ------
        ImageError
            With all that does not fit.
        """
        shapes, problems = segmentation_shapes(image, card, options), []
        for name, expected in shapes.items():
            array: WritableArray | None = getattr(self, name)
            if array is None:
                problems.append(f"an array for the {name} is missing")
            elif tuple(array.shape) != expected:
                problems.append(f"{name} have shape {tuple(array.shape)} where {expected} is needed")
        if problems:
            raise ImageError(
                f"The arrays to write to do not fit image '{image.name}': {'; '.join(problems)}. "
                f"Make them with SegmentationSink.create."
            )


def common_grain(arrays: Sequence[WritableArray], n_dims: int) -> tuple[int, ...]:
    """Return the least common multiple of the chunks of `arrays` along their last `n_dims` axes; 1 without chunks."""
    chunks = [(1,) * n_dims]
    chunks += [tuple(getattr(array, "chunks", None) or (1,) * len(array.shape))[-n_dims:] for array in arrays]
    return tuple(lcm(*sides) for sides in zip(*chunks, strict=True))


def denoised_axes(image: Image, channel: int | str | None) -> str:
    """Return the axes of `image` once denoised: less its channels where one is chosen."""
    return image.axes if channel is None else without(image.axes, "C")


def denoised_shape(image: Image, channel: int | str | None) -> tuple[int, ...]:
    """Return the shape of `image` once denoised."""
    return tuple(image.size(axis) for axis in denoised_axes(image, channel))


def segmentation_shapes(
    image: Image, card: ModelCard, options: SegmentationOptions = _DEFAULTS
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that a segmentation of `image` fills, by their name in `SegmentationSink`."""
    axes = without(image.axes, "C")
    one_map = tuple(image.size(axis) for axis in axes)

    def maps(n_maps: int) -> tuple[int, ...]:
        return tuple(n_maps if axis == "C" else image.size(axis) for axis in in_order(axes + "C"))

    shapes = {"labels": one_map, "probabilities": maps(len(card.classes) - 1)}
    if card.objects:
        shapes["distance"] = one_map
    if card.gives_features:
        shapes["features"] = maps(card.n_maps)
    if card.gives_uncertainty(options):
        shapes["uncertainty"] = maps(len(NAMES))
    return shapes
