"""Compare the PSNR that a denoising expects of itself with the one it has.

    python benchmarks/accuracy/expected_psnr.py --data FOLDER [--models FOLDER] [--output FOLDER]

FOLDER holds ``denoise_natural/bsd68``, ``denoise_w2s/test/target`` and ``denoise_fmd/{noisy,target}``. Gaussian noise
of a level that nobody is told, drawn for each image, is added to the clean images; the frames of denoise_fmd have their
own noise, which is not Gaussian. ``--models`` holds denoisers of natural images, each named ``…-LEVEL`` by the standard
deviation that it was trained for (``recipes/natural_denoisers.py``), or ``…-blind``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil import Image, Model, denoise, load_model
from unveil.events import ignore
from unveil.io.images import find_images, read_image
from unveil.io.pairs import pair_files
from unveil.operators.noise import add_gaussian

GREY = 255.0
BLIND = (5.0, 55.0)
FLUORESCENCE = (0.02, 0.12)
"""Standard deviations over the range of the image; the shipped denoiser was trained up to the second."""
GOAL_DB = 0.5


def main() -> None:
    """Compare all, print and write the table."""
    arguments = _arguments()
    shipped = load_model("fluorescence-denoiser")
    natural, fluorescence = arguments.data / "denoise_natural" / "bsd68", arguments.data / "denoise_w2s/test/target"
    rows = [
        {"model": shipped.card.name, "images": "W2S", **compare(shipped, fluorescent(fluorescence))},
        {"model": shipped.card.name, "images": "BSD68", **compare(shipped, with_noise(natural, *BLIND))},
        {"model": shipped.card.name, "images": "FMD", **compare(shipped, real(arguments.data / "denoise_fmd"))},
    ]
    for path in sorted(arguments.models.glob("*.safetensors")) if arguments.models else []:
        level = path.stem.rpartition("-")[2]
        levels = BLIND if level == "blind" else (float(level), float(level))
        rows.append({"model": path.stem, "images": "BSD68", **compare(load_model(path), with_noise(natural, *levels))})
    report = {"goal_db": GOAL_DB, "rows": rows}
    print(json.dumps(report, indent=2))
    (arguments.output / "expected_psnr.json").write_text(json.dumps(report, indent=2) + "\n")


def compare(model: Model, pairs: Iterator[tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, Any]:
    """Denoise each noisy image, and return how far the expected PSNR and the noise level are off."""
    psnr, level = [], []
    for noisy, clean in pairs:
        result = denoise(Image(noisy), model, monitor=ignore)
        denoised, report = np.asarray(result.image.data, float), result.report
        assert report.expected_psnr is not None
        assert report.noise_level is not None
        peak = GREY if noisy.dtype == np.uint8 else np.ptp(denoised)
        psnr.append(report.expected_psnr - 10 * np.log10(peak**2 / np.mean((denoised - clean) ** 2)))
        level.append(report.noise_level / np.sqrt(np.mean((noisy - clean) ** 2)) - 1)
    return {
        "n_images": len(psnr),
        "psnr_error_db": round(float(np.mean(np.abs(psnr))), 2),
        "psnr_bias_db": round(float(np.mean(psnr)), 2),
        "worst_db": round(float(np.max(np.abs(psnr))), 2),
        "noise_error_percent": round(100 * float(np.mean(np.abs(level))), 1),
    }


def with_noise(folder: Path, low: float, high: float) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the images of `folder` with and without noise of a level between `low` and `high`, in grey values."""
    for number, path in enumerate(find_images([folder])):
        clean = np.asarray(read_image(path).data, float)
        yield add_gaussian(clean, np.random.default_rng(number).uniform(low, high), number), clean


def fluorescent(folder: Path) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the images of `folder` with and without noise, its level drawn in units of the image's range."""
    for number, path in enumerate(find_images([folder])):
        clean = np.asarray(read_image(path).data, float)
        level = np.random.default_rng(number).uniform(*FLUORESCENCE) * np.ptp(clean)
        yield add_gaussian(clean, level, number), clean


def real(folder: Path) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield noisy frames and the average of many."""
    for noisy, clean in pair_files(folder / "noisy", folder / "target"):
        yield np.asarray(read_image(noisy).data), np.asarray(read_image(clean).data, float)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--models", type=Path, help="folder of denoisers of natural images")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
