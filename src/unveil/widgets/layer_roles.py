"""What our own layers are for, as their metadata says, and which layers can be worked on or learnt from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Shapes

LABELS = "labels"
"""Labels that a model predicted."""
PROBABILITY = "probability"
PREVIEW = "preview"
"""What the network in training makes of the plane in view."""
SPLIT = "split"
"""What is held out of a training."""
SUGGESTED = "suggested"
"""Blocks that are worth annotating next."""
BLOCKS = "blocks"
"""Blocks that were annotated."""
GROWING = "growing"
"""A result that is not whole yet."""
INSPECTION = "inspection"
"""What shows a network: nothing to compute with."""


def marked(role: str, **facts: Any) -> dict[str, Any]:
    """Return the metadata of a layer of ours: what it is for, and more that is known of it."""
    return {"unveil": {**facts, "role": role}}


def facts_of(layer: Layer) -> dict[str, Any]:
    """Return what `marked` has put into the metadata of `layer`; nothing where it is none of ours."""
    facts: dict[str, Any] = layer.metadata.get("unveil", {})
    return facts


def role_of(layer: Layer) -> str:
    """Return what `layer` is for, one of the roles above or another kind of result; empty where it is none of ours."""
    return str(facts_of(layer).get("role", ""))


def is_by_product(layer: Layer) -> bool:
    """Say whether `layer` is one of ours from which nothing can be proposed: predicted labels and blocks can."""
    return role_of(layer) not in ("", LABELS, BLOCKS)


def images_among(layers: Iterable[Layer]) -> list[ImageLayer]:
    """Return the image layers that can be worked on or learnt from, the topmost first."""
    return _topmost_first(layers, ImageLayer, (PROBABILITY, PREVIEW, GROWING, INSPECTION))


def labels_among(layers: Iterable[Layer]) -> list[Labels]:
    """Return the Labels layers that can be learnt from, the topmost first."""
    return _topmost_first(layers, Labels, (SPLIT,))


def shapes_among(layers: Iterable[Layer]) -> list[Shapes]:
    """Return the Shapes layers that a person may have drawn, the topmost first."""
    return _topmost_first(layers, Shapes, (INSPECTION, SUGGESTED))


def _topmost_first(layers: Iterable[Layer], kind: type[Layer], roles_left_out: tuple[str, ...]) -> list[Any]:
    found = [layer for layer in layers if isinstance(layer, kind) and role_of(layer) not in roles_left_out]
    return found[::-1]
