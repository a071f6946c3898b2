"""The fold "Advanced" of a panel."""

from __future__ import annotations

from superqt import QCollapsible


def advanced_fold() -> QCollapsible:
    """Return a fold that is shut; the Tab key passes over what is inside as long as it is."""
    fold = QCollapsible("Advanced", expandedIcon="▾", collapsedIcon="▸")
    fold.content().setEnabled(False)
    fold.toggled.connect(fold.content().setEnabled)
    return fold
