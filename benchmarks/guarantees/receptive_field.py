"""Measure how much of the receptive field the shipped models make use of.

    python benchmarks/guarantees/receptive_field.py [--pixels 64] [--output FOLDER]

The table of layers says which pixels of the image a pixel of the result can depend on. How much it does depend on them
is told by the gradient: for pixels spread over a sample image, the sum of ``|∂ result / ∂ image|`` in squares around
them (the effective receptive field of Luo 2016, arXiv 1701.04128). Outside of the field that the table gives, the
gradient must be exactly zero. Writes ``receptive_field.json`` and ``receptive_field.md``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import unveil
from unveil import Image, Model, load_model, summarize
from unveil.io.images import read_image
from unveil.operators.normalization import fit_array

MODELS = {"fluorescence-denoiser": "noisy.tif", "nuclei": "nuclei.tif", "simulated-cells": "nuclei.tif"}
SHARES = (0.5, 0.9, 0.95, 0.99)
WINDOW = 208
"""Edge of what the network is given around a pixel: larger than its field, and a multiple of its step."""
AT_ONCE = 4


def main() -> None:
    """Measure every model, print and write the table."""
    arguments = _arguments()
    samples = Path(unveil.__file__).parent / "sample_data"
    report = {
        name: _measured(load_model(name), read_image(samples / sample), arguments.pixels)
        for name, sample in MODELS.items()
    }
    page = _page(report, arguments.pixels)
    print(page)
    (arguments.output / "receptive_field.json").write_text(json.dumps(report, indent=2) + "\n")
    (arguments.output / "receptive_field.md").write_text(page + "\n", encoding="utf-8")


def _measured(model: Model, image: Image, n_pixels: int) -> dict[str, Any]:
    last = summarize(model).layers[-1]
    grey = np.asarray(image.data)[np.newaxis]
    normalized = fit_array(model.card.normalization, grey).apply(grey)
    by_reach = np.zeros(WINDOW)
    outside, farthest = 0.0, 0
    for windows, pixels in _batches(normalized, n_pixels):
        gradients = _gradients(model, windows, pixels)
        for gradient, pixel in zip(gradients, pixels, strict=True):
            rows, columns = (np.abs(np.arange(WINDOW) - at) for at in pixel)
            reach = np.maximum(rows[:, np.newaxis], columns)
            by_reach += np.bincount(reach.ravel(), gradient.ravel(), minlength=WINDOW)[:WINDOW]
            farthest = max(farthest, int(reach[gradient > 0].max()))
            inside = tuple(
                slice(first, last + 1)
                for first, last in (field.window(at) for field, at in zip(last.fields, pixel, strict=True))
            )
            gradient[inside] = 0
            outside = max(outside, float(gradient.max()))
    shares = np.cumsum(by_reach) / by_reach.sum()
    return {
        "field_px": last.field_px[0],
        "largest_gradient_outside": outside,
        "farthest_px": farthest,
        "square_px": {str(share): int(2 * np.searchsorted(shares, share) + 1) for share in SHARES},
    }


def _batches(normalized: NDArray[np.float32], n_pixels: int) -> Any:
    """Yield windows ``(N, 1, WINDOW, WINDOW)`` at random places, and in each a pixel near its middle."""
    random = np.random.default_rng(0)
    padded = np.pad(normalized, [(0, 0), (WINDOW, WINDOW), (WINDOW, WINDOW)], mode="reflect")
    for _ in range(n_pixels // AT_ONCE):
        starts = [random.integers(WINDOW // 2, [n - 2 * WINDOW for n in padded.shape[1:]]) for _ in range(AT_ONCE)]
        windows = [padded[:, y : y + WINDOW, x : x + WINDOW] for y, x in starts]
        yield np.stack(windows), [tuple(map(int, WINDOW // 2 + random.integers(0, 8, 2))) for _ in starts]


def _gradients(model: Model, windows: NDArray[np.float32], pixels: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Return ``|∂ result / ∂ image|`` ``(N, WINDOW, WINDOW)`` of the foreground's evidence, or the denoised image."""
    batch = torch.from_numpy(windows).requires_grad_()
    maps = model.network(batch)
    result = maps[:, 1] - maps[:, 0] if model.card.task == "segmentation" else maps[:, 0]
    torch.stack([result[n, y, x] for n, (y, x) in enumerate(pixels)]).sum().backward()
    assert batch.grad is not None
    return batch.grad[:, 0].abs().numpy()


def _page(report: dict[str, Any], n_pixels: int) -> str:
    titles = [f"{share:.0%}" for share in SHARES]
    rows = [
        f"| {name} | {found['field_px']} | {found['farthest_px']} | {found['largest_gradient_outside']:g} | "
        + " | ".join(str(edge) for edge in found["square_px"].values())
        + " |"
        for name, found in report.items()
    ]
    return "\n".join(
        [
            "# How much of what a network can see it looks at",
            "",
            f"{n_pixels} pixels of a sample image per model. In the columns of shares: edge of the square around a "
            "pixel of the result that holds so much of |∂ result / ∂ image|.",
            "",
            f"| model | field, px | farthest gradient, px | largest gradient outside | {' | '.join(titles)} |",
            "| --- " * (4 + len(titles)) + "|",
            *rows,
        ]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=64, help="of the result, per model")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
