"""MONAI's sliding window over our network, in eager PyTorch; see `turns.py`. Written for monai 1.6.

Needs monai, and what our model file needs.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import sliding_window_inference
from turns import Task, Turn, seconds, take_turns

from unveil import load_model

ROI_PX = 256
OVERLAP = 0.25
BATCHES = (1, 4)
TRIAL_PX = 640


def prepare(task: Task) -> tuple[Turn, dict[str, Any]]:
    """Build our network, choose the quicker size of batch on a corner, and return the inference."""
    torch.set_num_threads(task.n_threads)
    network = load_model(task.model).inference_module()
    image = torch.from_numpy(task.batch())

    def infer(pixels: torch.Tensor, n_windows: int) -> torch.Tensor:
        with torch.inference_mode():
            maps = sliding_window_inference(pixels, (ROI_PX,) * 2, n_windows, network, OVERLAP, mode="gaussian")
        assert isinstance(maps, torch.Tensor)
        return maps

    corner = image[..., :TRIAL_PX, :TRIAL_PX]
    infer(corner, BATCHES[0])
    best = min(BATCHES, key=lambda n: seconds(lambda: infer(corner, n)))
    facts = {
        "timed": f"sliding_window_inference of the normalized image, windows of {ROI_PX} × {ROI_PX}, overlap "
        f"{OVERLAP}, gaussian, {best} at once (the quicker of {' and '.join(map(str, BATCHES))})",
        "network": "ours",
        "n_parameters": sum(weights.numel() for weights in network.parameters()),
        "precision": "float32",
        "n_pixels": image.numel(),
    }
    return lambda: infer(image, best), facts


if __name__ == "__main__":
    take_turns(prepare, ("numpy", "torch", "monai"))
