"""napari layers to images and back: the only converter.

A layer's array and its image differ in three ways, all undone for a result::

    layer    array of any axis order, RGB last          Z C Y X   or   Y X (rgb)
    image    axes in the order T C Z Y X                C Z Y X   or   C Y X
    result   the layer's axes less C, at its place      Z 1 Y X   or   Y X
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unveil.axes import ORDER, in_order, without
from unveil.errors import ImageError
from unveil.image import ArrayLike, Image
from unveil.widgets.file_axes import axes_in_file
from unveil.widgets.lazy_view import LazyView

if TYPE_CHECKING:
    from napari.layers import Image as ImageLayer
    from napari.layers import Labels, Layer

_LETTERS = {
    **dict.fromkeys(("t", "time", "frame", "frames"), "T"),
    **dict.fromkeys(("c", "ch", "channel", "channels"), "C"),
    **dict.fromkeys(("z", "depth", "plane", "planes", "section", "slice"), "Z"),
    **dict.fromkeys(("y", "row", "height"), "Y"),
    **dict.fromkeys(("x", "column", "width"), "X"),
}
_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""What a layer says about space, as napari calls it."""
_RGB = ("red", "green", "blue")
_ROUNDING = 1e-9
"""Of the longest step of a pixel: less beside an axis is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """What a layer says about space, one entry per axis; an RGB layer's channels are none.

    Attributes
    ----------
    axes
        Letters in the layer's own order.
    rotate, shear
        float64, shape ``(n, n)``.
    affine
        float64, shape ``(n + 1, n + 1)``; applied after scale, shear, rotate and translate.
    """

    axes: str
    scale: NDArray[np.float64]
    translate: NDArray[np.float64]
    rotate: NDArray[np.float64]
    shear: NDArray[np.float64]
    affine: NDArray[np.float64]
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]

    def keep(self, axes: str) -> Space:
        """Return the space of `axes` alone, in the present order."""
        kept = [i for i, letter in enumerate(self.axes) if letter in axes]
        both, affine = np.ix_(kept, kept), np.ix_([*kept, -1], [*kept, -1])
        return Space(
            "".join(self.axes[i] for i in kept),
            self.scale[kept],
            self.translate[kept],
            self.rotate[both],
            self.shear[both],
            self.affine[affine],
            tuple(self.units[i] for i in kept),
            tuple(self.axis_labels[i] for i in kept),
        )

    def starting_at(self, index: Mapping[str, float]) -> Space:
        """Return the space of a part that starts at pixel `index` (0 where an axis is not named)."""
        offset = np.array([index.get(letter, 0) for letter in self.axes], float)
        return replace(self, translate=self.translate + self._linear() @ offset)

    def coarser(self, factors: Mapping[str, float]) -> Space:
        """Return the space of pixels that are larger by `factors`, the centre of the first where it was."""
        return replace(self, scale=self.scale * np.array([factors.get(letter, 1) for letter in self.axes], float))

    def arrange(self, data: ArrayLike, axes: str) -> Any:
        """Return `data` of `axes` in the present order, with length 1 along axes that they lack; nothing is read."""
        own = "".join(letter for letter in self.axes if letter in axes)
        ordered = _transposed(data, axes, own)
        if own == self.axes:
            return ordered
        return ordered[tuple(slice(None) if letter in own else None for letter in self.axes)]

    def pixel_size_um(self) -> dict[str, float]:
        """Return the pixel size per spatial axis in micrometres, where the unit is a length."""
        sizes = self._in_um(np.linalg.norm(self._to_world(), axis=0))
        return {letter: um for letter, um in sizes.items() if np.isfinite(um) and um > 0}

    def origin_um(self) -> dict[str, float]:
        """Return where the centre of the first pixel lies, along each axis of known pixel size where it is not 0.

        Axes that are turned, sheared or mirrored have no origin that a file could tell.
        """
        linear = self._to_world()
        steps = np.diag(linear)
        if np.abs(linear - np.diag(steps)).max() > _ROUNDING * np.abs(linear).max() or steps.min() <= 0:
            return {}
        origins = self._in_um(self.affine[:-1, :-1] @ self.translate + self.affine[:-1, -1])
        return {letter: um for letter, um in origins.items() if letter in self.pixel_size_um() and um != 0}

    def frame_interval_s(self) -> float | None:
        """Return the seconds from one T to the next, where the layer tells a time."""
        at = self.axes.find("T")
        if at < 0 or not self.units[at].is_compatible_with("second"):
            return None
        seconds = float((np.linalg.norm(self._to_world()[:, at]) * self.units[at]).to("second").magnitude)
        return seconds if np.isfinite(seconds) and seconds > 0 else None

    def layer_arguments(self) -> dict[str, Any]:
        """Return the arguments that put a new layer into this space."""
        return {name: getattr(self, name) for name in _PLACE}

    def _in_um(self, values: NDArray[np.float64]) -> dict[str, float]:
        """Return one value per spatial axis in micrometres, where the unit is a length."""
        return {
            letter: float((value * unit).to("micrometer").magnitude)
            for letter, value, unit in zip(self.axes, values, self.units, strict=True)
            if letter in "ZYX" and unit.is_compatible_with("micrometer")
        }

    def _to_world(self) -> NDArray[np.float64]:
        """Return the step of one pixel along each axis, in the columns; float64, shape ``(n, n)``."""
        world: NDArray[np.float64] = self.affine[:-1, :-1] @ self._linear()
        return world

    def _linear(self) -> NDArray[np.float64]:
        """Scale, then shear, then rotate: napari's order."""
        linear: NDArray[np.float64] = self.rotate @ self.shear @ np.diag(self.scale)
        return linear


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image layer as it is now, so that a job in another thread needs no layer.

    Attributes
    ----------
    data
        NumPy's array, or a view that reads when it becomes one.
    axes
        Letters of the array's dimensions in the layer's order, RGB's C last.
    position
        Index of the plane shown now, per axis.
    file
        Where the layer was read from, if it was.
    """

    name: str
    data: NDArray[Any] | LazyView
    axes: str
    space: Space
    position: Mapping[str, int]
    channel_names: tuple[str, ...]
    contrast_limits: tuple[float, float]
    colormap: Any
    blending: str
    file: Path | None

    def image(self, cut: str = "") -> Image:
        """Return the layer as an image; along the axes of `cut` only the plane shown now. Nothing lazy is read."""
        key = tuple(self.position[letter] if letter in cut else slice(None) for letter in self.axes)
        data = self.data[key] if cut else self.data
        axes = without(self.axes, cut)
        size, origin = (
            {letter: um for letter, um in known.items() if letter in axes}
            for known in (self.space.pixel_size_um(), self.space.origin_um())
        )
        return Image(
            _transposed(data, axes, in_order(axes)),
            in_order(axes),
            pixel_size_um=size,
            channel_names=self.channel_names,
            name=self.name,
            origin_um=origin,
            frame_interval_s=self.space.frame_interval_s() if "T" in axes else None,
        )

    def place(self, image: Image, cut: str = "") -> tuple[ArrayLike, dict[str, Any]]:
        """Return the array of a result and the arguments that put it where it came from.

        A result of one plane keeps the axes of `cut` with length 1, so that it appears at its plane.
        """
        start = {letter: self.position[letter] for letter in cut if letter in self.space.axes}
        space = self.result_space(image.axes + "".join(start)).starting_at(start)
        return space.arrange(image.data, image.axes), space.layer_arguments()

    def taken_back(self, data: NDArray[Any], image: Image, cut: str) -> Image:
        """Return `image` with other pixels: `data` have the form that `place` gave to those of `image`."""
        axes = self.result_space(image.axes + "".join(letter for letter in cut if letter in self.space.axes)).axes
        own = "".join(letter for letter in axes if letter in image.axes)
        pixels = data[tuple(slice(None) if letter in own else 0 for letter in axes)]
        return image.like(_transposed(pixels, own, image.axes), image.axes)

    def result_space(self, axes: str) -> Space:
        """Return the space of a result of `axes`, in the layer's order, shown at every channel of the layer.

        napari counts axes from the last. So channels behind an axis of the result stay, as one pixel through them all::

            layer     Z C Y X      its channels    | 0 | 1 | 2 |
            result    Z 1 Y X      its one pixel   |     0     |
        """
        own = self.space.axes
        if "C" in axes or own.find("C") < min(own.index(letter) for letter in axes):
            return self.space.keep(axes)
        n_channels = self.data.shape[self.axes.index("C")]
        middle = {"C": (n_channels - 1) / 2}
        return self.space.keep(axes + "C").starting_at(middle).coarser({"C": n_channels})


def source_of(layer: ImageLayer, axes: str, point: Sequence[float] = (), units: Sequence[Any] | None = None) -> Source:
    """Take down an image layer.

    Parameters
    ----------
    axes
        One letter per axis of the layer, in its order; an RGB layer's channels are not named.
    point, units
        Where the viewer stands, in world coordinates, and their units.

    Raises
    ------
    ImageError
        If `axes` do not fit the layer.
    """
    if len(axes) != layer.ndim or set(axes) - set(ORDER):
        raise ImageError(
            f"Layer '{layer.name}' has {layer.ndim} axes, not '{axes}'. Choose one letter of T, C, Z, Y, X for each."
        )
    data = pixels(layer)
    if not isinstance(data, np.ndarray):
        data = LazyView(data)
    names: tuple[str, ...] = ()
    if layer.rgb:
        data, axes, names = data[..., :3], axes + "C", _RGB  # transparency is no intensity
    return Source(
        layer.name,
        data,
        axes,
        _space_of(layer, without(axes, "C") if layer.rgb else axes),
        _position(layer, axes, point, units),
        names,
        (float(layer.contrast_limits[0]), float(layer.contrast_limits[1])),
        "gray" if layer.rgb else layer.colormap,
        str(layer.blending),
        _file_of(layer),
    )


def pixels(layer: ImageLayer | Labels) -> ArrayLike:
    """Return the layer's array, the finest level where it has several."""
    data: ArrayLike = layer.data[0] if layer.multiscale else layer.data
    return data


def placement(layer: Layer) -> dict[str, Any]:
    """Return the arguments that put a new layer where `layer` lies."""
    return {name: getattr(layer, name) for name in _PLACE}


def known_axes(layer: ImageLayer) -> str | None:
    """Return the axes that the layer's own axis labels name, or else its file, or None where neither names all."""
    return labelled_axes(layer) or axes_in_file(layer)


def labelled_axes(layer: ImageLayer) -> str | None:
    """Return the axes that the layer's own axis labels name, or None where they name none or not all."""
    letters = "".join(_LETTERS.get(str(label).strip().lower(), "?") for label in layer.axis_labels)
    fits = "?" not in letters and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)
    return letters if fits and not (layer.rgb and "C" in letters) else None


def likely_axes(layer: ImageLayer | None) -> str:
    """Return what the axes of `layer` probably mean, or nothing where it cannot be an image."""
    if layer is None:
        return ""
    return next(iter(possible_axes(layer.ndim, rgb=bool(layer.rgb), known=known_axes(layer))), "")


def possible_axes(n_dims: int, *, rgb: bool, known: str | None = None) -> list[str]:
    """Return what the axes of a layer may mean, the likeliest first: those that are known, else never channels."""
    outer = "TZ" if rgb else "TZC"
    found = ["".join(letters) + "YX" for letters in permutations(outer, n_dims - 2)] if n_dims >= 2 else []
    likeliest = {3: "ZYX", 4: "TZYX", 5: "TCZYX"}.get(n_dims, "")
    found.sort(key=lambda axes: (axes != likeliest, "C" in axes, axes != in_order(axes)))
    return list(dict.fromkeys([known, *found])) if known else found


def cut_axes(axes: str, n_dims: int) -> str:
    """Return the axes along which "this plane only" takes one index, for a model of `n_dims` dimensions."""
    return "".join(letter for letter in without(axes, "C") if letter not in "ZYX"[-n_dims:])


def _file_of(layer: ImageLayer) -> Path | None:
    """Return the file that the layer shows, as napari's readers or we noted it."""
    path = layer.source.path or layer.metadata.get("unveil", {}).get("file")
    return Path(path) if path else None


def _space_of(layer: ImageLayer, axes: str) -> Space:
    shear = np.asarray(layer.shear, float)
    if shear.ndim == 1:  # napari gives the values above the diagonal
        matrix = np.eye(layer.ndim)
        matrix[np.triu_indices(layer.ndim, k=1)] = shear
        shear = matrix
    return Space(
        axes,
        np.asarray(layer.scale, float),
        np.asarray(layer.translate, float),
        np.asarray(layer.rotate, float),
        shear,
        np.asarray(layer.affine.affine_matrix, float),
        tuple(layer.units),
        tuple(layer.axis_labels),
    )


def _position(layer: ImageLayer, axes: str, point: Sequence[float], units: Sequence[Any] | None) -> dict[str, int]:
    """Index of the plane shown, inside the layer."""
    index = np.rint(index_at(layer, point, units)).astype(int)
    return {
        letter: int(np.clip(i, 0, n - 1))
        for letter, i, n in zip(axes, index, pixels(layer).shape, strict=False)
        if letter != "C"
    }


def index_at(layer: ImageLayer, point: Sequence[float], units: Sequence[Any] | None) -> NDArray[np.float64]:
    """Return where in a layer, in pixels, a point of the world lies.

    The viewer's axes are the layer's, counted from the last.

    Parameters
    ----------
    point, units
        World coordinates in the viewer, and their units.
    """
    world = np.zeros(layer.ndim)
    n = min(layer.ndim, len(point))
    world[layer.ndim - n :] = point[len(point) - n :]
    if units is not None:  # since napari 0.9 the viewer may stand in other units than the layer
        for i, (own, shown) in enumerate(zip(reversed(layer.units), reversed(tuple(units)), strict=False), start=1):
            if own != shown and shown.is_compatible_with(own):
                world[-i] *= float((1 * shown).to(own).magnitude)
    return np.asarray(layer.world_to_data(world), float)


def _transposed(data: ArrayLike, source: str, target: str) -> Any:
    """Reorder dimensions without reading a lazy array."""
    if source == target:
        return data
    view = data if isinstance(data, np.ndarray | LazyView) else LazyView(data)
    return view.transpose([source.index(letter) for letter in target])


def describe_axes(axes: str) -> str:
    """Return `axes` for people: ``Z Y X (depth)``."""
    words = {"T": "time", "C": "channels", "Z": "depth"}
    outer = [words[letter] for letter in axes if letter in words]
    return f"{' '.join(axes)} ({', '.join(outer)})" if outer else " ".join(axes)


def format_pixel_size(size_um: Mapping[str, float]) -> str:
    """Return a pixel size for people: ``0.65 µm`` or ``2 × 0.65 × 0.65 µm``."""
    values = [f"{size_um[letter]:.3g}" for letter in "ZYX" if letter in size_um]
    return f"{values[0] if len(set(values)) == 1 else ' × '.join(values)} µm"
