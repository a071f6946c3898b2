"""The layers of a network as a table; the row chosen is what the other sections are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QSignalBlocker, Qt
from qtpy.QtGui import QAction, QGuiApplication, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QLabel, QTableView, QVBoxLayout, QWidget

from unveil.widgets.inspected import Inspected

if TYPE_CHECKING:
    from unveil.networks.summary import LayerSummary, NetworkSummary

_COLUMNS = {
    "Layer": "What it does",
    "Output": "Channels and size of what comes out, for this image",
    "Parameters": "Learned numbers",
    "Sees": "Receptive field: how many pixels of the image, along each axis, one of its pixels depends on",
    "Stride": "Pixels of the image per pixel of the layer",
    "Name": "What Python and the command line call it",
}
_NORMS = {
    "≥": "How far it can move its output per change of its input: found by the power method, from below",
    "periodic": "The same for periodic padding: the maximum of the frequency response",
    "≤": "The same, certified from above, for zero padding at every image size",
}
_HEIGHT = 230


class LayerTable(QWidget):
    """The table, and below it a line about the whole network."""

    def __init__(self, inspected: Inspected) -> None:
        super().__init__()
        self._inspected = inspected
        self._rows = _Rows(self)
        self.view = _view(self._rows)
        self.total = QLabel()
        self.total.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        layout.addWidget(self.total)
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        copy = QAction("Copy table", self.view)
        copy.setShortcut(QKeySequence.StandardKey.Copy)
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self.copy)
        self.view.addAction(copy)
        inspected.changed.connect(self._draw)
        self._draw()

    def choose(self, row: int) -> None:
        """Choose a row, counted from 0."""
        self.view.selectRow(row)

    def copy(self) -> None:
        """Put the table on the clipboard, its columns parted by tabs, as spreadsheets read it."""
        QGuiApplication.clipboard().setText(self._rows.as_text())

    def _draw(self) -> None:
        summary, norms = self._inspected.summary, self._inspected.norms
        cells = [] if summary is None else [_cells(layer) for layer in summary.layers]
        if norms is not None and summary is not None:
            words = {row.name: list(row.words) for row in norms.layers}
            cells = [own + words.get(layer.name, [""] * 3) for own, layer in zip(cells, summary.layers, strict=True)]
        if self._rows.fill(cells):
            self.view.resizeColumnsToContents()
            self._select(summary)
        self.total.setText("Listing the layers…" if summary is None else _whole(summary))
        self.setVisible(self._inspected.entry is not None)

    def _select(self, summary: NetworkSummary | None) -> None:
        """Choose again what was chosen, in the rows that have just been filled."""
        chosen, model = self._inspected.layer, self.view.selectionModel()
        with QSignalBlocker(model):
            model.clear()
            if chosen is not None and summary is not None:
                index = self._rows.index(summary.layers.index(chosen), 0)
                flags = QItemSelectionModel.SelectionFlag
                model.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

    def _on_selection(self) -> None:
        rows = self.view.selectionModel().selectedRows()
        summary = self._inspected.summary
        self._inspected.choose_layer(summary.layers[rows[0].row()].name if rows and summary is not None else "")


class _Rows(QAbstractTableModel):
    """Texts in rows and columns."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._cells: list[list[str]] = []

    def fill(self, cells: list[list[str]]) -> bool:
        """Show `cells`; say whether they are others than before."""
        if cells == self._cells:
            return False
        self.beginResetModel()
        self._cells = cells
        self.endResetModel()
        return True

    def as_text(self) -> str:
        """Return all with a heading, columns parted by tabs."""
        return "\n".join("\t".join(row) for row in [_titles(self.columnCount()), *self._cells])

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Count the layers."""
        return len(self._cells)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Count the columns; those of the Lipschitz numbers appear with them."""
        return len(self._cells[0]) if self._cells else len(_COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a text, or how it is aligned."""
        if role == Qt.ItemDataRole.DisplayRole:
            return self._cells[index.row()][index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and _titles(self.columnCount())[index.column()] not in (
            "Layer",
            "Name",
        ):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the title of a column, or what it means."""
        if orientation == Qt.Orientation.Vertical:
            return None
        title = _titles(self.columnCount())[section]
        return {
            Qt.ItemDataRole.DisplayRole: title,
            Qt.ItemDataRole.ToolTipRole: (_COLUMNS | _NORMS)[title],
        }.get(Qt.ItemDataRole(role))


def _view(rows: _Rows) -> QTableView:
    view = QTableView()
    view.setModel(rows)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
    view.setTabKeyNavigation(False)
    view.setShowGrid(False)
    view.setMinimumSize(120, _HEIGHT)
    view.verticalHeader().hide()
    view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + 6)
    return view


def _titles(n_columns: int) -> list[str]:
    return [*_COLUMNS, *_NORMS][:n_columns]


def _cells(layer: LayerSummary) -> list[str]:
    shape, seen, stride = "×".join(map(str, layer.shape)), once(layer.field_px), once(layer.stride)
    return [layer.kind, shape, f"{layer.n_parameters:,}", seen, stride, layer.name]


def _whole(summary: NetworkSummary) -> str:
    seen = times(summary.layers[-1].field_px)
    return f"{summary.n_parameters:,} parameters; a pixel of the result sees {seen} pixels"


def times(numbers: Sequence[int]) -> str:
    """Write sizes as ``512 × 512``."""
    return " × ".join(map(str, numbers))


def once(pixels: Sequence[int]) -> str:
    """Write one number where all axes are alike."""
    return f"{pixels[0]}" if len(set(pixels)) == 1 else times(pixels)
