"""Take the documentation's screenshots from the real panels, with the shipped models: ``make screenshots``.

Without a display the same is done on a virtual screen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unveil.cli.display import has_display, virtual_display
from unveil.widgets.docks import open_panel

if TYPE_CHECKING:
    import napari

IMAGES = Path(__file__).parent / "images"
WINDOW_PX = (1360, 860)
LONGEST_WAIT_S = 300
N_PREVIEWS = 8
"""Validations after which a training has something to show."""


def main() -> None:
    """Take all screenshots, in this process where there is a display."""
    if has_display():
        IMAGES.mkdir(exist_ok=True)
        for take in (segment, denoise, volume, table, train, inspect):
            print(IMAGES / take(), flush=True)
        return
    with virtual_display() as name:
        environment = {**os.environ, "DISPLAY": name, "QT_QPA_PLATFORM": "xcb"}
        sys.exit(subprocess.run([sys.executable, __file__], env=environment, check=False).returncode)


def segment() -> str:
    """Show the Segment panel after a run on the nuclei."""
    with viewer("nuclei") as window:
        hide(window, "true labels")
        run(window, "Segment")
        return save(window, "segment.png")


def denoise() -> str:
    """Show the denoised image beside the noisy one, the Denoise panel at the right."""
    with viewer("noise_pair") as window:
        window.layers.remove("clean")
        run(window, "Denoise")
        window.canvas.grid.enabled = True
        window.canvas.grid.shape = (1, 2)
        window.canvas.grid.stride = -1
        window.reset_view()
        window.scene.camera.zoom *= 2.2
        return save(window, "denoise.png")


def volume() -> str:
    """Show the stack, segmented plane by plane."""
    with viewer("volume") as window:
        hide(window, "true labels")
        run(window, "Segment")
        window.dims.set_current_step(0, 12)
        return save(window, "volume.png")


def table() -> str:
    """Show the table of measurements with one object chosen."""
    with viewer("nuclei") as window:
        hide(window, "true labels")
        panel = run(window, "Segment")
        panel.table_button.click()
        window.layers["nuclei · nuclei labels"].selected_label = 3
        wait_until(lambda: False, seconds=0.5)  # the table takes room from the image
        window.reset_view()
        return save(window, "table.png")


def train() -> str:
    """Show the Train panel in the middle of a training on the nuclei."""
    with viewer("nuclei") as window, TemporaryDirectory() as folder:
        os.environ["UNVEIL_RUNS"] = folder
        panel = open_panel(window, "Train")
        wait_until(lambda: panel.form.problem() is None)
        panel.form.time_list.setCurrentText("about 3 minutes")
        panel.start()
        n_shown = 0

        def count(event: Any) -> None:
            nonlocal n_shown
            n_shown += 1

        wait_until(lambda: any("preview" in layer.name for layer in window.layers))
        next(layer for layer in window.layers if "preview" in layer.name).events.data.connect(count)
        wait_until(lambda: n_shown >= N_PREVIEWS)
        window.reset_view()
        name = save(window, "train.png")
        panel.cancel()
        wait_until(lambda: not panel.is_training)
        return name


def inspect() -> str:
    """Show the Inspect panel with feature maps, the filters of the first layer, and a receptive field."""
    with viewer("nuclei") as window:
        window.layers.remove("nuclei, true labels")
        panel = open_panel(window, "Inspect")
        panel.inspected.models.list.setCurrentText("nuclei")
        wait_until(lambda: panel.inspected.summary is not None)
        names = [layer.name for layer in panel.inspected.summary.layers]
        for name, button in (("down.0.0", panel.maps.filters), ("down.1.2", panel.maps.maps)):
            panel.table.choose(names.index(name))
            press(button)
        maps = window.layers[-1]
        liveliest = int(maps.data.std(axis=(1, 2)).argmax())
        window.dims.set_current_step(0, liveliest)
        press(panel.lipschitz.numbers)
        panel.table.choose(names.index("down.3.2"))
        panel.field.box.setChecked(True)
        window.cursor.position = (liveliest, *window.layers["nuclei"].data_to_world((200, 260)))
        wait_until(lambda: panel.field.layer is not None)
        window.reset_view()
        return save(window, "inspect.png")


def press(button: Any) -> None:
    """Press a button, and wait until what it starts is done."""
    button.start()
    wait_until(lambda: not button.is_running)


@contextmanager
def viewer(sample: str) -> Iterator[napari.Viewer]:
    """Open napari with a sample, as File → Open Sample does."""
    import napari

    window = napari.Viewer()
    try:
        window.open_sample("napari-unveil", sample)
        window.window.resize(*WINDOW_PX)
        window.canvas.overlays.scale_bar.visible = True
        yield window
    finally:
        window.close()


def run(window: napari.Viewer, name: str) -> Any:
    """Open a panel, press its button, wait for the result, and return the panel."""
    panel = open_panel(window, name)
    layer = next(layer for layer in window.layers if type(layer).__name__ == "Image" and layer.visible)
    window.layers.selection.active = layer
    wait_until(lambda: panel.form.problem() is None)
    n_layers = len(window.layers)
    panel.runner.start()
    wait_until(lambda: not panel.runner.is_running)
    if len(window.layers) == n_layers:
        sys.exit(f"The {name} panel gave no result; no screenshot was taken.")
    wait_until(lambda: False, seconds=0.5)
    window.reset_view()
    return panel


def hide(window: napari.Viewer, words: str) -> None:
    """Hide the layers whose name holds `words`."""
    for layer in window.layers:
        layer.visible = layer.visible and words not in layer.name


def save(window: napari.Viewer, name: str) -> str:
    """Wait until everything is drawn, and save the whole window."""
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    wait_until(lambda: False, seconds=2)
    window.screenshot(str(IMAGES / name), canvas_only=False, flash=False)
    return name


def wait_until(is_done: Callable[[], bool], *, seconds: float | None = None) -> None:
    """Let Qt work until `is_done`, or for so many seconds."""
    import time

    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + (seconds or LONGEST_WAIT_S)
    while not is_done():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            if seconds is None:
                sys.exit(f"Nothing happened for {LONGEST_WAIT_S} s.")
            return


if __name__ == "__main__":
    main()
