"""What the dimensions of stacks mean: one choice for all layers that are alike."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, TypeAlias

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from unveil.widgets.layer_list import Choices
from unveil.widgets.layers import describe_axes, known_axes, possible_axes

_Kind: TypeAlias = tuple[int, bool, str | None]


class AxesForm(QWidget):
    """One list for each kind of stack among the layers; kinds differ in dimensions, colour and axis labels.

    Layers of two dimensions leave no choice and are not asked about.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._chosen: dict[_Kind, str] = {}
        self._shown: list[_Kind] = []
        self.lists: list[QComboBox] = []
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.setVisible(False)

    def set_layers(self, layers: Iterable[ImageLayer]) -> None:
        """Ask about `layers`; what was chosen for their kinds stays chosen."""
        kinds = list(dict.fromkeys(map(_kind_of, layers)))
        kinds = [kind for kind in kinds if len(_possible(kind)) > 1]
        if kinds != self._shown:
            self._shown = kinds
            self._draw()

    def axes_of(self, layer: ImageLayer) -> str:
        """Return the axes of `layer`, in its order; empty where it cannot be an image."""
        kind = _kind_of(layer)
        return self._chosen.get(kind) or next(iter(_possible(kind)), "")

    def choose(self, layer: ImageLayer, axes: str) -> None:
        """Choose `axes` for `layer` and all that are alike, without a signal."""
        kind = _kind_of(layer)
        if axes in _possible(kind):
            self._chosen[kind] = axes
            if kind in self._shown:
                choices = self.lists[self._shown.index(kind)]
                with QSignalBlocker(choices):
                    choices.setCurrentIndex(choices.findData(axes))

    def _draw(self) -> None:
        while self._rows.rowCount():
            self._rows.removeRow(0)
        self.lists = [self._list(kind) for kind in self._shown]
        for kind, choices in zip(self._shown, self.lists, strict=True):
            self._rows.addRow("Axes" if len(self.lists) == 1 else f"Axes ({kind[0]}D)", choices)
        self.setVisible(bool(self.lists))

    def _list(self, kind: _Kind) -> QComboBox:
        choices = Choices("What the dimensions of the images mean")
        for axes in _possible(kind):
            choices.addItem(describe_axes(axes), axes)
        choices.setCurrentIndex(max(0, choices.findData(self._chosen.get(kind))))
        choices.currentIndexChanged.connect(partial(self._take, kind, choices))
        return choices

    def _take(self, kind: _Kind, choices: QComboBox, row: Any = None) -> None:
        self._chosen[kind] = choices.currentData()
        self.changed.emit()


def _kind_of(layer: ImageLayer) -> _Kind:
    return layer.ndim, bool(layer.rgb), known_axes(layer)


def _possible(kind: _Kind) -> list[str]:
    """Return what the axes may mean, those that the layer's labels name first."""
    n_dims, rgb, known = kind
    return possible_axes(n_dims, rgb=rgb, known=known)
