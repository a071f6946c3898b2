"""Measure how long the live curves of a training take to be drawn, painting included.

``python benchmarks/loss_plot.py [--steps 10000] [--epochs 100] [--json]``; without a display, on a virtual screen.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from unveil.cli.display import has_display, virtual_display

TARGET_MS = 50
WIDTH_PX = 300


def main() -> None:
    """Measure and print, as a table or as JSON; in a process of its own where there is no display."""
    if not has_display():
        with virtual_display() as name:
            environment = {**os.environ, "DISPLAY": name, "QT_QPA_PLATFORM": "xcb"}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.steps, arguments.epochs, arguments.repeats)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:34} {value}")


def measure(n_steps: int, n_epochs: int, repeats: int) -> dict[str, Any]:
    """Show a plot as wide as a dock; let it grow by a step, draw it and paint it, again and again."""
    from qtpy.QtWidgets import QApplication

    from unveil.widgets.loss_plot import LossPlot

    application = QApplication([])
    start = time.perf_counter()
    plot = LossPlot()
    made = time.perf_counter()
    plot.resize(WIDTH_PX, plot.height())
    plot.show()
    fill(plot, n_steps, n_epochs)
    filled = time.perf_counter()
    plot.redraw()
    application.processEvents()
    times_ms = []
    for repeat in range(repeats):
        plot.add_steps([n_steps + repeat + 1], [0.05])
        begin = time.perf_counter()
        plot.redraw()
        plot.grab()  # paints all of it at once, as the window would
        times_ms.append((time.perf_counter() - begin) * 1000)
    plot.close_for_good()
    plot.close()
    return {
        "steps, epochs": f"{n_steps}, {n_epochs}",
        "the plot is made, ms": round((made - start) * 1000, 1),
        "all steps are added, ms": round((filled - made) * 1000, 1),
        "redraw and painting: median, ms": round(statistics.median(times_ms), 1),
        "redraw and painting: min, ms": round(min(times_ms), 1),
        "redraw and painting: max, ms": round(max(times_ms), 1),
        f"median within {TARGET_MS} ms": statistics.median(times_ms) <= TARGET_MS,
    }


def fill(plot: Any, n_steps: int, n_epochs: int) -> None:
    """Add a plausible training: a noisy fall of the loss, and a metric that is best before the end."""
    rng = np.random.default_rng(7)
    steps = np.arange(1, n_steps + 1)
    falling = 0.02 + np.exp(-8 * steps / n_steps)
    losses = falling * np.exp(rng.normal(0, 0.25, n_steps))
    plot.clear("IoU")
    best = 0.0
    for epoch in range(n_epochs):
        begin, end = (n * n_steps // n_epochs for n in (epoch, epoch + 1))
        plot.add_steps(steps[begin:end].tolist(), losses[begin:end].tolist())
        validation_loss = 1.1 * falling[end - 1]
        metric = 1 - validation_loss - 0.1 * (epoch / n_epochs) ** 2
        plot.add_epoch(end, validation_loss=validation_loss, metric=metric, is_kept=metric > best)
        best = max(best, metric)


if __name__ == "__main__":
    main()
