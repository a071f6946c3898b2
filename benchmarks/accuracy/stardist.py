"""Compare with StarDist: the same images, the same metrics, the same time on the same machine.

    python benchmarks/accuracy/stardist.py --data FOLDER --work FOLDER --seconds SECONDS [--peers PYTHON] [--ours]
        [--device auto] [--output FOLDER]

The data are ``train``, ``val`` and ``test``, each with ``images/`` and ``masks/`` (dsb2018_fluo). PYTHON is that of an
environment for StarDist alone: ``python -m venv PEERS && PEERS/bin/pip install stardist tensorflow-cpu``. With it
StarDist is trained and labels ``test``; without, the labels that a former call left in the folder of the work are
scored. ``--ours`` trains the U-Net for as long, from scratch and from `simulated-cells`. Each chooses its epoch and its
thresholds on ``val``. The shipped `nuclei` stands beside them, and what StarDist's authors published.

A training that was stopped goes on in the next call. With more SECONDS so does StarDist's, which counts all calls; ours
begins anew then, since its learning rate falls over the time that it has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from unveil import Annotation, EvaluationOptions, Image, Model, SegmentationTraining, evaluate, load_model, save_model
from unveil import train as learn
from unveil.events import ignore
from unveil.io.checkpoint_file import CheckpointFile
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.operators.metrics import ObjectTally
from unveil.tasks.object_rule import fit_object_rule

PEER = Path(__file__).parent / "peers" / "stardist_peer.py"
PUBLISHED = {"0.50": 0.864, "0.60": 0.804, "0.70": 0.685, "0.80": 0.450, "0.90": 0.119}
"""StarDist on 50 images of the same challenge after learning from 447 others (Schmidt 2018, arXiv 1806.03535)."""

Pairs = tuple[Sequence[Image], Sequence[Image]]
Row = dict[str, Any]


def main() -> None:
    """Train what is asked for, score all, print and write the table."""
    arguments = _arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.peers:
        options = [f"--{name}={getattr(arguments, name)}" for name in ("data", "work", "seconds")]
        subprocess.run([arguments.peers, PEER, *options], check=True)
    judges = _pairs(arguments.data / "test")
    rows = []
    if (arguments.work / "stardist_run.json").exists():
        rows.append(stardist_row(arguments.work, arguments.data / "test" / "masks"))
    for start in ("scratch", "simulated-cells") if arguments.ours else ():
        rows.append(our_row(f"U-Net from {start}", our_model(start, arguments), judges, arguments))
    rows.append(our_row("nuclei, as shipped", load_model("nuclei"), judges, arguments))
    report = {"machine": platform.machine(), "n_cpus": os.cpu_count(), "rows": rows, "published": PUBLISHED}
    page = _page(rows, len(judges[0]))
    print(page)
    (arguments.output / "stardist.json").write_text(json.dumps(report, indent=2) + "\n")
    (arguments.output / "stardist.md").write_text(page + "\n", encoding="utf-8")


def stardist_row(work: Path, masks: Path) -> Row:
    """Score the labels that StarDist left."""
    tally = ObjectTally()
    for labels, reference in pair_files(work / "labels", masks):
        tally.add(np.asarray(read_labels(labels).data), np.asarray(read_labels(reference).data))
    return {"name": "StarDist", **json.loads((work / "stardist_run.json").read_text()), **tally.as_dict()}


def our_model(start: str, arguments: argparse.Namespace) -> Model:
    """Train for the time allowed, choose the rule of objects on ``val``, and keep the model."""
    path = arguments.work / f"{start}-{arguments.seconds:g}.safetensors"
    if path.exists():
        return load_model(path)
    images, labels = _pairs(arguments.data / "train")
    val_images, val_labels = _pairs(arguments.data / "val")
    checkpoint = CheckpointFile(path.with_suffix(".checkpoint"))
    model = learn(
        images,
        [Annotation(one) for one in labels],
        SegmentationTraining(name=path.stem, time_budget_s=arguments.seconds, device=arguments.device),
        start=None if start == "scratch" else load_model(start),
        validation=(val_images, [Annotation(one) for one in val_labels]),
        checkpoints=checkpoint,
        monitor=ignore,
    )
    model = fit_object_rule(model, val_images, val_labels)
    save_model(model, path)
    checkpoint.remove()
    return model


def our_row(name: str, model: Model, judges: Pairs, arguments: argparse.Namespace) -> Row:
    """Score a model, and say from how much training."""
    record = model.card.training
    assert record is not None
    scores = evaluate(model, *judges, options=EvaluationOptions(device=arguments.device), monitor=ignore)
    return {
        "name": name,
        "seconds": record.seconds,
        "n_epochs": record.history[-1].epoch,
        "n_steps": record.history[-1].epoch * int(str(record.config["steps_per_epoch"])),
        "ended_by": record.ended_by,
        "n_parameters": sum(weights.numel() for weights in model.network.parameters()),
        "device": scores.per_image[0].report.device,
        **scores.as_dict(),
    }


def _page(rows: Sequence[Row], n_images: int) -> str:
    thresholds = " | ".join(f"AP@{name}" for name in PUBLISHED)
    lines = [
        f"# Beside StarDist, on dsb2018_fluo/test ({n_images} images, AP pooled)",
        "",
        f"| | parameters | seconds of training | steps | IoU | {thresholds} | mean |",
        f"|---|{'---|' * (5 + len(PUBLISHED))}",
    ]
    for row in rows:
        ap = _scores([row["ap"][name] for name in PUBLISHED])
        at_most = "up to " if row.get("ended_by") == "time" else ""  # the last epoch may have been cut short
        cost = f"{row['n_parameters']:,} | {row['seconds']:.0f} | {at_most}{row['n_steps']:,}"
        lines.append(f"| {row['name']} | {cost} | {row['iou']:.3f} | {ap} |")
    lines.append(f"| StarDist, as published | | | | | {_scores(list(PUBLISHED.values()))} |")
    return "\n".join(
        [
            *lines,
            "",
            "Published: 50 images of the same challenge after learning from 447 others (Schmidt 2018, arXiv "
            "1806.03535), for which StarDist's default is 40,000 steps. What ships was trained on a graphics card, the "
            "others on the machine of the table.",
        ]
    )


def _scores(ap: Sequence[float]) -> str:
    return " | ".join(f"{value:.3f}" for value in (*ap, fmean(ap)))


def _pairs(folder: Path) -> Pairs:
    pairs = pair_files(folder / "images", folder / "masks")
    return [read_image(image) for image, _ in pairs], [read_labels(mask) for _, mask in pairs]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--work", type=Path, required=True, help="folder for weights, checkpoints and labels")
    parser.add_argument("--seconds", type=float, required=True, help="time of each training")
    parser.add_argument("--peers", help="interpreter of the environment that has StarDist")
    parser.add_argument("--ours", action="store_true", help="train the U-Net too")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where ours computes")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the two result files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
