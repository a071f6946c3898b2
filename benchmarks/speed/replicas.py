"""Time training steps that replicas of the U-Net share: the same batch, computed by one process or by several.

    python benchmarks/speed/replicas.py [--replicas 1 2 4] [--batch 16] [--patch 256] [--steps 50] [--repeats 5]
        [--device cuda] [--output FOLDER]

On graphics cards each replica has its own; on a processor they share its threads. The windows are cut from noise, which
takes as long as real images. What counts as a step is all that the training loop does in one, but the starting of
processes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from unveil import Image, SegmentationTraining, UNetConfig, build_network
from unveil.config.training import AugmentationConfig
from unveil.data.annotation import Annotation
from unveil.training.forward import to_device
from unveil.training.lesson import prepare_lesson
from unveil.training.plan import Plan, with_recipe
from unveil.training.precision import number_format, training_dtype
from unveil.training.replicas import Lot, check_replicas, shared_steps
from unveil.training.state import TrainingState

IMAGE_PX = 512
OBJECT_PX = 24
WARM_UP = 5
RATE = 1e-3


def main() -> None:
    """Time all numbers of replicas, print and write the table."""
    arguments = _arguments()
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    rows = [row(n, device, arguments) for n in arguments.replicas]
    report = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads",
        "batch": arguments.batch,
        "patch": arguments.patch,
        "rows": [one | {"times_one": round(rows[0]["median_s"] / one["median_s"], 2)} for one in rows],
    }
    print(json.dumps(report, indent=2))
    (arguments.output / "replicas.json").write_text(json.dumps(report, indent=2) + "\n")


def row(n_replicas: int, device: torch.device, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of a step, the median of several runs, the shortest and the longest."""
    check_replicas(device, n_replicas)
    autocast = training_dtype(device, "auto", 2)
    lesson = _lesson()
    plan = Plan((arguments.patch, arguments.patch), arguments.batch, RATE, "constant", AugmentationConfig())
    lot = Lot(lesson.batches, plan.share(n_replicas), lesson.loss, device.type, autocast, lip1_layers=False)
    state = TrainingState.begin(to_device(build_network(UNetConfig(out_channels=3)), device))
    seconds = []
    with number_format(device, autocast), shared_steps(state, lot, n_replicas) as steps:
        steps.begin(0)
        for _ in range(WARM_UP):
            steps.take(RATE)
        for _ in range(arguments.repeats):
            started = time.perf_counter()
            for _ in range(arguments.steps):
                steps.take(RATE)
            seconds.append((time.perf_counter() - started) / arguments.steps)
    return {
        "replicas": n_replicas,
        "median_s": round(median(seconds), 5),
        "min_s": round(min(seconds), 5),
        "max_s": round(max(seconds), 5),
    }


def _lesson() -> Any:
    grey = np.random.default_rng(0).normal(100, 10, (IMAGE_PX, IMAGE_PX)).astype(np.float32)
    rows, columns = np.indices(grey.shape) // OBJECT_PX
    labels = np.where((rows + columns) % 2, rows * (IMAGE_PX // OBJECT_PX + 1) + columns, 0).astype(np.int32)
    config = with_recipe(SegmentationTraining(validation_fraction=0))
    return prepare_lesson([Image(grey)], [Annotation(Image(labels))], config, None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2], help="how many, the first to compare with")
    parser.add_argument("--batch", type=int, default=16, help="windows of a step, of all replicas together")
    parser.add_argument("--patch", type=int, default=256, help="edge of a window, in pixels")
    parser.add_argument("--steps", type=int, default=50, help="steps of a run")
    parser.add_argument("--repeats", type=int, default=5, help="runs")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="by default a graphics card where there is one")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
