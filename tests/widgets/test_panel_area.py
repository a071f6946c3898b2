"""Who works by keyboard sees where the focus is and goes on as people read; the wheel scrolls and chooses nothing."""

from __future__ import annotations

import pytest
from napari._qt.qt_resources import get_stylesheet
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QCheckBox, QComboBox, QPushButton, QSpinBox, QVBoxLayout, QWidget

from unveil.widgets.layer_list import Names
from unveil.widgets.pair_form import PairForm
from unveil.widgets.panel_area import put_in_scroll_area
from unveil.widgets.refine_form import RefineForm


class Window(QWidget):
    """What lies around a panel, as napari's window, which takes keys."""

    def __init__(self):
        super().__init__()
        self.keys = []

    def keyPressEvent(self, event):  # noqa: N802
        self.keys.append(event.text())


@pytest.fixture(params=["dark", "light"])
def window(qtbot, request):
    """A window in a theme of napari."""
    made = Window()
    made.setStyleSheet(get_stylesheet(request.param))
    qtbot.addWidget(made)
    return made


def show(qtbot, window):
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)


def hand_on():
    """Let the word of a new widget go from layout to layout."""
    for _ in range(3):
        QApplication.processEvents()


def test_the_focus_is_seen_at_every_stop_and_moves_nothing(qtbot, window):
    refine = RefineForm()
    parts = QPushButton("Segment"), QComboBox(), Names(), QCheckBox("Replace"), QCheckBox()
    put_in_scroll_area(window, *parts, refine)
    refine.reset.hide()
    show(qtbot, window)
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


def test_the_tab_key_goes_through_what_came_later_as_it_is_read(qtbot, window):
    form, last = PairForm(ViewerModel()), QPushButton("Train")
    put_in_scroll_area(window, form, last)
    show(qtbot, window)
    form.add_pair()
    hand_on()
    rows = [widget for row in form.rows for _, widget in row.places]
    expected = [*rows, form.add_button, form.labels_button, last]
    found, widget = [], window.nextInFocusChain()
    while widget is not window:
        found.append(widget)
        widget = widget.nextInFocusChain()
    assert [widget for widget in found if widget in expected] == expected
    form.close_for_good()


def test_enter_and_space_press_the_button_with_the_focus(qtbot, window):
    button, pressed = QPushButton("Segment"), []
    button.clicked.connect(lambda: pressed.append(1))
    put_in_scroll_area(window, button)
    show(qtbot, window)
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
        qtbot.keyClick(button, key)
    assert len(pressed) == 3


def test_letters_and_digits_are_for_napari_and_choose_nothing(qtbot, window):
    lists = Names(), QComboBox()
    put_in_scroll_area(window, *lists)
    show(qtbot, window)
    for names in lists:
        names.addItems(["best", "mine", "1st"])
        qtbot.keyClicks(names, "m1", delay=0)
        assert names.currentText() == "best"
        qtbot.keyClick(names, Qt.Key.Key_Down)
        assert names.currentText() == "mine"
    assert window.keys == ["m", "1"] * 2


def test_a_click_beside_the_widgets_takes_no_focus(qtbot, window):
    button = QPushButton("Segment")
    put_in_scroll_area(window, button)
    window.resize(300, 300)
    window.show()
    button.setFocus()
    qtbot.mouseClick(window.childAt(150, 250), Qt.MouseButton.LeftButton)
    assert window.focusWidget() is button


def turn_wheel(widget):
    """Turn the wheel over `widget`; say whether it took that for itself."""
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        QPointF(widget.mapToGlobal(place.toPoint())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def test_the_wheel_scrolls_and_chooses_nothing(qtbot, window):
    content, models, number, later = QWidget(), Names(), QSpinBox(), QComboBox()
    QVBoxLayout(content).addWidget(models)
    put_in_scroll_area(window, content, number)
    show(qtbot, window)
    content.layout().addWidget(later)
    for names in (models, later):
        names.addItems(["nuclei", "simulated-cells"])
    number.setValue(50)
    hand_on()
    window.setFocus()
    assert [turn_wheel(widget) for widget in (models, later, number)] == [False] * 3
    number.setFocus()
    assert turn_wheel(number)
    models.setFocus()
    assert not turn_wheel(models)
    assert (models.currentText(), later.currentText(), number.value()) == ("nuclei", "nuclei", 49)
