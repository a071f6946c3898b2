"""Train `fluorescence-denoiser`: a DnCNN of 12 layers with skips, on blocks of 2 × 2 pixels and stabilized noise.

    python recipes/fluorescence_denoiser.py DATA [OUTPUT] [--parent MODEL] [--seconds SECONDS]

DATA holds `train` and `val`, each with `images/` (see README.md). MODEL is one to start from. SECONDS end a training
that has not taken all its steps by then: an hour on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import downscale_local_mean

from unveil import DenoisingTraining, DnCNNConfig, Image, load_model, save_model, train
from unveil.config.normalization import StabilizedNormalization
from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.events import EpochEnd, Event, Notice
from unveil.io.images import find_images, read_image

CONFIG = DenoisingTraining(
    name="fluorescence-denoiser",
    architecture=DnCNNConfig(depth=12, width=48, skips=True, stride=2),
    normalization=StabilizedNormalization(),
    epochs=12,
    steps_per_epoch=3000,
    batch_size=16,
    patch_px=80,
    learning_rate=2e-3,
    loss="log_mse",
    precision="exact",
    seed=1,
    noise=NoiseConfig(poisson=(0.006, 0.2), gaussian=(0.003, 0.12), correlation=(0, 0.1), gain_spread=(0, 0.5)),
    augmentation=AugmentationConfig(scale=0.2, gain=0.2, offset=0.1, gamma=0, noise=0, blur_px=0),
)

CARD = {
    "description": "Removes noise of any usual level from fluorescence images; blind to the level.",
    "authors": ("The Unveil developers",),
    "license": "CC0-1.0",
    "training_data": (
        "Fluorescence images of the Data Science Bowl 2018, stage1_train (CC0), smoothed, or averaged over 2×2 to 4×4 "
        "pixels, which lowers their own noise, and simulated filaments, points, textures and opaque shapes behind a "
        "microscope's blur, all with synthetic Poisson–Gaussian noise over a range of levels, of cameras and of "
        "photomultipliers."
    ),
    "cite": (
        "Caicedo et al. 2019, Nature Methods 16, 1247 (data)",
        "Zhang et al. 2017, arXiv 1608.03981",
        "Achddou et al. 2021, arXiv 2105.10302 (opaque shapes as teachers)",
    ),
    "tags": ("fluorescence", "denoising", "2D"),
}

N_SIMULATED, FIRST_SEED = 4000, 200_000
"""Simulated images beside the real ones: nuclei alone hold no thin structures and no texture."""
MIN_RANGE = 60
"""Grey values an image must span: below, its own noise and rounding would be taught as signal."""
PSF_PX = (0.35, 2.4)
"""Standard deviations of the simulated blur. Finely sampled images reach 2; a 20×/0.75 objective blurs by σ = 0.2 µm,
and at 0.6 µm per pixel that is a third of a pixel."""


def main(data: Path, output: Path, config: DenoisingTraining, parent: Path | None) -> None:
    """Train on `data`/train, judge on `data`/val, write the model."""
    clean = [Image(pixels) for pixels in clean_images(data / "train" / "images")]
    clean += simulated(range(FIRST_SEED, FIRST_SEED + N_SIMULATED))
    held_out = [Image(pixels) for pixels in clean_images(data / "val" / "images")][
        ::4
    ]  # every fourth is enough to judge
    held_out += simulated(range(10**6, 10**6 + 40))
    start = load_model(parent) if parent else None
    model = train(None, clean, config, start=start, validation=(held_out, held_out), monitor=tell)
    save_model(replace(model, card=model.card.model_copy(update=CARD)), output)
    print(f"{output}: {load_model(output).card.training.history[-1]}")


def clean_images(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the images of `folder` with enough contrast, smoothed, and averaged over 2×2, 3×3 and 4×4 pixels.

    Microscopes sample their blur finely or coarsely; the network is to know both.
    """
    for path in find_images([folder]):
        pixels = np.asarray(read_image(path).data, np.float32)
        low, high = np.percentile(pixels, (0.5, 99.9))
        if high - low < MIN_RANGE:
            continue
        yield gaussian_filter(pixels, 1.0)
        for factor in (2, 3, 4):
            height, width = (length // factor * factor for length in pixels.shape)
            yield downscale_local_mean(pixels[:height, :width], (factor, factor))


def simulated(seeds: range) -> list[Image]:
    """Return one image per seed."""
    with ProcessPoolExecutor() as pool:
        return [Image(pixels) for pixels in pool.map(simulated_structures, seeds, chunksize=16)]


def simulated_structures(seed: int, size: int = 256) -> NDArray[np.float32]:
    """Draw filaments, textures or shapes, one to three layers, each behind a blur, on a smooth haze."""
    rng = np.random.default_rng(seed)
    image = 0.3 * rng.random() * _haze(rng, size)
    for _ in range(rng.integers(1, 4)):
        draw = rng.choice(np.array([_filaments, _filaments, _texture, _texture, _shapes]))
        low, high = PSF_PX
        blurred = gaussian_filter(draw(rng, size), low * (high / low) ** rng.random(), mode="wrap")
        image += rng.uniform(0.3, 1) * blurred / np.percentile(blurred, 99.9)
    return (255 * image * (0.3 + _haze(rng, size))).astype(np.float32)


def _filaments(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Draw curves of random direction, bend, length and brightness, and points."""
    canvas = np.zeros((size, size))
    for _ in range(rng.integers(5, 120)):
        n_steps = rng.integers(20, 400)
        bend = np.cumsum(rng.normal(0, 0.05, n_steps)) + np.linspace(0, rng.normal(), n_steps)
        direction = rng.uniform(0, 2 * np.pi) + bend
        path = rng.uniform(0, size, (2, 1)) + np.cumsum([np.sin(direction), np.cos(direction)], axis=1)
        inside = np.rint(path[:, ((path >= 0) & (path < size - 1)).all(axis=0)]).astype(int)
        np.add.at(canvas, tuple(inside), rng.uniform(0.1, 1))
    points = rng.integers(0, size, (2, rng.integers(0, 300)))
    np.add.at(canvas, tuple(points), 4 * rng.random(points.shape[1]))
    return canvas


def _texture(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Draw a log-normal field whose spectrum falls with a random power: cytoplasm, chromatin, tissue."""
    frequencies = np.fft.fftfreq(size)
    radius = np.hypot(*np.meshgrid(frequencies, frequencies))
    radius[0, 0] = radius[0, 1]
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * radius ** -rng.uniform(0.6, 1.8)).real
    return np.exp(rng.uniform(0.4, 1.2) * field / field.std())


def _shapes(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Drop opaque ellipses of flat or textured grey on each other: dead leaves."""
    rows, columns = np.mgrid[:size, :size]
    image = np.full((size, size), 0.2 * rng.random())
    for _ in range(rng.integers(30, 250)):
        radius, turn, flatness = 3 * 20 ** rng.random() ** 1.5, rng.uniform(0, np.pi), rng.uniform(0.4, 1)
        centre = rng.uniform(0, size, 2)
        box = tuple(slice(max(0, int(at - radius) - 1), int(at + radius) + 2) for at in centre)
        dy, dx = rows[box] - centre[0], columns[box] - centre[1]
        along, across = dy * np.cos(turn) + dx * np.sin(turn), (dx * np.cos(turn) - dy * np.sin(turn)) / flatness
        image[box] = np.where(along**2 + across**2 < radius**2, rng.random() ** 2, image[box])
    return image * _texture(rng, size) if rng.random() < 0.5 else image


def _haze(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Return a smooth random field from 0 to 1."""
    field = gaussian_filter(rng.normal(size=(size, size)), rng.uniform(10, 40), mode="wrap")
    return (field - field.min()) / np.ptp(field)


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path, nargs="?", default="src/unveil/zoo/fluorescence-denoiser.safetensors")
    parser.add_argument("--parent", type=Path, help="model to start from")
    parser.add_argument("--seconds", type=float, help="time of the training, where it is less than its steps take")
    given = parser.parse_args()
    config = CONFIG.model_copy(update={"time_budget_s": given.seconds})
    main(given.data, given.output, config, given.parent)
