"""Score the models of `recipes/other_images.py` on the images that the recipe sets aside, and write the figures down.

    python benchmarks/accuracy/other_images.py --data FOLDER --models FOLDER [--segmenter nuclei] [--device auto]
        [--output FOLDER]

Membranes are scored as in the ISBI 2012 challenge (Arganda-Carreras et al. 2015, Frontiers in Neuroanatomy 9:142), with
V^Rand and V^Info at α = 0.5. Section by section, the inside of cells is where the probability of a membrane stays below
a threshold; its parts, connected over edges, grow until lines of one pixel are left between them (a watershed: borders
are thinned), and are compared on the pixels that lie inside cells in the reference (the foreground), whose parts are
found alike. Each pixel on a line is a part of its own. Of the means over the sections, the best over the thresholds
0.1, 0.2 … 0.9 counts, chosen on the test as the challenge does; those at 0.5 stand beside it.

Cells are scored by foreground IoU and AP. On the very noisy images a segmenter that never saw any of them is scored on
the image as it is and as `fluorescence-denoiser` leaves it, at their own size and at a quarter, beside two models
trained on either.

A model that is not there is left out, and named. The results are printed and written as ``other_images.json`` and
``.md``.
"""

from __future__ import annotations

import argparse
import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import contingency_table
from skimage.segmentation import watershed

from unveil import EvaluationOptions, Image, Model, SegmentationOptions, denoise, evaluate, load_model, segment
from unveil.events import ignore

RECIPE = runpy.run_path(str(Path(__file__).parents[2] / "recipes" / "other_images.py"))
"""Its `KINDS` say which images are the test of each model, and at which size it sees them."""
MEMBRANES = ("em-membranes", "em-membranes-3d")
CELLS = ("phase-cells", "stained-tissue", "dark-nuclei")
NOISY = {"noisy-cells": "as it is", "denoised-cells": "denoised"}
THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
SCALES = (1.0, 0.25)
"""Sizes at which the segmenter of the noisy images is tried: their objects are 50 to 240 pixels wide."""
PUBLISHED = {
    "em-membranes": (
        "U-Nets on the challenge's leaderboard: V^Rand 0.964, V^Info 0.981, on its own test sections, whose labels are "
        "not public; ours are sections 19–23 of its training stack"
    ),
    "phase-cells": (
        "the U-Net's foreground IoU in the Cell Tracking Challenge: 0.92 on PhC-U373, 0.775 on DIC-HeLa (Ronneberger "
        "2015, arXiv 1505.04597): other cells, of the same kind of microscope in the first"
    ),
}

Pair = tuple[Image, Image]
Row = dict[str, Any]


def main() -> None:
    """Score what there are models for, print the tables and write them."""
    arguments = _arguments()
    models = {name: load_model(path) for name in RECIPE["KINDS"] if (path := _file(arguments.models, name)).is_file()}
    for name in sorted(set(RECIPE["KINDS"]) - set(models)):
        print(f"left out: there is no {_file(arguments.models, name)}")
    rows = {}
    for name in (name for name in models if name not in NOISY):
        score = membrane_scores if name in MEMBRANES else cell_scores
        rows[name] = {**_run(models[name]), **score(name, models[name], arguments)}
        print(json.dumps({name: rows[name]}), flush=True)
    noisy = noisy_rows(models, arguments)
    report = {"published": PUBLISHED, "models": rows, "noisy_cells_n2f": noisy}
    page = _page(rows, noisy)
    print(page)
    (arguments.output / "other_images.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    (arguments.output / "other_images.md").write_text(page + "\n", encoding="utf-8")


def membrane_scores(name: str, model: Model, arguments: argparse.Namespace) -> Row:
    """Return the challenge's scores, and the IoU of the membranes themselves."""
    test = _test(name, arguments)
    options = SegmentationOptions(device=arguments.device)
    found = [segment(image, model, options=options, monitor=ignore) for image, _ in test]
    shape = (-1, *test[0][0].shape[-2:])
    membrane = np.concatenate([np.asarray(one.probabilities.data).reshape(shape) for one in found])
    inside = np.concatenate([np.asarray(labels.data).reshape(shape) == 0 for _, labels in test])
    true = [ndimage.label(section)[0].astype(np.int32) for section in inside]
    table = {
        threshold: np.mean(
            [agreement(thinned(section < threshold), parts) for section, parts in zip(membrane, true, strict=True)],
            axis=0,
        )
        for threshold in THRESHOLDS
    }
    best = [max(THRESHOLDS, key=lambda threshold: table[threshold][which]) for which in range(2)]
    overlap = evaluate(model, *zip(*test, strict=True), options=_options(arguments), monitor=ignore).as_dict()
    return {
        "n_sections": len(membrane),
        "v_rand": float(table[best[0]][0]),
        "v_info": float(table[best[1]][1]),
        "best_thresholds": best,
        "v_rand_at_0.5": float(table[0.5][0]),
        "v_info_at_0.5": float(table[0.5][1]),
        "iou": overlap["iou"],
    }


def thinned(inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Label the connected parts of ``(Y, X)`` and grow them until lines of one pixel, 0, are left between them."""
    parts, _ = ndimage.label(inside)
    lines: NDArray[np.int32] = watershed(np.zeros(inside.shape, np.uint8), parts, watershed_line=True)
    return lines


def agreement(found: NDArray[np.int32], true: NDArray[np.int32]) -> tuple[float, float]:
    """Return V^Rand and V^Info of two partitions of the pixels where `true`, ``(Y, X)``, is not 0.

    With p the share of pixels in both part i of `found` and part j of `true`, s and t its sums over j and over i::

        V^Rand = Σ p² / (½ Σ s² + ½ Σ t²)        V^Info = (H(s) + H(t) − H(p)) / (½ H(s) + ½ H(t))
    """
    inside = true > 0
    mine = found[inside]
    alone = mine == 0
    mine[alone] = mine.max(initial=0) + 1 + np.arange(np.count_nonzero(alone))
    both = contingency_table(true[inside], mine, normalize=True)
    p, s, t = both.data, np.asarray(both.sum(axis=0)).ravel(), np.asarray(both.sum(axis=1)).ravel()
    mean_entropy = (_entropy(s) + _entropy(t)) / 2
    rand = np.sum(p**2) / (np.sum(s**2) / 2 + np.sum(t**2) / 2)
    return float(rand), float((2 * mean_entropy - _entropy(p)) / mean_entropy) if mean_entropy else 1.0


def cell_scores(name: str, model: Model, arguments: argparse.Namespace) -> Row:
    """Return IoU and AP at the size at which the model learnt."""
    return _scores(model, _test(name, arguments), _options(arguments, RECIPE["KINDS"][name].scale))


def noisy_rows(models: dict[str, Model], arguments: argparse.Namespace) -> list[Row]:
    """Score a segmenter on the noisy images and on the denoised ones, and the models trained on either."""
    parts = RECIPE["noisy"](arguments.data)
    denoiser, segmenter = load_model("fluorescence-denoiser"), load_model(arguments.segmenter)
    rows = []
    for fields, pairs in (("0 and 1", parts.teaching + parts.test), ("1", parts.test)):
        clean = [(denoise(image, denoiser, monitor=ignore).image, labels) for image, labels in pairs]
        for seen, images in (("as it is", pairs), ("denoised", clean)):
            runs = [(segmenter, scale) for scale in SCALES]
            runs += [
                (model, RECIPE["KINDS"][name].scale)
                for name, model in models.items()
                if fields == "1" and NOISY.get(name) == seen
            ]
            rows += [
                {"fields": fields, "image": seen, "scale": scale, **_by_kind(model, images, arguments, scale)}
                for model, scale in runs
            ]
    return rows


def _by_kind(model: Model, pairs: Sequence[Pair], arguments: argparse.Namespace, scale: float) -> Row:
    """Score nuclei and whole cells, which the first letter of a name tells apart."""
    options = _options(arguments, scale)
    nuclei, cells = ([pair for pair in pairs if pair[0].name.startswith(letter)] for letter in "AN")
    return {
        "model": model.card.name,
        "nuclei": _scores(model, nuclei, options),
        "cells": _scores(model, cells, options),
    }


def _scores(model: Model, pairs: Sequence[Pair], options: EvaluationOptions) -> Row:
    images, references = [image for image, _ in pairs], [labels for _, labels in pairs]
    return {**evaluate(model, images, references, options=options, monitor=ignore).as_dict()}


def _options(arguments: argparse.Namespace, scale: float = 1.0) -> EvaluationOptions:
    return EvaluationOptions(device=arguments.device, rescale=scale, denoise_first="off")


def _test(name: str, arguments: argparse.Namespace) -> list[Pair]:
    pairs: list[Pair] = RECIPE["KINDS"][name].parts(arguments.data).test
    return pairs


def _run(model: Model) -> Row:
    record = model.card.training
    assert record is not None
    return {"model_sha256": model.card.weights_sha256, "trained_s": record.seconds, "ended_by": record.ended_by}


def _entropy(shares: NDArray[np.float64]) -> float:
    present = shares[shares > 0]
    return float(-np.sum(present * np.log(present)))


def _page(rows: dict[str, Row], noisy: list[Row]) -> str:
    lines = [
        "# Models of other images, on images they never saw",
        "",
        "| membranes | sections | V^Rand | V^Info | V^Rand at 0.5 | V^Info at 0.5 | IoU |",
        "|---|---|---|---|---|---|---|",
    ]
    scores = ("v_rand", "v_info", "v_rand_at_0.5", "v_info_at_0.5", "iou")
    for name in (name for name in MEMBRANES if name in rows):
        values = " | ".join(f"{rows[name][score]:.3f}" for score in scores)
        lines.append(f"| {name} | {rows[name]['n_sections']} | {values} |")
    lines += ["", "| cells | images | IoU | AP@0.50 | AP@0.70 | AP@0.90 |", "|---|---|---|---|---|---|"]
    for name in (name for name in CELLS if name in rows):
        ap = rows[name]["ap"]
        values = " | ".join(f"{value:.3f}" for value in (rows[name]["iou"], ap["0.50"], ap["0.70"], ap["0.90"]))
        lines.append(f"| {name} | {rows[name]['n_images']} | {values} |")
    lines += ["", *(f"Published, {name}: {words}." for name, words in PUBLISHED.items()), ""]
    lines += [
        "## Very noisy images (noisy_cells_n2f)",
        "",
        "| model | fields | image | scale | AP@0.50 of nuclei | of whole cells | IoU of nuclei | of whole cells |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in noisy:
        kinds = (row["nuclei"], row["cells"])
        values = " | ".join(f"{value:.3f}" for value in (*(k["ap"]["0.50"] for k in kinds), *(k["iou"] for k in kinds)))
        lines.append(f"| {row['model']} | {row['fields']} | {row['image']} | {row['scale']:g} | {values} |")
    return "\n".join(lines)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--models", type=Path, required=True, help="folder that the recipe wrote")
    parser.add_argument("--segmenter", default="nuclei", help="model that is tried on the noisy images")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the two result files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
