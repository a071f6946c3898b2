"""Train a denoiser on one noisy frame alone, and compare its result with the average of many frames.

    python benchmarks/accuracy/noisy_only.py --data FOLDER [--seconds 120] [--output FOLDER]

FOLDER holds ``noisy/`` and ``target/`` (denoise_fmd). The first frame of each confocal specimen teaches itself, for
`seconds` from the start to the model; the target only scores. A Gaussian filter stands beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from unveil import DenoisingTraining, Image, denoise, train
from unveil.events import ignore
from unveil.io.images import read_image
from unveil.io.pairs import pair_files
from unveil.operators.metrics import DenoisingTally

GOAL_DB = 3.0
START_UP_S = 4


def main() -> None:
    """Train on each frame, print and write the table."""
    arguments = _arguments()
    first: dict[str, tuple[Path, Path]] = {}
    for noisy, clean in pair_files(arguments.data / "noisy", arguments.data / "target"):
        if clean.stem.startswith("Confocal"):
            first.setdefault(clean.stem, (noisy, clean))
    rows = []
    for name, (noisy, clean) in list(first.items())[: arguments.frames]:
        rows.append({"frame": name, **train_on(read_image(noisy), read_image(clean), arguments.seconds)})
        print(json.dumps(rows[-1]), flush=True)
    report = {"seconds": arguments.seconds, "goal_db": GOAL_DB, "rows": rows}
    (arguments.output / "noisy_only.json").write_text(json.dumps(report, indent=2) + "\n")


def train_on(noisy: Image, clean: Image, seconds: float) -> dict[str, Any]:
    """Train on the frame itself, denoise it, and return the gains in dB."""
    started = time.monotonic()
    model = train([noisy], None, DenoisingTraining(time_budget_s=seconds - START_UP_S), monitor=ignore)
    taken = time.monotonic() - started
    results = {
        "gain_db": np.asarray(denoise(noisy, model, monitor=ignore).image.data),
        "gain_db_gaussian": gaussian_filter(np.asarray(noisy.data, float), 1.0),
    }
    row: dict[str, Any] = {"seconds": round(taken, 1)}
    for name, result in results.items():
        tally = DenoisingTally()
        tally.add(np.asarray(noisy.data), result, np.asarray(clean.data))
        row[name] = round(tally.sums["psnr"] - tally.sums["psnr_noisy"], 2)
    return row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--seconds", type=float, default=120, help="time of each training")
    parser.add_argument("--frames", type=int, default=4, help="how many frames, one per specimen")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
