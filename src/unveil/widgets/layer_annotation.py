"""One image layer and its Labels layer as what a segmentation learns from; only annotated frames are copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from unveil.axes import in_order, spatial, without
from unveil.data.annotation import Annotation, annotated_frames, scribbled
from unveil.data.sparse_labels import around_objects
from unveil.errors import ImageError
from unveil.image import ArrayLike, Image
from unveil.widgets.drawn_areas import Area, areas_on, fill
from unveil.widgets.layers import pixels, source_of
from unveil.widgets.pixel_grid import grid_of, labels_axes, place_labels
from unveil.widgets.training_layers import Extent, Rectangles, Scribbles, Sparse, Whole

_Index: TypeAlias = tuple[int, ...]
_Frame: TypeAlias = tuple[NDArray[Any], NDArray[np.bool_] | None]

_HIGHEST = 2**32 - 1
"""Number of a label that can be written down for a training."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """An image and its annotation, cut to the frames that hold some.

    Attributes
    ----------
    n_frames, n_annotated
        Planes or volumes of the image, and how many of them hold annotation.
    has_background
        Whether background is annotated somewhere.
    """

    image: Image
    annotation: Annotation
    n_frames: int
    n_annotated: int
    has_background: bool


def annotate(image: ImageLayer, labels: Labels, axes: str, extent: Extent, *, n_dims: int) -> Annotated:
    """Take down an image with its annotation; the labels are copied, and a lazy image stays lazy.

    Parameters
    ----------
    axes
        Letters of the image's axes in its order; an RGB image's channels are not named.
    n_dims
        What the network sees at once: 2 for planes, 3 for volumes.

    Raises
    ------
    ImageError
        If image, labels and extent do not fit each other, or nothing is annotated.
    """
    start = place_labels(labels, image, axes)
    whole = source_of(image, axes).image()
    outer = "".join(letter for letter in without(whole.axes, "C") if letter not in "ZYX"[-n_dims:])
    areas = _areas(image, axes, extent)
    frames: dict[_Index, _Frame] = {}
    for index, frame in _frames(labels, labels_axes(labels, axes), outer, start):
        if not frame.any():  # of a movie, most are
            continue
        _check_frame(frame, whole, labels.name)
        mask = fill(areas, dict(zip(outer, index, strict=True)), frame.shape) if areas else None
        if isinstance(extent, Sparse):
            mask = _near_objects(frame, whole, mask)
        if _shows_objects(frame, mask, extent):
            frames[index] = frame.copy(), mask
    if not frames:
        raise ImageError(_nothing(image, labels, extent))
    taken = {letter: sorted({index[at] for index in frames}) for at, letter in enumerate(outer)}
    part = _cut(whole, taken)
    numbers, mask = _stacked(frames, taken)
    annotation = _annotation(part.like(numbers, without(part.axes, "C"), name=labels.name), mask, extent)
    # Where frames are taken along both T and Z, a T and a Z may meet that hold nothing.
    annotation, _ = annotated_frames(annotation, n_dims)
    n_frames = int(np.prod([whole.size(letter) for letter in outer], dtype=int))
    return _described(part, annotation, n_frames, len(frames))


def judged_so_far(image: ImageLayer, labels: Any, axes: str, extent: Extent | None) -> Annotation | None:
    """Return which pixels of the whole image were judged, and not as what; None where none was.

    Parameters
    ----------
    labels
        A Labels layer, or None.
    extent
        None where it is not known yet.

    Raises
    ------
    ImageError
        If image, labels and extent do not fit each other.
    """
    if (
        not isinstance(labels, Labels)
        or extent is None
        or (isinstance(extent, Rectangles) and not any(layer.nshapes for layer in extent.on(image)))
    ):
        return None
    start = place_labels(labels, image, axes)
    whole = source_of(image, axes).image()
    taken = without(whole.axes, "C")
    outer = without(taken, "YX")
    areas = _areas(image, axes, extent)
    mask = np.zeros([whole.size(letter) for letter in taken], bool)
    for index, frame in _frames(labels, labels_axes(labels, axes), outer, start):
        if areas:
            mask[index] = fill(areas, dict(zip(outer, index, strict=True)), frame.shape)
        if isinstance(extent, Sparse):
            mask[index] = _near_objects(frame, whole, mask[index])
        elif not areas:
            mask[index] = frame > 0 if isinstance(extent, Scribbles) else frame.any()
    if not mask.any():
        return None
    nothing = np.broadcast_to(np.uint8(0), mask.shape)
    return Annotation(whole.like(nothing, taken, name=labels.name), mask, not isinstance(extent, Scribbles))


def _near_objects(frame: NDArray[Any], image: Image, inside: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return what is judged of a plane or volume of `image`: what lies around objects, or `inside` blocks."""
    axes = spatial(image.axes)[-frame.ndim :]
    near = around_objects(Annotation(image.like(frame, axes)), frame.ndim).mask
    assert near is not None
    return near if inside is None else near | inside


def _areas(image: ImageLayer, axes: str, extent: Extent) -> list[Area]:
    match extent:
        case Rectangles():
            layers = extent.on(image)
            if not layers:
                raise ImageError(
                    f"No block of '{image.name}' is annotated; only what is inside annotated blocks teaches. Annotate "
                    f"one, or remove its pair."
                )
        case Sparse(Rectangles() as blocks):
            layers = [layer for layer in blocks.on(image) if layer.nshapes]
        case _:
            return []
    channel_at = axes.index("C") if "C" in axes else None
    grid = grid_of(image, axes, pixels(image).shape)
    return [area for layer in layers for area in areas_on(layer, grid, channel_at)]


def _frames(labels: Labels, axes: str, outer: str, start: Mapping[str, int]) -> Iterator[tuple[_Index, NDArray[Any]]]:
    """Yield the frames of labels of `axes`, one at a time, each with its index in the image along `outer`."""
    data = pixels(labels)
    seen = "".join(letter for letter in axes if letter not in outer)
    order = [without(seen, "C").index(letter) for letter in in_order(without(seen, "C"))]
    for position in np.ndindex(*(data.shape[axes.index(letter)] for letter in outer)):
        at = dict(zip(outer, position, strict=True))
        frame = np.asarray(data[tuple(at.get(letter, slice(None)) for letter in axes)])
        if "C" in seen:  # napari's own button makes labels with channels, of which a person paints one
            frame = frame.max(axis=seen.index("C"))
        yield tuple(at[letter] + start[letter] for letter in outer), frame.transpose(order)


def _check_frame(frame: NDArray[Any], image: Image, name: str) -> None:
    if frame.min() < 0:
        raise ImageError(
            f"Labels '{name}' hold negative numbers (lowest {frame.min()}): 0 is background, objects count from 1. "
            f"Renumber them."
        )
    if frame.max() > _HIGHEST:
        raise ImageError(
            f"Labels '{name}' hold numbers up to {frame.max()}; a training takes numbers up to {_HIGHEST}. Renumber "
            f"them, for example by skimage.segmentation.relabel_sequential."
        )
    depth = image.size("Z")
    if frame.ndim == 3 and len(frame) != depth:
        raise ImageError(
            f"Labels '{name}' lie on one plane of '{image.name}', which has {depth}; a 3D network learns from whole "
            f"volumes. Label the volume, or train a 2D network."
        )


def _shows_objects(frame: NDArray[Any], mask: NDArray[np.bool_] | None, extent: Extent) -> bool:
    """Say whether a frame that is not bare holds what counts as an object."""
    match extent:
        case Whole() | Sparse():
            return True
        case Rectangles():
            assert mask is not None
            return bool(frame[mask].any())
        case Scribbles(background):
            return bool(((frame != 0) & (frame != background)).any())
        case _:
            assert_never(extent)


def _nothing(image: ImageLayer, labels: Labels, extent: Extent) -> str:
    match extent:
        case Whole() | Sparse():
            return f"Labels '{labels.name}' are empty; some objects must be painted. Paint them on '{image.name}'."
        case Rectangles():
            named = " or ".join(f"'{layer.name}'" for layer in extent.on(image))
            return (
                f"No label of '{labels.name}' lies inside a shape of {named}; only what is inside teaches. "
                f"Paint objects there, or move the shapes to what is painted."
            )
        case Scribbles(background):
            return (
                f"Scribbles '{labels.name}' show no object: number {background} is the background's, and other numbers "
                f"are needed beside it. Paint both on '{image.name}'."
            )
        case _:
            assert_never(extent)


def _stacked(
    frames: Mapping[_Index, _Frame], taken: Mapping[str, list[int]]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Put frames into one array, each where its index is among those `taken`; the rest of the array stays bare."""
    first, first_mask = next(iter(frames.values()))
    lengths = tuple(len(indices) for indices in taken.values())
    labels = np.zeros(lengths + first.shape, first.dtype)
    masks = None if first_mask is None else np.zeros(labels.shape, bool)
    for index, (frame, mask) in frames.items():
        at = tuple(indices.index(number) for number, indices in zip(index, taken.values(), strict=True))
        labels[at] = frame
        if masks is not None:
            masks[at] = mask
    return labels, masks


def _cut(image: Image, taken: Mapping[str, list[int]]) -> Image:
    """Take the frames at the indices `taken` along each axis; a lazy image stays lazy."""
    data: Any = image.data
    for letter, indices in taken.items():
        if len(indices) == image.size(letter):
            continue
        data = _sliceable(data)[(slice(None),) * image.axes.index(letter) + (indices,)]
    return image.like(data, image.axes, channel_names=image.channel_names)


def _sliceable(data: ArrayLike) -> Any:
    """Return `data` as an array that can be asked for a list of indices without being read: zarr cannot."""
    if isinstance(data, np.ndarray) or hasattr(data, "dask"):
        return data
    import dask.array

    return dask.array.from_array(data)


def _annotation(labels: Image, mask: NDArray[np.bool_] | None, extent: Extent) -> Annotation:
    if isinstance(extent, Scribbles):
        return scribbled(labels, background=extent.background)
    return Annotation(labels, mask)


def _described(image: Image, annotation: Annotation, n_frames: int, n_annotated: int) -> Annotated:
    is_ground = np.asarray(annotation.labels.data) == 0
    has_background = bool((is_ground if annotation.mask is None else is_ground & annotation.mask).any())
    return Annotated(image, annotation, n_frames, n_annotated, has_background)
