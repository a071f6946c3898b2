"""Count how often `fluorescence-denoiser` says of an image that it is unlike those that taught it.

    python benchmarks/guarantees/denoiser_suitability.py DATA [--model FILE] [--output FOLDER]

DATA holds `denoise_fmd`, `denoise_w2s`, `denoise_natural`, `em_isbi2012` and `em_drosophila_vnc`. Noisy fluorescence is
what the model is for; images without noise have nothing to take away; the others are another world. Writes
``denoiser_suitability.json`` and prints a table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from suitability import greys

from unveil import Image, Model, load_model
from unveil.tasks.suitability import compare

KINDS = {
    "noisy fluorescence (FMD)": "denoise_fmd/noisy",
    "noisy fluorescence (W2S)": "denoise_w2s/val/noisy",
    "the same without noise (FMD)": "denoise_fmd/target",
    "natural images": "denoise_natural/bsd68",
    "EM, brain": "em_isbi2012/train/images",
    "EM, nerve cord": "em_drosophila_vnc/raw.tif",
}


def main(data: Path, model: Model, output: Path) -> None:
    """Compare every image, print a row per kind, and write the table."""
    table = {}
    print("| images | number | median score | unlike |\n| --- | --- | --- | --- |")
    for name, place in KINDS.items():
        found = [compare(Image(grey), model) for grey in greys(data / place)]
        unlike = sum(one.verdict == "unlike" for one in found)
        scores = [one.score for one in found if one.score is not None]
        table[name] = {"n": len(found), "median_score": float(np.median(scores)), "unlike": unlike}
        print(f"| {name} | {len(found)} | {np.median(scores):.2f} | {unlike} |", flush=True)
    report = {"model": model.card.name, "kinds": table}
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    (output / "denoiser_suitability.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="fluorescence-denoiser", help="name or file of a denoiser")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    main(given.data, load_model(given.model), given.output)
