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
from skimage.transform import downscale_local_mean

from unveil import DenoisingTraining, Image, load_model, save_model, train
from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.events import EpochEnd, Event, Notice
from unveil.io.images import find_images, read_image

CONFIG = DenoisingTraining(
    name="fluorescence-denoiser",
    epochs=30,
    steps_per_epoch=200,
    batch_size=16,
    patch_px=80,
    learning_rate=2e-3,
    noise=NoiseConfig(poisson=(0.0005, 0.1), gaussian=(0.005, 0.12)),
    augmentation=AugmentationConfig(scale=0.2, gain=0.4, offset=0.1, gamma=0, noise=0, blur_px=0),
)

CARD = {
    "description": "Removes noise of any usual level from fluorescence images; blind to the level.",
    "authors": ("The Unveil developers",),
    "license": "CC0-1.0",
    "training_data": (
        "Fluorescence images of the Data Science Bowl 2018, stage1_train (CC0), averaged over 2×2 and 3×3 pixels, "
        "which lowers their own noise, with synthetic Poisson–Gaussian noise over a range of levels."
    ),
    "cite": ("Caicedo et al. 2019, Nature Methods 16, 1247 (data)", "Zhang et al. 2017, arXiv 1608.03981"),
    "tags": ("fluorescence", "denoising", "2D"),
}

MIN_RANGE = 60
"""Grey values an image must span: below, its own noise and rounding would be taught as signal."""


def main(data: Path, output: Path) -> None:
    """Train on `data`/train, judge on `data`/val, write the model."""
    clean = [Image(pixels) for pixels in clean_images(data / "train" / "images")]
    held_out = [Image(pixels) for pixels in clean_images(data / "val" / "images")]
    model = train(None, clean, CONFIG, validation=(held_out, held_out), monitor=tell)
    save_model(replace(model, card=model.card.model_copy(update=CARD)), output)
    print(f"{output}: {load_model(output).card.training.history[-1]}")


def clean_images(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the images of `folder` with enough contrast, downsized by 2 and by 3."""
    for path in find_images([folder]):
        pixels = np.asarray(read_image(path).data, np.float32)
        low, high = np.percentile(pixels, (0.5, 99.9))
        if high - low < MIN_RANGE:
            continue
        for factor in (2, 3):
            size = [length // factor * factor for length in pixels.shape]
            yield downscale_local_mean(pixels[: size[0], : size[1]], (factor, factor)).astype(np.float32)


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2] if len(sys.argv) > 2 else "src/unveil/zoo/fluorescence-denoiser.safetensors"),
    )
