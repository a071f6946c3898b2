"""Watch whether anything is left behind: memory, file descriptors, threads or processes, over many runs in one process.

    python benchmarks/soak.py predictions [--calls 500] [--engine auto] [--output FOLDER]
    python benchmarks/soak.py trainings [--trainings 20] [--output FOLDER]

Each writes its part of ``soak.json``. A prediction is a call of `segment` or of `denoise`, in turn, on small images of
more shapes than an engine keeps compiled. A training is one of a few steps from the Train panel of one napari, as a
user would start it; without a display, it is done on a virtual screen. Growth is the last figure less the one after the
warm-up, which is not counted: every shape twice through each door, or two trainings. Nothing is collected or trimmed
before a figure is taken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from unveil.cli.display import has_display, virtual_display

GOAL_MIB = 50
SHAPES = (
    (128, 128),
    (131, 257),
    (160, 224),
    (192, 192),
    (224, 160),
    (256, 256),
    (128, 256),
    (200, 128),
    (96, 96),
    (144, 199),
)
WARM_UP_TRAININGS = 2
QUICK = {"patch_px": 32, "batch_size": 2, "epochs": 2, "steps_per_epoch": 4, "device": "cpu"}
_PATIENCE_S = 120

Row = dict[str, Any]


def main() -> None:
    """Watch one kind of run; print a table, and put what was found into the result file."""
    arguments = _arguments()
    if arguments.what == "trainings" and not has_display():
        with virtual_display() as name:
            environment = {**os.environ, "DISPLAY": name, "QT_QPA_PLATFORM": "xcb"}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)
    if arguments.what == "predictions":
        rows = watch(predictions(arguments.calls, arguments.engine), every=2 * len(SHAPES))
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {"UNVEIL_RUNS": f"{folder}/runs", "UNVEIL_MODELS": f"{folder}/models"}
            rows = watch(trainings(arguments.trainings), every=1)
    report = {"rows": rows, **verdict(rows)}
    print(json.dumps({name: value for name, value in report.items() if name != "rows"}, indent=2))
    path = arguments.output / "soak.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | {arguments.what: report}, indent=2) + "\n")


def watch(runs: Iterator[int], *, every: int) -> list[Row]:
    """Go through `runs`, which yields how many are done, 0 after the warm-up; return what the process holds then."""
    rows: list[Row] = []
    print("|  runs | resident MiB | its own MiB | descriptors | threads | children |\n| " + "---: | " * 6)
    started = time.perf_counter()
    for done in runs:
        if done % every == 0:
            rows.append({"done": done, **held(), "seconds": round(time.perf_counter() - started, 1)})
            print("| " + " | ".join(str(value) for value in list(rows[-1].values())[:-1]) + " |", flush=True)
    return rows


def held() -> Row:
    """Return what this process holds now."""
    process = psutil.Process()
    memory = process.memory_full_info()
    return {
        "rss_mib": round(memory.rss / 2**20, 1),
        "uss_mib": round(memory.uss / 2**20, 1),
        "descriptors": getattr(process, "num_handles" if sys.platform == "win32" else "num_fds")(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


def verdict(rows: list[Row]) -> Row:
    """Compare the last row with the first, and fit how much each further run added over the second half."""
    first, last, half = rows[0], rows[-1], rows[len(rows) // 2 :]
    growth = {name: round(last[name] - first[name], 1) for name in held()}
    slope = np.polyfit([row["done"] for row in half], [row["rss_mib"] for row in half], 1)[0] if len(half) > 1 else 0
    goals = {f"resident memory grows by less than {GOAL_MIB} MiB": growth["rss_mib"] < GOAL_MIB}
    goals |= {f"{name} do not grow": growth[name] <= 0 for name in ("descriptors", "children")}
    return {"runs": last["done"], "growth": growth, "mib_per_run_in_the_second_half": float(slope), "goals": goals}


def predictions(n_calls: int, engine: str) -> Iterator[int]:
    """Segment and denoise images of all shapes in turn."""
    from unveil import DenoisingOptions, Image, SegmentationOptions, denoise, load_model, segment
    from unveil.events import ignore

    rng = np.random.default_rng(0)
    images = [Image(rng.poisson(_discs(shape) * 100 + 20).astype(np.uint16)) for shape in SHAPES]
    nuclei, denoiser = load_model("nuclei"), load_model("fluorescence-denoiser")
    segmenting = SegmentationOptions.model_validate({"device": "cpu", "engine": engine})
    denoising = DenoisingOptions.model_validate({"device": "cpu", "engine": engine})
    doors: tuple[Callable[[Image], object], ...] = (
        lambda image: segment(image, nuclei, options=segmenting, monitor=ignore),
        lambda image: denoise(image, denoiser, options=denoising, monitor=ignore),
    )
    calls = itertools.cycle(itertools.product(doors, images))
    for door, image in itertools.islice(calls, 2 * len(doors) * len(images)):
        door(image)
    yield 0
    for done, (door, image) in enumerate(itertools.islice(calls, n_calls), start=1):
        door(image)
        yield done


def trainings(n_trainings: int) -> Iterator[int]:
    """Train again and again from the Train panel of one napari."""
    import napari

    from unveil.config.architecture import UNetConfig

    viewer = napari.Viewer()
    viewer.open_sample("napari-unveil", "nuclei")
    _, panel = viewer.window.add_plugin_dock_widget("napari-unveil", "Train")
    panel.form.settings.form("segmentation").set_values({**QUICK, "architecture": UNetConfig(width=4, poolings=1)})
    models = set()
    for done in range(1 - WARM_UP_TRAININGS, n_trainings + 1):
        panel.bar.start_button.click()
        _work_until(lambda: not panel.is_training)
        if panel.after.trained is None or panel.after.trained.model in models:
            sys.exit(f"The training gave no model: {panel.bar.line.text()}")
        models.add(panel.after.trained.model)
        if done >= 0:
            yield done
    viewer.close()


def _work_until(is_done: Callable[[], bool]) -> None:
    """Let Qt work until something is so, and half a second more."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, timer, started = QEventLoop(), QTimer(), time.perf_counter()

    def look() -> None:
        if is_done() or time.perf_counter() - started > _PATIENCE_S:
            timer.stop()
            QTimer.singleShot(500, loop.quit)

    timer.timeout.connect(look)
    timer.start(50)
    loop.exec()
    if not is_done():
        raise TimeoutError(f"Nothing for {_PATIENCE_S} s.")


def _discs(shape: tuple[int, int]) -> np.ndarray:
    """Draw bright discs of radius 8 on a grid, 0 to 1."""
    y, x = np.indices(shape)
    inside: np.ndarray = ((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2 < 64).astype(np.float32)
    return inside


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("predictions", "trainings"))
    parser.add_argument("--calls", type=int, default=500, help="how many predictions")
    parser.add_argument("--trainings", type=int, default=20, help="how many trainings")
    parser.add_argument("--engine", choices=("auto", "openvino", "torch"), default="auto")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
