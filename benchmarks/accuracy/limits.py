"""Show what keeps a model of objects below an average precision of 1: outlines, separation, or objects never seen.

    python benchmarks/accuracy/limits.py --data FOLDER [--model nuclei] [--parts train val test] [--output FOLDER]

FOLDER holds parts with ``images/`` and ``masks/`` (dsb2018_fluo). The rule of objects is applied to the model's maps,
and again with the true foreground, the true distance or both in their place: what is missing there is the other map's.
Then with the threshold that is best for each image's AP@0.90, which only its masks can tell: so much is the annotator's
choice of where a nucleus ends. On ``train`` the model is judged on what taught it.
Every true object without a partner at IoU 0.5 is put into one class: not seen (less than a quarter of it is in any
object), merged (its best partner holds half of another true object too), cut (two objects hold a fifth of it each), or
outlined otherwise. Found objects without a partner lie on the ground where less than a quarter of them is in any true
one. Prints and writes ``limits.json``.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil import Model, SegmentationOptions, load_model, segment
from unveil.config.objects import ObjectRule
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.operators.instances import label_objects
from unveil.operators.metrics import ObjectTally
from unveil.operators.targets import normalized_distance

WAYS = ("the model's maps", "true foreground", "true distance", "both true")
BEST = "each image's best threshold"
THRESHOLDS = tuple(tenths / 10 for tenths in range(1, 10))
STRICT = 0.9
PARTNER, SEEN, HALF, FIFTH = 0.5, 0.25, 0.5, 0.2


def main() -> None:
    """Score every part and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the parts")
    parser.add_argument("--model", default="nuclei", help="name or file of a model of objects")
    parser.add_argument("--parts", nargs="+", default=["train", "val", "test"], help="folders with images/ and masks/")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    report = {part: limits(model, arguments.data / part) for part in arguments.parts}
    text = json.dumps({"model": model.card.name, "model_sha256": model.card.weights_sha256, **report}, indent=2)
    (arguments.output / "limits.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def limits(model: Model, folder: Path) -> dict[str, Any]:
    """Return the AP of each way, and what became of the objects that the model's own maps miss."""
    rule = model.card.objects
    assert rule is not None
    tallies = {way: ObjectTally() for way in (*WAYS, BEST)}
    missed: Counter[str] = Counter()
    sizes: dict[str, list[int]] = {"all": [], "missed": []}
    options = SegmentationOptions(rescale="off", denoise_first="off", skip_check=True)
    for image, mask in pair_files(folder / "images", folder / "masks"):
        true = np.asarray(read_labels(mask).data)
        result = segment(read_image(image), model, options=options, monitor=ignore)
        assert result.distance is not None
        foreground, distance = (
            np.asarray(maps.data).reshape(true.shape) for maps in (result.probabilities, result.distance)
        )
        true_foreground, true_distance = (true > 0).astype(np.float32), normalized_distance(true)
        maps = zip(
            WAYS,
            (foreground, true_foreground, foreground, true_foreground),
            (distance, distance, true_distance, true_distance),
            strict=True,
        )
        for way, is_foreground, height in maps:
            found = label_objects(is_foreground, height, rule)
            tallies[way].add(found, true)
            if way == WAYS[0]:
                _look(found, true, missed, sizes)
        tallies[BEST].add(_best_labels(foreground, distance, true, rule), true)
    return {
        "ap": {way: tally.as_dict()["ap"] for way, tally in tallies.items()},
        "n_true": tallies[WAYS[0]].n_reference,
        "n_found": tallies[WAYS[0]].n_predicted,
        "without_a_partner": dict(missed),
        "median_size_px": {which: float(np.median(values)) for which, values in sizes.items()},
    }


def _best_labels(
    foreground: NDArray[np.float32], distance: NDArray[np.float32], true: NDArray[Any], rule: ObjectRule
) -> NDArray[np.int32]:
    """Return the objects at the one of `THRESHOLDS` that gives this image its highest AP@0.90."""
    tries = [rule.model_copy(update={"threshold": threshold}) for threshold in THRESHOLDS]
    return max(
        (label_objects(foreground, distance, a_try) for a_try in tries), key=lambda found: _strict_ap(found, true)
    )


def _strict_ap(found: NDArray[np.int32], true: NDArray[Any]) -> float:
    """Return AP@0.90: partners over all objects, found and true."""
    tally = ObjectTally()
    tally.add(found, true)
    n_partners = tally.n_matched[STRICT]
    return n_partners / max(tally.n_predicted + tally.n_reference - n_partners, 1)


def _look(found: NDArray[Any], true: NDArray[Any], missed: Counter[str], sizes: dict[str, list[int]]) -> None:
    """Count the objects of one image that have no partner, by what became of them."""
    overlap = np.zeros((true.max() + 1, found.max() + 1))
    np.add.at(overlap, (true.ravel(), found.ravel()), 1)
    n_true, n_found = overlap.sum(axis=1), overlap.sum(axis=0)
    iou = overlap / np.maximum(n_true[:, None] + n_found[None] - overlap, 1)
    iou[0], iou[:, 0] = 0, 0
    numbers = [number for number in range(1, len(n_true)) if n_true[number]]
    sizes["all"] += [int(n_true[number]) for number in numbers]
    for number in numbers:
        if iou[number].max() > PARTNER:
            continue
        sizes["missed"].append(int(n_true[number]))
        parts = overlap[number, 1:] / n_true[number]
        held = overlap[1:, 1 + parts.argmax()] / np.maximum(n_true[1:], 1) if parts.size else np.zeros(0)
        if parts.sum() < SEEN:
            missed["true: not seen"] += 1
        elif (held > HALF).sum() > (held[number - 1] > HALF):
            missed["true: merged"] += 1
        elif (parts > FIFTH).sum() > 1:
            missed["true: cut"] += 1
        else:
            missed["true: outlined otherwise"] += 1
    for number in range(1, len(n_found)):
        if iou[:, number].max() <= PARTNER:
            on_ground = overlap[1:, number].sum() < SEEN * n_found[number]
            missed["found: on the ground" if on_ground else "found: on true ones"] += 1


if __name__ == "__main__":
    main()
