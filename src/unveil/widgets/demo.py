"""Show the main job: ``python -m unveil.widgets.demo [--output DIR]``.

Without a folder, napari opens with the nuclei sample and the Segment panel. With one, the real panels segment and
denoise the samples, and a screenshot of the window and the result files are written there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import QEventLoop, QTimer

if TYPE_CHECKING:
    from unveil.widgets.denoise_panel import DenoisePanel
    from unveil.widgets.segment_panel import SegmentPanel

_PLUGIN = "napari-unveil"
_PATIENCE_MS = 300_000
_REPAINT_MS = 1_000


def main(output: Path | None = None) -> None:
    """Open napari for the user; with `output`, run by itself and print the files written there."""
    viewer = napari.Viewer(title="Unveil")
    viewer.window.resize(1400, 900)
    viewer.open_sample(_PLUGIN, "nuclei")
    _, segment = viewer.window.add_plugin_dock_widget(_PLUGIN, "Segment")
    if output is None:
        napari.run()
        return
    output.mkdir(parents=True, exist_ok=True)
    try:
        _tell(_segment(viewer, segment, output))
        _tell(_denoise(viewer, output))
    finally:
        viewer.close()


def _tell(files: list[Path]) -> None:
    for file in files:
        print(file, flush=True)


def _segment(viewer: Any, panel: SegmentPanel, output: Path) -> list[Path]:
    """Segment the nuclei, show the table of measurements, and write everything."""
    from unveil.io.writing import write_image, write_labels, write_table

    _press_button(panel)
    assert panel.result is not None
    files = [output / name for name in ("nuclei_labels.tif", "nuclei_probability.tif", "nuclei_objects.csv")]
    write_labels(files[0], panel.result.segmentation.labels)
    write_image(files[1], panel.result.segmentation.probabilities)
    write_table(files[2], panel.result.table)
    segmented = _screenshot(viewer, output / "segment.png")
    panel.show_table()
    return [segmented, _screenshot(viewer, output / "measurements.png"), *files]


def _denoise(viewer: Any, output: Path) -> list[Path]:
    """Denoise the noisy sample in a window of its own panel, and write the result."""
    from unveil.io.writing import write_image

    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.open_sample(_PLUGIN, "noise_pair")
    _, panel = viewer.window.add_plugin_dock_widget(_PLUGIN, "Denoise")
    panel.form.source.choose("noisy")
    _press_button(panel)
    assert panel.result is not None
    file = output / "noisy_denoised.tif"
    write_image(file, panel.result.image)
    return [_screenshot(viewer, output / "denoise.png"), file]


def _press_button(panel: SegmentPanel | DenoisePanel) -> None:
    """Run the panel and wait for its end.

    Raises
    ------
    SystemExit
        If it gave no result; the panel's own words say why.
    """
    loop = QEventLoop()
    panel.runner.ended.connect(loop.quit)
    QTimer.singleShot(_PATIENCE_MS, loop.quit)
    panel.runner.bar.button.click()
    if panel.runner.is_running:
        loop.exec()
    if panel.result is None:
        raise SystemExit(f"The panel gave no result. {panel.runner.bar.line.text()}")


def _screenshot(viewer: Any, file: Path) -> Path:
    """Save a picture of the whole window once it is painted."""
    loop = QEventLoop()
    QTimer.singleShot(_REPAINT_MS, loop.quit)
    viewer.reset_view()
    loop.exec()
    viewer.screenshot(str(file), canvas_only=False, flash=False)
    return file


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m unveil.widgets.demo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=None, help="folder for screenshots and results")
    main(parser.parse_args().output)
