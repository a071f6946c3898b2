"""Plug a denoiser into a deconvolution: what iterating it many times makes of the certified one, and of a plain DnCNN.

    python benchmarks/guarantees/plug_and_play.py --stable MODEL --plain MODEL --data FOLDER [--output FOLDER]
        [--figure SVG] [--iterations N]

Clean images (FOLDER, grey values 0 to 255) are blurred and get noise. Forward–backward splitting takes turns between
the data and the denoiser D::

    x ← (1 − α) z + α D(z),   z = x − τ Aᵀ (A x − b)

With D nonexpansive, α < 1 and τ < 2/‖A‖², both halves are averaged operators, and x converges to a fixed point wherever
there is one (Krasnosel'skii and Mann; Bauschke and Combettes 2017, theorem 5.15). Otherwise nothing is known. The step
‖x_{k+1} − x_k‖ tells which it is: in the first case it never grows.

The noise is weaker than what the denoisers know, 25 grey values: D(z) = s N(z / s) shows the network N the image in
more contrast, which changes no Lipschitz constant. A model that is normalized by the noise of each image is given the
standard deviation 25 once for all, so that D is one operator.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
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
NOISE_SIGMA, BLUR_PX = 2.55, 1.6
STEP, SHARE, CONTRAST = 1.0, 0.9, 5.0
"""τ, α and 1/s."""
EDGE_PX, N_IMAGES = 128, 3
LOWEST_PSNR, LARGEST_STEP = 10.0, 1e3
"""Where the figure ends."""

Plane = NDArray[np.float64]
Curves = dict[str, list[float]]


def main() -> None:
    """Run both denoisers on each image, and write what the iterations did."""
    arguments = _arguments()
    planes = [_plane(path) for path in find_images([arguments.data])[:N_IMAGES]]
    report = {}
    for name, path in (("dncnn-stable", arguments.stable), ("plain DnCNN", arguments.plain)):
        model = load_model(path)
        runs = [restored(plane, denoiser(model), seed, arguments.iterations) for seed, plane in enumerate(planes)]
        curves = {what: np.mean([run[what] for run in runs], axis=0).tolist() for what in ("psnr", "step")}
        report[name] = {"model": model.card.name, "certified bound": model_bound(model), **_summary(curves)} | {
            what: [float(f"{value:.4g}") for value in values] for what, values in curves.items()
        }
        print(name, {key: value for key, value in report[name].items() if not isinstance(value, list)}, flush=True)
    settings = {
        "blur_px": BLUR_PX,
        "noise": NOISE_SIGMA,
        "tau": STEP,
        "alpha": SHARE,
        "contrast": CONTRAST,
        "images": len(planes),
        "edge_px": EDGE_PX,
    }
    written = {"settings": settings, "denoisers": report}
    path = arguments.output / "plug_and_play.json"
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if arguments.figure:
        arguments.figure.write_text(figure({name: report[name] for name in report}), encoding="utf-8")


def restored(clean: Plane, denoise: Callable[[Plane], Plane], seed: int, n_iterations: int) -> Curves:
    """Blur `clean`, add noise, iterate, and return PSNR and step, root mean square in grey values, per iteration."""
    blurred = _blur(clean.shape)
    data = blurred(clean) + add_gaussian(np.zeros(clean.shape, np.float32), NOISE_SIGMA, seed)
    image, curves = data, Curves(psnr=[], step=[])
    for _ in range(n_iterations):
        forward = image - STEP * blurred(blurred(image) - data)  # the blur is its own adjoint
        moved = (1 - SHARE) * forward + SHARE * denoise(forward)
        curves["step"].append(float(np.sqrt(np.mean((moved - image) ** 2))))
        image = moved
        curves["psnr"].append(float(10 * np.log10(GREY**2 / np.mean((image - clean) ** 2))))
    return curves


def denoiser(model: Model) -> Callable[[Plane], Plane]:
    """Return the network of `model` as one operator on grey values."""
    normalization = model.card.normalization
    is_fixed = isinstance(normalization, FixedNormalization)
    mean, scale = (normalization.mean[0], normalization.std[0]) if is_fixed else (0.0, DENOISER_SIGMA)
    scale /= CONTRAST
    network = model.network.double()

    def apply(plane: Plane) -> Plane:
        with torch.inference_mode():
            return network((torch.from_numpy(plane)[None, None] - mean) / scale)[0, 0].numpy() * scale + mean

    return apply


def _blur(shape: tuple[int, ...]) -> Callable[[Plane], Plane]:
    """Return a Gaussian blur with periodic borders, of norm 1."""
    frequencies = np.meshgrid(*(np.fft.fftfreq(size) for size in shape), indexing="ij")
    gain = np.exp(-2 * (math.pi * BLUR_PX) ** 2 * sum(f**2 for f in frequencies))
    return lambda plane: np.fft.ifft2(gain * np.fft.fft2(plane)).real


def _plane(path: Path) -> Plane:
    whole: Image = read_image(path)
    return np.asarray(whole.data, np.float64)[:EDGE_PX, :EDGE_PX]


def _summary(curves: Curves) -> dict[str, object]:
    return {
        "best psnr": round(max(curves["psnr"]), 3),
        "last psnr": round(curves["psnr"][-1], 3),
        "steps at the first, 10th, 100th and last iteration": [
            float(f"{curves['step'][min(n, len(curves['step']) - 1)]:.3g}") for n in (0, 9, 99, len(curves["step"]) - 1)
        ],
        "the step grew": any(later > earlier * (1 + 1e-9) for earlier, later in pairwise(curves["step"])),
    }


WIDTH, HEIGHT, TOP, BOTTOM, PANEL = 760, 320, 50, 260, 280
COLOURS = {"dncnn-stable": "#1f6f8b", "plain DnCNN": "#c8553d"}


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
    for row, (name, colour) in enumerate(COLOURS.items()):
        parts.append(f'<text x="{250 + 160 * row}" y="{HEIGHT - 8}" fill="{colour}">{name}</text>')
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
    parser.add_argument("--stable", type=Path, required=True, help="model file of dncnn-stable")
    parser.add_argument("--plain", type=Path, required=True, help="model file of a DnCNN for the same noise")
    parser.add_argument("--data", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the results")
    parser.add_argument("--figure", type=Path, help="SVG file to draw")
    return parser.parse_args()


if __name__ == "__main__":
    main()
