"""Score `dncnn-stable` on natural images, and recompute its certificate from the weights.

    python benchmarks/guarantees/stable_denoiser.py --model MODEL --data FOLDER [--output FOLDER]

Noise of 25 grey values, not clipped, its seed the number of the image: as in benchmarks/accuracy/natural_denoising.py,
whose rows for the same images stand beside it. The lower bound is what a search from the check image found.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from unveil import Image, denoise, load_model
from unveil.events import ignore
from unveil.io.images import find_images, read_image
from unveil.model.lipschitz import lipschitz_bounds
from unveil.networks.build import count_parameters
from unveil.operators.noise import add_gaussian
from unveil.tasks.certificate import check_certificate

GREY, SIGMA = 255.0, 25.0
N_JUDGING = 12
WEIGHTS = np.arange(12.0, 21.0, 1.0)
"""Of the total variation against half the squared error, in grey values."""

Plane = NDArray[np.float32]


def main(model_file: Path, data: Path, teaching: Path, output: Path) -> None:
    """Score, certify, and write what came out."""
    weight = best_weight(tifffile.imread(teaching)[-N_JUDGING:].astype(np.float32))
    model, started = load_model(model_file), time.perf_counter()
    check = check_certificate(model)
    assert check is not None
    seconds = time.perf_counter() - started
    psnrs, of_total_variation = [], []
    for seed, file in enumerate(find_images([data])):
        clean = np.asarray(read_image(file).data, np.float32)
        noisy = np.asarray(add_gaussian(clean, SIGMA, seed), np.float32)
        psnrs.append(psnr(denoise(Image(noisy), model, monitor=ignore).image.data, clean))
        of_total_variation.append(psnr(total_variation(noisy, weight), clean))
    record = model.card.training
    rows = json.loads((Path(__file__).parents[1] / "accuracy" / "natural_denoising.json").read_text())["psnr"]["25"]
    written = {
        "psnr": round(float(np.mean(psnrs)), 3),
        "n_images": len(psnrs),
        "total variation": {"psnr": round(float(np.mean(of_total_variation)), 3), "weight": weight},
        "others on the same images": {name: rows[name] for name in ("BM3D", "small-25", "dilated-25")},
        "parameters": count_parameters(model.network),
        "certified bound": check.bound,
        "holds": check.holds,
        "seconds to recompute": round(seconds, 2),
        "reached by a search": round(lipschitz_bounds(model, n_rounds=2).lower, 4),
        "training seconds": record.seconds if record else None,
        "training steps": len(record.history) * int(str(record.config["steps_per_epoch"])) if record else None,
    }
    (output / "stable_denoiser.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(written, indent=2))


def psnr(denoised: object, clean: Plane) -> float:
    """Return the PSNR in dB."""
    return float(10 * np.log10(GREY**2 / np.mean((np.asarray(denoised, np.float64) - clean) ** 2)))


def total_variation(noisy: Plane, weight: float) -> NDArray[np.float64]:
    """Return what minimizes half the squared distance from `noisy` plus `weight` times the total variation, nearly."""
    return np.asarray(denoise_tv_chambolle(noisy.astype(np.float64), weight, eps=1e-5, max_num_iter=200))


def best_weight(planes: Plane) -> float:
    """Return the one of `WEIGHTS` that is best on `planes` of the training."""
    noisy = [np.asarray(add_gaussian(plane, SIGMA, seed), np.float32) for seed, plane in enumerate(planes)]
    scores = [np.mean([psnr(total_variation(n, w), p) for n, p in zip(noisy, planes, strict=True)]) for w in WEIGHTS]
    return float(WEIGHTS[int(np.argmax(scores))])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--teaching", type=Path, required=True, help="TIFF of the planes of the training")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    main(given.model, given.data, given.teaching, given.output)
