"""Notice that a panel is closed, by its dock or with the window."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget


class ClosingWatch(QObject):
    """Call `close` once when `panel` leaves its dock, or is about to be deleted with napari's window."""

    def __init__(self, panel: QWidget, close: Callable[[], None]) -> None:
        super().__init__(panel)
        self._close: Callable[[], None] | None = close
        self._panel = panel
        self._had_parent = False
        panel.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Notice that the dock has let the panel go, or that the window was closed: it tells its panels nothing."""
        kind = event.type()
        if kind == QEvent.Type.DeferredDelete:
            self._end()
        elif watched is self._panel and kind == QEvent.Type.Show:
            _outermost(self._panel).installEventFilter(self)
        elif watched is self._panel and kind == QEvent.Type.ParentChange:
            has_parent = self._panel.parent() is not None
            if self._had_parent and not has_parent:
                self._end()
            self._had_parent = has_parent
        return False

    def _end(self) -> None:
        if self._close is not None:
            close, self._close = self._close, None
            close()


def _outermost(widget: QWidget) -> QObject:
    """Return the window that owns `widget`, also where its dock floats."""
    outer: QObject = widget
    while (parent := outer.parent()) is not None:
        outer = parent
    return outer
