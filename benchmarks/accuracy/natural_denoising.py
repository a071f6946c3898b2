"""Denoise natural images: classical filters, the lecture's networks, small networks, BM3D; the same noise for all.

    python benchmarks/accuracy/natural_denoising.py --data FOLDER --models FOLDER [--sigma 25] [--bm3d]
        [--output FILE]

``--data`` holds the clean grey images (BSD68, 0 to 255), ``--models`` what ``recipes/natural_denoisers.py`` wrote;
every model there is scored. Without ``--sigma`` the noise is the lecture's, of 15.36 dB. Noise is not clipped, and its
seed is the number of the image. ``--bm3d`` needs the package bm3d, which is told the true level.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unveil import DenoisingOptions, Image, Model, denoise, load_model
from unveil.events import ignore
from unveil.io.images import find_images, read_image
from unveil.operators.noise import add_gaussian

GREY = 255.0
LECTURE_SIGMA = GREY * 10 ** (-15.36 / 20)
CLASSICAL = {
    "Gaussian filter, σ = 1": ("gaussian-filter", 1.0),
    "median, radius 3": ("median-filter", 3.0),
    "high-pass and soft clip": ("clipped-high-pass", 1.5),
}
"""Filters and their sizes in pixels."""

Floats: TypeAlias = NDArray[np.float32]
Denoise: TypeAlias = Callable[[Floats], NDArray[Any]]


def main() -> None:
    """Score all, print and write the table."""
    arguments = _arguments()
    sigma = arguments.sigma or LECTURE_SIGMA
    rows: dict[str, Denoise] = {
        "noisy": lambda noisy: noisy,
        **{row: _by(load_model(name), DenoisingOptions(size_px=size)) for row, (name, size) in CLASSICAL.items()},
    }
    for path in sorted(arguments.models.glob("*.safetensors")):
        rows[path.stem] = _by(load_model(path))
    if arguments.bm3d:
        from bm3d import bm3d

        rows["BM3D"] = lambda noisy: bm3d(noisy.astype(float), sigma)
    psnr: dict[str, list[float]] = {name: [] for name in rows}
    for number, path in enumerate(find_images([arguments.data])):
        clean = np.asarray(read_image(path).data, np.float32)
        noisy = add_gaussian(clean, sigma, number)
        for name, denoised in rows.items():
            error = np.mean((np.asarray(denoised(noisy), np.float64) - clean) ** 2)
            psnr[name].append(float(10 * np.log10(GREY**2 / error)))
    report = {
        "sigma": round(sigma, 2),
        "n_images": len(psnr["noisy"]),
        "psnr": {name: round(float(np.mean(values)), 3) for name, values in psnr.items()},
    }
    print(json.dumps(report, indent=2, ensure_ascii=False))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _by(model: Model, options: DenoisingOptions = DenoisingOptions()) -> Denoise:  # noqa: B008 (frozen)
    return lambda noisy: np.asarray(denoise(Image(noisy), model, options=options, monitor=ignore).image.data)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--models", type=Path, required=True, help="folder of model files")
    parser.add_argument("--sigma", type=float, help="standard deviation of the noise, in grey values")
    parser.add_argument("--bm3d", action="store_true", help="score BM3D too")
    parser.add_argument("--output", type=Path, help="JSON file for the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
