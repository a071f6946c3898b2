"""Buttons that start and end work: what a press too many does to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QPushButton, QWidget


class PressButton(QPushButton):
    """A button that takes a double-click for one press: the second would cancel what the first has started."""

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Leave the second press out, also where the first one was on a button that stood here before."""


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
