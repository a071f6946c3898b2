"""From how much noise on does `nuclei` find more in the denoised image? It decides what "denoise first: auto" does.

    python benchmarks/accuracy/denoise_first.py --data FOLDER [--output FOLDER]

FOLDER holds ``dsb2018_fluo/{val,test}`` and ``noisy_cells_n2f``. Poisson–Gaussian noise of growing levels is added to
every second image of ``val``; each is segmented as it is and as `fluorescence-denoiser` leaves it. Beside it stands how
noisy the images of ``test`` and of noisy_cells_n2f are. ``denoise_first.json`` is written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unveil import DenoisingOptions, EvaluationOptions, Image, Model, denoise, evaluate, load_model
from unveil.events import ignore
from unveil.io.images import find_images, read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.operators.noise import poisson_gaussian
from unveil.operators.noise_estimation import relative_noise
from unveil.tasks.denoising_first import WORTH_IT

LEVELS = ((0.0, 0.0), (0.02, 0.02), (0.03, 0.03), (0.05, 0.05), (0.1, 0.1), (0.2, 0.15))
"""Poisson variance per unit of intensity and Gaussian standard deviation, on intensities from 0 to 1."""
EVERY = 2
GREY = 200.0
AS_IT_IS = EvaluationOptions(denoise_first="off")


def main() -> None:
    """Score every level, print and write the table."""
    arguments = _arguments()
    folder = arguments.data / "dsb2018_fluo"
    pairs = [
        (read_image(image), read_labels(labels))
        for image, labels in pair_files(folder / "val" / "images", folder / "val" / "masks")[::EVERY]
    ]
    labels = [labels for _, labels in pairs]
    segmenter, denoiser = load_model("nuclei"), load_model("fluorescence-denoiser")
    rows = []
    for poisson, gaussian in LEVELS:
        noisy = noisy_images([image for image, _ in pairs], poisson, gaussian)
        quick = DenoisingOptions(skip_assessment=True)
        clean = [denoise(image, denoiser, options=quick, monitor=ignore).image for image in noisy]
        rows.append(
            {
                "poisson": poisson,
                "gaussian": gaussian,
                "relative_noise": noise_of(noisy),
                "as_it_is": scores(segmenter, noisy, labels),
                "denoised": scores(segmenter, clean, labels),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    seen = {"test": folder / "test" / "images", "noisy_cells_n2f": arguments.data / "noisy_cells_n2f" / "images"}
    report = {
        "worth_it": WORTH_IT,
        "n_images": len(pairs),
        "rows": rows,
        "real": {name: noise_of([read_image(path) for path in find_images([where])]) for name, where in seen.items()},
    }
    print(json.dumps(report["real"]))
    (arguments.output / "denoise_first.json").write_text(json.dumps(report, indent=2) + "\n")


def noisy_images(images: Sequence[Image], poisson: float, gaussian: float) -> list[Image]:
    """Add noise of one level, or none."""
    generator = torch.Generator().manual_seed(0)
    noisy = []
    for image in images:
        pixels = np.asarray(image.data, np.float32)
        low, high = np.percentile(pixels, (0.5, 99.9))
        unit = torch.from_numpy((pixels - low) / max(high - low, 1))[None, None]
        if poisson > 0:
            unit = poisson_gaussian(unit, torch.tensor(poisson), torch.tensor(gaussian), generator)
        noisy.append(Image(GREY * unit[0, 0].numpy(), name=image.name))
    return noisy


def noise_of(images: Sequence[Image]) -> list[float]:
    """Return the smallest, the median and the largest relative noise."""
    noise = [relative_noise(np.asarray(image.data)) for image in images]
    return [round(float(value), 3) for value in np.quantile(noise, (0, 0.5, 1))]


def scores(model: Model, images: Sequence[Image], labels: Sequence[Image]) -> dict[str, Any]:
    """Return IoU and AP."""
    found = evaluate(model, images, labels, options=AS_IT_IS, monitor=ignore).as_dict()
    return {"iou": round(found["iou"], 3), "ap": {at: round(ap, 3) for at, ap in found["ap"].items()}}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
