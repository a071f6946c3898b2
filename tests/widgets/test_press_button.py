"""A press too many, by mouse or keyboard, undoes nothing of what the first one did."""

from __future__ import annotations

from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget

from unveil.widgets.pair_form import PairForm
from unveil.widgets.run_bar import PanelState, RunBar
from unveil.widgets.train_bar import TrainBar, TrainState


@pytest.fixture
def window(qtbot: Any) -> QWidget:
    """A window in which a button stands before whatever is put into it."""
    made = QWidget()
    column = QVBoxLayout(made)
    column.addWidget(QPushButton("hide this panel"))
    column.addStretch()
    qtbot.addWidget(made)
    return made


def put(bar: QWidget, window: QWidget) -> None:
    window.layout().insertWidget(1, bar)
    window.resize(400, 200)
    window.show()
    QApplication.processEvents()


def double_click(widget: QWidget, at: QPoint) -> None:
    """Press twice within a millisecond: whatever lies there the second time gets the second press."""
    window, place = widget.window(), widget.mapTo(widget.window(), at)
    for _ in range(2):
        for act in (QTest.mousePress, QTest.mouseRelease):
            act(window.windowHandle(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place, 1)
        QApplication.processEvents()


def test_a_double_click_runs_and_does_not_cancel(window):
    bar, asked = RunBar("Segment"), []
    bar.run.connect(lambda: (asked.append("run"), bar.draw(PanelState.RUNNING)))
    bar.cancel.connect(lambda: asked.append("cancel"))
    put(bar, window)
    bar.draw(PanelState.READY)
    double_click(bar.button, bar.button.rect().center())
    assert asked == ["run"]
    for _ in range(2):  # the first of these is still within a millisecond; after it QTest lets half a second pass
        QTest.mouseClick(bar.button, Qt.MouseButton.LeftButton)
    assert asked == ["run", "cancel"]


def test_a_double_click_removes_one_row_though_the_next_comes_to_stand_there(window):
    form = PairForm(ViewerModel())
    put(form, window)
    for _ in range(3):
        form.add_pair()
    window.resize(400, 400)
    QApplication.processEvents()
    assert len(form.rows) == 4
    button = form.rows[0].remove_button
    double_click(button, button.rect().center())
    assert len(form.rows) == 3
    form.close_for_good()


def test_a_double_click_trains_though_the_cancel_button_comes_to_stand_there(window):
    bar, asked = TrainBar(), []
    bar.start.connect(lambda: (asked.append("start"), bar.draw(TrainState.STARTING)))
    bar.cancel.connect(lambda: asked.append("cancel"))
    put(bar, window)
    bar.draw(TrainState.READY)
    at = QPoint(bar.start_button.width() - 20, bar.start_button.height() // 2)
    double_click(bar.start_button, at)
    assert bar.childAt(at) is bar.cancel_button
    assert asked == ["start"]


def test_the_focus_waits_at_the_bar_of_a_run(window):
    bar = RunBar("Segment")
    put(bar, window)
    bar.draw(PanelState.READY)
    bar.button.setFocus()
    bar.draw(PanelState.RUNNING)
    assert window.focusWidget() is bar.button
    bar.draw(PanelState.CANCELLING)
    assert window.focusWidget() is bar
    bar.draw(PanelState.READY)
    assert window.focusWidget() is bar.button


def test_the_focus_goes_neither_to_cancel_nor_out_of_the_panel(window):
    bar = TrainBar()
    put(bar, window)
    bar.draw(TrainState.READY)
    bar.start_button.setFocus()
    for state in (TrainState.STARTING, TrainState.RUNNING):
        bar.draw(state)
        assert window.focusWidget() is bar
    window.focusNextChild()
    assert window.focusWidget() is bar.pause_button
    bar.draw(TrainState.PAUSED)
    assert window.focusWidget() is bar.pause_button
    bar.stop_button.setFocus()
    bar.draw(TrainState.STOPPING)
    assert window.focusWidget() is bar
    bar.draw(TrainState.READY)
    assert window.focusWidget() is bar.start_button


def test_the_focus_stays_where_somebody_works(window):
    bar, elsewhere = TrainBar(), window.findChild(QPushButton)
    put(bar, window)
    elsewhere.setFocus()
    for state in (TrainState.READY, TrainState.STARTING, TrainState.READY):
        bar.draw(state)
        assert window.focusWidget() is elsewhere
