"""Ours: an image to probabilities through the door, or the bare engine on one whole image; see `turns.py`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import torch
from turns import Task, Turn, take_turns

from unveil import Image, SegmentationOptions, load_model
from unveil.events import ignore
from unveil.inference.engines import open_engine
from unveil.model.model import Model
from unveil.networks.build import count_parameters
from unveil.tasks.running import running

PREDICTION = runpy.run_path(str(Path(__file__).parents[1] / "prediction.py"))


def prepare(task: Task) -> tuple[Turn, dict[str, Any]]:
    """Load the model, and return the door or the engine, as ``options["raw_size"]`` says (0 for the door)."""
    torch.set_num_threads(task.n_threads)
    model = load_model(task.model)
    options = SegmentationOptions(device="cpu", precision=task.options["precision"], denoise_first="off")
    size = task.options["raw_size"]
    turn, facts = _raw(task, model, options, size) if size else _door(task, model, options)
    return turn, facts | {"network": f"U-Net of '{model.card.name}'", "n_parameters": count_parameters(model.network)}


def _door(task: Task, model: Model, options: SegmentationOptions) -> tuple[Turn, dict[str, Any]]:
    """Return what `segment` does up to the probabilities: statistics, normalization, tiles."""
    image = Image(task.grey(), name="image")
    with running(image, [model], options, scale=(), n_frames=1, monitor=ignore) as run:
        report = run.finish()
    tile = " × ".join(map(str, report.tile))
    facts = {
        "timed": f"the door, from grey values to probabilities, with {report.engine} in tiles of {tile}",
        "precision": report.precision,
        "n_pixels": image.data.size,
    }
    return lambda: PREDICTION["predict"](image, model, options), facts


def _raw(task: Task, model: Model, options: SegmentationOptions, size: int) -> tuple[Turn, dict[str, Any]]:
    """Return as many calls of the engine on one normalized corner as give the pixels of the image."""
    batch = task.batch()
    n_calls = max(1, round(batch.size / size**2))
    corner = batch[..., :size, :size].copy()
    engine = open_engine(model, options, lambda _: None)

    def compute() -> None:
        for _ in range(n_calls):
            engine.compute(corner)

    facts = {
        "timed": f"the bare engine ({engine.library}) on a whole normalized image of {size} × {size}, {n_calls} times",
        "precision": engine.precision,
        "n_pixels": n_calls * corner.size,
    }
    return compute, facts


if __name__ == "__main__":
    take_turns(prepare, ("numpy", "torch", "openvino"))
