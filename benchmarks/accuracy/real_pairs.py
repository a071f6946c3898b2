"""Teach a denoiser the images of one microscope: what pairs of noisy and clean ones add, and what to begin with.

    python benchmarks/accuracy/real_pairs.py --data FOLDER [--steps 2000] [--device auto] [--output FOLDER]

FOLDER holds ``train``, ``val`` and ``test``, each with ``noisy/`` and ``target/`` (denoise_w2s, which may not teach
what is shipped). Gain and offset of each clean image are fitted to its noisy one, which was stretched on its own.
Trainings learn from the pairs, or from the clean images alone under synthetic noise; they begin with
`fluorescence-denoiser`, as ``unveil train denoising`` does, or with random weights of the default network. The pairs of
``val`` choose the epoch. Judged are the frames of ``real_noise.json`` that are in ``test``, in accurate mode; what
stands there is printed beside them. Writes ``real_pairs.json`` after each training, and what it holds is not trained
again.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from unveil import DenoisingOptions, DenoisingTraining, Image, Model, denoise, load_model, train
from unveil.events import EpochEnd, Event, ignore
from unveil.io.images import read_image
from unveil.io.pairs import pair_files
from unveil.operators.metrics import DenoisingTally, fit_gain

STARTS = ("fluorescence-denoiser", "scratch")
BESIDE = ("bm3d", "shipped_accurate", "adapted")
N_EPOCHS = 10
REAL_NOISE = json.loads((Path(__file__).parent / "real_noise.json").read_text(encoding="utf-8"))["frames"]


def main() -> None:
    """Train, judge, print and write."""
    arguments = _arguments()
    path = arguments.output / "real_pairs.json"
    report: dict[str, Any] = {"steps": arguments.steps, "psnr": {}}
    if path.exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["steps"] != arguments.steps:
            sys.exit(f"{path} holds trainings of {report['steps']} steps. Choose another --output.")
    schedule = DenoisingTraining(
        epochs=N_EPOCHS, steps_per_epoch=arguments.steps // N_EPOCHS, patience=0, device=arguments.device
    )
    noisy, clean = _pairs(arguments.data / "train")
    validation = _pairs(arguments.data / "val")
    for (taught, images), start in product({"pairs": noisy, "clean images": None}.items(), STARTS):
        name = f"{taught}, from {start}"
        if name not in report["psnr"]:
            parent = None if start == "scratch" else load_model(start)
            model = train(images, clean, schedule, start=parent, validation=validation, monitor=_tell)
            report["psnr"][name] = _with_mean(
                {file.stem: psnr(model, file, target) for file, target in _judges(arguments.data / "test")}
            )
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({**report, "beside": _beside(arguments.data / "test")}, indent=2))


def _beside(folder: Path) -> dict[str, dict[str, float]]:
    """Return what other methods have on the same frames."""
    return {
        method: _with_mean({file.stem: REAL_NOISE[file.stem]["psnr"][method] for file, _ in _judges(folder)})
        for method in BESIDE
    }


def _judges(folder: Path) -> list[tuple[Path, Path]]:
    files = pair_files(folder / "noisy", folder / "target")
    return [(noisy, target) for noisy, target in files if noisy.stem in REAL_NOISE]


def _with_mean(values: dict[str, float]) -> dict[str, float]:
    return {**values, "mean": round(float(np.mean(list(values.values()))), 3)}


def psnr(model: Model, file: Path, target: Path) -> float:
    """Return the PSNR in dB of what `model` makes of a noisy image, gain and offset fitted first."""
    noisy, clean = read_image(file), np.asarray(read_image(target).data)
    result = denoise(noisy, model, options=DenoisingOptions(accurate=True), monitor=ignore).image.data
    tally = DenoisingTally()
    tally.add(np.asarray(noisy.data), np.asarray(result), clean, fit_gain_first=True)
    return round(tally.sums["psnr"], 3)


def _pairs(folder: Path) -> tuple[list[Image], list[Image]]:
    """Read noisy images, and clean ones as bright as these."""
    pairs = [(read_image(noisy), read_image(clean)) for noisy, clean in pair_files(folder / "noisy", folder / "target")]
    return [noisy for noisy, _ in pairs], [_as_bright(clean, noisy) for noisy, clean in pairs]


def _as_bright(clean: Image, noisy: Image) -> Image:
    return Image(np.asarray(fit_gain(np.asarray(clean.data), np.asarray(noisy.data)), np.float32), name=clean.name)


def _tell(event: Event) -> None:
    if isinstance(event, EpochEnd):
        print(event, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the pairs")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
