"""Time the U-Net in OpenVINO at each number format, and what computes it, against plain eager PyTorch.

    python benchmarks/speed/precisions.py [--size 1024] [--repeats 4] [--output FOLDER]

The bare networks on one whole image, the shortest of the repeats; beside each the largest deviation from float32 and
the kernels of its convolutions. It says which half precision a processor is quick at.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unveil import UNetConfig, build_network
from unveil.inference.openvino_engine import import_openvino, kernels
from unveil.inference.openvino_graph import build_graph


def main() -> None:
    """Time all, print and write the table."""
    arguments = _arguments()
    torch.manual_seed(0)
    network = build_network(UNetConfig(out_channels=3)).eval().requires_grad_(False)
    image = np.random.default_rng(0).random((1, 1, arguments.size, arguments.size), dtype=np.float32)
    library = import_openvino()
    graph = build_graph(library, network, image.shape)
    report: dict[str, Any] = {"size": arguments.size, "threads": torch.get_num_threads()}
    exact: Any = None
    for number_format in ("f32", "bf16", "f16"):
        settings = {"INFERENCE_PRECISION_HINT": number_format, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled = library.Core().compile_model(graph, "CPU", settings)
        maps = compiled(image)[0].copy()
        exact = maps if exact is None else exact
        report[number_format] = {
            "seconds": _shortest(lambda: compiled(image), arguments.repeats),  # noqa: B023  called at once
            "deviation": float(np.abs(maps - exact).max()),
            "kernels": sorted(name for name in kernels(compiled) if "conv" in name),
        }
    with torch.inference_mode():
        report["eager_seconds"] = _shortest(lambda: network(torch.from_numpy(image)), arguments.repeats)
    print(json.dumps(report, indent=2))
    (arguments.output / "precisions.json").write_text(json.dumps(report, indent=2) + "\n")


def _shortest(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return round(min(times), 3)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
