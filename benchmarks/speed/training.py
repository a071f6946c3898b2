"""Compare training steps of the U-Net with plain eager PyTorch in float32: same network, same batch, same threads.

    python benchmarks/speed/training.py [--batch 8] [--patch 256] [--repeats 5] [--compiled] [--output FOLDER]

Both take turns, and the ratio is that of the medians. Beside them stands what the processor can do at best: the rate of
a large matrix product in float32, from which the shortest possible step follows. With ``--compiled`` the plain step is
also timed with its network compiled by torch.compile, which needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unveil import UNetConfig, build_network
from unveil.operators.losses import segmentation_loss
from unveil.training.batches import channels_last
from unveil.training.forward import to_device, training_forward
from unveil.training.precision import training_dtype
from unveil.training.state import TrainingState
from unveil.training.steps import train_step

GOAL_WITH_AMX, GOAL_WITHOUT = 4.0, 1.3
N_CLASSES = 2
_MATRIX_EDGE = 2048


def main() -> None:
    """Time both, print and write the ratio."""
    arguments = _arguments()
    image = torch.rand(arguments.batch, 1, arguments.patch, arguments.patch)
    target = torch.cat([(image > 0.5).float(), image], dim=1)
    steps: dict[str, Callable[[], object]] = {"ours": our_step(image, target), "plain": plain_step(image, target)}
    if arguments.compiled:
        steps["compiled"] = plain_step(image, target, compiled=True)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(arguments.repeats + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if repeat:  # the first warms up
                times[name].append(time.perf_counter() - started)
    report: dict[str, Any] = {
        "batch": arguments.batch,
        "patch": arguments.patch,
        "threads": torch.get_num_threads(),
        "bfloat16": training_dtype(torch.device("cpu"), "auto", 2) is not None,
        "seconds": {name: [round(s, 3) for s in values] for name, values in times.items()},
        "ratios to plain": {
            name: round(median(times["plain"]) / median(values), 3) for name, values in times.items() if name != "plain"
        },
        "seconds_at_the_rate_of_a_matrix_product": _flops(image) / _matrix_rate(),
        "goals": {"with AMX": GOAL_WITH_AMX, "without": GOAL_WITHOUT},
    }
    print(json.dumps(report, indent=2))
    (arguments.output / "training.json").write_text(json.dumps(report, indent=2) + "\n")


def our_step(image: Tensor, target: Tensor) -> Callable[[], object]:
    """Return a step as the training loop takes it, where `image` lies."""
    device = image.device
    state = TrainingState.begin(to_device(build_network(UNetConfig(out_channels=N_CLASSES + 1)).train(), device))
    batch = channels_last(image), target, torch.ones_like(target)
    forward = training_forward(state.network, device, training_dtype(device, "auto", 2))

    def loss(output: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
        return segmentation_loss(output, wanted, weight, n_classes=N_CLASSES)

    return lambda: train_step(state, batch, loss, 1e-3, forward)


def plain_step(image: Tensor, target: Tensor, *, compiled: bool = False) -> Callable[[], object]:
    """Return a step as a first script would write it, where `image` lies."""
    network: Any = build_network(UNetConfig(out_channels=N_CLASSES + 1)).train().to(image.device)
    optimizer = torch.optim.Adam(network.parameters())
    if compiled:
        network = torch.compile(network)

    def step() -> None:
        optimizer.zero_grad()
        output = network(image)
        entropy = functional.cross_entropy(output[:, :N_CLASSES], target[:, 0].long())
        (entropy + (output[:, N_CLASSES:] - target[:, 1:]).abs().mean()).backward()
        optimizer.step()

    return step


def _flops(image: Tensor) -> float:
    """Count the operations of one step: each convolution forward, and twice as many back."""
    counted = 0.0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        weights = module.weight.numel() // (module.out_channels if isinstance(module, nn.Conv2d) else 1)
        pixels = output.numel() if isinstance(module, nn.Conv2d) else output[:, 0].numel() / 4
        nonlocal counted
        counted += 2.0 * weights * pixels

    network = build_network(UNetConfig(out_channels=N_CLASSES + 1))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(image)
    return 3 * counted


def _matrix_rate() -> float:
    """Return the operations per second of a float32 matrix product."""
    matrix = torch.rand(_MATRIX_EDGE, _MATRIX_EDGE)
    matrix @ matrix
    started = time.perf_counter()
    for _ in range(3):
        matrix @ matrix
    return 3 * 2 * _MATRIX_EDGE**3 / (time.perf_counter() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="time the compiled network too")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
