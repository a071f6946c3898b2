"""The door `suggest_blocks`: which blocks of images to annotate next, the one that teaches most first."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.config.options import RunOptions
from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, ImageError, MismatchError
from unveil.events import Monitor, Progress, warn_only
from unveil.image import Image
from unveil.inference.engines import choose_device
from unveil.inference.tiling import Window
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.unet import UNet
from unveil.operators.acquisition import Choice, choose, overlapping, similarities, worth
from unveil.tasks.matching import card_of, check_match, choose_channels
from unveil.tasks.plane_blocks import Plane, planes_of
from unveil.tasks.running import check_device
from unveil.tasks.seen_blocks import seen_blocks
from unveil.words import count

BLOCK_PX = 96
_MOST_COMPARED = 1024
"""So many blocks are compared with each other: those with most to learn of."""
_PER_SUGGESTION = 10
"""At least so many for each one that is asked for."""
_DEFAULTS = RunOptions()


@dataclass(frozen=True, slots=True)
class SuggestedBlock:
    """A block that is worth annotating.

    Attributes
    ----------
    image
        Which of the images, from 0.
    index
        The plane, along the axes of the image beside Y and X: ``{"T": 3}``; empty where there is one plane.
    window
        Rows and columns, in pixels.
    score
        Share of all there is to learn of which this block speaks for and none before it, 0 to 1.
    reason
        Why, in words.
    """

    image: int
    index: Mapping[str, int]
    window: Window
    score: float
    reason: str


def suggest_blocks(
    images: Sequence[Image],
    model: Model,
    annotations: Sequence[Annotation | None] | None = None,
    *,
    n: int = 10,
    block_px: int = BLOCK_PX,
    options: RunOptions | Mapping[str, Any] = _DEFAULTS,
    monitor: Monitor = warn_only,
) -> list[SuggestedBlock]:
    """Rank blocks of images by what annotating them would teach `model`; see `unveil.operators.acquisition`.

    Images may be lazy: they are computed tile by tile, and of each block a few numbers are kept.

    Parameters
    ----------
    images
        Planes, or stacks of them.
    model
        What was trained last, or what a training would start from; it segments planes.
    annotations
        What was judged so far, one per image; None for an image of which nothing was.
    n
        How many blocks at most; fewer where fewer are left.
    block_px
        Edge of a block; smaller images are one block.
    monitor
        Called at least once per tile; it may raise `Cancelled`, which ends the work.

    Returns
    -------
    blocks
        No two of them overlap, and at most half of each was judged before.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the images cannot be used or do not fit the model, or a number is out of bounds.
    EngineError
        If the engine fails, or memory does not suffice for the smallest tile.
    """
    options = RunOptions.from_values(options)
    card = card_of(model)
    _check(images, card, annotations, n, block_px, options)
    planes = list(planes_of(images, model, annotations, block_px, options, monitor))
    compared = _most_valuable(planes, max(_MOST_COMPARED, _PER_SUGGESTION * n))
    if all(block.is_annotated for block in compared):
        return []
    features = np.concatenate(list(_features(planes, compared, model, block_px, options, monitor)))
    corners = np.array([(block.plane, *block.corner) for block in compared])
    choices = choose(
        _worth(compared),
        similarities(features),
        np.array([not block.is_annotated for block in compared]),
        overlapping(corners, (block_px, block_px)),
        corners[:, 0],
        n,
    )
    begun = _is_begun(compared)
    return [_suggestion(planes, compared[choice.number], choice, begun=begun, block_px=block_px) for choice in choices]


@dataclass(frozen=True, slots=True)
class _Block:
    plane: int
    corner: tuple[int, int]
    is_annotated: bool
    error: float
    foreground: float
    contrast: float
    objects: float


def _most_valuable(planes: Sequence[Plane], most: int) -> list[_Block]:
    """Return the blocks to compare: those with most to learn of, and annotated ones from all over."""
    every = [
        _Block(
            number,
            (top, left),
            bool(plane.is_annotated[y, x]),
            *plane.found[:, y, x].tolist(),
        )
        for number, plane in enumerate(planes)
        for y, top in enumerate(plane.starts[0])
        for x, left in enumerate(plane.starts[1])
    ]
    value = _worth(every)
    is_annotated = np.array([block.is_annotated for block in every])
    open_to, done = np.flatnonzero(~is_annotated), np.flatnonzero(is_annotated)
    open_to = open_to[np.argsort(-value[open_to], kind="stable")[:most]]
    done = done[np.linspace(0, len(done) - 1, min(most, len(done))).astype(int)]
    return [every[i] for i in sorted([*open_to.tolist(), *done.tolist()])]


def _worth(blocks: Sequence[_Block]) -> NDArray[np.float64]:
    if not _is_begun(blocks):
        return np.array([block.contrast for block in blocks])
    return worth(np.array([block.error for block in blocks]), np.array([block.objects for block in blocks]))


def _is_begun(blocks: Sequence[_Block]) -> bool:
    return any(block.is_annotated for block in blocks)


def _features(
    planes: Sequence[Plane],
    compared: Sequence[_Block],
    model: Model,
    block_px: int,
    options: RunOptions,
    monitor: Monitor,
) -> Iterator[NDArray[np.float32]]:
    """Yield the mean activations of the network's deepest level over each block, ``(n, n_features)``, in order."""
    device = choose_device(options.device)
    network = model.network if device == "cpu" else copy.deepcopy(model.network).to(device)
    assert isinstance(network, UNet)
    n_done = 0
    for number, group in groupby(compared, key=lambda block: block.plane):
        plane, corners = planes[number], [block.corner for block in group]
        for batch in seen_blocks(plane.normalized, model.card, plane.scale, corners, block_px):
            monitor(Progress(n_done, len(compared), "blocks"))
            with torch.inference_mode():
                deepest = network.encode(torch.from_numpy(batch).to(device))
                yield deepest.mean(dim=(-2, -1)).float().cpu().numpy()
            n_done += len(batch)
    monitor(Progress(n_done, len(compared), "blocks"))


def _suggestion(
    planes: Sequence[Plane], block: _Block, choice: Choice, *, begun: bool, block_px: int
) -> SuggestedBlock:
    plane = planes[block.plane]
    height, width = plane.frame.shape[1:]
    top, left = block.corner
    others = choice.n_alike - 1
    alike = f", and {others} other block{'s look' if others > 1 else ' looks'} much like it" if others > 0 else ""
    wrong = f"the model expects {block.error:.1%} of its pixels to be wrong"
    seen = f"the model takes {block.foreground:.0%} of its pixels for objects"
    return SuggestedBlock(
        plane.image,
        dict(plane.frame.index),
        (slice(top, min(top + block_px, height)), slice(left, min(left + block_px, width))),
        choice.gain,
        f"{wrong if begun else seen}{alike}",
    )


def _check(
    images: Sequence[Image],
    card: ModelCard,
    annotations: Sequence[Annotation | None] | None,
    n: int,
    block_px: int,
    options: RunOptions,
) -> None:
    """Refuse what cannot be looked at, before anything is computed."""
    if not images:
        raise ImageError("There are no images to choose blocks of. Give at least one.")
    if n < 1 or block_px < 16:
        raise ConfigError(f"Found {n} blocks of {block_px} pixels; at least 1 of at least 16 is needed. Give more.")
    for image in images:
        check_match(image, card, "segmentation")
        choose_channels(image, card, options.channel)
    if card.is_filter or card.n_dims != 2:
        kind = "a filter, which learns nothing" if card.is_filter else "made for volumes"
        raise MismatchError(
            f"Model '{card.name}' is {kind}; blocks are chosen by a network for planes. Choose another."
        )
    check_device(options)
    if annotations is None:
        return
    if len(annotations) != len(images):
        raise ImageError(
            f"Found {count(len(images), 'image')} and {count(len(annotations), 'annotation')}. "
            f"Give one each, or None for an image."
        )
    for image, annotation in zip(images, annotations, strict=True):
        if annotation is not None and any(image.size(a) != annotation.labels.size(a) for a in "TZYX"):
            raise ImageError(
                f"Labels '{annotation.labels.name}' have shape {annotation.labels.shape} and image '{image.name}' "
                f"{image.shape}; both must show the same pixels. Give the labels that belong to it."
            )
