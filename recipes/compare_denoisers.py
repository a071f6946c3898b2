"""Compare denoisers while one is being made, on images that are not the test: W2S, training and validation fields.

    python recipes/compare_denoisers.py W2S MODEL...

W2S holds `train` and `val`, each with `noisy/` and `target/`. Two tables in dB: the real noise, gain and offset fitted
per pair, and synthetic noise of known levels on the clean images. Gaussian filters stand beside the models.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unveil import Image, Model, denoise, load_model
from unveil.events import ignore
from unveil.io.images import read_image
from unveil.io.pairs import pair_files
from unveil.operators.metrics import DenoisingTally
from unveil.operators.noise import poisson_gaussian

SIGMAS_PX = (0.7, 1.0, 1.5, 2.0)
LEVELS = ((0.0005, 0.01), (0.002, 0.01), (0.005, 0.02), (0.01, 0.02), (0.02, 0.02), (0.05, 0.03))
"""Poisson variance per unit of intensity and Gaussian standard deviation, on intensities from 0 to 1."""


def main(data: Path, models: list[Model]) -> None:
    """Print both tables."""
    names = [f"Gaussian {sigma}" for sigma in SIGMAS_PX] + [model.card.weights_sha256[:8] for model in models]
    print(" | ".join(["noise", "noisy", *names]))
    for part in ("train", "val"):
        rows = []
        for noisy, clean in pair_files(data / part / "noisy", data / part / "target"):
            pixels = np.asarray(read_image(noisy).data, np.float32)
            rows.append(_psnr_row(pixels, np.asarray(read_image(clean).data), models, fit_gain=True))
        _print(f"real, {part}", rows)
    generator = torch.Generator().manual_seed(0)
    for poisson, gaussian in LEVELS:
        rows = []
        for path in sorted((data / "val" / "target").glob("*.tif")):
            grey = gaussian_filter(np.asarray(read_image(path).data, np.float32), 0.5)
            clean_01 = (grey - grey.min()) / (np.percentile(grey, 99.9) - grey.min())
            levels = torch.tensor(poisson), torch.tensor(gaussian)
            noise = poisson_gaussian(torch.from_numpy(clean_01)[None, None], *levels, generator)[0, 0].numpy()
            rows.append(_psnr_row(noise, clean_01, models, fit_gain=False))
        _print(f"{poisson} / {gaussian}", rows)


def _psnr_row(
    noisy: NDArray[np.float32], clean: NDArray[np.float32], models: list[Model], *, fit_gain: bool
) -> list[float]:
    """Return the PSNR of the noisy image, of each Gaussian filter and of each model."""
    results = [noisy, *(gaussian_filter(noisy, sigma) for sigma in SIGMAS_PX)]
    results += [np.asarray(denoise(Image(noisy), model, monitor=ignore).image.data) for model in models]
    row = []
    for result in results:
        tally = DenoisingTally()
        tally.add(noisy, result, clean, fit_gain_first=fit_gain)
        row.append(tally.sums["psnr"])
    return row


def _print(title: str, rows: list[list[float]]) -> None:
    print(" | ".join([title, *(f"{value:.2f}" for value in np.mean(rows, axis=0))]), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("w2s", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    given = parser.parse_args()
    main(given.w2s, [load_model(name) for name in given.models])
