from __future__ import annotations

import pytest
from qtpy.QtCore import QLocale, Qt
from qtpy.QtWidgets import QLineEdit

from unveil.config.objects import ObjectRule
from unveil.widgets.refine_form import RefineForm


def test_sizes_are_those_of_the_image_and_moved_sliders_stay(qtbot, make_tiny_model):
    card = make_tiny_model().card.model_copy(update={"objects": ObjectRule(min_size=40, reach_px=10)})
    form = RefineForm()
    qtbot.addWidget(form)
    form.set_card(card)
    assert form.sliders["min_size"].value() == 40
    form.sliders["threshold"].setValue(0.7)
    form.set_card(card, (2.0, 2.0))
    assert form.sliders["min_size"].value() == 10
    assert form.values() == {"threshold": 0.7}
    form.sliders["min_size"].setValue(15)
    form.set_card(card)
    assert form.values() == {"threshold": 0.7, "min_size": 15}
    form.reset.click()
    assert form.sliders["min_size"].value() == 40


@pytest.mark.parametrize("typed", ["0.7", "0,7"])
def test_a_number_is_typed_beside_a_slider_in_any_language(qtbot, typed):
    QLocale.setDefault(QLocale(QLocale.Language.German))
    try:
        form = RefineForm()
        qtbot.addWidget(form)
        (label,) = form.sliders["threshold"].findChildren(QLineEdit)
        label.selectAll()
        qtbot.keyClicks(label, typed)
        qtbot.keyClick(label, Qt.Key.Key_Return)
        assert form.sliders["threshold"].value() == pytest.approx(0.7)
    finally:
        QLocale.setDefault(QLocale.system())
