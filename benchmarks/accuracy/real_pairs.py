"""Teach the shipped denoiser noisy images and clean ones of one microscope: the most that its size may gain on them.

    python benchmarks/accuracy/real_pairs.py --data FOLDER [--steps 2000] [--device auto] [--output FOLDER]

FOLDER holds ``train``, ``val`` and ``test``, each with ``noisy/`` and ``target/`` (denoise_w2s, which may not teach
what is shipped). Gain and offset of each clean image are fitted to its noisy one, which was stretched on its own. The
training goes on from `fluorescence-denoiser`, and ``val`` chooses the epoch. Judged are the frames of
``real_noise.json`` that are in ``test``, in accurate mode, beside the rows that stand there. Writes
``real_pairs.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from unveil import DenoisingOptions, DenoisingTraining, Image, Model, denoise, load_model, train
from unveil.events import EpochEnd, Event, ignore
from unveil.io.images import read_image
from unveil.io.pairs import pair_files
from unveil.operators.metrics import DenoisingTally, fit_gain

START = "fluorescence-denoiser"
BESIDE = ("bm3d", "shipped_accurate", "adapted")
N_EPOCHS = 10


def main() -> None:
    """Train, judge, print and write."""
    arguments = _arguments()
    schedule = DenoisingTraining(
        epochs=N_EPOCHS, steps_per_epoch=arguments.steps // N_EPOCHS, patience=0, device=arguments.device
    )
    images, clean = _pairs(arguments.data / "train")
    validation = _pairs(arguments.data / "val")
    model = train(images, clean, schedule, start=load_model(START), validation=validation, monitor=_tell)
    beside = json.loads((Path(__file__).parent / "real_noise.json").read_text(encoding="utf-8"))["frames"]
    frames = {}
    for noisy, target in pair_files(arguments.data / "test" / "noisy", arguments.data / "test" / "target"):
        if noisy.stem in beside:
            others = {name: beside[noisy.stem]["psnr"][name] for name in BESIDE}
            frames[noisy.stem] = {**others, "taught pairs": psnr(model, read_image(noisy), read_image(target))}
    mean = {
        name: round(float(np.mean([row[name] for row in frames.values()])), 3) for name in [*BESIDE, "taught pairs"]
    }
    report = {"n_pairs": len(images), "steps": arguments.steps, "frames": frames, "mean": mean}
    text = json.dumps(report, indent=2)
    (arguments.output / "real_pairs.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def psnr(model: Model, noisy: Image, clean: Image) -> float:
    """Return the PSNR in dB of what `model` makes of `noisy`, gain and offset fitted first."""
    result = denoise(noisy, model, options=DenoisingOptions(accurate=True), monitor=ignore).image.data
    tally = DenoisingTally()
    tally.add(np.asarray(noisy.data), np.asarray(result), np.asarray(clean.data), fit_gain_first=True)
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
