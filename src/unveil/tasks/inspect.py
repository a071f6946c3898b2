"""The doors that look into a model: its layers, what they make of an image, their filters, their Lipschitz numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.errors import ConfigError
from unveil.events import Monitor, Progress, warn_only
from unveil.image import Frame, Image, frames, n_frames
from unveil.inference.reading import NormalizedFrame, blocks, kept, survey
from unveil.inference.tiling import Tile, round_up
from unveil.model.card import ModelCard
from unveil.model.lipschitz import LipschitzBounds, lipschitz_bounds
from unveil.model.model import Model
from unveil.networks.layer_norms import LayerNorms, convolutions, layer_norms
from unveil.networks.lipschitz import layer_bound
from unveil.networks.summary import INPUT, LayerSummary, NetworkSummary, summarize_network
from unveil.networks.tracing import Operation, trace
from unveil.operators.lipschitz import at_least, at_most
from unveil.operators.montage import montage
from unveil.tasks.matching import card_of, check_match, choose_channels
from unveil.tasks.seen_frame import as_seen, blank_error

__all__ = ["FeatureMaps", "LipschitzTable", "feature_maps", "layer_filters", "lipschitz_table", "montage", "summarize"]

IMAGE_PX = 256
"""Edge of the image that a network is summarized for, where nobody says."""
NORMS_PX = 16
"""Edge of the images that layers are examined on."""
_REGION_PX = {2: 512, 3: 64}
"""Edge of the region that feature maps are computed for, by number of spatial dimensions."""
_USELESS = 1e6
"""A bound above it promises nothing to anybody."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMaps:
    """What one layer makes of a region of an image.

    Attributes
    ----------
    maps
        float32, ``(C, *spatial)``; behind its ReLU where the layer has one.
    start
        First pixel of the image that the maps cover, per spatial axis.
    stride
        Pixels of the image per pixel of the maps, per spatial axis.
    pixel_size_um
        Of the maps: that of the image times the stride, where it is known.
    """

    layer: str
    maps: NDArray[np.float32]
    start: tuple[int, ...]
    stride: tuple[int, ...]
    pixel_size_um: Mapping[str, float]

    @property
    def axes(self) -> str:
        """Letters of the axes of the maps."""
        return "C" + "ZYX"[-len(self.stride) :]


@dataclass(frozen=True, slots=True)
class LipschitzTable:
    """Three numbers per convolution, and the two bounds of the whole model."""

    layers: tuple[LayerNorms, ...]
    bounds: LipschitzBounds

    @property
    def words(self) -> str:
        """What the bounds of the whole say, each rounded to three digits to its safe side."""
        certified = "certified: no useful bound" if self.bounds.upper > _USELESS else "certified"
        return (
            f"The whole model moves its output at least {at_least(self.bounds.lower):g} times as far as its input "
            f"changes (reached), and at most {at_most(self.bounds.upper):g} times ({certified})."
        )


def summarize(model: Model | ModelCard, *, shape: Sequence[int] = ()) -> NetworkSummary:
    """List the layers of a model's network: shape of the output, parameters, receptive field, stride.

    Parameters
    ----------
    shape
        Spatial shape of the image; 256 pixels along every axis if not given.
    """
    card = model if isinstance(model, ModelCard) else card_of(model)
    if shape and (len(shape) != card.n_dims or min(shape) < 1):
        raise ConfigError(
            f"The shape is {tuple(shape)}; model '{card.name}' expects {card.n_dims} numbers of at least 1 pixel each. "
            f"Give one per spatial axis."
        )
    return summarize_network(card.architecture, tuple(shape) or (IMAGE_PX,) * card.n_dims)


def feature_maps(
    image: Image,
    model: Model,
    layer: str,
    *,
    centre: Sequence[int] | None = None,
    size_px: int | None = None,
    frame: int = 0,
    channel: int | str | None = None,
    monitor: Monitor = warn_only,
) -> FeatureMaps:
    """Compute what a layer makes of a region of `image`, as it is computed in a run on the whole image.

    The image is normalized as in a run, and around the region the network is given as much more as it sees. Denoising
    before and resizing to the model's pixel size, which a run may choose, are left out.

    Parameters
    ----------
    layer
        Name of a layer as `summarize` lists it; "input" is the normalized image.
    centre
        Pixel in the middle of the region, per spatial axis; the middle of the image if not given.
    size_px
        Edge of the region, rounded up to the size step; 512 in planes and 64 in volumes if not given.
    frame
        Which plane (2D models) or volume (3D models), counted over time and then depth.
    channel
        Name or number from 0, where the image has more channels than the model takes.
    monitor
        Called after each layer.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image cannot be used, does not fit the model, or there is no such layer, channel or frame.
    """
    card = card_of(model)
    check_match(image, card, card.task)
    summary = summarize(card)
    chosen = summary.layer(layer)
    channels = choose_channels(image, card, channel)
    if size_px is not None and size_px < 1:
        raise ConfigError(f"The region is {size_px} pixels wide; at least 1 is needed. Choose a larger one.")
    normalized = _normalized(_frame(image, card, channels, frame), card, monitor)
    tile = _region(normalized.shape[1:], card, centre, size_px or _REGION_PX[card.n_dims])
    batch = torch.from_numpy(normalized.read(tile.window)[np.newaxis])
    maps = _activations(model, batch, summary, chosen, monitor)[0]
    crop = tuple(
        slice(side.start // step, side.stop // step) for side, step in zip(tile.crop, chosen.stride, strict=True)
    )
    return FeatureMaps(
        layer,
        np.ascontiguousarray(maps[(slice(None), *crop)]),
        tuple(side.start for side in tile.inner),
        chosen.stride,
        _coarser(image, dict(zip("ZYX"[-card.n_dims :], chosen.stride, strict=True))),
    )


def layer_filters(model: Model, layer: str) -> NDArray[np.float32]:
    """Return the filters that a convolution has learned, ``(out, in, *taps)``, a transposed convolution's too.

    Raises
    ------
    ConfigError
        If `layer` is no convolution of the model's network.
    """
    card_of(model)
    for name, module in convolutions(model.network):
        if name == layer:
            weight: NDArray[np.float32] = module.weight.detach().numpy().copy()
            return weight.swapaxes(0, 1) if module.transposed else weight
    names = ", ".join(name for name, _ in convolutions(model.network))
    raise ConfigError(f"Layer '{layer}' has no filters. Choose one of {names or 'another model: this one has none'}.")


def lipschitz_table(model: Model, *, size_px: int = NORMS_PX, monitor: Monitor = warn_only) -> LipschitzTable:
    """Compute how far each convolution, and the whole model, can move its output per distance of its input.

    Parameters
    ----------
    size_px
        Edge of the images that the layers are examined on; a multiple of two.

    Raises
    ------
    InputError
        If nothing is known about the network: classical filters.
    """
    card_of(model)
    layers = list(convolutions(model.network))
    bound_of = cache(layer_bound)
    rows: list[LayerNorms] = []
    for name, layer in layers:
        monitor(Progress(len(rows), len(layers) + 1, "rows"))
        rows.append(layer_norms(name, layer, size_px, of_layer=bound_of))
    bounds = lipschitz_bounds(
        model, of_layer=bound_of, watch=lambda: monitor(Progress(len(rows), len(layers) + 1, "rows"))
    )
    return LipschitzTable(tuple(rows), bounds)


def _frame(image: Image, card: ModelCard, channels: tuple[int, ...], number: int) -> Frame:
    found = next(islice(frames(image, card.n_dims, channels), number, None), None) if number >= 0 else None
    if found is None:
        raise ConfigError(
            f"Image '{image.name}' has no plane or volume {number}: it has {n_frames(image, card.n_dims)}. "
            f"Choose one, counted from 0."
        )
    return found


def _normalized(frame: Frame, card: ModelCard, monitor: Monitor) -> NormalizedFrame:
    """Normalize as in a run: by the whole frame."""
    readable = kept(frame)

    def heard() -> Iterator[NDArray[Any]]:
        for block in blocks(readable):
            monitor(Progress(0, 0))
            yield block

    found = survey(heard())
    if found.is_blank:
        raise blank_error(frame.image.name)
    return as_seen(readable, found, card, heard)


def _region(frame: tuple[int, ...], card: ModelCard, centre: Sequence[int] | None, size_px: int) -> Tile:
    """Return the region with its halo; their borders are multiples of the step.

    ::

        extended frame   ├──────────────────────────────────────────┤
        window                  ├╌╌╌╌╌══════════════╌╌╌╌╌┤              ═ region  ╌ halo
    """
    if centre is not None and len(centre) != len(frame):
        raise ConfigError(f"Centre {tuple(centre)} has {len(centre)} numbers; the image needs {len(frame)}.")
    inner, window = [], []
    for axis, (size, step, halo) in enumerate(zip(frame, card.size_step, card.halo, strict=True)):
        extended = round_up(size, step)
        length = min(round_up(size_px, step), extended)
        middle = size // 2 if centre is None else centre[axis]
        start = min(max(middle - length // 2, 0) // step * step, extended - length)
        inner.append(slice(start, start + length))
        window.append(slice(max(start - halo, 0), min(start + length + halo, extended)))
    return Tile(tuple(window), tuple(inner))


def _activations(
    model: Model, batch: torch.Tensor, summary: NetworkSummary, layer: LayerSummary, monitor: Monitor
) -> NDArray[np.float32]:
    """Compute the network up to `layer` in plain float32 on the processor, and return what comes out of it."""
    if layer.name == INPUT:
        return batch.numpy()
    numbers = {row.output: number for number, row in enumerate(summary.layers)}
    total = numbers[layer.output]

    def look(operation: Operation) -> None:
        if operation.name in numbers:
            monitor(Progress(numbers[operation.name], total, "layers"))
        if operation.name == layer.output:
            raise _ReachedError(operation.output)

    try:
        with torch.inference_mode():
            trace(model.network, batch, look)
    except _ReachedError as reached:
        return reached.output.numpy()
    raise AssertionError(f"layer {layer.name} is listed and not computed")


class _ReachedError(Exception):
    """The layer asked for is computed; what follows is not needed."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output


def _coarser(image: Image, stride: Mapping[str, int]) -> dict[str, float]:
    return {axis: image.pixel_size_um[axis] * step for axis, step in stride.items() if axis in image.pixel_size_um}
