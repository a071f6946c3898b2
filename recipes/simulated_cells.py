"""Train `simulated-cells`, the weights that trainings start from: simulated cells of every size, and no real image.

    python recipes/simulated_cells.py [OUTPUT]

Four minutes on a graphics card; reckoned from the time of a step, half a day on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unveil import Image, Model, SegmentationTraining, load_model, save_model, train
from unveil.data.annotation import Annotation
from unveil.events import EpochEnd, Event, Notice
from unveil.tasks.object_rule import fit_object_rule

N_IMAGES, N_JUDGED = 1500, 37
SIZE_PX = 256

CONFIG = SegmentationTraining(
    name="simulated-cells",
    classes=("background", "cell"),
    epochs=6,
    steps_per_epoch=700,
    batch_size=16,
    patch_px=192,
    learning_rate=1e-3,
)

CARD = {
    "description": "Cells of any size, learnt from simulations: what trainings start from.",
    "authors": ("The Unveil developers",),
    "license": "CC0-1.0",
    "training_data": (
        "1,500 simulated images, and no real one: round to irregular bodies of 2.5 to 80 px radius, single or crowded, "
        "of even or very different brightness, smooth or textured, behind a microscope's blur, glow, haze, uneven "
        "light and noise; one in ten dark on bright."
    ),
    "cite": ("Ronneberger et al. 2015, arXiv 1505.04597",),
    "tags": ("simulated", "cells", "instance segmentation", "2D"),
}

Floats = NDArray[np.float64]
Simulated = tuple[NDArray[np.float32], NDArray[np.uint16]]


def main(output: Path) -> None:
    """Simulate, train, choose the rule on other simulated images, write the model."""
    images, labels = simulated(range(N_IMAGES))
    judging, truth = simulated(range(10**6, 10**6 + N_JUDGED))
    validation = judging, [Annotation(image) for image in truth]
    model = train(images, [Annotation(image) for image in labels], CONFIG, validation=validation, monitor=tell)
    save_model(finished(model, judging, truth), output)
    print(f"{output}: {load_model(output).card.objects}")


def simulated(seeds: range) -> tuple[list[Image], list[Image]]:
    """Return one image per seed, and their labels."""
    with ProcessPoolExecutor() as pool:
        pairs = list(pool.map(simulate, seeds, chunksize=4))
    return [Image(image) for image, _ in pairs], [Image(labels) for _, labels in pairs]


def finished(model: Model, judging: Sequence[Image], truth: Sequence[Image]) -> Model:
    """Choose the rule of objects, and describe the model."""
    model = fit_object_rule(model, judging, truth)
    return replace(model, card=model.card.model_copy(update=CARD))


@dataclass(frozen=True, slots=True)
class Look:
    """What the cells of one image have in common.

    Attributes
    ----------
    radius_px, jitter
        Median radius, and the standard deviation of its logarithm.
    cover
        Part of the image that cells may fill.
    clumping
        Chance that a cell touches another.
    elongation, roughness
        Largest ratio of the axes; how far outlines leave the ellipse.
    spread
        Standard deviation of the brightness' logarithm.
    rim
        How much brighter than the middle the edge is.
    """

    radius_px: float
    jitter: float
    cover: float
    clumping: float
    elongation: float
    roughness: float
    spread: float
    rim: float


def simulate(seed: int) -> Simulated:
    """Return an image ``(Y, X)`` float32 and its labels, uint16."""
    rng = np.random.default_rng(seed)
    look = Look(
        radius_px=_log_uniform(rng, 4, 45),
        jitter=rng.uniform(0.05, 0.4),
        cover=rng.uniform(0.02, 0.6),
        clumping=rng.uniform(0, 0.8) * (rng.random() < 0.6),
        elongation=rng.uniform(1, 2.2),
        roughness=rng.uniform(0, 0.25),
        spread=rng.uniform(0.1, 1.2),
        rim=rng.uniform(-0.5, 0.6),
    )
    contrast, grain_px = rng.uniform(0, 0.6), _log_uniform(rng, 0.8, 8)
    texture = np.exp(contrast * _smooth_field(rng, grain_px))
    density, labels = _cells(rng, look)
    density *= texture
    if not labels.any():
        density += 1e-3
    density /= np.percentile(density[labels > 0], 90) if labels.any() else 1
    return _photograph(rng, density), labels


def _cells(rng: np.random.Generator, look: Look) -> tuple[Floats, NDArray[np.uint16]]:
    """Place cells that may touch, cover little of each other, and reach over the border."""
    density, labels = np.zeros((SIZE_PX, SIZE_PX)), np.zeros((SIZE_PX, SIZE_PX), np.uint16)
    placed: list[tuple[float, float, float]] = []
    for _ in range(1500):
        if np.count_nonzero(labels) >= look.cover * SIZE_PX**2 or len(placed) > 400:
            break
        radius = min(max(look.radius_px * np.exp(rng.normal(0, look.jitter)), 2.5), 80)
        if placed and rng.random() < look.clumping:
            near_y, near_x, near_radius = placed[rng.integers(len(placed))]
            direction = rng.uniform(0, 2 * np.pi)
            distance = (radius + near_radius) * rng.uniform(0.85, 1.2)
            y, x = near_y + distance * np.sin(direction), near_x + distance * np.cos(direction)
        else:
            y, x = rng.uniform(-radius, SIZE_PX + radius, 2)
        body = _body(rng, y, x, radius, look)
        if body is None:
            continue
        box, depth = body
        inside, taken = depth < 1, labels[box] > 0
        if not inside.any() or (inside & taken).sum() > 0.2 * inside.sum():
            continue
        inside &= ~taken
        placed.append((y, x, radius))
        labels[box][inside] = len(placed)
        brightness = np.exp(rng.normal(0, look.spread))
        density[box][inside] = (brightness * (1 + look.rim * (depth**2 - 0.5)))[inside]
    return density, labels


def _body(
    rng: np.random.Generator, y: float, x: float, radius: float, look: Look
) -> tuple[tuple[slice, slice], Floats] | None:
    """Return a box and, in it, the distance from the centre, 1 on the outline; None where the box lies outside."""
    elongation, turn = rng.uniform(1, look.elongation), rng.uniform(0, np.pi)
    reach = int(2.2 * radius * elongation) + 2
    rows, columns = (slice(max(0, int(at) - reach), max(0, int(at) + reach)) for at in (y, x))
    dy, dx = np.arange(SIZE_PX)[rows, None] - y, np.arange(SIZE_PX)[None, columns] - x
    if dy.size == 0 or dx.size == 0:
        return None
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    angle = np.arctan2(across * elongation, along)
    outline = np.ones_like(angle)
    for wave in range(2, 6):
        outline += look.roughness / wave * rng.normal() * np.cos(wave * angle + rng.uniform(0, 6.3))
    distance = np.hypot(along / np.sqrt(elongation), across * np.sqrt(elongation))
    return (rows, columns), distance / (radius * np.clip(outline, 0.5, 1.6))


def _photograph(rng: np.random.Generator, density: Floats) -> NDArray[np.float32]:
    """Blur, add glow, haze and specks, light unevenly, add noise; one image in ten is inverted."""
    image = gaussian_filter(density, _log_uniform(rng, 0.4, 2.5))
    if rng.random() < 0.6:
        image += rng.uniform(0, 0.25) * gaussian_filter(density, _log_uniform(rng, 4, 30))
    if rng.random() < 0.6:
        haze = _smooth_field(rng, rng.uniform(10, 60))
        image += rng.uniform(0, 0.15) * (haze - haze.min()) / np.ptp(haze)
    if rng.random() < 0.3:
        specks = np.zeros_like(density)
        n_specks = rng.integers(1, 40)
        specks[rng.integers(0, SIZE_PX, n_specks), rng.integers(0, SIZE_PX, n_specks)] = rng.uniform(0, 20, n_specks)
        image += gaussian_filter(specks, rng.uniform(0.7, 1.5))
    shade = _smooth_field(rng, rng.uniform(60, 150))
    image = image * (1 - rng.uniform(0, 0.5) * (shade - shade.min()) / np.ptp(shade)) + rng.uniform(0, 0.3)
    photons = _log_uniform(rng, 20, 5000)
    image = rng.poisson(image.clip(min=0) * photons) / photons
    image = image + rng.normal(size=image.shape) * _log_uniform(rng, 0.001, 0.05)
    if rng.random() < 0.1:
        image = image.max() - image
    return (1000 * image).astype(np.float32)


def _smooth_field(rng: np.random.Generator, scale_px: float) -> Floats:
    """Return a random field of standard deviation 1 that varies over `scale_px`."""
    field = gaussian_filter(rng.normal(size=(SIZE_PX, SIZE_PX)), scale_px, mode="wrap")
    return field / field.std()


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def tell(event: Event) -> None:
    """Print each epoch and notice."""
    if isinstance(event, EpochEnd | Notice):
        print(event, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", default=Path("src/unveil/zoo/simulated-cells.safetensors"))
    main(parser.parse_args().output)
