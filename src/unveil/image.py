"""Image: an array with named axes and a pixel size, checked once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unveil.axes import check_axes, in_order, is_ordered, spatial, without
from unveil.errors import ImageError, MismatchError
from unveil.words import count, with_article

_ALIKE = 1.01
"""Sides of a pixel that differ by no larger factor are alike: files round them."""


class ArrayLike(Protocol):
    """What an image's data must offer: NumPy, dask and zarr arrays all do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the pixels."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Intensities, or labels, with named axes and a pixel size.

    Parameters
    ----------
    data
        Array of any integer or float dtype with ``shape``, ``dtype`` and slicing; it may be lazy
        (dask, zarr) and larger than memory.
    axes
        One letter per dimension in the order T C Z Y X; Y and X are needed.
    pixel_size_um
        Size of a pixel in micrometres per spatial axis, ``{"Y": 0.65, "X": 0.65}``; axes of unknown
        size are left out.
    channel_names
        One name per channel, or empty.
    name
        What messages and results call the image.
    origin_um
        Where the centre of the first pixel lies, in micrometres per axis of known pixel size; 0 along the others.
    frame_interval_s
        Seconds from one T to the next; None where they are not known.

    Raises
    ------
    ImageError
        If the data cannot be intensities or labels; all problems are named together.
    """

    data: ArrayLike
    axes: str = "YX"
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    name: str = "image"
    origin_um: Mapping[str, float] = field(default_factory=dict)
    frame_interval_s: float | None = None

    def __post_init__(self) -> None:
        _check_array(self.data, self.name)
        object.__setattr__(self, "pixel_size_um", _per_axis(self.pixel_size_um, f"pixel size of image '{self.name}'"))
        object.__setattr__(self, "origin_um", _per_axis(self.origin_um, f"origin of image '{self.name}'"))
        object.__setattr__(self, "channel_names", tuple(map(str, self.channel_names)))
        _check(self)

    def __reduce__(self) -> tuple[type[Image], tuple[Any, ...]]:
        size, origin = dict(self.pixel_size_um), dict(self.origin_um)
        return Image, (self.data, self.axes, size, self.channel_names, self.name, origin, self.frame_interval_s)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(int(n) for n in self.data.shape)

    def size(self, axis: str) -> int:
        """Return the length of `axis`, 1 where the image does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def spatial_shape(self, n_dims: int) -> tuple[int, ...]:
        """Return the lengths of the last `n_dims` spatial axes, ``(Y, X)`` or ``(Z, Y, X)``."""
        return tuple(self.size(axis) for axis in "ZYX"[-n_dims:])

    def channel_index(self, channel: int | str | None) -> int | None:
        """Resolve a channel given by name or index; None stays None.

        Raises
        ------
        MismatchError
            If the image has no such channel.
        """
        if channel is None:
            return None
        n_channels = self.size("C")
        if isinstance(channel, str) and channel in self.channel_names:
            return self.channel_names.index(channel)
        if isinstance(channel, str) and channel.isdecimal():
            channel = int(channel)
        if isinstance(channel, Integral) and 0 <= channel < n_channels:
            return int(channel)
        names = f" ({', '.join(self.channel_names)})" if self.channel_names else ""
        found = f"Image '{self.name}' has no channel '{channel}'"
        if n_channels == 1:
            raise MismatchError(f"{found}: it has one channel{names}. Leave the choice of a channel out.")
        raise MismatchError(
            f"{found}: it has {n_channels} channels{names}. "
            f"Choose one by name, or by a number from 0 to {n_channels - 1}."
        )

    def like(self, data: ArrayLike, axes: str, *, name: str | None = None, **changes: Any) -> Image:
        """Return an image of other `data` and `axes` in the same space: a result made from this one."""
        size = {axis: um for axis, um in self.pixel_size_um.items() if axis in axes}
        origin = {axis: um for axis, um in self.origin_um.items() if axis in axes}
        interval = self.frame_interval_s if "T" in axes else None
        return Image(data, axes, size, name=name or self.name, origin_um=origin, frame_interval_s=interval, **changes)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a network sees at once: one plane or one volume of an image, cut when it is read.

    Attributes
    ----------
    index
        Position along the axes the network does not see: ``{"T": 3, "Z": 7}``.
    """

    image: Image
    n_dims: int
    index: Mapping[str, int]
    channels: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, *spatial)``."""
        return (len(self.channels), *self.image.spatial_shape(self.n_dims))

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Sides of a pixel in units of the shortest, per spatial axis; None where all are alike or one is not known."""
        known = self.image.pixel_size_um
        sides = [known[axis] for axis in "ZYX"[-self.n_dims :] if axis in known]
        if len(sides) < self.n_dims or max(sides) <= _ALIKE * min(sides):
            return None
        return tuple(side / min(sides) for side in sides)

    def read(self, window: tuple[slice, ...]) -> NDArray[Any]:
        """Read `window`, one slice per spatial axis inside the frame, as ``(C, *window)`` of the image's dtype."""
        return np.stack([np.asarray(self.image.data[self._key(c, window)]) for c in self.channels]).reshape(
            len(self.channels), *(s.stop - s.start for s in window)
        )

    def read_plane(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a part of the plane, or of the plane in the middle of a volume, as ``(C, rows, columns)``."""
        depth = self.shape[1:-2]
        pixels = self.read((*(slice(n // 2, n // 2 + 1) for n in depth), rows, columns))
        return pixels[:, 0] if depth else pixels

    def result_key(self, axes: str, window: tuple[slice, ...]) -> tuple[Any, ...]:
        """Return where `window` of this frame lies in an array with `axes`; a C axis is taken whole.

        Along an axis that the image does not have, the array has one position.
        """
        return self._assemble(axes, slice(None), window)

    def _key(self, channel: int, window: tuple[slice, ...]) -> tuple[Any, ...]:
        return self._assemble(self.image.axes, channel, window)

    def _assemble(self, axes: str, channel: int | slice, window: tuple[slice, ...]) -> tuple[Any, ...]:
        seen = dict(zip("ZYX"[-self.n_dims :], window, strict=True))
        return tuple(channel if a == "C" else seen[a] if a in seen else self.index.get(a, 0) for a in axes)


def frames(image: Image, n_dims: int, channels: tuple[int, ...]) -> Iterator[Frame]:
    """Yield the planes (`n_dims` 2: over T and Z) or volumes (3: over T) of `image`, in order."""
    outer = [axis for axis in without(image.axes, "C") if axis not in "ZYX"[-n_dims:]]
    for position in np.ndindex(*(image.size(axis) for axis in outer)):
        yield Frame(image, n_dims, dict(zip(outer, position, strict=True)), channels)


def middle_frame(image: Image, n_dims: int, channels: tuple[int, ...]) -> Frame:
    """Return the plane or volume in the middle, which stands for all."""
    return next(islice(frames(image, n_dims, channels), n_frames(image, n_dims) // 2, None))


def n_frames(image: Image, n_dims: int) -> int:
    """Count the planes or volumes that `frames` yields."""
    outer = [axis for axis in without(image.axes, "C") if axis not in "ZYX"[-n_dims:]]
    return int(np.prod([image.size(axis) for axis in outer], dtype=int))


def whole(sizes: Sequence[int]) -> tuple[slice, ...]:
    """Return the window of all pixels of a frame of such spatial `sizes`."""
    return tuple(slice(0, size) for size in sizes)


def side_around(positions: NDArray[np.intp], edge_px: int, length: int) -> slice:
    """Return the side, at most `edge_px` long, of a window around the median of `positions` on an axis of `length`."""
    start = int(np.clip(int(np.median(positions)) - edge_px // 2, 0, max(0, length - edge_px)))
    return slice(start, min(start + edge_px, length))


def _check_array(data: Any, name: str) -> None:
    try:
        tuple(data.shape), np.dtype(data.dtype)
    except (AttributeError, TypeError):
        raise ImageError(
            f"Image '{name}' is made of a {type(data).__name__}; a NumPy, dask or zarr array is expected. "
            f"Convert it with numpy.asarray, or read a file with unveil.io.images.read_image."
        ) from None


def _per_axis(um: Any, what: str) -> Mapping[str, float]:
    try:
        return MappingProxyType({axis: float(value) for axis, value in dict(um).items()})
    except (TypeError, ValueError):
        raise ImageError(
            f"The {what} is {um!r}; micrometres per axis are expected, such as {{'Y': 0.65, 'X': 0.65}}. "
            f"Leave out axes of which nothing is known."
        ) from None


def check_is_image(given: Any) -> None:
    """Refuse what is no image: an array whose axes nobody named.

    Raises
    ------
    ImageError
        With what was found, what was expected and what to do.
    """
    if not isinstance(given, Image):
        raise ImageError(
            f"Found {with_article(type(given).__name__)} where an unveil.Image is expected. "
            f"Name its axes: Image(array, axes='YX')."
        )


def _check(image: Image) -> None:
    data, shape = image.data, tuple(image.data.shape)
    found = f"Image '{image.name}' has shape {shape} and dtype {data.dtype}"
    if not 2 <= len(shape) <= 5:
        raise ImageError(f"{found}: images have 2 to 5 dimensions (axes from TCZYX). Choose or cut one that has.")
    check_axes(image.axes, len(shape))
    problems = []
    if not is_ordered(image.axes):
        problems.append(f"axes {image.axes} must stand in the order {in_order(image.axes)}")
    kind = np.dtype(data.dtype).kind
    if kind not in "uif":
        problems.append(f"{_kind_name(kind)} pixels are no intensities; convert them to an integer or float dtype")
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        problems.append("masks are not heeded here; fill it, with data.astype(float).filled(numpy.nan) for example")
    if 0 in shape:
        problems.append("it holds no pixels; choose one that does")
    elif min(shape[-2:]) < 2:
        problems.append("Y and X need at least 2 pixels each; choose a larger image, or other axes")
    if image.channel_names and len(image.channel_names) != image.size("C"):
        n_channels, n_names = image.size("C"), len(image.channel_names)
        problems.append(f"it has {count(n_channels, 'channel')} and {count(n_names, 'channel name')}")
    unknown = sorted(set(image.pixel_size_um) - set(spatial(image.axes)))
    if unknown:
        problems.append(f"a pixel size is given for {', '.join(unknown)}, which it does not have")
    if any(not (np.isfinite(um) and um > 0) for um in image.pixel_size_um.values()):
        problems.append("pixel sizes must be positive numbers of micrometres")
    if not set(image.origin_um) <= set(image.pixel_size_um) or not np.isfinite([*image.origin_um.values()]).all():
        problems.append("an origin must be finite numbers of micrometres, along axes of known pixel size")
    interval = image.frame_interval_s
    if interval is not None and not ("T" in image.axes and isinstance(interval, Real) and 0 < interval < np.inf):
        problems.append("an interval between frames must be a positive number of seconds, along an axis T")
    if problems:
        raise ImageError(f"{found}: {'; '.join(problems)}.")


def _kind_name(kind: str) -> str:
    return {"b": "true/false", "c": "complex", "O": "object"}.get(kind, "non-numeric")
