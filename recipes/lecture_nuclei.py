"""Train the lecture's segmentation network by the lecture's recipe, on as many nuclei images as it had.

    python recipes/lecture_nuclei.py DATA OUTPUT

DATA holds `manifest.csv` and `train`, with `images/` and `masks/` (see README.md). 66 images in whole mosaic groups,
16 or 17 of them held out: two classes, cross entropy, 100 epochs, batches of 16, a learning rate of 0.001, patches of
256 × 256. An hour on two cores.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from unveil import SegmentationTraining, save_model, train
from unveil.data.annotation import Annotation
from unveil.events import EpochEnd, Event, Notice
from unveil.io.images import read_image, read_labels

N_IMAGES, N_VALIDATION = 66, 16
SEED = 0

CONFIG = SegmentationTraining(recipe="lecture", name="lecture-nuclei", classes=("background", "nucleus"))


def main(data: Path, output: Path) -> None:
    """Train on `data`/train and write the model."""
    names = whole_groups(data / "manifest.csv")
    images = [read_image(data / "train" / "images" / f"{name}.tif") for name in names]
    annotations = [Annotation(read_labels(data / "train" / "masks" / f"{name}.tif")) for name in names]
    validation = images[:N_VALIDATION], annotations[:N_VALIDATION]
    taught = images[N_VALIDATION:], annotations[N_VALIDATION:]
    save_model(train(*taught, CONFIG, validation=validation, monitor=tell), output)


def whole_groups(manifest: Path) -> list[str]:
    """Draw groups of images, until there are `N_IMAGES`; no group is parted by the first `N_VALIDATION`."""
    groups: dict[str, list[str]] = {}
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                groups.setdefault(row["group"], []).append(row["name"])
    drawn: list[str] = []
    for number in np.random.default_rng(SEED).permutation(len(groups)):
        group = list(groups.values())[number]
        goal = N_VALIDATION if len(drawn) < N_VALIDATION else N_IMAGES
        if len(drawn) + len(group) <= goal:
            drawn += group
    return drawn


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
