"""Bound the Lipschitz constants of the shipped models, layer by layer and as a whole, from both sides.

    python benchmarks/guarantees/lipschitz.py [--size 16] [--rounds 4] [--output FOLDER]

Per convolution three numbers: the maximum of its frequency response (periodic padding, images of `size`), what the
power method finds (the padding it really has, images of `size`; from below), and the certified upper bound (Gram
iteration). Per model two: the certified bound of the whole, and the largest ratio that an ascent reached; beside them
the seconds that each took. Writes ``lipschitz.json`` and ``lipschitz.md``.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

import unveil
from unveil import Model, load_model
from unveil.model.lipschitz import LOWER, UPPER, model_bound
from unveil.networks.layer_norms import convolutions, layer_norms
from unveil.networks.lipschitz import layer_bound
from unveil.operators.stretching import ascend, power_estimate

MODELS = ("fluorescence-denoiser", "nuclei", "simulated-cells")
START_PX = 32
"""Edge of the part of the check image from which the ascent begins."""


def main() -> None:
    """Bound every model, print and write the tables."""
    arguments = _arguments()
    zoo = Path(unveil.__file__).parent / "zoo"
    models = {name: load_model(zoo / f"{name}.safetensors") for name in MODELS}
    report = {name: _examined(model, arguments.size, arguments.rounds) for name, model in models.items()}
    page = _page(report, arguments.size)
    print(page)
    (arguments.output / "lipschitz.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    (arguments.output / "lipschitz.md").write_text(page + "\n", encoding="utf-8")


def _examined(model: Model, size: int, n_rounds: int) -> dict[str, Any]:
    bound_of = cache(layer_bound)
    upper, upper_seconds = _timed(lambda: model_bound(model, bound_of))
    network = copy.deepcopy(model.inference_module()).double()
    start = torch.from_numpy(model.check_input[..., :START_PX, :START_PX]).double()
    lower, lower_seconds = _timed(lambda: ascend(network, start, n_rounds=n_rounds))
    return {
        "upper": {"value": upper, "method": UPPER, "seconds": upper_seconds},
        "lower": {"value": lower, "method": LOWER, "seconds": lower_seconds},
        "at_check_image": power_estimate(network, start),
        "layers": [
            asdict(layer_norms(name, layer, size, of_layer=bound_of)) for name, layer in convolutions(model.network)
        ],
    }


def _timed(compute: Callable[[], float]) -> tuple[float, float]:
    started = time.perf_counter()
    value = compute()
    return value, round(time.perf_counter() - started, 2)


def _page(report: dict[str, Any], size: int) -> str:
    lines = ["# Lipschitz constants of the shipped models", "", *_wholes(report)]
    for name, of_model in report.items():
        lines += ["", f"## {name}", "", *_layers(of_model["layers"], size)]
    return "\n".join(lines)


def _wholes(report: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {found['at_check_image']:.1f} | {found['lower']['value'] - 0.05:.1f} "
        f"| {found['upper']['value'] * 1.005:.2e} | {found['lower']['seconds']} | {found['upper']['seconds']} |"
        for name, found in report.items()
    ]
    return [
        "From normalized intensities to the model's output, Euclidean norm. Bounds are rounded to their safe side.",
        "",
        "- estimate: power method on the Jacobian at the check image",
        f"- lower bound: {LOWER}",
        f"- upper bound: {UPPER}",
        "",
        "| model | estimate at the check image | lower bound | upper bound | seconds: lower | upper |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]


def _layers(layers: list[dict[str, Any]], size: int) -> list[str]:
    rows = [
        f"| `{layer['name']}` | {' × '.join(map(str, layer['kernel']))} | {layer['power_method']:.4f} "
        f"| {layer['periodic']:.4f} | {layer['certified'] + 5e-5:.4f} "
        f"| {layer['certified'] / layer['power_method']:.3f} |"
        for layer in layers
    ]
    return [
        f"| layer | weights | power method, {size}² (from below) | frequency response, periodic, {size}² "
        "| certified upper bound | certified / power method |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=16, help="edge of the images of the layers, in pixels")
    parser.add_argument("--rounds", type=int, default=4, help="of the ascent")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
