"""Train denoisers of natural images: the lecture's networks at its noise, and small networks for Gaussian noise.

    python recipes/natural_denoisers.py DATA OUTPUT [NAME ...] [--seconds SECONDS]

DATA is a TIFF of many grey planes from 0 to 255 (the 400 images of the Berkeley set, 180 × 180: as many pixels as the
lecture's 80 images of 384 × 384). Each NAME, by default all of `NAMES`, is written to the folder OUTPUT. SECONDS end a
training of the small networks that has not taken all its steps by then.

The blind ones see every image in units of its own noise, learn of strong noise as much as of weak, and go on from what
was learnt of σ = 25 where that is in OUTPUT.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile

from unveil import DenoisingTraining, Image, UNetConfig, load_model, save_model, train
from unveil.config.architecture import Architecture, DnCNNConfig
from unveil.config.normalization import FixedNormalization, NoiseNormalization
from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.events import EpochEnd, Event, Notice

GREY = 255.0
LECTURE_SIGMA = GREY * 10 ** (-15.36 / 20)
"""Noise of 15.36 dB, in grey values: 43.5."""

LECTURE: dict[str, tuple[Architecture, int]] = {
    "resnet-3x16": (DnCNNConfig(depth=3, width=16), 100),
    "resnet-5x32": (DnCNNConfig(depth=5, width=32), 200),
    "unet": (UNetConfig(out_channels=1, residual=True), 100),
    "dncnn": (DnCNNConfig(), 80),
}
"""The lecture's networks, and for how many epochs it trained each."""

SMALL: dict[str, tuple[Architecture, int]] = {
    "small": (DnCNNConfig(), 100_000),
    "dilated": (DnCNNConfig(depth=8, dilations=(1, 2, 3, 4, 4, 3, 2, 1), skips=True), 100_000),
    "large": (DnCNNConfig(depth=20, width=64, skips=True), 100_000),
}
"""Networks of 37,601, 56,097 and 665,921 parameters, and how many steps each is trained for."""

LEVELS = {"15": (15, 15), "25": (25, 25), "50": (50, 50), "blind": (5, 55)}
"""Standard deviations of the noise, in grey values."""
BLIND = "-blind"

NAMES = [*LECTURE, *(f"{network}-{level}" for network in SMALL for level in LEVELS)]


def main(data: Path, output: Path, names: list[str], seconds: float | None) -> None:
    """Train each of `names`."""
    planes = tifffile.imread(data)
    output.mkdir(parents=True, exist_ok=True)
    for name in names:
        settings = lecture_settings(name, planes) if name in LECTURE else small_settings(name, seconds)
        known = output / f"{name.removesuffix(BLIND)}-25.safetensors"
        start = load_model(known) if name.endswith(BLIND) and known.exists() else None
        model = train(None, [Image(plane) for plane in planes], settings, start=start, monitor=tell)
        save_model(model, output / f"{name}.safetensors")


def lecture_settings(name: str, planes: np.ndarray) -> DenoisingTraining:
    """Return the lecture's recipe, with its normalization to mean 0 and variance 1 written out: it sets the noise."""
    architecture, epochs = LECTURE[name]
    mean, std = float(planes.mean()), float(planes.std())
    level = LECTURE_SIGMA / std
    return DenoisingTraining(
        recipe="lecture",
        name=name,
        architecture=architecture,
        epochs=epochs,
        normalization=FixedNormalization(mean=(mean,), std=(std,)),
        noise=NoiseConfig(poisson=(0, 0), gaussian=(level, level)),
    )


def small_settings(name: str, seconds: float | None) -> DenoisingTraining:
    """Return the settings of ``NETWORK-LEVEL``."""
    network, level = name.split("-")
    architecture, n_steps = SMALL[network]
    low, high = (sigma / GREY for sigma in LEVELS[level])
    return DenoisingTraining(
        name=name,
        architecture=architecture,
        normalization=NoiseNormalization() if name.endswith(BLIND) else FixedNormalization(mean=(0,), std=(GREY,)),
        noise=NoiseConfig(poisson=(0, 0), gaussian=(low, high)),
        loss="log_mse" if name.endswith(BLIND) else "mse",
        augmentation=AugmentationConfig(scale=0, gain=0, offset=0, gamma=0, noise=0, blur_px=0),
        epochs=20,
        steps_per_epoch=n_steps // 20,
        batch_size=16,
        patch_px=96,
        learning_rate=1e-3 if network == "large" else 2e-3,
        time_budget_s=seconds,
        patience=0,
        validation_fraction=0.04,
    )


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, help="time of each training of a small network")
    given = parser.parse_args()
    main(given.data, given.output, given.names or NAMES, given.seconds)
