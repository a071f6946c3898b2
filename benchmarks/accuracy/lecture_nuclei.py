"""Score the lecture's segmentation experiment: foreground IoU of `recipes/lecture_nuclei.py` beside the shipped model.

    python benchmarks/accuracy/lecture_nuclei.py --data FOLDER --models FILE [FILE ...] [--output FOLDER]

FOLDER is the recipe's. Each model is scored on the images that judged it, group by group, for the seed in its card,
and on ``val`` and ``test``. `nuclei`, as shipped, stands beside it: it learnt from all of ``train``, so that on the
judging images it says what is to be had there at most. IoU is pooled over pixels; the lecture found 0.91 on its
validation.
"""

from __future__ import annotations

import argparse
import csv
import json
import runpy
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unveil import Image, Model, evaluate, load_model
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files

RECIPE = runpy.run_path(str(Path(__file__).parents[2] / "recipes" / "lecture_nuclei.py"))
SHIPPED = "nuclei"

Pair = tuple[Image, Image]


def main() -> None:
    """Score all, print and write the table."""
    arguments = _arguments()
    shipped = load_model(SHIPPED)
    report: dict[str, Any] = {"source": 0.91, "seeds": {}}
    for path in arguments.models:
        model = load_model(path)
        record = model.card.training
        assert record is not None
        groups = judging_groups(arguments.data, record.seed)
        sets = {
            "validation": [pair for pairs in groups.values() for pair in pairs],
            **{part: _pairs(arguments.data / part) for part in ("val", "test")},
            **{f"group {name[:8]}": pairs for name, pairs in groups.items()},
        }
        row = {
            name: {"n_images": len(pairs), "lecture": iou(model, pairs), SHIPPED: iou(shipped, pairs)}
            for name, pairs in sets.items()
        }
        report["seeds"][record.seed] = row
        print(json.dumps({record.seed: row}, indent=2), flush=True)
    (arguments.output / "lecture_nuclei.json").write_text(json.dumps(report, indent=2) + "\n")


def judging_groups(data: Path, seed: int) -> dict[str, list[Pair]]:
    """Return the images that judge a training of `seed`, by mosaic group."""
    with (data / "manifest.csv").open(newline="") as file:
        group_of = {row["name"]: row["group"] for row in csv.DictReader(file)}
    groups: dict[str, list[Pair]] = defaultdict(list)
    for name in RECIPE["whole_groups"](data / "manifest.csv", seed)[: RECIPE["N_VALIDATION"]]:
        folder = data / "train"
        pair = read_image(folder / "images" / f"{name}.tif"), read_labels(folder / "masks" / f"{name}.tif")
        groups[group_of[name]].append(pair)
    return groups


def iou(model: Model, pairs: Sequence[Pair]) -> float:
    """Return the foreground IoU, pooled over all pixels of `pairs`."""
    images, labels = zip(*pairs, strict=True)
    found: float = evaluate(model, images, labels, monitor=ignore).as_dict()["iou"]
    return round(found, 4)


def _pairs(folder: Path) -> list[Pair]:
    files = pair_files(folder / "images", folder / "masks")
    return [(read_image(image), read_labels(mask)) for image, mask in files]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recipe's images")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="what the recipe wrote")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
