"""Ask whether fewer multiplications would speed training up where the processor has float32 alone.

    python benchmarks/speed/winograd.py [--batch 4] [--patch 256] [--repeats 5] [--output FOLDER]

Training steps of the U-Net run at the rate of a matrix product (training.py): only an algorithm that multiplies less
can be quicker. Winograd's F(4×4, 3×3) (Lavin and Gray 2015, arXiv 1509.09308) takes a quarter of the multiplications,
and transforms before and after. Each 3×3 convolution of the U-Net is computed forward in both ways, taking turns; where
each layer takes the quicker one, the forward pass gains at most what the last line says.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

WIDTHS = (32, 64, 128, 256)
"""Of the U-Net's levels, from fine to coarse."""
_TO_TILES = torch.tensor(
    [[4.0, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
)  # fmt: skip
_WEIGHTS = torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_FROM_TILES = torch.tensor(
    [[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)  # fmt: skip


def main() -> None:
    """Time every layer, print and write the table."""
    arguments = _arguments()
    rows = []
    for level, width in enumerate(WIDTHS):
        edge, is_last = arguments.patch >> level, level == len(WIDTHS) - 1
        inputs = [width // 2, width] + ([] if is_last else [2 * width, width])
        for n_inputs in inputs if level else inputs[1:]:  # the very first sees one channel, and costs nothing
            rows.append(_row(arguments.batch, edge, n_inputs, width, arguments.repeats))
            print(json.dumps(rows[-1]), flush=True)
    direct = sum(row["direct_s"] for row in rows)
    best = sum(min(row["direct_s"], row["winograd_s"]) for row in rows)
    report = {
        "threads": torch.get_num_threads(),
        "direct_s": direct,
        "winograd_s": sum(row["winograd_s"] for row in rows),
        "quicker_of_both_s": best,
        "gain": direct / best,
        "layers": rows,
    }
    print(f"all 3×3 convolutions: {direct:.2f} s; each by the quicker way: {best:.2f} s, a gain of {direct / best:.2f}")
    (arguments.output / "winograd.json").write_text(json.dumps(report, indent=2) + "\n")


def winograd(image: Tensor, weight: Tensor) -> Tensor:
    """Convolve ``(N, H, W, C)`` with ``(K, C, 3, 3)``, zero-padded; H and W are multiples of 4."""
    n, height, width, channels = image.shape
    rows, columns, n_out = height // 4, width // 4, len(weight)
    into, out_of, of_weights = (torch.kron(m, m) for m in (_TO_TILES, _FROM_TILES, _WEIGHTS))
    kernel = (of_weights @ weight.permute(2, 3, 1, 0).reshape(9, -1)).reshape(36, channels, n_out)
    result = torch.empty(n, height, width, n_out)
    for number in range(n):  # one by one: what is transformed stays near the processor
        padded = functional.pad(image[number], (0, 0, 1, 1, 1, 1))
        down, across, _ = padded.stride()
        tiles = padded.as_strided((6, 6, rows, columns, channels), (down, across, 4 * down, 4 * across, 1))
        products = torch.bmm((into @ tiles.reshape(36, -1)).reshape(36, -1, channels), kernel)
        patches = (out_of @ products.reshape(36, -1)).reshape(4, 4, rows, columns, n_out)
        result[number] = patches.permute(2, 0, 3, 1, 4).reshape(height, width, n_out)
    return result


def _row(batch: int, edge: int, n_inputs: int, n_outputs: int, repeats: int) -> dict[str, float]:
    """Time one layer in both ways, and check that they agree."""
    image = torch.randn(batch, edge, edge, n_inputs)
    weight = torch.randn(n_outputs, n_inputs, 3, 3) / (9 * n_inputs) ** 0.5
    last = image.permute(0, 3, 1, 2), weight.to(memory_format=torch.channels_last)
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for spent, compute in zip(times, (_direct, lambda *_: winograd(image, weight)), strict=True):
            started = time.perf_counter()
            result = compute(*last)
            if repeat:  # the first warms up
                spent.append(time.perf_counter() - started)
    torch.testing.assert_close(result, _direct(*last).permute(0, 2, 3, 1), atol=1e-4, rtol=1e-4)
    direct, quick = (median(spent) for spent in times)
    return {
        "edge_px": edge, "in": n_inputs, "out": n_outputs, "direct_s": direct, "winograd_s": quick,
        "ratio": round(direct / quick, 2),
    }  # fmt: skip


def _direct(image: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(image, weight, padding=1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=256, help="edge of a patch, in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
