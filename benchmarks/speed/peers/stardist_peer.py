"""StarDist's default network for two dimensions with random weights; see `turns.py`. Written for stardist 0.9."""

from __future__ import annotations

from typing import Any

import tensorflow
from csbdeep.utils import normalize
from stardist.models import Config2D, StarDist2D
from turns import Task, Turn, take_turns

TILE_PX = 1024


def prepare(task: Task) -> tuple[Turn, dict[str, Any]]:
    """Make the network, and return its prediction without the search for objects, which random maps would mislead."""
    tensorflow.config.threading.set_intra_op_parallelism_threads(task.n_threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(task.n_threads)
    tensorflow.random.set_seed(0)
    model = StarDist2D(Config2D(n_rays=32, grid=(2, 2)), basedir=None)
    image = task.grey()
    tiles = tuple(-(-size // TILE_PX) for size in image.shape)

    def predict() -> object:
        return model.predict(normalize(image, 1, 99.8), n_tiles=tiles, show_tile_progress=False)

    facts = {
        "timed": f"normalization and predict in tiles of about {TILE_PX} × {TILE_PX}: probabilities and distances at "
        "half the image's resolution",
        "network": "StarDist's U-Net, 32 rays on a grid of 2 × 2, random weights",
        "n_parameters": model.keras_model.count_params(),
        "precision": "float32",
        "n_pixels": image.size,
    }
    return predict, facts


if __name__ == "__main__":
    take_turns(prepare, ("numpy", "stardist", "csbdeep", "tensorflow-cpu"))
