"""The Inspect panel: what a network is made of, what it sees, and what its layers make of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from unveil.widgets.closing_watch import ClosingWatch
from unveil.widgets.field_overlay import FieldSection
from unveil.widgets.inspected import Inspected
from unveil.widgets.layer_table import LayerTable
from unveil.widgets.lipschitz_section import LipschitzSection
from unveil.widgets.maps_section import MapsSection
from unveil.widgets.panel_area import put_in_scroll_area
from unveil.widgets.stability_section import StabilitySection
from unveil.widgets.verify_section import VerifySection

if TYPE_CHECKING:
    import napari


class InspectPanel(QWidget):
    """Choose a model and an image, read the table, choose a layer, look at it.

    Each section is a widget of its own that knows nothing but `inspected`, and has `close_for_good` where it holds
    anything that must end with the panel.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.inspected = Inspected(napari_viewer)
        self.table = LayerTable(self.inspected)
        self.field = FieldSection(self.inspected)
        self.maps = MapsSection(self.inspected)
        self.lipschitz = LipschitzSection(self.inspected)
        self.stability = StabilitySection(self.inspected)
        self.verification = VerifySection(self.inspected)
        self._sections = (self.field, self.maps, self.lipschitz, self.stability, self.verification)
        put_in_scroll_area(self, self.inspected, self.table, *self._sections)
        self._judged: tuple[Any, ...] | None = None
        self.inspected.changed.connect(self._draw)
        self._draw()
        self._watch = ClosingWatch(self, self.close_for_good)

    def close_for_good(self) -> None:
        """End all jobs, remove the rectangle, and listen to nothing any more: the panel is gone."""
        for section in (*self._sections, self.inspected):
            section.close_for_good()

    def _draw(self) -> None:
        """Forget what was found of another model or image, and say what is missing."""
        inspected = self.inspected
        entry, layer, problem = inspected.entry, inspected.source.layer, inspected.source.problem()
        judged = (entry, layer and layer.unique_id, inspected.source.channel, problem)
        if judged == self._judged:
            return
        self._judged = judged
        missing = "Choose a model." if entry is None else None
        self.stability.set_problem(missing or problem)
        self.verification.set_problem(missing)
