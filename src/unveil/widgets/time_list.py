"""For how long to train."""

from __future__ import annotations

from unveil.widgets.layer_list import Names
from unveil.widgets.run_bar import format_seconds

_TIMES_S = {
    "automatic": None,
    "about 1 minute": 60.0,
    "about 3 minutes": 180.0,
    "about 10 minutes": 600.0,
    "about 30 minutes": 1800.0,
    "about 2 hours": 7200.0,
}


class TimeList(Names):
    """A list of durations; another one comes from a settings file."""

    def __init__(self) -> None:
        super().__init__()
        for words, seconds in _TIMES_S.items():
            self.addItem(words, seconds)
        self.setToolTip("How long to train; Stop ends it earlier and keeps the best")

    @property
    def seconds(self) -> float | None:
        """The chosen duration; None for the recipe's own."""
        seconds: float | None = self.currentData()
        return seconds

    def choose(self, seconds: float | None) -> None:
        """Choose a duration, whether it is listed or not."""
        listed = [self.itemData(row) for row in range(self.count())]
        if seconds is not None and seconds not in listed:
            self.addItem(f"about {format_seconds(seconds)}", seconds)
            listed.append(seconds)
        self.setCurrentIndex(listed.index(seconds))
