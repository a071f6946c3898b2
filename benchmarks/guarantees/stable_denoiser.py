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

from unveil import Image, denoise, load_model
from unveil.events import ignore
from unveil.io.images import find_images, read_image
from unveil.model.lipschitz import lipschitz_bounds
from unveil.networks.build import count_parameters
from unveil.operators.noise import add_gaussian
from unveil.tasks.certificate import check_certificate

GREY, SIGMA = 255.0, 25.0


def main(model_file: Path, data: Path, output: Path) -> None:
    """Score, certify, and write what came out."""
    model, started = load_model(model_file), time.perf_counter()
    check = check_certificate(model)
    assert check is not None
    seconds = time.perf_counter() - started
    psnrs = []
    for seed, file in enumerate(find_images([data])):
        clean = np.asarray(read_image(file).data, np.float32)
        noisy = Image(np.asarray(add_gaussian(clean, SIGMA, seed), np.float32))
        denoised = np.asarray(denoise(noisy, model, monitor=ignore).image.data, np.float64)
        psnrs.append(10 * np.log10(GREY**2 / np.mean((denoised - clean) ** 2)))
    record = model.card.training
    rows = json.loads((Path(__file__).parents[1] / "accuracy" / "natural_denoising.json").read_text())["psnr"]["25"]
    written = {
        "psnr": round(float(np.mean(psnrs)), 3),
        "n_images": len(psnrs),
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    main(given.model, given.data, given.output)
