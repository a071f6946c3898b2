"""CAREamics' tiled prediction with its default network for Noise2Void; see `turns.py`. Written for careamics 0.3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from careamics import CAREamist
from careamics.config.factories import create_advanced_n2v_config
from turns import Task, Turn, take_turns

TILE_PX = 256
BATCH = 4
TRAINING_PX = 256


def prepare(task: Task) -> tuple[Turn, dict[str, Any]]:
    """Train for one step, since the package predicts from checkpoints, and return its prediction."""
    torch.set_num_threads(task.n_threads)
    image = task.grey()
    careamist, checkpoint = _trained(task)

    def predict() -> object:
        return careamist.predict(image, tile_size=(TILE_PX,) * 2, batch_size=BATCH, checkpoint=checkpoint)

    facts = {
        "timed": f"CAREamist.predict: normalization, tiles of {TILE_PX} × {TILE_PX} with an overlap of 48, {BATCH} at "
        "once, and reading the checkpoint",
        "network": "CAREamics' default U-Net for N2V, after one step of training",
        "n_parameters": sum(weights.numel() for weights in careamist.model.parameters()),
        "precision": "float32",
        "n_pixels": image.size,
    }
    return predict, facts


def _trained(task: Task) -> tuple[CAREamist, Path]:
    config = create_advanced_n2v_config(
        experiment_name="n2v",
        data_type="array",
        axes="YX",
        patch_size=(64, 64),
        batch_size=1,
        num_epochs=1,
        num_workers=0,
        trainer_params={"max_steps": 1},
        seed=1,
    )
    folder = task.folder
    careamist = CAREamist(config, work_dir=folder, enable_progress_bar=False)
    careamist.train(train_data=task.grey()[:TRAINING_PX, :TRAINING_PX])
    checkpoint = folder / "end.ckpt"
    careamist.trainer.save_checkpoint(checkpoint)
    return careamist, checkpoint


if __name__ == "__main__":
    take_turns(prepare, ("numpy", "torch", "careamics", "lightning"))
