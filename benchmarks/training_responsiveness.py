"""Measure whether the window stalls while a network is trained, how soon that begins, and how soon it is cancelled.

A timer of 10 ms runs in the main thread of a real napari window with the sample nuclei, while the Train panel trains as
it is set when it opens; the gaps between its beats are what a user would feel. Without a display, run it as
``xvfb-run -s "-screen 0 1600x1000x24" python benchmarks/training_responsiveness.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from responsiveness import BEAT_MS, TARGET_MS, beat

OPENING_TARGET_S, FIRST_STEP_TARGET_S, CANCEL_TARGET_S = 0.5, 10.0, 2.0
_PATIENCE_S = 60


def main() -> None:
    """Measure and print, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long to train")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"UNVEIL_RUNS": f"{folder}/runs", "UNVEIL_MODELS": f"{folder}/models"}
        figures = measure(arguments.seconds)
    print(json.dumps(figures, indent=2))
    (arguments.output / "training_responsiveness.json").write_text(json.dumps(figures, indent=2) + "\n")


def measure(seconds: int) -> dict[str, Any]:
    """Open napari and the panel, train, stop, train again and cancel."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    viewer.open_sample("napari-unveil", "nuclei")
    beat(2)  # the window settles
    start = time.perf_counter()
    _, panel = viewer.window.add_plugin_dock_widget("napari-unveil", "Train")
    opened = time.perf_counter() - start
    QApplication.processEvents()
    figures: dict[str, Any] = {
        "panel opens, s": round(opened, 3),
        "… and is painted, s": round(time.perf_counter() - start, 3),
        "torch imported by the panel": "torch" in sys.modules,
        "idle gaps: 99 %, ms": round(float(np.percentile(beat(3), 99)), 1),
    }
    first_step = _until_first_step(panel)
    figures["start to first step, s"] = round(first_step.sum() / 1000, 2)
    working = np.concatenate([first_step, beat(seconds)])
    figures |= {
        "seconds watched": round(working.sum() / 1000, 1),
        "steps": panel.bar.bar.value(),
        "gaps 99 %, ms": round(float(np.percentile(working, 99)), 1),
        "gaps longest, ms": round(float(working.max()), 1),
        f"gaps over {TARGET_MS} ms": int((working > TARGET_MS).sum()),
        "beats": len(working),
    }
    panel.bar.stop_button.click()
    stopped = _beats_until(lambda: not panel.is_training)
    figures["stop to model, s"] = round(stopped.sum() / 1000, 2)
    figures["start to first step again, s"] = round(_until_first_step(panel).sum() / 1000, 2)
    panel.bar.cancel_button.click()
    figures["cancel, s"] = round(_beats_until(lambda: not panel.is_training).sum() / 1000, 2)
    targets = {
        "panel opens, s": OPENING_TARGET_S,
        "gaps 99 %, ms": TARGET_MS,
        "start to first step, s": FIRST_STEP_TARGET_S,
        "cancel, s": CANCEL_TARGET_S,
    }
    figures["within"] = {f"{name}: {most}": bool(figures[name] < most) for name, most in targets.items()}
    viewer.close()
    return figures


def _until_first_step(panel: Any) -> np.ndarray:
    panel.bar.start_button.click()
    return _beats_until(lambda: " step " in panel.bar.line.text())  # the bar tells of what is written down before, too


def _beats_until(is_done: Callable[[], bool]) -> np.ndarray:
    """Let Qt work until something is so; return the gaps of the timer in ms."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, timer = QEventLoop(), QTimer()
    beats = [time.perf_counter()]

    def note() -> None:
        beats.append(time.perf_counter())
        if is_done():
            loop.quit()
        elif beats[-1] - beats[0] > _PATIENCE_S:
            raise TimeoutError(f"Nothing for {_PATIENCE_S} s.")

    timer.timeout.connect(note)
    timer.start(BEAT_MS)
    loop.exec()
    timer.stop()
    return np.diff(beats) * 1000


if __name__ == "__main__":
    main()
