"""Train denoisers of natural images: small networks for Gaussian noise.

    python recipes/natural_denoisers.py DATA OUTPUT [NAME ...]

DATA is a TIFF of many grey planes from 0 to 255 (the 400 images of the Berkeley set, 180 × 180). Each NAME of
`NETWORKS`, by default all, is written to the folder OUTPUT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tifffile

from unveil import DenoisingTraining, Image, save_model, train
from unveil.config.architecture import DnCNNConfig
from unveil.config.normalization import FixedNormalization
from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.events import EpochEnd, Event, Notice

GREY = 255.0

NETWORKS = {
    "lecture": DnCNNConfig(),
    "dilated": DnCNNConfig(depth=9, dilations=(1, 1, 2, 3, 4, 3, 2, 1, 1)),
    "large": DnCNNConfig(depth=17, width=64),
}
"""37,601, 65,345 and 555,137 parameters."""

STEPS = {"lecture": 60_000, "dilated": 60_000, "large": 60_000}
LEVELS = {"15": (15, 15), "25": (25, 25), "50": (50, 50), "blind": (5, 55)}
"""Standard deviations of the noise, in grey values."""


def main(data: Path, output: Path, names: list[str]) -> None:
    """Train each network of `names`, written ``NETWORK-LEVEL``."""
    images = [Image(plane) for plane in tifffile.imread(data)]
    for name in names:
        model = train(None, images, config(name), monitor=tell)
        save_model(model, output / f"{name}.safetensors")


def config(name: str) -> DenoisingTraining:
    """Return the settings of ``NETWORK-LEVEL``."""
    network, level = name.split("-")
    low, high = (sigma / GREY for sigma in LEVELS[level])
    return DenoisingTraining(
        name=f"natural-{name}",
        architecture=NETWORKS[network],
        normalization=FixedNormalization(mean=(0,), std=(GREY,)),
        noise=NoiseConfig(poisson=(0, 0), gaussian=(low, high)),
        augmentation=AugmentationConfig(scale=0, gain=0, offset=0, gamma=0, noise=0, blur_px=0),
        epochs=10,
        steps_per_epoch=STEPS[network] // 10,
        batch_size=32,
        patch_px=64,
        learning_rate=1e-3,
        patience=0,
        validation_fraction=0.04,
    )


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        sys.argv[3:] or [f"{network}-{level}" for network in NETWORKS for level in LEVELS],
    )
