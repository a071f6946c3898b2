"""Train the lecture's segmentation network by the lecture's recipe, on as many nuclei images as it had.

    python recipes/lecture_nuclei.py DATA OUTPUT [--seed 0]

DATA holds `manifest.csv` and `train`, with `images/` and `masks/` (see README.md). 66 images in whole mosaic groups,
16 or 17 of them held out: two classes, cross entropy, 100 epochs, batches of 16, a learning rate of 0.001, patches of
256 × 256. SEED draws the groups and the weights. Half a minute on an idle graphics card, hours on two cores.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from unveil import SegmentationTraining, save_model, train
from unveil.data.annotation import Annotation
from unveil.events import EpochEnd, Event, Notice
from unveil.io.images import read_image, read_labels

N_IMAGES, N_VALIDATION = 66, 16

CONFIG = SegmentationTraining(recipe="lecture", name="lecture-nuclei", classes=("background", "nucleus"))


def main(data: Path, output: Path, seed: int) -> None:
    """Train on `data`/train and write the model."""
    names = whole_groups(data / "manifest.csv", seed)
    images = [read_image(data / "train" / "images" / f"{name}.tif") for name in names]
    annotations = [Annotation(read_labels(data / "train" / "masks" / f"{name}.tif")) for name in names]
    validation = images[:N_VALIDATION], annotations[:N_VALIDATION]
    taught = images[N_VALIDATION:], annotations[N_VALIDATION:]
    settings = CONFIG.model_copy(update={"seed": seed})
    save_model(train(*taught, settings, validation=validation, monitor=tell), output)


def whole_groups(manifest: Path, seed: int) -> list[str]:
    """Draw groups of images, until there are `N_IMAGES`; no group is parted by the first `N_VALIDATION`."""
    groups: dict[str, list[str]] = {}
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                groups.setdefault(row["group"], []).append(row["name"])
    drawn: list[str] = []
    for number in np.random.default_rng(seed).permutation(len(groups)):
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="draws the images and the weights")
    given = parser.parse_args()
    main(given.data, given.output, given.seed)
