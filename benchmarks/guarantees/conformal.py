"""See whether intervals of IoU and object count cover what they promise, and whether uncertainty tells wrong pixels.

    python benchmarks/guarantees/conformal.py --data FOLDER [--model nuclei] [--output FOLDER]
    python benchmarks/guarantees/conformal.py --plot FILE [--output FOLDER]

FOLDER holds ``val`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). Intervals: the images of both
are divided at random 1,000 times, half to calibrate and half to test. Uncertainty: on ``test`` alone. The images'
outcomes are written first, so that a run that was ended goes on. ``--plot`` draws intervals and the error left as SVG.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from unveil import Image, Model, load_model
from unveil.config.options import SegmentationOptions
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.operators.conformal import (
    MISCOVERAGE,
    conformal_quantile,
    count_interval,
    count_score,
    overlap_interval,
    overlap_score,
)
from unveil.operators.uncertainty import entropy
from unveil.tasks.interval_record import outcomes
from unveil.tasks.segment import segment

N_SPLITS = 1000
STRATA = {"up to 256²": 256**2, "up to 360²": 360**2, "more": float("inf")}
"""By pixels of the image."""
KEPT = np.linspace(0.5, 1, 26)
"""Shares of the pixels, the most certain ones, whose error is looked at."""
MATCHED = 0.5
"""IoU from which an object counts as found."""
MEASURES = ("entropy of one view", "entropy of eight views", "disagreement of eight views")
COLOURS = ("#777777", "#c1440e", "#1f6f8b")

Rows = dict[str, NDArray[Any]]


def main() -> None:
    """Segment, divide, score, print and write."""
    arguments = _arguments()
    path = arguments.output / "conformal.json"
    report = json.loads(path.read_text()) if path.exists() else {}
    if arguments.plot:
        arguments.plot.write_text(diagram(report), encoding="utf-8")
        return
    model = load_model(arguments.model)
    if report.get("model_sha256") != model.card.weights_sha256:
        report = {"model": model.card.name, "model_sha256": model.card.weights_sha256}
        report["images"] = [row for part in ("val", "test") for row in outcomes_of(model, arguments.data / part, part)]
        path.write_text(json.dumps(report, indent=1) + "\n")
    rows = {key: np.array([row[key] for row in report["images"]]) for key in report["images"][0]}
    report["n_splits"], report["promised"] = N_SPLITS, 1 - MISCOVERAGE
    report["expected_iou"] = coverage(rows, overlap_scores(rows), overlap_widths)
    report["n_objects"] = coverage(rows, count_scores(rows), count_widths)
    report["without_a_unit_of_its_own"] = {
        "expected_iou": coverage(rows, np.abs(rows["iou"] - rows["expected_iou"]), lambda rows, q: 2 * q),
        "n_objects": coverage(rows, np.abs(rows["n_true"] - rows["n_found"]), lambda rows, q: 2 * q),
    }
    report["val_to_test"] = once(rows)
    if "uncertainty" not in report:
        report["uncertainty"] = wrongness(model, arguments.data / "test")
    path.write_text(json.dumps(report, indent=1) + "\n")
    (arguments.output / "conformal.md").write_text(table(report), encoding="utf-8")
    print(table(report))


def outcomes_of(model: Model, folder: Path, part: str) -> list[dict[str, Any]]:
    """Return what was expected and what is true of each image of `folder`, and its size."""
    images, references = _pairs(folder)
    found = outcomes(model, images, references)
    return [
        {"part": part, "image": image.name, "n_pixels": int(np.prod(image.shape)), **asdict(outcome)}
        for image, outcome in zip(images, found, strict=True)
        if outcome is not None
    ]


def overlap_scores(rows: Rows) -> NDArray[np.float64]:
    """Return the score of each image's IoU."""
    return np.array([overlap_score(*pair) for pair in zip(rows["expected_iou"], rows["iou"], strict=True)])


def count_scores(rows: Rows) -> NDArray[np.float64]:
    """Return the score of each image's number of objects."""
    return np.array([count_score(*pair) for pair in zip(rows["n_found"], rows["n_true"], strict=True)])


def overlap_widths(rows: Rows, quantile: float) -> NDArray[np.float64]:
    """Return the width of each image's interval of IoU."""
    return np.array([np.diff(overlap_interval(expected, quantile))[0] for expected in rows["expected_iou"]])


def count_widths(rows: Rows, quantile: float) -> NDArray[np.float64]:
    """Return the width of each image's interval of the number of objects."""
    return np.array([np.diff(count_interval(found, quantile))[0] for found in rows["n_found"]])


def coverage(rows: Rows, scores: NDArray[np.float64], widths: Callable[[Rows, float], Any]) -> dict[str, Any]:
    """Divide at random, and return how often scores were covered and how wide the intervals were."""
    rng, n = np.random.default_rng(0), len(scores)
    stratum = np.searchsorted(list(STRATA.values()), rows["n_pixels"])
    covered, wide = np.full((N_SPLITS, n), np.nan), np.full((N_SPLITS, n), np.nan)
    for split in range(N_SPLITS):
        order = rng.permutation(n)
        calibration, test = order[: n // 2], order[n // 2 :]
        quantile = conformal_quantile(scores[calibration].tolist())
        covered[split, test] = scores[test] <= quantile
        wide[split, test] = np.broadcast_to(widths(rows, quantile), n)[test]
    per_split = np.nanmean(covered, axis=1)
    return {
        "n_calibration": n // 2,
        "n_test": n - n // 2,
        "mean_coverage": float(per_split.mean()),
        "standard_deviation_over_splits": float(per_split.std()),
        "5_and_95_percent": np.percentile(per_split, (5, 95)).tolist(),
        "mean_width": float(np.nanmean(wide)),
        "strata": {
            name: {
                "n_images": int((stratum == number).sum()),
                "mean_coverage": float(np.nanmean(covered[:, stratum == number])),
                "mean_width": float(np.nanmean(wide[:, stratum == number])),
            }
            for number, name in enumerate(STRATA)
        },
    }


def once(rows: Rows) -> dict[str, Any]:
    """Calibrate on val and test on test, as the shipped model does."""
    is_val, found = rows["part"] == "val", {}
    for name, scores in (("expected_iou", overlap_scores(rows)), ("n_objects", count_scores(rows))):
        quantile = conformal_quantile(scores[is_val])
        hit = scores[~is_val] <= quantile
        found[name] = {"quantile": quantile, "n_test": int(hit.size), "n_covered": int(hit.sum())}
    return found


def wrongness(model: Model, folder: Path) -> dict[str, Any]:
    """Return how well each measure tells wrong pixels, and wrong objects, from right ones."""
    options = SegmentationOptions(uncertainty=True)
    pixels, is_wrong, objects, is_false = [], [], [], []
    for image, reference in zip(*_pairs(folder), strict=True):
        found = segment(image, model, options=options, monitor=ignore)
        assert found.uncertainty is not None
        p, labels, true = (
            np.asarray(found.probabilities.data),
            np.asarray(found.labels.data),
            np.asarray(reference.data),
        )
        measures = np.concatenate([entropy(np.stack([1 - p, p]))[0][np.newaxis], np.asarray(found.uncertainty.data)])
        measures = measures.reshape(len(MEASURES), -1)
        pixels.append(measures)
        is_wrong.append(((labels > 0) != (true > 0)).ravel())
        n_px = np.bincount(labels.ravel())
        objects.append(np.stack([np.bincount(labels.ravel(), m)[1:] / n_px[1:] for m in measures]))
        is_false.append(best_iou(labels, true) < MATCHED)
    together = np.concatenate(pixels, axis=1), np.concatenate(is_wrong)
    of_objects = np.concatenate(objects, axis=1), np.concatenate(is_false)
    return {
        "n_images": len(pixels),
        "n_pixels": int(together[1].size),
        "share_of_wrong_pixels": float(together[1].mean()),
        "n_objects": int(of_objects[1].size),
        "share_of_false_objects": float(of_objects[1].mean()),
        "largest_disagreement": float(together[0][2].max()),
        "measures": {
            name: {
                "auroc_of_wrong_pixels": auroc(together[0][number], together[1]),
                "mean_auroc_over_images": float(
                    np.mean([auroc(m[number], w) for m, w in zip(pixels, is_wrong, strict=True)])
                ),
                "auroc_of_false_objects": auroc(of_objects[0][number], of_objects[1]),
                "error_left": error_left(together[0][number], together[1]),
            }
            for number, name in enumerate(MEASURES)
        },
    }


def best_iou(labels: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """Return the best IoU of each object 1 … n with one of the truth."""
    n, n_true = int(labels.max()) + 1, int(true.max()) + 1
    both = np.bincount(labels.ravel().astype(np.int64) * n_true + true.ravel(), minlength=n * n_true).reshape(n, n_true)
    union = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
    return (both[1:, 1:] / union[1:, 1:]).max(axis=1, initial=0)


def auroc(values: NDArray[Any], is_wrong: NDArray[np.bool_]) -> float:
    """Return the probability that a wrong one has the larger value than a right one (Mann and Whitney 1947)."""
    n_wrong = int(is_wrong.sum())
    ranks = float(rankdata(values)[is_wrong].sum())
    return (ranks - n_wrong * (n_wrong + 1) / 2) / (n_wrong * (is_wrong.size - n_wrong))


def error_left(values: NDArray[Any], is_wrong: NDArray[np.bool_]) -> list[float]:
    """Return the share of wrong pixels among the `KEPT` most certain ones."""
    wrong = np.cumsum(is_wrong[np.argsort(values, kind="stable")])
    n_kept = np.maximum(1, np.round(KEPT * wrong.size).astype(int))
    return (wrong[n_kept - 1] / n_kept).tolist()


def table(report: dict[str, Any]) -> str:
    """Write what matters as Markdown."""
    lines = [
        "# Intervals that cover, and what uncertainty tells",
        "",
        f"Written by `conformal.py`; model `{report['model']}`, {len(report['images'])} images. Promised: "
        f"{report['promised']:.0%} of the images; {report['n_splits']:,} random divisions in halves.",
        "",
        "| interval of | images | n | mean coverage | spread over divisions (SD) | mean width |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in (("expected_iou", "predicted IoU"), ("n_objects", "number of objects")):
        found = report[name]
        n, spread = found["n_calibration"] + found["n_test"], found["standard_deviation_over_splits"]
        lines.append(
            f"| {title} | all | {n} | {found['mean_coverage']:.1%} | {spread:.1%} | {found['mean_width']:.3g} |"
        )
        lines += [
            f"| | of {stratum} pixels | {one['n_images']} | {one['mean_coverage']:.1%} | | {one['mean_width']:.3g} |"
            for stratum, one in found["strata"].items()
        ]
    once = [f"{one['n_covered']} of {one['n_test']} ({name})" for name, one in report["val_to_test"].items()]
    lines += ["", f"Calibrated on val, as the shipped card is, and covered on test: {', '.join(once)}."]
    unsure = report["uncertainty"]
    lines += [
        "",
        f"Uncertainty on {unsure['n_images']} test images: {unsure['share_of_wrong_pixels']:.2%} of the pixels are "
        f"wrong, and {unsure['share_of_false_objects']:.1%} of {unsure['n_objects']:,} objects match no true one at "
        f"IoU {MATCHED}.",
        "",
        "| measure | AUROC, wrong pixels | mean over images | AUROC, false objects | wrong among the surest 90 % |",
        "| --- | --- | --- | --- | --- |",
    ]
    at = int(np.argmin(np.abs(KEPT - 0.9)))
    lines += [
        f"| {name} | {one['auroc_of_wrong_pixels']:.4f} | {one['mean_auroc_over_images']:.4f} | "
        f"{one['auroc_of_false_objects']:.3f} | {one['error_left'][at]:.3%} |"
        for name, one in unsure["measures"].items()
    ]
    return "\n".join([*lines, ""])


def diagram(report: dict[str, Any]) -> str:
    """Draw the intervals of the test images, calibrated on val, and the error left by each measure, as SVG."""
    rows = sorted((row for row in report["images"] if row["part"] == "test"), key=lambda row: row["expected_iou"])
    quantile = report["val_to_test"]["expected_iou"]["quantile"]
    left = _Axes(
        60, (0, len(rows) + 1), (0.5, 1.0), "test images, by expected IoU", "IoU: expected, 90 % interval, true"
    )
    right = _Axes(
        460, (0.5, 1.0), (0, max(map(max, _errors(report)))), "share of pixels kept, the surest", "share wrong"
    )
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 380" font-family="sans-serif" font-size="13">',
        '<rect width="800" height="380" fill="#fff"/>',
        *left.frame((0.5, 0.75, 1.0), ()),
        *right.frame((0, 0.01, 0.02), (0.5, 0.75, 1.0)),
    ]
    for number, row in enumerate(rows, 1):
        low, high = overlap_interval(row["expected_iou"], quantile)
        is_in = low <= row["iou"] <= high
        parts += [
            f'<path d="M{left.at(number, low)}L{left.at(number, high)}" stroke="#9bb8c4" stroke-width="4"/>',
            left.dot(number, row["expected_iou"], 1.5, "#333"),
            left.dot(number, row["iou"], 3, "#1f6f8b" if is_in else "#c1440e"),
        ]
    for number, (name, errors) in enumerate(zip(MEASURES, _errors(report), strict=True)):
        line = " ".join(right.at(x, y) for x, y in zip(KEPT, errors, strict=True))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>')
        parts.append(f'<text x="475" y="{70 + 18 * number}" fill="{COLOURS[number]}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


class _Axes:
    """A plot of 300 by 280 pixels."""

    def __init__(self, left: int, x: tuple[float, float], y: tuple[float, float], along: str, above: str) -> None:
        self._left, self._x, self._y, self._words = left, x, y, (along, above)

    def at(self, x: float, y: float) -> str:
        across, up = ((v - low) / (high - low) for v, (low, high) in ((x, self._x), (y, self._y)))
        return f"{self._left + 300 * across:.1f},{330 - 280 * up:.1f}"

    def dot(self, x: float, y: float, radius: float, colour: str) -> str:
        cx, cy = self.at(x, y).split(",")
        return f'<circle cx="{cx}" cy="{cy}" r="{radius}" fill="{colour}"/>'

    def frame(self, ys: tuple[float, ...], xs: tuple[float, ...]) -> list[str]:
        (x0, _), (y0, y1) = self._x, self._y
        corner = f"M{self.at(x0, y1)}L{self.at(x0, y0)}L{self.at(self._x[1], y0)}"
        parts = [f'<path d="{corner}" fill="none" stroke="#333"/>']
        parts += [self._text(x0, y, f"{y:g}", -8, 4, "end") for y in ys]
        parts += [self._text(x, y0, f"{x:g}", 0, 16, "middle") for x in xs]
        parts.append(self._text(sum(self._x) / 2, y0, self._words[0], 0, 36, "middle"))
        parts.append(self._text(x0, y1, self._words[1], 0, -14, "start"))
        return parts

    def _text(self, x: float, y: float, words: str, dx: int, dy: int, anchor: str) -> str:
        left, top = (float(v) for v in self.at(x, y).split(","))
        return f'<text x="{left + dx}" y="{top + dy}" text-anchor="{anchor}" fill="#333">{words}</text>'


def _errors(report: dict[str, Any]) -> list[list[float]]:
    return [report["uncertainty"]["measures"][name]["error_left"] for name in MEASURES]


def _pairs(folder: Path) -> tuple[list[Image], list[Image]]:
    pairs = pair_files(folder / "images", folder / "masks")
    return [read_image(image) for image, _ in pairs], [read_labels(mask) for _, mask in pairs]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder of the real images")
    what.add_argument("--plot", type=Path, help="draw the figures written before into this SVG file")
    parser.add_argument("--model", default="nuclei", help="name or file of a model of objects")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
