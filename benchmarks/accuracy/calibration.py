"""See whether the shipped model's probabilities mean what they say, and what they tell of its overlap.

    python benchmarks/accuracy/calibration.py --data FOLDER [--model nuclei] [--output FOLDER]

FOLDER holds ``val`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). The temperature is fitted on
``val``. On ``test``: the reliability of the foreground probability before and after, and the overlap that each image's
probabilities expect against the one it has. Nothing is chosen on ``test``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from unveil import Image, Model, load_model
from unveil.config.options import SegmentationOptions
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.operators.calibration import Reliability
from unveil.tasks.calibration import calibrate
from unveil.tasks.segment import segment

GOALS = {"ece": 0.01, "mean_absolute_error_of_expected_iou": 0.05}


def main() -> None:
    """Fit, score, print and write."""
    arguments = _arguments()
    model = load_model(arguments.model)
    plain = Model.make(model.card.model_copy(update={"temperature": 1.0}), model.network, model.check_input)
    calibrated = calibrate(plain, *_pairs(arguments.data / "val"))
    images, references = _pairs(arguments.data / "test")
    report = {
        "model": model.card.name,
        "model_sha256": model.card.weights_sha256,
        "temperature": calibrated.card.temperature,
        "before": _scores(plain, images, references),
        "after": _scores(calibrated, images, references),
        "goals": GOALS,
    }
    print(json.dumps(report, indent=2))
    (arguments.output / "calibration.json").write_text(json.dumps(report, indent=2) + "\n")


def _scores(model: Model, images: list[Image], references: list[Image]) -> dict[str, Any]:
    reliability, errors = Reliability(), []
    for image, reference in zip(images, references, strict=True):
        options = SegmentationOptions(precision="exact", min_size=0)
        found = segment(image, model, options=options, monitor=ignore)
        foreground, predicted = np.asarray(found.probabilities.data)[0], np.asarray(found.labels.data) > 0
        true = np.asarray(reference.data) > 0
        reliability.add(foreground, true)
        union = np.count_nonzero(predicted | true)
        errors.append((found.report.expected_iou or 0) - np.count_nonzero(predicted & true) / max(1, union))
    return {
        **reliability.as_dict(),
        "mean_absolute_error_of_expected_iou": float(np.abs(errors).mean()),
        "mean_error_of_expected_iou": float(np.mean(errors)),
    }


def _pairs(folder: Path) -> tuple[list[Image], list[Image]]:
    pairs = pair_files(folder / "images", folder / "masks")
    return [read_image(image) for image, _ in pairs], [read_labels(mask) for _, mask in pairs]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nuclei", help="name or file of a model of objects")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
