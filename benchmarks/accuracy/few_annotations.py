"""See how AP grows with the number of annotated images, from scratch and from what the trainings start from.

    python benchmarks/accuracy/few_annotations.py --data FOLDER [--counts 1 3 10 30 100 all] [--draws 1]
        [--starts scratch simulated-cells] [--judges test] [--seconds 180 | --steps STEPS] [--device auto]
        [--output FOLDER]
    python benchmarks/accuracy/few_annotations.py --plot FILE [--output FOLDER]

FOLDER holds ``train``, ``val`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). Of each image of
``train`` a window of 256 × 256 pixels around one of its objects counts as annotated. A draw is a seeded order of all of
them, and its first n teach: what validates, and chooses the rule of objects, is held out of these n (of a single one a
block, or nothing where too little is left: the rule stays the default then). `simulated-cells` has never seen a real
image. AP is pooled over ``test``, on which nothing is chosen; to choose by, there is ``--judges val``.

The table is written after every training, and what it holds already is not trained again. ``--plot`` draws it as SVG.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from unveil import Annotation, EvaluationOptions, Image, Model, SegmentationTraining, evaluate, load_model, train
from unveil.config.options import Device
from unveil.errors import NoSplitError
from unveil.events import Event, StepEnd, ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files

SCRATCH = "scratch"
REFERENCES = ("simulated-cells", "nuclei")
"""Models scored as they ship: one that learnt from no real image, and one that learnt from all of ``train``."""
LEFT, MIDDLE, RIGHT, TOP, BOTTOM = 60, 340, 620, 40, 340
"""Where the plot's axes lie, in pixels."""
COLOURS = ("#c1440e", "#1f6f8b", "#6b4e9b")

Pair = tuple[Image, Image]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    """The AP@0.50 to reach with so many images."""

    start: str = SCRATCH
    n_images: int = 10
    ap50: float = 0.75


GOAL = Goal()


def main() -> None:
    """Train what is not in the table yet, or draw it."""
    arguments = _arguments()
    path = arguments.output / "few_annotations.json"
    if arguments.plot:
        arguments.plot.write_text(figure(json.loads(path.read_text())), encoding="utf-8")
        return
    windows = _windows(arguments.data / "train", arguments.crop)
    judges = _pairs(arguments.data / arguments.judges)
    report = _begun(path, _terms(arguments), judges, arguments.device)
    counts = [len(windows) if count == "all" else min(int(count), len(windows)) for count in arguments.counts]
    done = {(row["start"], row["n_images"], row["draw"]) for row in report["rows"]}
    for draw, n_images, start in product(range(arguments.draws), counts, arguments.starts):
        if (start, n_images, draw) in done:
            continue
        order = np.random.default_rng(draw).permutation(len(windows))
        model, n_steps = train_on([windows[index] for index in order[:n_images]], start, _settings(arguments, draw))
        row = {"start": start, "n_images": n_images, "draw": draw, "n_steps": n_steps, **facts(model)}
        row["n_objects"] = sum(int(np.count_nonzero(np.unique(windows[i][1].data))) for i in order[:n_images])
        row |= scores_of(model, judges, arguments.device)
        report["rows"].append(row)
        path.write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(row), flush=True)


def train_on(pairs: Sequence[Pair], start: str, settings: SegmentationTraining) -> tuple[Model, int]:
    """Train on `pairs` alone, without validation where they hold too little for one; count the steps."""
    images, annotations = [image for image, _ in pairs], [Annotation(labels) for _, labels in pairs]
    parent = None if start == SCRATCH else load_model(start)
    steps = [0]

    def note(event: Event) -> None:
        if isinstance(event, StepEnd):
            steps.append(event.step)

    try:
        model = train(images, annotations, settings, start=parent, monitor=note)
    except NoSplitError:
        alone = settings.model_copy(update={"validation_fraction": 0.0})
        model = train(images, annotations, alone, start=parent, monitor=note)
    return model, steps[-1]


def facts(model: Model) -> Row:
    """Return what the card says of the training."""
    record = model.card.training
    assert record is not None
    return {
        "n_validation_images": record.n_validation_images,
        "seconds": record.seconds,
        "patch_px": record.config["patch_px"],
        "batch_size": record.config["batch_size"],
        "ended_by": record.ended_by,
    }


def scores_of(model: Model, judges: Sequence[Pair], device: Device) -> Row:
    """Return IoU and AP, pooled over `judges`."""
    images, references = [image for image, _ in judges], [labels for _, labels in judges]
    scores = evaluate(model, images, references, options=EvaluationOptions(device=device), monitor=ignore)
    values = scores.as_dict()
    return {"iou": values["iou"], "ap": values["ap"], "device": scores.per_image[0].report.device}


def window_around_an_object(pair: Pair, edge: int, rng: np.random.Generator) -> Pair:
    """Cut a square of at most `edge` pixels around a random pixel of an object: nobody annotates an empty window."""
    image, labels = (np.asarray(part.data) for part in pair)
    inside = np.argwhere(labels > 0)
    centre = inside[rng.integers(len(inside))]
    corner = [max(0, min(int(at) - edge // 2, size - edge)) for at, size in zip(centre, labels.shape, strict=True)]
    key = tuple(slice(start, start + edge) for start in corner)
    return Image(image[key], name=pair[0].name), Image(labels[key], name=pair[1].name)


def figure(report: dict[str, Any]) -> str:
    """Draw AP@0.50 against the number of images, as SVG: a dot per training, a line through the medians."""
    rows: list[Row] = report["rows"]
    counts = sorted({row["n_images"] for row in rows} | {GOAL.n_images})
    axes = Axes(counts[-1])
    lines: list[str] = []
    words = [
        _text(MIDDLE, TOP - 18, f"AP@0.50 on {report['n_judges']} {report['judges']} images", "middle"),
        _text(MIDDLE, BOTTOM + 40, f"annotated windows of {report['crop_px']}² pixels", "middle"),
        *(_text(axes.x(n), BOTTOM + 18, str(n), "middle") for n in counts),
    ]
    for ap in np.linspace(0, 1, 6):
        lines.append(_level(axes.y(ap), "#ddd"))
        words.append(_text(LEFT - 8, axes.y(ap) + 4, f"{ap:.1f}", "end"))
    for name, scores in report["references"].items():
        y = axes.y(scores["ap"]["0.50"])
        lines.append(_level(y, "#777", dashes="4 3"))
        words.append(_text(RIGHT - 6, y - 5, f"{name} as shipped", "end"))
    for number, start in enumerate(sorted({row["start"] for row in rows})):
        colour = COLOURS[number % len(COLOURS)]
        lines += _curve([row for row in rows if row["start"] == start], axes, colour)
        words.append(_text(RIGHT - 6, BOTTOM - 12 - 18 * number, f"from {start}", "end", colour))
    x, y = axes.x(GOAL.n_images), axes.y(GOAL.ap50)
    lines.append(_dot(x, y, "none", "#333"))
    words.append(_text(x + 8, y + 14, f"goal from {GOAL.start}"))
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 400" font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="640" height="400" fill="#fff"/>', *lines, *words, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class Axes:
    """Where numbers of images (logarithmic) and AP lie in the plot."""

    most_images: int

    def x(self, n_images: int) -> float:
        """Return the position of a number of images."""
        return LEFT + (RIGHT - LEFT) * math.log(n_images) / math.log(max(2, self.most_images))

    def y(self, ap: float) -> float:
        """Return the position of an AP."""
        return BOTTOM - (BOTTOM - TOP) * ap


def _curve(rows: Sequence[Row], axes: Axes, colour: str) -> list[str]:
    places = [(row["n_images"], row["ap"]["0.50"]) for row in rows]
    medians = [(n, median(ap for other, ap in places if other == n)) for n in sorted({n for n, _ in places})]
    points = " ".join(f"{axes.x(n):.1f},{axes.y(ap):.1f}" for n, ap in medians)
    line = f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
    return [line, *(_dot(axes.x(n), axes.y(ap), colour, colour) for n, ap in places)]


def _dot(x: float, y: float, fill: str, stroke: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{stroke}"/>'


def _text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#333") -> str:
    halo = 'paint-order="stroke" stroke="#fff" stroke-width="4"'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {halo}>{words}</text>'


def _level(y: float, colour: str, dashes: str = "none") -> str:
    return f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{colour}" stroke-dasharray="{dashes}"/>'


def _begun(path: Path, terms: Row, judges: Sequence[Pair], device: Device) -> dict[str, Any]:
    """Return the table so far, or an empty one with the scores of the shipped models."""
    if path.exists():
        report: dict[str, Any] = json.loads(path.read_text())
        unlike = [name for name, value in terms.items() if report[name] != value]
        if unlike:
            sys.exit(f"{path} was made with other {', '.join(unlike)}. Move it away, or choose another --output.")
        return report
    references = {name: scores_of(load_model(name), judges, device) for name in REFERENCES}
    return {**terms, "n_judges": len(judges), "goal": asdict(GOAL), "references": references, "rows": []}


def _terms(arguments: argparse.Namespace) -> Row:
    seconds = None if arguments.steps else arguments.seconds
    return {"seconds": seconds, "steps": arguments.steps, "crop_px": arguments.crop, "judges": arguments.judges}


def _settings(arguments: argparse.Namespace, draw: int) -> SegmentationTraining:
    if not arguments.steps:
        return SegmentationTraining(device=arguments.device, seed=draw, time_budget_s=arguments.seconds)
    epochs = min(10, arguments.steps)
    return SegmentationTraining(
        device=arguments.device, seed=draw, epochs=epochs, steps_per_epoch=arguments.steps // epochs, patience=0
    )


def _windows(folder: Path, edge: int) -> list[Pair]:
    pairs = _pairs(folder)
    return [window_around_an_object(pair, edge, np.random.default_rng(number)) for number, pair in enumerate(pairs)]


def _pairs(folder: Path) -> list[Pair]:
    files = pair_files(folder / "images", folder / "masks")
    return [(read_image(image), read_labels(mask)) for image, mask in files]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder of the real images")
    what.add_argument("--plot", type=Path, help="draw the table into this SVG file instead of training")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, default=180, help="time of each training")
    budget.add_argument("--steps", type=int, help="steps of each training, instead of a time")
    parser.add_argument("--counts", nargs="+", default=["1", "3", "10", "30", "100", "all"], help="numbers of images")
    parser.add_argument("--starts", nargs="+", default=[SCRATCH, "simulated-cells"], help="scratch, or models")
    parser.add_argument("--judges", choices=("val", "test"), default="test", help="which images are scored")
    parser.add_argument("--draws", type=int, default=1, help="how many orders of the images")
    parser.add_argument("--crop", type=int, default=256, help="edge of the annotated windows, in pixels")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
