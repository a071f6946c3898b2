"""Buttons that start and end work: what a press too many does to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtCore import QPoint
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QPushButton, QWidget


class PressButton(QPushButton):
    """A button that takes a double-click for one press: the second would cancel what the first has started.

    It is left out also where the first was on a button that stood here before: for Qt that is no double-click.
    """

    _last: tuple[int, QPoint] | None = None
    """When in milliseconds, and where on the screen, one of these buttons was pressed."""

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Be pressed, unless it is the second press of a double-click."""
        now, place, last = event.timestamp(), event.globalPosition().toPoint(), PressButton._last
        PressButton._last = now, place
        is_second = (
            last is not None
            and now - last[0] < QApplication.doubleClickInterval()
            and (place - last[1]).manhattanLength() < QApplication.startDragDistance()
        )
        if not is_second:
            super().mousePressEvent(event)


def main_button(text: str) -> PressButton:
    """Return the button that a panel is about: larger than others."""
    button = PressButton(text)
    font = button.font()
    font.setBold(True)
    button.setFont(font)
    button.setMinimumHeight(32)
    return button


@contextmanager
def focus_kept(bar: QWidget, first: QWidget, *others: QWidget) -> Iterator[None]:
    """Keep the keyboard's focus in `bar` while its buttons are hidden and disabled; `first` takes it where it can.

    Qt hands it on to the next widget that there is: the button that cancels, or the one that hides the panel.
    """
    focused = bar.window().focusWidget()
    if focused not in (bar, first, *others):
        yield
        return
    bar.setFocus()
    yield
    able = (button for button in (first, focused) if button.isVisibleTo(bar) and button.isEnabled())
    next(able, bar).setFocus()
