"""The Denoise panel: one button from a noisy image to a denoised layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from unveil.config.options import DenoisingOptions
from unveil.widgets.closing_watch import ClosingWatch
from unveil.widgets.disk_run import denoise_on_disk
from unveil.widgets.docks import open_panel
from unveil.widgets.folder import denoise_folder
from unveil.widgets.panel_area import put_in_scroll_area
from unveil.widgets.panel_runner import PanelRunner
from unveil.widgets.requests import Request, Restored, compute_denoising
from unveil.widgets.results import ResultLayers, denoised_layers
from unveil.widgets.run_bar import format_seconds
from unveil.widgets.run_form import RunForm

if TYPE_CHECKING:
    import napari

    from unveil.tasks.results import Denoised, RunReport

_MUCH_CORRELATION = 0.1
"""Between neighbours of what was removed; white noise gives about 0."""


class DenoisePanel(QWidget):
    """Choose an image and a model, press Denoise."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer, self._layers = napari_viewer, ResultLayers(napari_viewer)
        self.result: Denoised | None = None
        self.form = RunForm(napari_viewer, "denoising", DenoisingOptions)
        self.residual = QCheckBox("Show what was removed")
        self.residual.setToolTip(DenoisingOptions.model_fields["residual"].description)
        self.runner = PanelRunner(
            napari_viewer,
            self.form,
            verb="Denoise",
            doing="Denoising",
            layers=self._layers,
            compute=compute_denoising,
            compute_on_disk=denoise_on_disk,
            show=self._show,
            compute_folder=denoise_folder,
            more_options=lambda: {"residual": self.residual.isChecked()},
        )
        self.replace = self.runner.replace
        self.adapt_button = QPushButton("Adapt to this image…")
        self.adapt_button.setToolTip(
            "Train this denoiser for about a minute on the image itself, in the Train panel: it then knows its "
            "structures and its noise better"
        )
        self.adapt_button.clicked.connect(self.adapt)
        self.form.changed.connect(self._draw)
        runner = self.runner
        parts = (runner.bar, runner.warning, self.adapt_button, runner.folder_button)
        put_in_scroll_area(self, self.form, self.residual, self.replace, *parts)
        self._watch = ClosingWatch(self, self.runner.close_for_good)
        self._draw()

    def adapt(self) -> None:
        """Open the Train panel, ready to adapt the chosen denoiser to the chosen image, unless it is training."""
        layer, entry = self.form.source.layer, self.form.models.entry
        if layer is not None and entry is not None:
            panel = open_panel(self._viewer, "Train")
            if not panel.is_training:
                panel.form.adapt(layer, self.form.source.axes, entry.path)

    def _draw(self) -> None:
        card = self.form.models.card
        can_learn = card is not None and not card.is_filter
        self.adapt_button.setEnabled(can_learn and self.form.source.layer is not None)

    def _show(self, request: Request, restored: Restored) -> str:
        """Insert the layer of a finished run; called in the main thread."""
        layers = denoised_layers(request, restored)
        self._layers.insert(layers, request.key, replace=self.replace.isChecked(), stored=restored.stored)
        self.result = restored.denoised
        words = _about(restored.denoised.report)
        return words if restored.stored is None else f"{words}\nIt lies in {restored.stored.file}"


def _about(report: RunReport) -> str:
    """Say in a few lines what computed it, how strong the noise was, and what to think of the result."""
    lines = [f"Done in {format_seconds(report.seconds)} ({report.device}, {report.engine}, {report.precision})"]
    if report.noise_level is not None:
        lines.append(f"Noise: ± {report.noise_level:.3g} grey values")
    if report.expected_psnr is not None:
        lines[-1] += f"; expected PSNR {report.expected_psnr:.1f} dB"
    if report.residual_correlation is not None and report.residual_correlation > _MUCH_CORRELATION:
        lines.append(
            f"What was removed is no white noise (neighbours correlate by {report.residual_correlation:.2f}): "
            f"look at it, part of the image may have gone with it."
        )
    return "\n".join(lines)
