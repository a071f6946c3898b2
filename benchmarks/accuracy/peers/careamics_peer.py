"""Train CAREamics' Noise2Void on one image for a time, and denoise that image with it.

    python careamics_peer.py IN.npy OUT.npy SECONDS

The package's defaults for N2V, with the patches and batches of its guides. The time is that of the training steps:
imports, the statistics of the image before and the prediction after do not count. Written for careamics 0.3.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from careamics import CAREamist
from careamics.config.factories import create_advanced_n2v_config
from numpy.typing import NDArray

WITHOUT_END = -1
TILE_PX = 256


def main() -> None:
    """Read ``(Y, X)``, train, and write the denoised image."""
    source, target, seconds = sys.argv[1:]
    with TemporaryDirectory() as folder:
        np.save(target, denoised(np.load(source), float(seconds), Path(folder)))


def denoised(image: NDArray[Any], seconds: float, folder: Path) -> NDArray[Any]:
    """Train on `image` ``(Y, X)`` for `seconds`, and return it denoised."""
    config = create_advanced_n2v_config(
        experiment_name="n2v",
        data_type="array",
        axes="YX",
        patch_size=(64, 64),
        batch_size=8,
        num_epochs=WITHOUT_END,
        num_workers=0,  # an epoch is seven steps: starting workers for each would cost it more than they save
        trainer_params={"max_time": {"seconds": seconds}},
        seed=1,
    )
    careamist = CAREamist(config, work_dir=folder, enable_progress_bar=False)
    careamist.train(train_data=image)
    end = folder / "end.ckpt"
    careamist.trainer.save_checkpoint(end)  # its own are of every tenth epoch
    results, _ = careamist.predict(image, tile_size=(TILE_PX, TILE_PX), checkpoint=end)
    return np.asarray(results[0]).reshape(image.shape)


if __name__ == "__main__":
    main()
