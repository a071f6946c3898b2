"""Cellpose's convolutional network (that of cyto3) with random weights; see `turns.py`. Written for cellpose 3.1."""

from __future__ import annotations

from typing import Any

import torch
from cellpose.models import CellposeModel
from turns import Task, Turn, take_turns

DIAMETER_PX = 30
"""What the network is made for, so that nothing is resized."""


def prepare(task: Task) -> tuple[Turn, dict[str, Any]]:
    """Make the network, and return its evaluation without the search for masks, which random flows would mislead."""
    torch.set_num_threads(task.n_threads)
    torch.manual_seed(0)
    model = CellposeModel(gpu=False, pretrained_model=False, diam_mean=DIAMETER_PX)
    model.net.eval()
    image = task.grey()
    facts = {
        "timed": "CellposeModel.eval without masks: normalization, tiles of 224 × 224, flows and cell probability",
        "network": "Cellpose 3's residual U-Net, random weights",
        "n_parameters": sum(weights.numel() for weights in model.net.parameters()),
        "precision": "float32",
        "n_pixels": image.size,
    }
    return lambda: model.eval(image, channels=[0, 0], diameter=DIAMETER_PX, compute_masks=False), facts


if __name__ == "__main__":
    take_turns(prepare, ("numpy", "torch", "cellpose"))
