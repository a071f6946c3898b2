"""Write the scores that `benchmarks/accuracy/shipped_models.py` measured into the cards of the shipped models.

python recipes/record_scores.py benchmarks/accuracy/shipped_models.json
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from unveil import load_model, save_model
from unveil.model.card import MeasuredScores

DATA = {
    "nuclei": (
        "nuclei",
        "43 test images of dsb2018_fluo (Data Science Bowl 2018, fluorescence), never used in training",
    ),
    "denoise_fmd": ("fluorescence-denoiser", "32 frames of FMD (confocal, two-photon) against averages of 50"),
    "denoise_w2s": (
        "fluorescence-denoiser",
        "48 frames of W2S (widefield) against averages of 400, gain fitted; 36 of them helped to choose the recipe",
    ),
}
LEFT_OUT = {"model_sha256", "notices", "specimens", "moved"}


def main(report: dict[str, Any], zoo: Path) -> None:
    """Record each score under its model, refusing scores of other weights."""
    for name in sorted({model for model, _ in DATA.values()}):
        path = zoo / f"{name}.safetensors"
        model = load_model(path)
        scores = []
        for key, (owner, data) in DATA.items():
            if owner != name or key not in report:
                continue
            if report[key]["model_sha256"] != model.card.weights_sha256:
                sys.exit(f"The scores of {key} were measured with other weights than {path} holds. Measure them again.")
            scores.append(MeasuredScores(data=data, values={k: v for k, v in report[key].items() if k not in LEFT_OUT}))
        save_model(replace(model, card=model.card.model_copy(update={"scores": tuple(scores)})), path)
        print(f"{path}: {len(scores)} sets of scores")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path)
    main(json.loads(parser.parse_args().scores.read_text()), Path("src/unveil/zoo"))
