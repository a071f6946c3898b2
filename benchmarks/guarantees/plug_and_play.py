"""Plug a denoiser into a deconvolution: what iterating it many times makes of the certified one, and of a plain DnCNN.

    python benchmarks/guarantees/plug_and_play.py --data FOLDER [--stable MODEL] [--plain MODEL] [--dilated MODEL]
        [--output FOLDER] [--figure SVG] [--iterations N]

Clean images (FOLDER, grey values 0 to 255) are blurred and get noise. Forward–backward splitting takes turns between
the data and the denoiser D::

    x ← (1 − α) z + α D(z),   z = x − τ Aᵀ (A x − b)

With D nonexpansive, α < 1 and τ < 2/‖A‖², both halves are averaged operators, and x converges to a fixed point wherever
there is one (Krasnosel'skii and Mann; Bauschke and Combettes 2017, theorem 5.15). Otherwise nothing is known. The step
‖x_{k+1} − x_k‖ tells which it is: in the first case it never grows.

The noise is weaker than what the denoisers know, 25 grey values: D(z) = s N(z / s) shows the network N the image in
more contrast, which changes no Lipschitz constant. A model that is normalized by the noise of each image is given the
standard deviation 25 once for all, so that D is one operator.

The first of `PROBLEMS` is drawn, a mean over three images; what came of the others, on one image, is summed up. A model
that is not given keeps the figures it has.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unveil import Image, Model, load_model
from unveil.config.normalization import FixedNormalization
from unveil.io.images import find_images, read_image
from unveil.model.lipschitz import model_bound
from unveil.operators.noise import add_gaussian

GREY, DENOISER_SIGMA = 255.0, 25.0
EDGE_PX, N_IMAGES = 128, 3
LOWEST_PSNR, LARGEST_STEP = 10.0, 1e3
"""Where the figure ends."""
ROUNDING = 1e-10
"""Step in grey values below which it is chance whether it grows: float64 resolves 3e-14 of 255."""
OVERFLOW = 1e9
"""Step in grey values at which an iteration is given up; what it had reached is repeated to the end."""

Plane = NDArray[np.float64]
Curves = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Problem:
    """What happened to an image, noise in grey values, and how the iteration goes about it: τ, α and 1/s."""

    blur: str = "Gaussian, 1.6 px"
    noise: float = 2.55
    tau: float = 1.0
    alpha: float = 0.9
    contrast: float = 5.0


PROBLEMS = (
    Problem(),
    Problem(tau=1.9),
    Problem(noise=2**0.5, contrast=10.0),
    Problem(noise=10.0, contrast=1.0),
    Problem("uniform, 9 px", noise=2**0.5),
    Problem("motion, 15 px"),
)


def _box(frequency: Plane, edge: int) -> Plane:
    """Return the gain of a mean over `edge` pixels, an odd number, along one axis."""
    return sum((np.cos(2 * np.pi * frequency * n) for n in range(-(edge // 2), edge // 2 + 1)), 0 * frequency) / edge


BLURS: dict[str, Callable[[Plane, Plane], Plane]] = {
    "Gaussian, 1.6 px": lambda y, x: np.exp(-2 * (math.pi * 1.6) ** 2 * (y**2 + x**2)),
    "uniform, 9 px": lambda y, x: _box(y, 9) * _box(x, 9),
    "motion, 15 px": lambda y, x: _box(x, 15),
}
"""Gains over the frequencies along both axes, real and of magnitude 1 at most."""


def main() -> None:
    """Run every denoiser that is given on the images of each problem, and write what the iterations did."""
    arguments = _arguments()
    planes = [_plane(path) for path in find_images([arguments.data])[:N_IMAGES]]
    path = arguments.output / "plug_and_play.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in COLOURS:
        if file := getattr(arguments, name.split()[0].removeprefix("dncnn-")):
            report[name] = measured(load_model(file), planes, arguments.iterations)
            path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.figure:
        arguments.figure.write_text(figure({name: report[name]["curves"] for name in report}), encoding="utf-8")


def measured(model: Model, planes: list[Plane], n_iterations: int) -> dict[str, object]:
    """Return what comes of every problem, and the curves of the first."""
    rows, drawn = [], Curves()
    for problem in PROBLEMS:
        shown = planes if problem is PROBLEMS[0] else planes[:1]
        curves = mean_curves(shown, model, problem, n_iterations)
        rows.append({**asdict(problem), "images": len(shown), **_summary(curves)})
        drawn = drawn or {what: [float(f"{value:.4g}") for value in values] for what, values in curves.items()}
        print(model.card.name, rows[-1], flush=True)
    return {"model": model.card.name, "certified bound": model_bound(model), "problems": rows, "curves": drawn}


def mean_curves(planes: list[Plane], model: Model, problem: Problem, n_iterations: int) -> Curves:
    """Return what :func:`restored` does to `planes`, on average; the seed of the noise is the number of the plane."""
    operator = denoiser(model, problem.contrast)
    runs = [restored(plane, operator, problem, seed, n_iterations) for seed, plane in enumerate(planes)]
    return {what: np.mean([run[what] for run in runs], axis=0).tolist() for what in ("psnr", "step")}


def restored(clean: Plane, denoise: Callable[[Plane], Plane], problem: Problem, seed: int, n_iterations: int) -> Curves:
    """Blur `clean`, add noise, iterate, and return PSNR and step, root mean square in grey values, per iteration."""
    blurred = _blur(problem.blur, clean.shape)
    data = blurred(clean) + add_gaussian(np.zeros(clean.shape, np.float32), problem.noise, seed)
    image, curves = data, Curves(psnr=[], step=[])
    while len(curves["step"]) < n_iterations:
        forward = image - problem.tau * blurred(blurred(image) - data)  # the blur is its own adjoint
        moved = (1 - problem.alpha) * forward + problem.alpha * denoise(forward)
        curves["step"].append(float(np.sqrt(np.mean((moved - image) ** 2))))
        image = moved
        curves["psnr"].append(float(10 * np.log10(GREY**2 / np.mean((image - clean) ** 2))))
        if not curves["step"][-1] < OVERFLOW:
            for values in curves.values():
                values[-1:] = values[-2:-1] * (n_iterations - len(values) + 1)
    return curves


def denoiser(model: Model, contrast: float) -> Callable[[Plane], Plane]:
    """Return the network of `model` as one operator on grey values."""
    normalization = model.card.normalization
    is_fixed = isinstance(normalization, FixedNormalization)
    mean, scale = (normalization.mean[0], normalization.std[0]) if is_fixed else (0.0, DENOISER_SIGMA)
    scale /= contrast
    network = model.network.double()

    def apply(plane: Plane) -> Plane:
        with torch.inference_mode():
            return network((torch.from_numpy(plane)[None, None] - mean) / scale)[0, 0].numpy() * scale + mean

    return apply


def _blur(name: str, shape: tuple[int, ...]) -> Callable[[Plane], Plane]:
    """Return a blur with periodic borders, of norm 1."""
    gain = BLURS[name](*np.meshgrid(*(np.fft.fftfreq(size) for size in shape), indexing="ij"))
    return lambda plane: np.fft.ifft2(gain * np.fft.fft2(plane)).real


def _plane(path: Path) -> Plane:
    whole: Image = read_image(path)
    return np.asarray(whole.data, np.float64)[:EDGE_PX, :EDGE_PX]


def _summary(curves: Curves) -> dict[str, object]:
    felt = [max(step, ROUNDING) for step in curves["step"]]
    return {
        "best psnr": round(max(curves["psnr"]), 3),
        "last psnr": round(curves["psnr"][-1], 3),
        "steps at the first, 10th, 100th and last iteration": [
            float(f"{curves['step'][min(n, len(curves['step']) - 1)]:.3g}") for n in (0, 9, 99, len(curves["step"]) - 1)
        ],
        "the step grew": any(later > earlier * (1 + 1e-9) for earlier, later in pairwise(felt)),
    }


WIDTH, HEIGHT, TOP, BOTTOM, PANEL = 760, 320, 50, 260, 280
COLOURS = {"dncnn-stable": "#1f6f8b", "plain DnCNN": "#c8553d", "dilated DnCNN": "#b8a13a"}


def figure(report: dict[str, dict[str, list[float]]]) -> str:
    """Draw PSNR, and the step on a logarithmic axis, over the iterations."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        f' font-size="13"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    ]
    psnrs = {name: [max(value, LOWEST_PSNR) for value in run["psnr"]] for name, run in report.items()}
    steps = {name: [math.log10(min(step, LARGEST_STEP)) for step in run["step"]] for name, run in report.items()}
    parts += _panel("PSNR in dB", psnrs, 60, lambda tick: f"{tick:g}")
    parts += _panel("step, RMS in grey values", steps, 440, lambda tick: f"1e{tick:g}")
    for row, name in enumerate(report):
        parts.append(f'<text x="{200 + 140 * row}" y="{HEIGHT - 8}" fill="{COLOURS[name]}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, curves: Curves, left: int, label: Callable[[float], str]) -> list[str]:
    values = [value for curve in curves.values() for value in curve]
    low, high, length = math.floor(min(values)), math.ceil(max(values)), max(map(len, curves.values()))
    pace = max(1, round((high - low) / 6))
    scale = (BOTTOM - TOP) / (high - low)
    parts = [f'<text x="{left}" y="{TOP - 18}">{title}</text>']
    for tick in range(low, high + 1, pace):
        y = BOTTOM - (tick - low) * scale
        parts.append(f'<path d="M{left} {y:.1f}H{left + PANEL}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label(tick)}</text>')
    for name, curve in curves.items():
        shown = range(0, len(curve), max(1, len(curve) // PANEL))
        points = " ".join(f"{left + PANEL * n / length:.1f},{BOTTOM - (curve[n] - low) * scale:.1f}" for n in shown)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
    parts.append(f'<text x="{left + PANEL}" y="{BOTTOM + 18}" text-anchor="end">iteration {length}</text>')
    return parts


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stable", type=Path, help="model file of dncnn-stable")
    parser.add_argument("--plain", type=Path, help="model file of a DnCNN for the same noise")
    parser.add_argument("--dilated", type=Path, help="model file of a DnCNN with dilations, to draw beside them")
    parser.add_argument("--data", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the results")
    parser.add_argument("--figure", type=Path, help="SVG file to draw")
    return parser.parse_args()


if __name__ == "__main__":
    main()
