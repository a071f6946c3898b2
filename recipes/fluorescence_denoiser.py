"""Train `fluorescence-denoiser`: the lecture's DnCNN of 37,601 parameters, blind to the noise level.

    python recipes/fluorescence_denoiser.py DATA [OUTPUT]

DATA holds `train` and `val`, each with `images/` (see README.md). About ten minutes on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import downscale_local_mean

from unveil import DenoisingTraining, Image, load_model, save_model, train
from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.events import EpochEnd, Event, Notice
from unveil.io.images import find_images, read_image

CONFIG = DenoisingTraining(
    name="fluorescence-denoiser",
    epochs=18,
    steps_per_epoch=200,
    batch_size=16,
    patch_px=80,
    learning_rate=1.5e-3,
    loss="log_mse",
    noise=NoiseConfig(poisson=(0.001, 0.3), gaussian=(0.003, 0.15)),
    augmentation=AugmentationConfig(scale=0.2, gain=0.4, offset=0.1, gamma=0, noise=0, blur_px=0),
)

CARD = {
    "description": "Removes noise of any usual level from fluorescence images; blind to the level.",
    "authors": ("The Unveil developers",),
    "license": "CC0-1.0",
    "training_data": (
        "Fluorescence images of the Data Science Bowl 2018, stage1_train (CC0), smoothed, or averaged over 2×2 or 3×3 "
        "pixels, which lowers their own noise, and simulated filaments and points, all with synthetic "
        "Poisson–Gaussian noise over a range of levels."
    ),
    "cite": ("Caicedo et al. 2019, Nature Methods 16, 1247 (data)", "Zhang et al. 2017, arXiv 1608.03981"),
    "tags": ("fluorescence", "denoising", "2D"),
}

N_SIMULATED = 300
"""Simulated images beside the real ones: nuclei alone hold no thin structures."""
MIN_RANGE = 60
"""Grey values an image must span: below, its own noise and rounding would be taught as signal."""


def main(data: Path, output: Path) -> None:
    """Train on `data`/train, judge on `data`/val, write the model."""
    clean = [Image(pixels) for pixels in clean_images(data / "train" / "images")]
    clean += [Image(simulated_structures(np.random.default_rng(seed))) for seed in range(N_SIMULATED)]
    held_out = [Image(pixels) for pixels in clean_images(data / "val" / "images")]
    model = train(None, clean, CONFIG, validation=(held_out, held_out), monitor=tell)
    save_model(replace(model, card=model.card.model_copy(update=CARD)), output)
    print(f"{output}: {load_model(output).card.training.history[-1]}")


def clean_images(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the images of `folder` with enough contrast smoothed, and averaged over 2×2 and 3×3 pixels.

    Microscopes sample their blur finely or coarsely; the network is to know both.
    """
    for path in find_images([folder]):
        pixels = np.asarray(read_image(path).data, np.float32)
        low, high = np.percentile(pixels, (0.5, 99.9))
        if high - low < MIN_RANGE:
            continue
        yield gaussian_filter(pixels, 1.0)
        for factor in (2, 3):
            height, width = (length // factor * factor for length in pixels.shape)
            yield downscale_local_mean(pixels[:height, :width], (factor, factor))


def simulated_structures(rng: np.random.Generator, size: int = 256) -> NDArray[np.float32]:
    """Draw curved filaments and points of varied brightness and width on a smooth haze, ``(size, size)``."""
    image = 0.3 * rng.random() * _haze(rng, size)
    for _ in range(rng.integers(1, 4)):  # groups of one width each
        canvas = np.zeros((size, size))
        for _ in range(rng.integers(5, 120)):
            _draw_filament(canvas, rng)
        points = rng.integers(0, size, (2, rng.integers(0, 300)))
        np.add.at(canvas, tuple(points), 4 * rng.random(points.shape[1]))
        blurred = gaussian_filter(canvas, 0.5 * 7 ** rng.random())  # 0.5 to 3.5 pixels
        image += rng.uniform(0.3, 1) * blurred / np.percentile(blurred, 99.9)
    return (255 * image * (0.3 + _haze(rng, size))).astype(np.float32)


def _draw_filament(canvas: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Add a curve of random direction, bend, length and brightness."""
    n_steps = rng.integers(20, 400)
    direction = (
        rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.05, n_steps)) + np.linspace(0, rng.normal(), n_steps)
    )
    path = rng.uniform(0, len(canvas), (2, 1)) + np.cumsum([np.sin(direction), np.cos(direction)], axis=1)
    inside = np.rint(path[:, ((path >= 0) & (path < len(canvas) - 1)).all(axis=0)]).astype(int)
    np.add.at(canvas, tuple(inside), rng.uniform(0.1, 1))


def _haze(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Return a smooth random field from 0 to 1."""
    field = gaussian_filter(rng.normal(size=(size, size)), rng.uniform(10, 40), mode="wrap")
    return (field - field.min()) / np.ptp(field)


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2] if len(sys.argv) > 2 else "src/unveil/zoo/fluorescence-denoiser.safetensors"),
    )
