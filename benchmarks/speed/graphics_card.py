"""Compare the U-Net on a graphics card with what the card can do at best, and training steps with plain eager ones.

    python benchmarks/speed/graphics_card.py [--model nuclei] [--size 2048] [--windows 32] [--repeats 5] [--json FILE]

The roofline of a network is the time that it would take if every convolution and pooling ran at the rate of a large
matrix product in half precision, or read its maps and wrote them once at the rate of a large copy, whichever takes
longer; both rates are measured here. Beside it stand the bare network on a batch that lies on the card, the engine on
windows in the computer's memory, one after the other (each waited for) and with one more on its way, and the door on
one image of as many windows, from grey values to probabilities.

Training steps take a batch that lies on the card: ours as the loop takes them, and a first script's in float32, once as
PyTorch comes (convolutions rounded to TF32) and once without that rounding.
"""

from __future__ import annotations

import argparse
import json
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unveil import Image, Model, SegmentationOptions, load_model
from unveil.inference.cuda_engine import CudaEngine
from unveil.inference.engines import one_ahead
from unveil.training.precision import number_format, training_dtype

PREDICTION = runpy.run_path(str(Path(__file__).parent / "prediction.py"))
TRAINING = runpy.run_path(str(Path(__file__).parent / "training.py"))
GOAL_SHARE, GOAL_TRAINING = 0.60, 3.0
BATCH, PATCH_PX = 16, 256
_HALF_BYTES = 2
_MATRIX_EDGE, _COPY_BYTES = 8192, 1 << 32
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d)

Seconds = list[float]


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    model = load_model(arguments.model)
    report: dict[str, Any] = {
        "card": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "model": model.card.name,
    }
    report["prediction"] = prediction(model, arguments.size, arguments.windows, arguments.repeats)
    report["training"] = training(arguments.repeats)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def prediction(model: Model, size: int, n_windows: int, repeats: int) -> dict[str, Any]:
    """Return seconds per window of `size`² pixels, and the shares of the roofline."""
    rates = {"flops": matrix_rate(), "bytes": copy_rate()}
    best = roofline(model.inference_module(), size, rates)
    rng = np.random.default_rng(0)
    windows = [rng.random((1, 1, size, size), np.float32) for _ in range(4)]
    engine = CudaEngine(model.inference_module(), fast=True)
    many = [windows[number % len(windows)] for number in range(n_windows)]

    def one_by_one() -> None:
        for window in many:
            engine.compute(window)

    def ahead() -> None:
        for maps in one_ahead(engine.begin(window) for window in many):
            maps()

    columns = max(1, round(n_windows**0.5))
    image = Image(rng.integers(0, 4000, (size * (n_windows // columns), size * columns), np.uint16), name="noise")
    options = SegmentationOptions(device="cuda", precision="fast", denoise_first="off")
    n_in_image = image.shape[0] * image.shape[1] / size**2
    times = {
        "network": timed(resident(engine, windows[0]), repeats, 1),
        "engine, each window waited for": timed(one_by_one, repeats, n_windows),
        "engine, one ahead": timed(ahead, repeats, n_windows),
        "door": timed(lambda: PREDICTION["predict"](image, model, options), repeats, n_in_image),
    }
    engine.release()
    spread = PREDICTION["spread"]
    return {
        "window": [size, size],
        "rate_of_a_matrix_product_in_float16": rates["flops"],
        "rate_of_a_copy": rates["bytes"],
        "seconds_at_the_roofline": best,
        "seconds": {name: spread(seconds) for name, seconds in times.items()},
        "share_of_the_roofline": {name: spread([best / s for s in seconds]) for name, seconds in times.items()},
        "goal": {"engine, one ahead": GOAL_SHARE},
    }


def resident(engine: CudaEngine, window: np.ndarray) -> Callable[[], None]:
    """Return the network of `engine` on a window that lies on the card, kernel by kernel."""
    engine.compute(window)
    module = engine._loaded(torch.channels_last)
    there = torch.from_numpy(window).cuda().to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            module(there)

    return run


def roofline(module: nn.Module, size: int, rates: dict[str, float]) -> float:
    """Return the shortest time of `module` on ``(1, 1, size, size)``, in seconds."""
    best = 0.0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal best
        n_bytes = _HALF_BYTES * (inputs[0].numel() + output.numel())
        flops = 0.0
        if isinstance(layer, nn.Conv2d):
            flops = 2.0 * output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.ConvTranspose2d):
            flops = 2.0 * inputs[0].numel() * layer.weight[0].numel()
        best += max(flops / rates["flops"], n_bytes / rates["bytes"])

    for layer in module.modules():
        if isinstance(layer, _LAYERS):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        module.cuda()(torch.zeros(1, 1, size, size, device="cuda"))
    module.cpu()
    torch.cuda.empty_cache()
    return best


def matrix_rate() -> float:
    """Return the operations per second of a large matrix product in float16."""
    left, right = (torch.randn(_MATRIX_EDGE, _MATRIX_EDGE, device="cuda", dtype=torch.float16) for _ in range(2))
    seconds = min(timed(lambda: left @ right, 10, 1))
    return 2 * _MATRIX_EDGE**3 / seconds


def copy_rate() -> float:
    """Return the bytes per second, read and written, of a large copy on the card."""
    here = torch.empty(_COPY_BYTES, dtype=torch.uint8, device="cuda").random_()
    there = torch.empty_like(here)
    return 2 * _COPY_BYTES / min(timed(lambda: there.copy_(here), 10, 1))


def training(repeats: int) -> dict[str, Any]:
    """Return seconds per step of the default U-Net, ours and a first script's (`training.py`), and the ratios."""
    image = torch.rand(BATCH, 1, PATCH_PX, PATCH_PX, device="cuda")
    target = torch.cat([(image > 0.5).float(), image], dim=1)
    n_steps = 10
    times: dict[str, Seconds] = {}
    autocast = training_dtype(image.device, "auto", 2)
    with number_format(image.device, autocast):
        times["ours"] = timed(TRAINING["our_step"](image, target), repeats * n_steps, 1)
    for name, is_rounded in (("eager, TF32", True), ("eager, float32", False)):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=is_rounded):
            times[name] = timed(TRAINING["plain_step"](image, target), repeats * n_steps, 1)
    spread = PREDICTION["spread"]
    ours = spread(times["ours"])["median"]
    return {
        "batch": [BATCH, 1, PATCH_PX, PATCH_PX],
        "number_format": str(autocast),
        "seconds": {name: spread(seconds) for name, seconds in times.items()},
        "times_as_fast": {name: spread([s / ours for s in seconds]) for name, seconds in times.items()},
        "goal": {"eager, float32": GOAL_TRAINING},
    }


def timed(call: Callable[[], object], repeats: int, parts: float) -> Seconds:
    """Return the seconds of each of `repeats` calls, divided by `parts`, after two that warm up."""
    seconds = []
    for number in range(repeats + 2):
        torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        if number >= 2:
            seconds.append((time.perf_counter() - started) / parts)
    return seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nuclei", help="name or file of a 2D segmentation model, a U-Net")
    parser.add_argument("--size", type=int, default=2048, help="edge of a window in pixels")
    parser.add_argument("--windows", type=int, default=32, help="how many of them one after the other")
    parser.add_argument("--repeats", type=int, default=5, help="how often each way is timed")
    parser.add_argument("--json", type=Path, help="write the result here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
