"""Who works by keyboard sees where the focus is."""

from __future__ import annotations

import pytest
from napari._qt.qt_resources import get_stylesheet
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QPushButton, QWidget

from unveil.widgets.layer_list import Names
from unveil.widgets.panel_runner import put_in_scroll_area
from unveil.widgets.refine_form import RefineForm


@pytest.fixture(params=["dark", "light"])
def window(qtbot, request):
    """A window in a theme of napari."""
    made = QWidget()
    made.setStyleSheet(get_stylesheet(request.param))
    qtbot.addWidget(made)
    return made


def test_the_focus_is_seen_at_every_stop_and_moves_nothing(qtbot, window):
    refine = RefineForm()
    parts = QPushButton("Segment"), QComboBox(), Names(), QCheckBox("Replace"), QCheckBox()
    put_in_scroll_area(window, *parts, refine)
    refine.reset.hide()
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    window.setFocus()
    looks = {widget: (widget.grab().toImage(), widget.geometry()) for widget in window.findChildren(QWidget)}
    stops = []
    for _ in range(len(parts) + len(refine.sliders)):
        window.focusNextChild()
        stops.append(window.focusWidget())
        before, place = looks[stops[-1]]
        assert stops[-1].grab().toImage() != before, stops[-1]
        assert stops[-1].geometry() == place
    assert stops[: len(parts)] == list(parts)
    for stop, slider in zip(stops[len(parts) :], refine.sliders.values(), strict=True):
        assert slider.isAncestorOf(stop)


def test_a_click_beside_the_widgets_takes_no_focus(qtbot, window):
    button = QPushButton("Segment")
    put_in_scroll_area(window, button)
    window.resize(300, 300)
    window.show()
    button.setFocus()
    qtbot.mouseClick(window.childAt(150, 250), Qt.MouseButton.LeftButton)
    assert window.focusWidget() is button
