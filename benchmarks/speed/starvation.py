"""How much of a training step is spent on its batch: waiting for windows, augmenting them, adding noise.

    python benchmarks/speed/starvation.py [--steps 20] [--output FOLDER]

Trains on the processor as a user does, by the door `train` with its own choices, on drawn images: the U-Net for
objects, and the DnCNN on clean images. The batches that the loop asks for are timed; the rest of a step is the
network's. The goal is a share of at most 10 %.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from unveil import Annotation, DenoisingTraining, Image, SegmentationTraining, train
from unveil.events import Event, StepEnd
from unveil.training import lesson

GOAL = 0.1
_WARM_UP = 3
"""Steps that do not count."""


def main() -> None:
    """Time both trainings, print and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    given = parser.parse_args()
    images, annotations = zip(*(_scene(seed) for seed in range(4)), strict=True)
    short = {"epochs": 1, "steps_per_epoch": given.steps + _WARM_UP, "validation_fraction": 0.0, "device": "cpu"}
    report = {
        "threads": torch.get_num_threads(),
        "goal": GOAL,
        "segmentation": measure("segmentation_batches", images, annotations, SegmentationTraining(**short)),
        "denoising": measure("denoising_batches", None, images, DenoisingTraining(**short)),
    }
    print(json.dumps(report, indent=2))
    (given.output / "starvation.json").write_text(json.dumps(report, indent=2) + "\n")


def measure(maker: str, images: Any, targets: Any, config: Any) -> dict[str, Any]:
    """Train while the batches that `unveil.training.lesson` gets from `maker` are timed."""
    waits: list[float] = []
    ends: list[float] = []
    original = getattr(lesson, maker)

    def timed(*arguments: Any, **settings: Any) -> Iterator[Any]:
        batches = original(*arguments, **settings)
        while True:
            started = time.perf_counter()
            batch = next(batches)
            waits.append(time.perf_counter() - started)
            yield batch

    def note(event: Event) -> None:
        if isinstance(event, StepEnd):
            ends.append(time.perf_counter())

    setattr(lesson, maker, timed)
    try:
        model = train(images, targets, config, monitor=note)
    finally:
        setattr(lesson, maker, original)
    steps, waits = np.diff(ends)[_WARM_UP - 1 :].tolist(), waits[_WARM_UP : len(ends)]
    record = model.card.training
    assert record is not None
    return {
        "patch_px": record.config["patch_px"],
        "batch_size": record.config["batch_size"],
        "seconds per step": median(steps),
        "seconds for its batch": median(waits),
        "share": sum(waits) / sum(steps),
        "share per step": {"min": min(_shares(waits, steps)), "max": max(_shares(waits, steps))},
    }


def _shares(waits: list[float], steps: list[float]) -> list[float]:
    return [wait / step for wait, step in zip(waits, steps, strict=True)]


def _scene(seed: int) -> tuple[Image, Annotation]:
    """Draw discs, and what they are."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:512, :512]
    labels = np.zeros((512, 512), np.int32)
    for number in range(1, 120):
        (y, x), radius = rng.uniform(0, 512, 2), rng.uniform(6, 14)
        labels[(yy - y) ** 2 + (xx - x) ** 2 < radius**2] = number
    pixels = rng.normal(200, 10, labels.shape) + 800 * (labels > 0)
    return Image(pixels.astype(np.uint16), name=f"discs {seed}"), Annotation(Image(labels))


if __name__ == "__main__":
    main()
