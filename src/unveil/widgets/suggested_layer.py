"""The Shapes layers with blocks worth annotating next, and those with blocks that were annotated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from unveil.axes import without
from unveil.widgets.aside import insert_aside
from unveil.widgets.layer_roles import BLOCKS, SUGGESTED, facts_of, marked, role_of
from unveil.widgets.layers import Source, placement
from unveil.widgets.training_layers import (
    ANNOTATED,
    Rectangles,
    blocks_name,
    holds_blocks_of,
    is_of_blocks,
    rectangles_among,
)

if TYPE_CHECKING:
    from unveil.tasks.suggest import SuggestedBlock

ANNOTATE_NEXT = "annotate next"
_FIRST, _LAST = np.array([1.0, 0.45, 0.0, 1.0]), np.array([1.0, 0.95, 0.6, 1.0])
"""Colours of the edges of the first and the last block."""


class SuggestedLayers:
    """One layer of numbered blocks per image that has some; a new ranking replaces the earlier one."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer

    def show(self, blocks: Sequence[SuggestedBlock], sources: Sequence[Source], ids: Sequence[Any]) -> None:
        """Draw `blocks`, the best first, on the images that `sources` took down, whose layers have `ids`."""
        for layer in self.layers():
            self._viewer.layers.remove(layer)
        ranked = list(enumerate(blocks, start=1))
        used = sorted({block.image for block in blocks})
        for number in used:
            mine = [(rank, block) for rank, block in ranked if block.image == number]
            name = ANNOTATE_NEXT if len(used) == 1 else f"{ANNOTATE_NEXT} · {sources[number].name}"
            insert_aside(self._viewer, _drawn(mine, len(blocks), sources[number], name, ids[number]))

    def layers(self) -> list[Shapes]:
        """Return the layers of the present ranking."""
        return [layer for layer in self._viewer.layers if role_of(layer) == SUGGESTED]

    def take_selected(self) -> Rectangles | None:
        """Move the selected blocks to those of their image that were annotated; return all these, None without any."""
        with_selection = [layer for layer in self.layers() if layer.selected_data]
        for layer in with_selection:
            into = self._annotated(layer)
            into.add_rectangles([_moved(layer.data[number], layer, into) for number in sorted(layer.selected_data)])
            into.selected_data = set()
            layer.remove_selected()
        return rectangles_among(self._viewer.layers)[ANNOTATED] if with_selection else None

    def _annotated(self, suggested: Shapes) -> Shapes:
        """Return the layer for annotated blocks of the same image, a new one where there is none."""
        of = facts_of(suggested)
        fitting = (layer for layer in self._viewer.layers if is_of_blocks(layer) and layer.ndim == suggested.ndim)
        layer = next((layer for layer in fitting if holds_blocks_of(layer, of["image"], of["source"])), None)
        if layer is None:
            layer = Shapes(
                ndim=suggested.ndim,
                name=blocks_name(of["source"]),
                edge_color="#7fd17f",
                face_color="transparent",
                metadata=marked(BLOCKS, image=of["image"]),
                **placement(suggested),
            )
            insert_aside(self._viewer, layer)
        return layer


def _drawn(ranked: Sequence[tuple[int, SuggestedBlock]], n: int, source: Source, name: str, image_id: Any) -> Shapes:
    """Make the layer of one image's blocks."""
    share = np.array([(rank - 1) / max(n - 1, 1) for rank, _ in ranked])[:, None]
    space = source.result_space(without(source.space.axes, "C"))
    return Shapes(
        [_corners(block, space.axes) for _, block in ranked],
        shape_type="rectangle",
        name=name,
        edge_color=(1 - share) * _FIRST + share * _LAST,
        edge_width=2,
        face_color="transparent",
        features={
            "rank": [rank for rank, _ in ranked],
            "score": [round(block.score, 4) for _, block in ranked],
            "reason": [block.reason for _, block in ranked],
        },
        text={"string": "{rank}", "color": "yellow", "size": 12, "anchor": "upper_left"},
        metadata=marked(SUGGESTED, image=image_id, source=source.name),
        **space.layer_arguments(),
    )


def _corners(block: SuggestedBlock, axes: str) -> NDArray[np.float64]:
    """Return the corners of a block along `axes`, ``(4, n)``; pixel centres are whole numbers."""
    rows, columns = block.window
    ends = {"Y": (rows.start - 0.5, rows.stop - 0.5), "X": (columns.start - 0.5, columns.stop - 0.5)}
    turns = ((0, 0), (0, 1), (1, 1), (1, 0))
    at = [
        {
            "Y": ends["Y"][low],
            "X": ends["X"][left],
            **{axis: float(block.index.get(axis, 0)) for axis in axes if axis in "TZ"},
        }
        for low, left in turns
    ]
    return np.array([[corner.get(axis, 0.0) for axis in axes] for corner in at])


def _moved(corners: NDArray[np.float64], source: Shapes, target: Shapes) -> NDArray[np.float64]:
    """Return `corners` of one layer in the coordinates of another."""
    return np.array([target.world_to_data(source.data_to_world(corner)) for corner in corners])
