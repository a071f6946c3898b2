"""Train from one annotated image for three minutes, as the panel does, and score on images of the same kind.

    python benchmarks/accuracy/one_image.py --data FOLDER [--choices 5] [--seconds 180] [--start auto]
        [--steps STEPS] [--output FOLDER]

FOLDER holds ``train``, ``val`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). One by one,
`choices` images of 512×640 of ``train`` teach, beginning as the panel does (auto) or from scratch. Each model is
scored by its foreground IoU on every image of that size in ``val`` and ``test``; the median is over choices and
images. The shipped `nuclei`, which learnt from all of ``train``, and what the trainings start from are scored on the
same images. With ``--steps`` so many are taken, however long that takes. The clock runs from the
start of the process that trains until its model is there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from unveil import Annotation, Image, Model, SegmentationTraining, evaluate, load_model
from unveil.events import EpochEnd, Event, Preview, StepEnd, ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.io.runs import create_run
from unveil.tasks.default_parent import default_parent
from unveil.tasks.isolated import IsolatedTraining

SIZE = (512, 640)
GOALS = {"first_preview_s": 20.0, "median_iou": 0.80}
FIXED: dict[str, Any] = {"patch_px": 128, "batch_size": 4, "precision": "exact"}
"""What the recipe chooses for these images on a processor, for trainings of so many steps on any device."""
START_UP_S = 12
"""Left of the time for the process to start and the model to be written."""

Pair = tuple[Image, Image]


def main() -> None:
    """Train from each chosen image, print and write the table."""
    arguments = _arguments()
    teachers = _pairs(arguments.data / "train")
    judges = _pairs(arguments.data / "val") + _pairs(arguments.data / "test")
    chosen = np.random.default_rng(0).permutation(len(teachers))[: arguments.choices]
    settings = SegmentationTraining(time_budget_s=arguments.seconds - START_UP_S)
    if arguments.steps:
        settings = SegmentationTraining(epochs=10, steps_per_epoch=arguments.steps // 10, patience=0, **FIXED)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNVEIL_RUNS"] = folder
        for index in sorted(chosen.tolist()):
            rows.append(train_from(teachers[index], judges, settings, arguments.start))
            print(json.dumps(rows[-1]), flush=True)
    report = {
        "seconds": None if arguments.steps else arguments.seconds,
        "start": arguments.start,
        "n_judges": len(judges),
        "median_iou": median(iou for row in rows for iou in row["iou"]),
        "median_pooled_iou": median(row["pooled_iou"] for row in rows),
        "nuclei": scores_of(load_model("nuclei"), judges),
        "simulated-cells": scores_of(load_model("simulated-cells"), judges),
        "slowest_first_preview_s": max(row["first_preview_s"] for row in rows),
        "goals": GOALS,
        "rows": rows,
    }
    print(f"shipped nuclei: {report['nuclei']}")
    print(f"median IoU {report['median_iou']:.3f}, first preview within {report['slowest_first_preview_s']:.1f} s")
    (arguments.output / f"one_image_{arguments.start}{arguments.steps or ''}.json").write_text(
        json.dumps(report, indent=2) + "\n"
    )


def train_from(pair: Pair, judges: list[Pair], settings: SegmentationTraining, start: str) -> dict[str, Any]:
    """Train in a process of its own and score the model."""
    image, labels = pair
    started = time.monotonic()
    seen: dict[str, float] = {}

    def note(event: Event) -> None:
        for kind, name in ((StepEnd, "first_step_s"), (Preview, "first_preview_s"), (EpochEnd, "last_epoch_s")):
            if isinstance(event, kind) and (name not in seen or kind is EpochEnd):
                seen[name] = round(time.monotonic() - started, 1)

    parent = default_parent(settings) if start == "auto" else None
    run = create_run([image], [Annotation(labels)], settings, parent=parent)
    training = IsolatedTraining(run)
    training.show(image)
    model = load_model(training.train(note))
    taken = time.monotonic() - started
    record = model.card.training
    assert record is not None
    return {
        "image": image.name,
        **scores_of(model, judges),
        **seen,
        "seconds": round(taken, 1),
        "n_steps": record.config["epochs"] * record.config["steps_per_epoch"],
        "validation_iou": max(epoch.metric or 0 for epoch in record.history),
    }


def scores_of(model: Model, judges: list[Pair]) -> dict[str, Any]:
    """Return the foreground IoU of each image, and of all their pixels together."""
    each = [evaluate(model, [image], [labels], monitor=ignore).as_dict()["iou"] for image, labels in judges]
    pooled = evaluate(model, [image for image, _ in judges], [labels for _, labels in judges], monitor=ignore)
    return {"iou": [round(iou, 4) for iou in each], "pooled_iou": round(pooled.as_dict()["iou"], 4)}


def _pairs(folder: Path) -> list[Pair]:
    files = pair_files(folder / "images", folder / "masks")
    pairs = [(read_image(image), read_labels(mask)) for image, mask in files]
    return [(image, labels) for image, labels in pairs if image.shape == SIZE]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--choices", type=int, default=5, help="how many images teach, one at a time")
    parser.add_argument("--seconds", type=float, default=180, help="time from the start to the model")
    parser.add_argument("--steps", type=int, help="steps to take, instead of a time")
    parser.add_argument("--start", choices=("auto", "scratch"), default="auto", help="what each training starts from")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
