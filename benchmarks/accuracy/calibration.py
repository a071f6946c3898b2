"""See whether the shipped model's probabilities mean what they say, and what they tell of its overlap.

    python benchmarks/accuracy/calibration.py --data FOLDER [--model nuclei] [--output FOLDER]
    python benchmarks/accuracy/calibration.py --plot FILE [--output FOLDER]

FOLDER holds ``val`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). The temperature is fitted on
``val``. On ``test``: the reliability of the foreground probability before and after, and the overlap that each image's
probabilities expect against the one it has. Nothing is chosen on ``test``. ``--plot`` draws the reliability as SVG.
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

EDGE, MARGIN = 300, 60
"""Of the plot, in pixels."""
COLOURS = {"before": "#c1440e", "after": "#1f6f8b"}

GOALS = {"ece": 0.01, "mean_absolute_error_of_expected_iou": 0.05}


def main() -> None:
    """Fit, score, print and write."""
    arguments = _arguments()
    path = arguments.output / "calibration.json"
    if arguments.plot:
        arguments.plot.write_text(diagram(json.loads(path.read_text())), encoding="utf-8")
        return
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
    path.write_text(json.dumps(report, indent=2) + "\n")


def diagram(report: dict[str, Any]) -> str:
    """Draw the share of foreground against the predicted probability, before and after, as SVG."""
    size = EDGE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="13">',
        f'<rect width="{size}" height="{size}" fill="#fff"/>',
        f'<path d="M{_at(0, 0)}L{_at(1, 1)}" stroke="#999" stroke-dasharray="4 3"/>',
        f'<path d="M{_at(0, 1)}L{_at(0, 0)}L{_at(1, 0)}" fill="none" stroke="#333"/>',
        _words(0.5, -0.14, "predicted probability of foreground"),
        _words(0.5, 1.08, f"share that is foreground ({report['model']}, test)"),
    ]
    for tick in (0, 0.5, 1):
        parts += [_words(tick, -0.06, f"{tick:g}"), _words(-0.06, tick - 0.01, f"{tick:g}")]
    for number, (when, colour) in enumerate(COLOURS.items()):
        points = [(one["probability"], one["foreground"]) for one in report[when]["bins"]]
        line = " ".join(_at(*point) for point in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in (_at(*p).split(",") for p in points)]
        said = f"{when} the temperature: error {report[when]['ece']:.4f}"
        parts.append(_words(0.03, 0.94 - 0.07 * number, said, "start", colour))
    return "\n".join([*parts, "</svg>", ""])


def _at(x: float, y: float) -> str:
    return f"{MARGIN + EDGE * x:.1f},{MARGIN + EDGE * (1 - y):.1f}"


def _words(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#333") -> str:
    left, top = _at(x, y).split(",")
    return f'<text x="{left}" y="{top}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def _scores(model: Model, images: list[Image], references: list[Image]) -> dict[str, Any]:
    reliability, errors = Reliability(), []
    for image, reference in zip(images, references, strict=True):
        options = SegmentationOptions(precision="exact", min_size=0)
        found = segment(image, model, options=options, monitor=ignore)
        foreground, predicted = np.asarray(found.probabilities.data)[0], np.asarray(found.labels.data) > 0
        true = np.asarray(reference.data) > 0
        reliability.add(foreground, true)
        union = np.count_nonzero(predicted | true)
        errors.append((found.report.expected_iou or 0) - np.count_nonzero(predicted & true) / max(1, int(union)))
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
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder of the real images")
    what.add_argument("--plot", type=Path, help="draw the figures written before into this SVG file")
    parser.add_argument("--model", default="nuclei", help="name or file of a model of objects")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
