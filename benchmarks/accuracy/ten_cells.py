"""Look whether it is noticed that ten painted cells are not all, and what a training learns from them.

    python benchmarks/accuracy/ten_cells.py --data FOLDER [--others FOLDER …] [--epochs 3] [--output FOLDER]

FOLDER holds ``train`` and ``val``, each with ``images/`` and ``masks/`` (dsb2018_fluo). First a hundred images of
``train`` are looked at with all of their labels, with those of ten neighbours, with ten here and there, and with those
of the left half, and so are those of the others, folders with ``images/`` and ``masks/``, too. Then five images of
``val`` with at least forty objects teach three trainings each from ten neighbours alone, from `simulated-cells` and
with the panel's settings: once the whole image counts as annotated, once only what is near objects, once a rectangle
around the ten. Each model is scored on the whole of its image, against all labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unveil import Annotation, Image, Model, SegmentationTraining, evaluate, load_model, train
from unveil.data.sparse_labels import around_objects, seem_sparse
from unveil.errors import NoSplitError
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.tasks.default_parent import default_parent

N_PAINTED = 10
N_LOOKED_AT = 100
N_TAUGHT = 5
LEAST_OBJECTS = 40
_MARGIN_PX = 5


def main() -> None:
    """Look, train, score, print and write."""
    arguments = _arguments()
    looked_at = [arguments.data / "train", *arguments.others]
    report: dict[str, Any] = {"noticed": {_kind(folder): noticed(folder) for folder in looked_at}}
    report |= {"epochs": arguments.epochs} | learnt(arguments.data / "val", arguments.epochs)
    (arguments.output / "ten_cells.json").write_text(json.dumps(report, indent=2) + "\n")


def noticed(folder: Path) -> dict[str, str]:
    """Return how many images were taken for painted in part, for each way of painting."""
    counts: dict[str, list[bool]] = {}
    for image_file, labels_file in pair_files(folder / "images", folder / "masks")[:N_LOOKED_AT]:
        image, labels = read_image(image_file), np.asarray(read_labels(labels_file).data)
        for name, some in _painted(labels, np.random.default_rng(0)):
            counts.setdefault(name, []).append(seem_sparse(image, Image(some)))
    shares = {name: f"{sum(found)} of {len(found)}" for name, found in counts.items()}
    for name, share in shares.items():
        print(f"{_kind(folder)}, {name}: taken for sparse {share}", flush=True)
    return shares


def _kind(folder: Path) -> str:
    return "/".join(folder.parts[-2:])


def learnt(folder: Path, epochs: int) -> dict[str, Any]:
    """Return what models score that learnt from ten neighbours."""
    files = pair_files(folder / "images", folder / "masks")
    pairs = ((read_image(image), read_labels(labels)) for image, labels in files)
    crowded = [pair for pair in pairs if len(np.unique(np.asarray(pair[1].data))) > LEAST_OBJECTS][:N_TAUGHT]
    settings = SegmentationTraining(epochs=epochs)
    start = default_parent(settings)
    assert start is not None
    scores: dict[str, Any] = {}
    for name in ("the whole image", "only near objects", "inside a rectangle"):
        found = []
        for image, labels in crowded:
            drawn = labels.like(_neighbours(np.asarray(labels.data), np.random.default_rng(0)), labels.axes)
            annotation = _annotation(drawn, name)
            model = _trained(image, annotation, settings, load_model(start))
            values: dict[str, Any] = evaluate(model, [image], [labels], monitor=ignore).as_dict()
            found.append(values)
        scores[name] = {"iou": [one["iou"] for one in found], "AP@0.50": [one["ap"]["0.50"] for one in found]}
        print(name, {key: f"{np.mean(values):.3f}" for key, values in scores[name].items()}, flush=True)
    return {"images": [image.name for image, _ in crowded], "scores": scores}


def _trained(image: Image, annotation: Annotation, settings: SegmentationTraining, start: Model) -> Model:
    """Train, without a validation where nothing can be held out: as the panel offers to."""
    try:
        return train([image], [annotation], settings, start=start, monitor=ignore)
    except NoSplitError:
        alone = settings.model_copy(update={"validation_fraction": 0.0})
        return train([image], [annotation], alone, start=start, monitor=ignore)


def _annotation(drawn: Image, kind: str) -> Annotation:
    if kind == "the whole image":
        return Annotation(drawn)
    if kind == "only near objects":
        return around_objects(Annotation(drawn), 2)
    labels = np.asarray(drawn.data)
    mask = np.zeros(labels.shape, bool)
    (box,) = filter(None, ndimage.find_objects((labels > 0).astype(int)))
    mask[tuple(slice(max(0, side.start - _MARGIN_PX), side.stop + _MARGIN_PX) for side in box)] = True
    return Annotation(drawn, mask)


def _painted(labels: NDArray[Any], rng: np.random.Generator) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each way of painting that leaves some objects out, and all of them."""
    yield "all objects", labels
    numbers = np.unique(labels[labels > 0])
    if len(numbers) >= 2 * N_PAINTED:
        yield "ten neighbours", _neighbours(labels, rng)
        yield "ten here and there", np.where(np.isin(labels, rng.choice(numbers, N_PAINTED, replace=False)), labels, 0)
        centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
        yield "the left half", np.where(np.isin(labels, numbers[centres[:, 1] < labels.shape[1] / 2]), labels, 0)


def _neighbours(labels: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return the ten objects nearest to one of them."""
    numbers = np.unique(labels[labels > 0])
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
    distances = np.linalg.norm(centres - centres[rng.integers(len(numbers))], axis=1)
    return np.where(np.isin(labels, numbers[np.argsort(distances)[:N_PAINTED]]), labels, 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders with images of other kinds")
    parser.add_argument("--epochs", type=int, default=3, help="length of each training")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
