"""Train `nuclei`: U-Net for fluorescence nuclei, with a normalized distance that separates touching ones.

    python recipes/nuclei.py DATA [OUTPUT]

DATA holds `train` and `val`, each with `images/` and `masks/` (see README.md). It starts from `simulated-cells`. Six
and a half minutes on a graphics card that two other trainings shared; reckoned from the time of a step, a day on two
cores. The shipped weights had up to 12 epochs planned, and the clock ended them after these 8, the learning rate with
them. What their training images look like was recorded by `record_appearance.py` afterwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unveil import Image, SegmentationTraining, load_model, save_model, train
from unveil.data.annotation import Annotation
from unveil.events import EpochEnd, Event, Notice
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.tasks.calibration import calibrate
from unveil.tasks.interval_record import record_intervals
from unveil.tasks.object_rule import fit_object_rule

CONFIG = SegmentationTraining(
    name="nuclei",
    classes=("background", "nucleus"),
    epochs=8,
    steps_per_epoch=1800,
    batch_size=16,
    patch_px=256,
    learning_rate=1e-3,
    patience=0,
)

VALIDATION = "41 validation images of dsb2018_fluo, which chose epoch, temperature and object rule too"

CARD = {
    "description": "Nuclei in fluorescence images, bright on dark; separates touching ones.",
    "authors": ("The Unveil developers",),
    "license": "CC0-1.0",
    "training_data": (
        "326 fluorescence images of the Data Science Bowl 2018, stage1_train with corrected masks (CC0), split from "
        "validation (41) and test (43) by mosaic group. Before them, simulated cells."
    ),
    "cite": ("Caicedo et al. 2019, Nature Methods 16, 1247 (data)", "Ronneberger et al. 2015, arXiv 1505.04597"),
    "tags": ("fluorescence", "nuclei", "instance segmentation", "2D"),
}


def main(data: Path, output: Path) -> None:
    """Train on `data`/train, judge and choose the rule on `data`/val, write the model."""
    images, labels = pairs_of(data / "train")
    val_images, val_labels = pairs_of(data / "val")
    validation = (val_images, [Annotation(image) for image in val_labels])
    annotations = [Annotation(image) for image in labels]
    start = load_model("simulated-cells")
    model = train(images, annotations, CONFIG, start=start, validation=validation, monitor=tell)
    model = fit_object_rule(calibrate(model, val_images, val_labels), val_images, val_labels)
    model = record_intervals(model, val_images, val_labels, data=VALIDATION)
    save_model(replace(model, card=model.card.model_copy(update=CARD)), output)
    print(f"{output}: {load_model(output).card.objects}")


def pairs_of(folder: Path) -> tuple[Sequence[Image], Sequence[Image]]:
    """Read the images of `folder` and their masks."""
    pairs = pair_files(folder / "images", folder / "masks")
    return [read_image(image) for image, _ in pairs], [read_labels(mask) for _, mask in pairs]


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path, nargs="?", default=Path("src/unveil/zoo/nuclei.safetensors"))
    given = parser.parse_args()
    main(given.data, given.output)
