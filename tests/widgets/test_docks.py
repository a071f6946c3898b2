"""One panel of a kind in a viewer, whoever opens it."""

from __future__ import annotations

import pytest

from unveil.widgets.docks import _dock_of, docked, open_panel
from unveil.widgets.segment_panel import SegmentPanel


@pytest.fixture
def press_menu(viewer):
    """Choose the Segment panel in napari's menu, which shows it, and hides it where it is shown."""

    def press():
        (submenu,) = [action.menu() for action in viewer.window.plugins_menu.actions() if action.text() == "Unveil"]
        (action,) = [action for action in submenu.actions() if action.text().startswith("Segment")]
        action.trigger()

    return press


def test_a_panel_of_the_menu_is_found_by_other_panels(viewer, models_folder, press_menu):
    press_menu()
    (panel,) = docked(viewer)
    assert open_panel(viewer, "Segment") is panel
    assert docked(viewer) == [panel]


def test_a_panel_opened_by_another_is_found_by_the_menu(viewer, models_folder, press_menu):
    panel = open_panel(viewer, "Segment")
    press_menu()
    assert docked(viewer) == [panel]


def test_a_panel_opened_by_another_takes_no_room_from_it(viewer, models_folder):
    first, second = (_dock_of(open_panel(viewer, name)) for name in ("Denoise", "Segment"))
    assert first.parentWidget().tabifiedDockWidgets(first) == [second]


def test_a_panel_that_a_script_opened_is_found(viewer, models_folder):
    _, panel = viewer.window.add_plugin_dock_widget("napari-unveil", "Segment")
    assert isinstance(panel, SegmentPanel)
    assert open_panel(viewer, "Segment") is panel
    assert len(docked(viewer)) == 1
