"""What is folded away is out of the keyboard's reach."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit

from unveil.widgets.fold import advanced_fold


def test_the_tab_key_passes_over_what_is_folded_away(qtbot):
    fold, inside = advanced_fold(), QLineEdit()
    qtbot.addWidget(fold)
    fold.addWidget(inside)
    states = [inside.isEnabled()]
    for change in (fold.expand, fold.collapse):
        change(animate=False)
        states.append(inside.isEnabled())
    assert states == [False, True, False]
