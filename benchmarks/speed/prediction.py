"""Time one image to probabilities against the same network in plain eager PyTorch.

    python benchmarks/speed/prediction.py [--model nuclei] [--size 1024] [--repeats 5] [--json FILE]

Both see the same pixels on the same processor cores. The door's time holds everything from the image's grey values to
probabilities on its grid: statistics, normalization, tiles, and giving the memory back. PyTorch's time is the bare
call of the network on the whole normalized image. The two take turns, so that other load hits both, and each ratio is
that of neighbours. Labels are timed apart, since PyTorch's network makes none.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.config.architecture import UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.config.options import SegmentationOptions
from unveil.events import ignore
from unveil.image import Image, frames
from unveil.inference.tiling import Window
from unveil.io.model_file import load_model
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.build import build_network
from unveil.operators.normalization import fit_array
from unveil.tasks.running import running
from unveil.tasks.segment import segment


def untrained_model() -> Model:
    """Make the lecture's U-Net with one more map for the distance, and PyTorch's initial weights."""
    architecture = UNetConfig(out_channels=3)
    card = ModelCard.describe(
        architecture,
        name="untrained U-Net",
        task="segmentation",
        classes=("background", "foreground"),
        objects=ObjectRule(),
        normalization=PercentileNormalization(),
    )
    torch.manual_seed(0)
    check_input = np.random.default_rng(0).random((1, 1, 64, 64), dtype=np.float32)
    return Model.make(card, build_network(architecture), check_input)


def make_image(size: int) -> Image:
    """Draw bright discs on a noisy ground."""
    rng = np.random.default_rng(0)
    grid = np.moveaxis(np.indices((size, size)), 0, -1)
    pixels = rng.normal(200, 10, (size, size))
    for _ in range(size * size // 4000):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(6, 14)
        top, left = (int(max(c - radius, 0)) for c in centre)
        box = (slice(top, top + 30), slice(left, left + 30))
        pixels[box] += 800 * (((grid[box] - centre) ** 2).sum(axis=-1) < radius**2)
    return Image(pixels.astype(np.uint16), name="discs")


def predict(image: Image, model: Model, options: SegmentationOptions) -> NDArray[np.float32]:
    """Compute the probabilities of `image` as `segment` does, without making labels."""
    probabilities = np.empty(image.shape, np.float32)

    def keep(window: Window, maps: NDArray[np.float32]) -> None:
        probabilities[window] = maps[1]

    with running(image, [model], options, scale=(), n_frames=1, monitor=ignore) as run:
        run.predict(next(frames(image, 2, (0,))), keep)
    return probabilities


def seconds(call: Callable[[], object]) -> float:
    """Return how long `call` takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def spread(values: list[float]) -> dict[str, float]:
    """Return the smallest, the middle and the largest of `values`."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def measure(model: Model, image: Image, options: SegmentationOptions, repeats: int) -> dict[str, object]:
    """Time both ways in turn; the first call of each, which sets things up, is timed apart."""
    grey = np.asarray(image.data)[np.newaxis]
    batch = torch.from_numpy(fit_array(model.card.normalization, grey).apply(grey)[np.newaxis])
    network = model.inference_module()

    def eager() -> object:
        with torch.inference_mode():
            return network(batch)

    def door() -> object:
        return predict(image, model, options)

    first_door, first_eager = seconds(door), seconds(eager)
    pairs = [(seconds(door), seconds(eager)) for _ in range(repeats)]
    with torch.inference_mode():
        difference = np.abs(predict(image, model, options) - network(batch)[0, 1].numpy()).max()
    result = segment(image, model, options=options, monitor=ignore)
    return {
        "model": model.card.name,
        "n_parameters": sum(p.numel() for p in model.network.parameters()),
        "size": list(image.shape),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "engine": result.report.engine,
        "precision": result.report.precision,
        "tile": list(result.report.tile),
        "door_seconds": spread([door for door, _ in pairs]),
        "eager_seconds": spread([eager for _, eager in pairs]),
        "ratio": spread([eager / door for door, eager in pairs]),
        "first_door_seconds": first_door,
        "first_eager_seconds": first_eager,
        "door_with_labels_seconds": result.report.seconds,
        "max_probability_difference": float(difference),
        "versions": result.report.versions,
    }


def processor() -> dict[str, object]:
    """Name the processor, and what it can do in half precision."""
    import openvino

    core = openvino.Core()
    return {
        "name": str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip() or platform.processor(),
        "capabilities": list(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="name or file of a 2D segmentation model; the untrained U-Net if not given")
    parser.add_argument("--size", type=int, default=1024, help="edge of the image in pixels")
    parser.add_argument("--repeats", type=int, default=5, help="how often each way is timed")
    parser.add_argument("--precision", choices=["auto", "exact", "fast"], default="auto")
    parser.add_argument("--json", type=Path, help="write the result here")
    given = parser.parse_args()
    model = load_model(given.model) if given.model else untrained_model()
    options = SegmentationOptions(device="cpu", precision=given.precision)
    result = measure(model, make_image(given.size), options, given.repeats)
    text = json.dumps(result, indent=2)
    if given.json:
        given.json.write_text(text + "\n")
    sys.stdout.write(text + "\n")
    ratio = result["ratio"]
    assert isinstance(ratio, dict)
    sys.stderr.write(
        f"{result['model']}, {given.size} × {given.size}, {result['engine']} {result['precision']}: "
        f"{ratio['median']:.1f} × eager PyTorch ({ratio['min']:.1f} to {ratio['max']:.1f}).\n"
    )


if __name__ == "__main__":
    main()
