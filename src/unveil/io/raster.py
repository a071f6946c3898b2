"""From the axes that a file names to the order T C Z Y X: what is known is kept, what is not is never guessed.

A file may leave open what its pages are (``I``, ``Q`` in tifffile's letters). One such axis is read as depth, since
Fiji does so and a 2D model gives the same result for depth, time and any other stack; two are an error that asks for
the axes. Colours (``S``) become channels. Axes of length one go.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.axes import ORDER, check_axes, in_order, without
from unveil.errors import ImageError, UnveilWarning
from unveil.image import ArrayLike, Image
from unveil.io.reordered import Reordered, native

_UNNAMED = "IQ"
_FEW_PAGES = 4
"""So few pages are more often channels than planes: worth a warning."""


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """What a file holds, in its own terms.

    Attributes
    ----------
    axes
        One letter per dimension of `array`; besides T, C, Z, Y, X also S (colours), I and Q (not named) and others.
    origin_um
        Where the centre of the first pixel lies, along axes of known pixel size; 0 along the others.
    frame_interval_s
        Seconds from one T to the next; None where they are not known.
    channel_names
        Names of the channels or colours, or empty.
    n_colours
        How many of the colours are kept: an alpha channel at the end is left out.
    convert
        Brings blocks to native byte order and bright-is-large.
    """

    array: ArrayLike
    axes: str
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    n_colours: int | None = None
    convert: Callable[[NDArray[Any]], NDArray[Any]] = native
    origin_um: Mapping[str, float] = field(default_factory=dict)
    frame_interval_s: float | None = None


def to_image(
    raster: Raster, path: Path, *, axes: str | None, name: str, as_labels: bool, open_again: Callable[[], Image]
) -> Image:
    """Return `raster` as an image with axes in the order T C Z Y X; in memory it stays in memory, lazy stays lazy.

    As labels, true and false become 1 and 0, and of `axes` the channels are left out.

    Parameters
    ----------
    open_again
        Gives the same image in another process, where pixels that are not in memory are to be read.

    Raises
    ------
    ImageError
        If the axes are not known, or `axes` does not describe the pixels.
    """
    letters = _override(raster, axes, path, as_labels=as_labels) if axes else _resolve(raster, name)
    target = in_order(letters)
    order = [letters.index(letter) for letter in target]
    colours = None
    if raster.n_colours is not None and "S" in raster.axes and "C" in target:
        colours = (target.index("C"), raster.n_colours)
    if colours == (target.find("C"), 1):  # grey and alpha: the grey alone
        order.pop(target.index("C"))
        target, colours = target.replace("C", ""), None
    convert = _numbers_of(raster) if as_labels and np.dtype(raster.array.dtype).kind == "b" else raster.convert
    view = Reordered(raster.array, order, path, open_again=open_again, convert=convert, first=colours)
    is_in_memory = isinstance(raster.array, np.ndarray) and not isinstance(raster.array, np.memmap)
    data: ArrayLike = view[...] if is_in_memory else view
    n_channels = view.shape[target.index("C")] if "C" in target else 1
    names = raster.channel_names if len(raster.channel_names) == n_channels else ()
    size, origin = (
        {axis: um for axis, um in known.items() if axis in target} for known in (raster.pixel_size_um, raster.origin_um)
    )
    interval = raster.frame_interval_s if "T" in target else None
    return Image(data, target, size, names, name, origin, interval)


def _override(raster: Raster, axes: str, path: Path, *, as_labels: bool) -> str:
    """Assign the letters that the user gave to all dimensions of the file, or to those longer than one."""
    given = axes.upper()
    wanted = without(given, "C") if as_labels else given
    sizes = [int(n) for n in raster.array.shape]
    positions = list(enumerate(zip(raster.axes, sizes, strict=True)))
    full = [position for position, (letter, size) in positions if size > 1 or letter != "S"]
    kept = [position for position, (letter, size) in positions if size > 1 or letter in "YX"]
    chosen = full if len(wanted) == len(full) else kept
    try:
        check_axes(wanted, len(chosen))
    except ImageError as error:
        left_out = f" labels have no channels, so that of {given} they have {wanted}." if wanted != given else ""
        raise ImageError(f"{path}:{left_out} {error}") from error
    letters = ["-"] * len(sizes)
    for position, letter in zip(chosen, wanted, strict=True):
        letters[position] = letter
    return "".join(letters)


def _resolve(raster: Raster, name: str) -> str:
    sizes = [int(n) for n in raster.array.shape]
    letters = list(raster.axes)
    for position, (letter, size) in enumerate(zip(raster.axes, sizes, strict=True)):
        if size == 1 and letter not in "YX":
            letters[position] = "-"
    if letters.count("S") == 1 and "C" not in letters:
        letters[letters.index("S")] = "C"
    unknown = [position for position, letter in enumerate(letters) if letter not in f"{ORDER}-"]
    if len(unknown) == 1 and letters[unknown[0]] in _UNNAMED and "Z" not in letters:
        _warn_of_few_pages(sizes[unknown[0]], name)
        letters[unknown[0]] = "Z"
        unknown = []
    if unknown:
        raise ImageError(_unknown_axes(raster, [raster.axes[position] for position in unknown], name))
    return "".join(letters)


def _warn_of_few_pages(n_pages: int, name: str) -> None:
    if n_pages <= _FEW_PAGES:
        warnings.warn(
            f"'{name}' does not say what its {n_pages} pages are; they are read as depth (Z). "
            f"If they are channels, say so by giving the axes CYX.",
            UnveilWarning,
            stacklevel=2,
        )


def _unknown_axes(raster: Raster, unknown: list[str], name: str) -> str:
    sizes = "×".join(str(int(n)) for n in raster.array.shape)
    found = f"'{name}' has axes {raster.axes} of {sizes} pixels"
    if "S" in unknown:
        return f"{found}: channels that hold colours. Split them first (in Fiji: Image > Color > Split Channels)."
    if sum(int(n) > 1 for n in raster.array.shape) > len(ORDER):
        return (
            f"{found}; an image has at most {len(ORDER)} axes ({', '.join(ORDER)}). "
            f"Save it in parts, each a file of its own."
        )
    return (
        f"{found}, and the file does not say which of {', '.join(ORDER)} is meant by {', '.join(unknown)}. "
        f"Give the axes yourself, one letter per dimension, such as {_example(len(raster.axes))}."
    )


def _example(n_dims: int) -> str:
    return {2: "YX", 3: "ZYX", 4: "TZYX"}.get(n_dims, "TCZYX")


def _numbers_of(raster: Raster) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda block: raster.convert(block).astype(np.uint8)
