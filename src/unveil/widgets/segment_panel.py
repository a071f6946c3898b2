"""The Segment panel: one button from an image to labels, probabilities and measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMainWindow, QPushButton, QWidget

from unveil.config.options import SegmentationOptions
from unveil.errors import UnveilError
from unveil.image import Image
from unveil.widgets.closing_watch import ClosingWatch
from unveil.widgets.disk_run import segment_on_disk
from unveil.widgets.folder import segment_folder
from unveil.widgets.job import Job
from unveil.widgets.layers import pixels
from unveil.widgets.notify import tell, tell_failure
from unveil.widgets.panel_area import put_in_scroll_area
from unveil.widgets.panel_runner import PanelRunner
from unveil.widgets.refine_form import RefineForm
from unveil.widgets.requests import (
    Request,
    Segmented,
    compute_measurements,
    compute_segmentation,
    compute_separation,
)
from unveil.widgets.results import ResultLayers, segmentation_layers, update_features, update_labels
from unveil.widgets.run_bar import format_seconds
from unveil.widgets.run_form import RunForm
from unveil.words import count

if TYPE_CHECKING:
    import napari

_EDITED = "You have changed these labels by hand, so the sliders leave them alone. Run again to use the sliders."

_ON_DISK = "These labels lie on the disk and do not follow the sliders. Press Segment to compute them anew."


@dataclass(slots=True)
class _Shown:
    """The result that the sliders, the table and the CSV button are about.

    Attributes
    ----------
    is_edited
        Whether a person has changed the labels.
    """

    request: Request
    segmented: Segmented
    layer: Labels
    is_edited: bool = False

    def labels(self) -> Image:
        """Return a copy of the labels as they are now."""
        labels, request = self.segmented.segmentation.labels, self.request
        return request.source.taken_back(np.array(self.layer.data), labels, request.cut)

    def fits_image(self) -> bool:
        """Say whether the labels, which may have been replaced by others, still have a pixel for each of the image."""
        placed, _ = self.request.source.place(self.segmented.segmentation.labels, self.request.cut)
        return bool(pixels(self.layer).shape == placed.shape)


class SegmentPanel(QWidget):
    """Choose an image and a model, press Segment, adjust, measure."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._layers = ResultLayers(napari_viewer)
        self._shown: _Shown | None = None
        self._separation: Job | None = None
        self._measuring: Job | None = None
        self._is_outdated = False
        self.form = RunForm(napari_viewer, "segmentation", SegmentationOptions)
        self.refine = RefineForm()
        self.runner = PanelRunner(
            napari_viewer,
            self.form,
            verb="Segment",
            doing="Segmenting",
            layers=self._layers,
            compute=compute_segmentation,
            compute_on_disk=segment_on_disk,
            show=self._show,
            compute_folder=segment_folder,
            more_options=lambda: self.refine.values_for(self.form.models.card),
        )
        self.replace = self.runner.replace
        self.table_button = QPushButton("Show table")
        self.table_button.setToolTip("Size, place and intensity of every object; a row selects its label")
        self.csv_button = QPushButton("Save as CSV…")
        self.csv_button.setToolTip("Write the table into a file that spreadsheets and scripts read")
        self.measurements = _side_by_side(self.table_button, self.csv_button)
        put_in_scroll_area(
            self,
            self.form,
            self.replace,
            self.runner.bar,
            self.runner.warning,
            self.refine,
            self.measurements,
            self.runner.folder_button,
        )
        self._connect()
        self._draw()

    @property
    def result(self) -> Segmented | None:
        """The result whose layers are in the viewer, as the sliders stand."""
        return self._shown.segmented if self._shown is not None else None

    def close_for_good(self) -> None:
        """End all jobs and listen to nothing any more: the panel is gone."""
        self._forget()
        if self._measuring is not None:
            self._measuring.cancel()
            tell("The panel was closed while changed labels were measured: no table was made.")
        self.runner.close_for_good()
        self._viewer.layers.events.removed.disconnect(self._on_layers_changed)

    def save_measurements(self, path: Path) -> None:
        """Write the measurements of the last result as CSV, of labels as they are now."""
        self._when_measured(lambda shown: _write(path, shown.segmented))

    def show_table(self) -> None:
        """Open napari's table of the measurements below the canvas; its rows select labels."""
        self._when_measured(self._open_table)

    def _connect(self) -> None:
        self.refine.changed.connect(self._separate)
        self.table_button.clicked.connect(self.show_table)
        self.csv_button.clicked.connect(self._ask_for_csv)
        self._viewer.layers.events.removed.connect(self._on_layers_changed)
        self._watch = ClosingWatch(self, self.close_for_good)

    def _show(self, request: Request, segmented: Segmented) -> str:
        """Insert the layers of a finished run; called in the main thread."""
        layers = segmentation_layers(request, segmented)
        labels = layers[-1]
        assert isinstance(labels, Labels)
        self._shown = None  # else the sliders went back to the model's values as an old result is removed
        kept = self._layers.insert(layers, request.key, replace=self.replace.isChecked(), stored=segmented.stored)
        for emitter in (labels.events.paint, labels.events.labels_update):  # the first comes when a stroke has ended
            emitter.connect(self._on_paint)
        labels.events.data.connect(self._on_replaced)
        self._shown = _Shown(request, segmented, labels)
        self._set_sliders()
        self.refine.set_sizes(_sizes(segmented))
        self.refine.lock("")
        if segmented.stored is not None:
            self.refine.tell(_ON_DISK)
        now = self.refine.values()
        if any(getattr(request.options, name) != now.get(name) for name in self.refine.sliders):
            self._separate()  # a slider was moved during the run
        self._draw()
        return "\n".join([_about(segmented), *(f"'{layer.name}' was changed by hand and is kept." for layer in kept)])

    def _separate(self) -> None:
        """Separate again with the sliders' values; the last position wins."""
        shown = self._shown
        if shown is None or shown.is_edited or shown.segmented.stored is not None:
            return
        if self._separation is not None:
            self._is_outdated = True
            return
        own = dict.fromkeys(self.refine.sliders)
        options = SegmentationOptions.model_validate({**dict(shown.request.options), **own, **self.refine.values()})
        job = Job(
            lambda monitor: compute_separation(shown.segmented, options),
            "Separating objects",
            self,
            in_activity_dock=False,
        )
        self._separation, self._is_outdated = job, False
        job.succeeded.connect(lambda segmented: self._update(shown, segmented))
        job.failed.connect(tell_failure)
        job.finished.connect(self._end_separation)
        job.start()

    def _update(self, shown: _Shown, segmented: Segmented) -> None:
        if shown is self._shown and not shown.is_edited and self._layers.holds(shown.layer):
            shown.segmented = segmented
            with shown.layer.events.data.blocker(self._on_replaced):
                update_labels(shown.layer, shown.request, segmented)
            self.runner.say(_about(segmented))

    def _end_separation(self) -> None:
        self._separation = None
        if self._is_outdated:
            self._separate()

    def _on_paint(self, event: Any) -> None:
        """Leave labels that a person changes to the person: neither sliders nor later runs take them away."""
        self._layers.spare(event.source)
        shown = self._shown
        if shown is None or shown.is_edited or event.source is not shown.layer:
            return
        shown.is_edited = True
        self.refine.lock(_EDITED)
        if self._separation is not None:
            self._separation.cancel()

    def _on_replaced(self, event: Any) -> None:
        """Take other pixels, from a script or another plugin, for a person's; those of another shape are no result."""
        shown = self._shown
        if shown is not None and event.source is shown.layer and not shown.fits_image():
            self._forget()
        self._on_paint(event)

    def _when_measured(self, act: Callable[[_Shown], None]) -> None:
        """Call `act` with the result once its measurements are right; labels changed by hand are measured again."""
        shown = self._shown
        if shown is None or self._measuring is not None:
            return
        if not shown.is_edited:
            act(shown)
            return
        segmented, labels = shown.segmented, shown.labels()
        job = Job(
            lambda monitor: compute_measurements(segmented, labels), "Measuring objects", self, in_activity_dock=False
        )
        self._measuring = job
        self.measurements.setEnabled(False)
        job.succeeded.connect(partial(self._take_measurements, shown, act))
        job.failed.connect(tell_failure)
        job.finished.connect(self._end_measuring)
        job.start()

    def _take_measurements(self, shown: _Shown, act: Callable[[_Shown], None], segmented: Segmented) -> None:
        shown.segmented = segmented
        update_features(shown.layer, segmented)
        act(shown)

    def _end_measuring(self) -> None:
        self._measuring = None
        self.measurements.setEnabled(True)

    def _on_layers_changed(self) -> None:
        if self._shown is not None and not self._layers.holds(self._shown.layer):
            self._forget()

    def _forget(self) -> None:
        """Drop the result: no sliders, no table."""
        self._shown = None
        if self._separation is not None:
            self._separation.cancel()
        self._draw()

    def _draw(self) -> None:
        """Show what belongs to a result only where there is one."""
        self._set_sliders()
        self.measurements.setVisible(self._shown is not None and bool(self._shown.segmented.table))

    def _set_sliders(self) -> None:
        if self._shown is None:
            self.refine.set_card(None)
        else:
            found = self._shown.segmented.segmentation
            self.refine.set_card(found.card, found.report.scale)

    def _open_table(self, shown: _Shown) -> None:
        if not self._layers.holds(shown.layer):
            return
        self._viewer.layers.selection.active = shown.layer
        dock, _ = self._viewer.window.add_plugin_dock_widget("napari", "Features table widget")
        window = dock.parentWidget()
        if isinstance(window, QMainWindow):  # a table is wide: below the canvas there is room for it
            window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
            dock.show()

    def _ask_for_csv(self) -> None:
        if self._shown is not None:
            suggestion = f"{self._shown.request.source.name}_objects.csv"
            path, _ = QFileDialog.getSaveFileName(self, "Save measurements", suggestion, "Tables (*.csv)")
            if path:
                self.save_measurements(Path(path))


def _write(path: Path, segmented: Segmented) -> None:
    """Write the measurements as CSV, and say where they are."""
    from unveil.io.writing import write_table

    try:
        write_table(path, segmented.table)
    except UnveilError as error:
        tell_failure(error)
    else:
        tell(f"Measurements of {count(len(segmented.table['index']), 'object')} are in {path}.")


def _about(segmented: Segmented) -> str:
    """Say in one line what a run gave and what computed it."""
    report = segmented.segmentation.report
    found = "Done" if report.n_objects is None else f"{count(report.n_objects, 'object')}{report.objects_range}"
    line = f"{found} in {format_seconds(report.seconds)} ({report.device}, {report.engine}, {report.precision})"
    if report.expected_iou is not None:
        line += f"\nExpected overlap with the truth: IoU {report.expected_iou:.2f}{report.iou_range}"
    if report.iou_interval is not None:
        line += "\nEach range holds the truth in 9 of 10 images like those the model was tried on"
    return line if segmented.stored is None else f"{line}\nIt lies in {segmented.stored.file}"


def _sizes(segmented: Segmented) -> NDArray[Any]:
    """Return the sizes of all objects in pixels."""
    table = segmented.table
    return table.get("area_px", table.get("volume_px", np.zeros(0)))


def _side_by_side(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row
