"""Train a U-Net with Lipschitz-1 layers and without, and compare what it finds and how far its maps can move.

    python benchmarks/guarantees/lip1_unet.py --data FOLDER [--steps 1000] [--batch 8] [--patch-px 64] [--width 16]
        [--output FOLDER]

FOLDER holds ``train`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). Both networks learn from all
images of ``train`` by the *auto* recipe, the same patches in the same order; scores are pooled over ``test``, on which
nothing is chosen. Per model three constants: certified bounds of its scores before softmax and of its probabilities
and distances, and the largest ratio that an ascent found for the latter.
Writes ``lip1_unet.json``.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import torch

from unveil import Annotation, Image, Model, SegmentationTraining, evaluate, train
from unveil.config.architecture import UNetConfig
from unveil.events import ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.model.lipschitz import model_bound
from unveil.networks.lipschitz import certified_bound
from unveil.operators.stretching import ascend

ASCENT_PX = 32
"""Edge of the part of the check image from which the ascent begins."""


def main() -> None:
    """Train both networks, and write what came of them."""
    arguments = _arguments()
    images, labels = _pairs(arguments.data / "train")
    judges = _pairs(arguments.data / "test")
    annotations = [Annotation(one) for one in labels]
    report = {}
    for name, lip1_layers in (("Lipschitz-1 layers", True), ("no limit", False)):
        settings = SegmentationTraining(
            architecture=UNetConfig(width=arguments.width, poolings=3),
            lip1_layers=lip1_layers, patch_px=arguments.patch_px, batch_size=arguments.batch, epochs=1,
            steps_per_epoch=arguments.steps, validation_fraction=0.0, patience=0, precision="exact",
        )  # fmt: skip
        report[name] = _examined(train(images, annotations, settings, monitor=ignore), judges)
        print(name, report[name], flush=True)
        (arguments.output / "lip1_unet.json").write_text(json.dumps(report, indent=2) + "\n")


def _examined(model: Model, judges: tuple[list[Image], list[Image]]) -> dict[str, Any]:
    scores = evaluate(model, *judges, monitor=ignore).as_dict()
    network = copy.deepcopy(model.inference_module()).double()
    start = torch.from_numpy(model.check_input[..., :ASCENT_PX, :ASCENT_PX]).double()
    return {
        "temperature": model.card.temperature,
        "certified_scores": certified_bound(model.network),
        "certified": model_bound(model),
        "found": ascend(network, start, n_rounds=4),
        **{name: scores[name] for name in ("iou", "ap", "ap_mean")},
    }


def _pairs(folder: Path) -> tuple[list[Image], list[Image]]:
    files = list(pair_files(folder / "images", folder / "masks"))
    return [read_image(image) for image, _ in files], [read_labels(mask) for _, mask in files]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each training")
    parser.add_argument("--batch", type=int, default=8, help="patches per step")
    parser.add_argument("--patch-px", type=int, default=64, help="edge of the training patches")
    parser.add_argument("--width", type=int, default=16, help="features of the first level")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
