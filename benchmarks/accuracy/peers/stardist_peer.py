"""Train StarDist on nuclei for some time and label the test images: what `stardist.py` runs, in its own environment.

    PEERS/bin/python benchmarks/accuracy/peers/stardist_peer.py --data FOLDER --work FOLDER --seconds SECONDS

StarDist's defaults with 32 rays on a grid of (2, 2), the normalization and augmentation of its example notebook, and
thresholds chosen on ``val`` as it does there. SECONDS count all calls: a training that ended sooner, or was stopped,
goes on after its last epoch, at the learning rate it had but without Adam's momentum.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import stardist
import tensorflow
import tifffile
from csbdeep.utils import normalize
from numpy.typing import NDArray
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D

LAST = "weights_last.h5"
NOTHING_YET = {"seconds": 0.0, "n_epochs": 0, "n_steps": 0}

Arrays = Sequence[NDArray[Any]]


def main(data: Path, work: Path, seconds: float) -> None:
    """Train until `seconds` are used, choose the thresholds, and write labels and what was done."""
    model = StarDist2D(Config2D(n_rays=32, grid=(2, 2), train_tensorboard=False), name="stardist", basedir=str(work))
    state = train(model, data, work / "stardist.json", seconds)
    model.load_weights("weights_best.h5")
    thresholds = model.optimize_thresholds(*images_and_masks(data / "val"))
    (work / "labels").mkdir(exist_ok=True)
    for path in sorted((data / "test" / "images").glob("*.tif")):
        labels, _ = model.predict_instances(normalized(path))
        tifffile.imwrite(work / "labels" / path.name, labels.astype(np.uint16), compression="zlib")
    state |= {
        "thresholds": thresholds,
        "n_parameters": model.keras_model.count_params(),
        "versions": {module.__name__: module.__version__ for module in (stardist, keras, tensorflow)},
    }
    (work / "stardist_run.json").write_text(json.dumps(state, indent=2) + "\n")


def train(model: StarDist2D, data: Path, file: Path, seconds: float) -> dict[str, Any]:
    """Train for what is left of `seconds`, and return how far it came."""
    state: dict[str, Any] = json.loads(file.read_text()) if file.exists() else dict(NOTHING_YET)
    epochs = model.config.train_epochs - state["n_epochs"]
    if state["seconds"] >= seconds or epochs <= 0:
        return state
    model.prepare_for_training()
    if state["n_epochs"]:
        model.load_weights(LAST)
        model.keras_model.optimizer.learning_rate.assign(state["learning_rate"])
    best = next(one for one in model.callbacks if getattr(one, "save_best_only", False))
    best.best = state.get("best", best.best)
    model.callbacks.append(Clock(Path(model.logdir) / LAST, file, state, seconds, best))
    images, masks = images_and_masks(data / "train")
    model.train(
        images,
        masks,
        validation_data=images_and_masks(data / "val"),
        augmenter=Augmenter(np.random.default_rng(state["n_steps"])),
        seed=0,  # so that every call validates on the same patches
        epochs=epochs,
    )
    return state


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a training when its time is up, and keeps weights and numbers after each epoch."""

    def __init__(self, weights: Path, file: Path, state: dict[str, Any], seconds: float, best: Any) -> None:
        super().__init__()
        self.weights, self.file, self.state, self.seconds, self.best = weights, file, state, seconds, best
        self.before = float(state["seconds"])

    def on_train_begin(self, logs: Any = None) -> None:
        """Start counting."""
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count a step, and ask for the end where the time is up."""
        self.state["n_steps"] += 1
        self.model.stop_training = self._seconds() >= self.seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write what a later call needs to go on."""
        self.state["n_epochs"] += 1
        self.state["seconds"] = self._seconds()
        self.state["learning_rate"] = float(self.model.optimizer.learning_rate)
        self.state["best"] = float(self.best.best)
        self.model.save_weights(str(self.weights))
        self.file.write_text(json.dumps(self.state, indent=2) + "\n")

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started


class Augmenter:
    """Mirrors, turns, and changes brightness and noise, as StarDist's example notebook does."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, image: NDArray[Any], mask: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a changed copy of a square patch and its mask."""
        turns, mirrored = int(self.rng.integers(4)), self.rng.integers(2)
        image, mask = (np.rot90(array[:: -1 if mirrored else 1], turns) for array in (image, mask))
        image = image * self.rng.uniform(0.6, 2) + self.rng.uniform(-0.2, 0.2)
        return image + 0.02 * self.rng.uniform() * self.rng.normal(size=image.shape), mask


def images_and_masks(folder: Path) -> tuple[Arrays, Arrays]:
    """Read normalized images and masks without holes."""
    paths = sorted((folder / "images").glob("*.tif"))
    masks = [fill_label_holes(tifffile.imread(folder / "masks" / path.name)) for path in paths]
    return [normalized(path) for path in paths], masks


def normalized(path: Path) -> NDArray[Any]:
    """Read an image and bring its percentiles 1 and 99.8 to 0 and 1."""
    return np.asarray(normalize(tifffile.imread(path), 1, 99.8, axis=(0, 1)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train, val and test")
    parser.add_argument("--work", type=Path, required=True, help="folder for weights and labels")
    parser.add_argument("--seconds", type=float, required=True, help="time of training, over all calls")
    given = parser.parse_args()
    main(given.data, given.work, given.seconds)
