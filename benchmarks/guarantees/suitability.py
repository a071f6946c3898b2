"""Measure how surely unlike images are told from those that taught a model, and how well a wrong scale is guessed.

    python benchmarks/guarantees/suitability.py DATA [--model FILE] [--output FOLDER] [--picture FILE]

DATA holds `dsb2018_fluo` (its `test/images`, and `val/images` beside them), `em_isbi2012`, `em_drosophila_vnc`,
`phase_usiigaci`, `dsb2018_other` and `noisy_cells_n2f`. The threshold is the card's: it was set from training images.
Colours are averaged to grey. Inverted is the largest value less the image; rescaled are the test images
by `skimage.transform.rescale`, linear, with antialiasing where they shrink. Writes ``suitability.json`` and
``suitability.md``, and a picture of the scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import rescale

from unveil import Image, Model, load_model
from unveil.io.images import find_images, read_image
from unveil.tasks.suitability import Suitability, compare

FACTORS = {"× 3": 3.0, "÷ 3": 1 / 3, "× 2": 2.0, "÷ 2": 0.5, "× 2.5": 2.5, "÷ 2.5": 0.4}
TOLERANCE = 0.25
OTHERS = {
    "EM, brain": ("em_isbi2012/train/images", "em_isbi2012/val/images", "em_isbi2012/unlabelled_test"),
    "EM, nerve cord": ("em_drosophila_vnc/raw.tif",),
    "phase contrast": ("phase_usiigaci/train/images", "phase_usiigaci/val/images", "phase_usiigaci/test/images"),
    "bright-field": ("dsb2018_other/brightfield_gray/images",),
    "stained tissue": ("dsb2018_other/stained_rgb/images",),
    "very noisy cells": ("noisy_cells_n2f/images",),
}
Grey = NDArray[np.float32]


def main(data: Path, model: Model, output: Path, picture: Path | None) -> None:
    """Compare every image, print and write the tables."""
    found = {name: _compared(model, images) for name, images in _kinds(data)}
    report = {"model": model.card.name, "kinds": _table(found), "rescaling": _rescaling(found)}
    unlike = [score for name, each in found.items() if name not in ("validation", "test") for score in _scores(each)]
    report["auroc_of_all"] = _auroc(_scores(found["test"]), unlike)
    page = _page(report)
    print(page)
    (output / "suitability.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / "suitability.md").write_text(page + "\n", encoding="utf-8")
    if picture is not None:
        picture.write_text(_drawing(found), encoding="utf-8")


def _kinds(data: Path) -> Iterator[tuple[str, Iterator[Grey]]]:
    test = data / "dsb2018_fluo" / "test" / "images"
    yield "validation", greys(data / "dsb2018_fluo" / "val" / "images")
    yield "test", greys(test)
    for name, places in OTHERS.items():
        yield name, greys(*(data / place for place in places))
    yield "inverted", (grey.max() - grey for grey in greys(test))
    for name, factor in FACTORS.items():
        yield name, (_rescaled(grey, factor) for grey in greys(test))


def greys(*places: Path) -> Iterator[Grey]:
    """Yield the planes of all image files in `places`, colours averaged, ``(Y, X)``."""
    for file in find_images(places):
        image = read_image(file)
        pixels = np.asarray(image.data, np.float32)
        if "C" in image.axes:
            pixels = pixels.mean(axis=image.axes.index("C"))
        yield from pixels.reshape(-1, *pixels.shape[-2:])


def _rescaled(grey: Grey, factor: float) -> Grey:
    small: Grey = rescale(grey, factor, order=1, anti_aliasing=factor < 1, preserve_range=True)
    return small.astype(np.float32)


def _compared(model: Model, images: Iterator[Grey]) -> list[Suitability]:
    return [compare(Image(grey), model) for grey in images]


def _scores(found: list[Suitability]) -> list[float]:
    return [each.score for each in found if each.score is not None]


def _auroc(like: list[float], unlike: list[float]) -> float:
    """Return the share of pairs in which the unlike image has the higher score (Mann–Whitney)."""
    below = np.array(like)[:, None] < np.array(unlike)
    equal = np.array(like)[:, None] == np.array(unlike)
    return float((below + equal / 2).mean())


def _table(found: dict[str, list[Suitability]]) -> dict[str, Any]:
    test = _scores(found["test"])
    return {
        name: {
            "n": len(each),
            "median_score": float(np.median(_scores(each))),
            "alarms": sum(one.verdict == "unlike" for one in each) / len(each),
            "suggests_rescaling": sum(one.suggested_rescale is not None for one in each) / len(each),
            "auroc": None if name in ("validation", "test") else _auroc(test, _scores(each)),
        }
        for name, each in found.items()
    }


def _rescaling(found: dict[str, list[Suitability]]) -> dict[str, Any]:
    """Say how many suggestions are right; an image without one counts as wrong in the first share."""
    result = {}
    for name, factor in FACTORS.items():
        ratios = [one.suggested_rescale * factor for one in found[name] if one.suggested_rescale is not None]
        right = sum(abs(ratio - 1) <= TOLERANCE for ratio in ratios)
        result[name] = {
            "right_of_all": right / len(found[name]),
            "right_of_suggested": right / max(len(ratios), 1),
            "suggested": len(ratios) / len(found[name]),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    return result


def _page(report: dict[str, Any]) -> str:
    lines = [
        f"`{report['model']}`; scores over the card's threshold, alarms above 1. AUROC against the test images; of all "
        f"unlike images together {report['auroc_of_all']:.3f}.",
        "",
        "| images | number | median score | alarms | rescaling suggested | AUROC |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in report["kinds"].items():
        auroc = "" if row["auroc"] is None else f"{row['auroc']:.3f}"
        lines.append(
            f"| {name} | {row['n']} | {row['median_score']:.2f} | {row['alarms']:.0%} | "
            f"{row['suggests_rescaling']:.0%} | {auroc} |"
        )
    lines += [
        "",
        "Suggested factors within 25 % of the true one:",
        "",
        "| images | of all | of those with a suggestion |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {row['right_of_all']:.0%} | {row['right_of_suggested']:.0%} |"
        for name, row in report["rescaling"].items()
    ]
    return "\n".join(lines)


WIDTH, ROW, LEFT = 640, 22, 130
LOWEST, HIGHEST = 0.25, 64.0


def _drawing(found: dict[str, list[Suitability]]) -> str:
    """Draw every score as a dot, a row per kind, on a logarithmic axis."""
    height = ROW * len(found) + 40
    x = _axis()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="4" y2="{height - 32}" stroke="#c00" stroke-dasharray="4 3"/>',
    ]
    for number, (name, each) in enumerate(found.items()):
        y = ROW * number + 18
        colour = "#1f77b4" if name in ("validation", "test") else "#d95f02"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{name}</text>')
        parts += [
            f'<circle cx="{x(score):.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.35"/>'
            for score in _scores(each)
        ]
    for tick in (0.5, 1, 2, 4, 8, 16, 32):
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{x(4):.1f}" y="{height - 2}" text-anchor="middle">score (alarm above 1)</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axis() -> Callable[[float], float]:
    span = np.log(HIGHEST / LOWEST)
    return lambda score: LEFT + (WIDTH - LEFT - 10) * float(np.log(np.clip(score, LOWEST, HIGHEST) / LOWEST) / span)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nuclei", help="name or file of a model whose card keeps its appearance")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--picture", type=Path, help="SVG of the scores")
    given = parser.parse_args()
    main(given.data, load_model(given.model), given.output, given.picture)
