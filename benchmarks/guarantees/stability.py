"""How far the output of the shipped models moves on the sample images: by chance, at worst found, at most certified.

    python benchmarks/guarantees/stability.py [--steps 8] [--output FOLDER] [--pictures FOLDER]

Writes ``stability.json``, ``stability.md`` and, of `nuclei`, the picture ``stability.png``: the region that was looked
at, and how sensitive the result is to each of its pixels. Nothing is timed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imsave

import unveil
from unveil import Image, StabilityOptions, load_model, stability
from unveil.io.samples import sample_for
from unveil.tasks.stability_report import Stability

MODELS = ("fluorescence-denoiser", "median-filter", "nuclei", "simulated-cells")
PICTURED = "nuclei"
ROOT = Path(__file__).parents[2]
ENLARGED = 3
BRIGHTEST = 99.5
"""Percentile of what is shown white."""


def main() -> None:
    """Examine every model; write what there is after each."""
    arguments = _arguments()
    zoo, report = Path(unveil.__file__).parent / "zoo", {}
    for name in MODELS:
        model = load_model(zoo / f"{name}.safetensors")
        image = sample_for(model.card)
        found = stability(image, model, options=StabilityOptions(n_steps=arguments.steps))
        report[name] = {key: value for key, value in found.as_dict().items() if key != "seconds"}
        print(f"{name}: {found.sentence}", flush=True)
        (arguments.output / "stability.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        (arguments.output / "stability.md").write_text(_page(report), encoding="utf-8")
        if name == PICTURED:
            imsave(arguments.pictures / "stability.png", _picture(image, found), check_contrast=False)


def _page(report: dict[str, Any]) -> str:
    lines = [
        "# How far the output of the shipped models moves on the sample images",
        "",
        "Perturbations are as strong as the image's own noise. *Stretch* is the Euclidean norm of the change of the "
        "output over that of the perturbation of the normalized image; *flipped* the share of pixels of another class.",
        "",
        "| model, image | strength | stretch: random | worst found | certified | flipped: random | worst found |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_row(name, found) for name, found in report.items()]
    lines += [
        "",
        "Shifted by 1 to the network's step: the result of the shifted image beside the shifted result, RMS and "
        "largest difference, in probability or grey values, away from the borders.",
        "",
        *(_shift_row(name, found["shifts"]) for name, found in report.items()),
        "",
        *(f"- {name}: {found['sentence']}" for name, found in report.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, found: dict[str, Any]) -> str:
    random, worst, bound = found["random"], found["found"] or {}, found["bound"]
    certified = "–" if bound is None else f"{bound * 1.005:.2e}"
    cells = [f"{found['strength']:.1%} of the range", _digits(random["stretch"]), _digits(worst.get("stretch"))]
    flipped = [_share(random["flipped"]), _share(worst.get("flipped"))]
    return f"| {name}, {found['image']} | {' | '.join([*cells, certified, *flipped])} |"


def _shift_row(name: str, shifts: list[dict[str, Any]]) -> str:
    return f"- {name}: " + "; ".join(f"{one['px']} px {one['rms']:.2g}, {one['largest']:.2g}" for one in shifts)


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _picture(image: Image, found: Stability) -> NDArray[np.uint8]:
    """Put the region beside its sensitivity."""
    assert found.sensitivity is not None
    region = np.asarray(image.data)[tuple(slice(start, stop) for start, stop in found.region)]
    both = [_bytes(region), np.full((len(region), 4), 255, np.uint8), _bytes(np.asarray(found.sensitivity.data))]
    return np.hstack(both).repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = np.percentile(values, (1, BRIGHTEST))
    return np.clip(255 * (values - low) / (high - low), 0, 255).astype(np.uint8)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="of each search")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result files")
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "images", help="folder for the picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
