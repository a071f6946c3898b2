"""Compare scribbles on at most 1 % of the pixels with full masks of the same ten images.

    python benchmarks/accuracy/scribbles.py --data FOLDER [--seconds 180] [--start auto] [--output FOLDER]

FOLDER holds ``train`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). The scribbles are made from
the masks, seeded: a stroke along the middle of some objects, and strokes on the ground between them. Both trainings get
the same time, the same settings and the same start (auto: as in the panel); foreground IoU is pooled over ``test``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from unveil import Annotation, Image, SegmentationTraining, evaluate, load_model, train
from unveil.data.annotation import scribbled
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.tasks.default_parent import default_parent

N_IMAGES = 10
MOST_PAINTED = 0.01
GOAL = 0.95
BACKGROUND = 1
_GROUND_DISTANCE_PX = 2
_STROKE_STEPS = 40


def main() -> None:
    """Train twice, score twice, print and write the ratio."""
    arguments = _arguments()
    files = pair_files(arguments.data / "train" / "images", arguments.data / "train" / "masks")
    chosen = np.random.default_rng(0).permutation(len(files))[:N_IMAGES]
    images = [read_image(files[index][0]) for index in chosen]
    masks = [read_labels(files[index][1]) for index in chosen]
    painted = [scribbles_of(np.asarray(mask.data), np.random.default_rng(index)) for index, mask in enumerate(masks)]
    shares = [float((strokes > 0).mean()) for strokes in painted]
    assert max(shares) <= MOST_PAINTED
    annotations = {
        "full masks": [Annotation(mask) for mask in masks],
        "scribbles": [scribbled(Image(strokes), background=BACKGROUND) for strokes in painted],
    }
    test = pair_files(arguments.data / "test" / "images", arguments.data / "test" / "masks")
    report: dict[str, Any] = {"seconds": arguments.seconds, "start": arguments.start}
    report |= {"painted": max(shares), "goal": GOAL}
    settings = SegmentationTraining(time_budget_s=arguments.seconds)
    parent = default_parent(settings) if arguments.start == "auto" else None
    start = load_model(parent) if parent is not None else None
    for name, targets in annotations.items():
        model = train(images, targets, settings, start=start, monitor=ignore)
        scores = evaluate(model, (read_image(i) for i, _ in test), (read_labels(m) for _, m in test), monitor=ignore)
        report[name] = scores.as_dict()["iou"]
        print(f"{name}: IoU {report[name]:.3f}", flush=True)
    report["ratio"] = report["scribbles"] / report["full masks"]
    print(f"ratio {report['ratio']:.3f} at {report['painted']:.2%} of the pixels at most")
    (arguments.output / f"scribbles_{arguments.start}.json").write_text(json.dumps(report, indent=2) + "\n")


def scribbles_of(labels: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Paint strokes as a person would: 1 on the ground, 2 and more inside objects, on at most 1 % of the pixels."""
    allowed = int(MOST_PAINTED * labels.size)
    strokes = np.zeros(labels.shape, np.uint16)
    numbers = rng.permutation(np.unique(labels[labels > 0]))
    for number in numbers:
        middle = skeletonize(ndimage.binary_erosion(labels == number) | _centre(labels == number))
        if (strokes > 0).sum() + middle.sum() > allowed // 2:
            break
        strokes[middle] = number + BACKGROUND
    far = ndimage.distance_transform_edt(labels == 0) > _GROUND_DISTANCE_PX
    starts = rng.permutation(np.argwhere(far))
    for start in starts:
        path = _wander(start, far, rng)
        if (strokes > 0).sum() + len(path) > allowed:
            break
        strokes[tuple(np.array(path).T)] = BACKGROUND
    return strokes


def _centre(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the innermost pixel, so that the smallest objects can be hit too."""
    centre = np.zeros(inside.shape, bool)
    centre[np.unravel_index(np.argmax(ndimage.distance_transform_edt(inside)), inside.shape)] = True
    return centre


def _wander(start: NDArray[np.intp], allowed: NDArray[np.bool_], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Follow a slowly turning line from `start` while it stays where it is allowed."""
    direction, at, path = rng.uniform(0, 2 * np.pi), start.astype(float), [(int(start[0]), int(start[1]))]
    for _ in range(_STROKE_STEPS):
        direction += rng.normal(0, 0.2)
        at = at + np.array([np.sin(direction), np.cos(direction)])
        pixel = round(float(at[0])), round(float(at[1]))
        if not all(0 <= p < n for p, n in zip(pixel, allowed.shape, strict=True)) or not allowed[pixel]:
            break
        path.append(pixel)
    return list(dict.fromkeys(path))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--seconds", type=float, default=180, help="time of each training")
    parser.add_argument("--start", choices=("auto", "scratch"), default="auto", help="what both trainings start from")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
