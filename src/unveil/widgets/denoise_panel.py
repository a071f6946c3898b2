"""The Denoise panel: one button from a noisy image to a denoised layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QWidget

from unveil.config.options import DenoisingOptions
from unveil.widgets.folder import denoise_folder
from unveil.widgets.panel_runner import ClosingWatch, PanelRunner, put_in_scroll_area
from unveil.widgets.requests import Request, compute_denoising
from unveil.widgets.results import ResultLayers, denoised_layers
from unveil.widgets.run_bar import format_seconds
from unveil.widgets.run_form import RunForm

if TYPE_CHECKING:
    import napari

    from unveil.tasks.results import Denoised


class DenoisePanel(QWidget):
    """Choose an image and a model, press Denoise."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._layers = ResultLayers(napari_viewer)
        self.result: Denoised | None = None
        self.form = RunForm(napari_viewer, "denoising", DenoisingOptions)
        self.replace = QCheckBox("Replace my previous result")
        self.replace.setToolTip("The same run again replaces its layer instead of adding a new one")
        self.runner = PanelRunner(
            napari_viewer,
            self.form,
            verb="Denoise",
            doing="Denoising",
            compute=compute_denoising,
            show=self._show,
            compute_folder=denoise_folder,
        )
        put_in_scroll_area(self, self.form, self.replace, self.runner.bar, self.runner.folder_button)
        self._watch = ClosingWatch(self, self.runner.close_for_good)

    def _show(self, request: Request, denoised: Denoised) -> str:
        """Insert the layer of a finished run; called in the main thread."""
        layers = denoised_layers(request, denoised)
        self._layers.insert(layers, request.key, replace=self.replace.isChecked())
        self.result = denoised
        report = denoised.report
        return f"Done in {format_seconds(report.seconds)} ({report.device}, {report.engine}, {report.precision})"
