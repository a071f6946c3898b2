"""See how time and memory grow with image size, volume depth and number of objects, with fitted exponents.

    python benchmarks/growth.py images [--sizes 256 512 1024 2048 4096 8192] [--model nuclei | small]
        [--into memory | zarr] [--repeats 3] [--output FOLDER]
    python benchmarks/growth.py images --into zarr --sizes 256 512 1024 2048 4096 8192 16384 32768
    python benchmarks/growth.py volumes [--sizes 16 32 64 128 256 512]
    python benchmarks/growth.py objects | measurements | scores [--sizes 10 100 1000 10000 100000 1000000]
    python benchmarks/growth.py plot FOLDER [--output FOLDER]

`images` segments images of the given edges by `segment`, network and separation of objects; `volumes` does so with
volumes of the given depths in planes of 128 × 128 pixels, and a 3D network. The others begin with so many drawn
objects, on an area that grows with them: `objects` separates them as `segment` does, block by block, `measurements`
measures them (`measure_objects`), `scores` compares them with themselves (`ObjectTally`). `small` is a U-Net of width 8
and two poolings whose weights are set so that it finds the bright discs; it costs what a trained one of its size costs.

Images are drawn where they are read, and results lie in memory, or with ``--into zarr`` in a temporary folder, for
sizes whose results memory does not hold. Each point is a fresh process; time is that of the one call, which holds the
making of the engine, and memory the peak of the process less that of one that only gets ready. Medians of the repeats
are fitted by fixed + rate · n ** exponent, by least squares of the logarithm, all three at once; n are pixels, planes
or objects. Beside the time stands that of all processor cores, which other programs disturb less. What a file holds
already is not measured again. ``plot`` draws ``growth-*.svg``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from growth_plot import Curve, figure
from scipy.optimize import least_squares

GOAL = 1.05
FIGURES = ("seconds", "cpu_seconds", "peak_mib")
SIZES = {
    "images": (256, 512, 1024, 2048, 4096, 8192),
    "volumes": (16, 32, 64, 128, 256, 512),
    **dict.fromkeys(("objects", "measurements", "scores"), (10, 100, 1000, 10_000, 100_000, 1_000_000)),
}
TITLES = {
    "images": ("Segmenting an image", "pixels"),
    "volumes": ("Segmenting a volume of 128 × 128 pixels per plane", "planes"),
    "objects": ("Separating objects", "objects"),
    "measurements": ("Measuring objects", "objects"),
    "scores": ("Scoring objects", "objects"),
}
PLANE_PX = 128
CELL_PX = 12
"""Edge of the square on which each object is drawn."""
STEEPNESS = 20.0

Call = Callable[[], object]


def main() -> None:
    """Measure what is not in the file yet, fit and print; or draw; or, in a fresh process, measure one point."""
    arguments = _arguments()
    if arguments.what == "plot":
        draw(arguments.folder, arguments.output or Path(__file__).parents[1] / "docs" / "images")
    elif arguments.point is not None:
        print(json.dumps(point(arguments)))
    else:
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Measure the points in fresh processes, fit the two laws, and write them down."""
    path = (arguments.output or Path(__file__).parent) / f"growth_{arguments.what}.json"
    terms = {"model": arguments.model, "into": arguments.into}
    points: dict[str, Any] = {}
    if path.exists():
        report = json.loads(path.read_text())
        points = report["points"] if {name: report[name] for name in terms} == terms else {}
    for size in arguments.sizes or SIZES[arguments.what]:
        repeats = points.setdefault(str(size), [])
        while len(repeats) < arguments.repeats:
            nothing, found = (_in_a_fresh_process(arguments, n) for n in (0, size))
            repeats.append({**found, "peak_mib": found["peak_mib"] - nothing["peak_mib"]})
            print(size, json.dumps(repeats[-1]), flush=True)
        report = {**terms, "points": points}
        if len(points) > 3:
            report["laws"] = {name: law(points, name) for name in FIGURES}
            report["goals"] = {f"{n} ≤ {GOAL}": law["exponent"] <= GOAL for n, law in report["laws"].items()}
        path.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({name: report.get(name) for name in ("laws", "goals")}, indent=2))


def law(points: dict[str, Any], name: str) -> dict[str, float]:
    """Fit ``fixed + rate · n ** exponent`` to the medians of a figure, so that their relative errors are least.

    The fixed cost is what the fit takes it for. Since a wrong one bends the exponent, that between the two largest
    sizes alone, nothing taken off, is given too.
    """
    sizes, values = medians(points, name)
    used = values > 0
    sizes, values = sizes[used], values[used]
    largest = sizes.max()

    def misses(guess: np.ndarray) -> np.ndarray:
        errors: np.ndarray = np.log(np.exp(guess[0]) + np.exp(guess[1]) * (sizes / largest) ** guess[2])
        return errors - np.log(values)

    starts = [(np.log(share * values.min()), np.log(values.max()), 1.0) for share in (0.9, 0.5, 0.01)]
    bounds = ((-np.inf, -np.inf, 0.1), (np.inf, np.inf, 3.0))
    fits = [least_squares(misses, start, bounds=bounds) for start in starts]
    fixed, rate, exponent = min(fits, key=lambda fit: fit.cost).x
    last = np.log(values[-1] / values[-2]) / np.log(sizes[-1] / sizes[-2])
    return {
        "fixed": float(np.exp(fixed)),
        "rate": float(np.exp(rate) / largest**exponent),
        "exponent": float(exponent),
        "exponent_between_the_last_two": float(last),
    }


def medians(points: dict[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes, ascending, and the median of a figure at each."""
    pairs = sorted((repeats[0]["n"], median(one[name] for one in repeats)) for repeats in points.values())
    sizes, values = np.array(pairs, float).T
    return sizes, values


def draw(folder: Path, output: Path) -> None:
    """Draw every file of `folder` that holds fits."""
    for what, (title, size_name) in TITLES.items():
        path = folder / f"growth_{what}.json"
        report = json.loads(path.read_text()) if path.exists() else {}
        if "laws" not in report:
            continue
        curves = []
        for name, words in (("seconds", "time, s"), ("peak_mib", "memory, MiB")):
            sizes, values = medians(report["points"], name)
            fit = report["laws"][name]
            curves.append(Curve(words, sizes, values, fit["fixed"], fit["rate"], fit["exponent"]))
        (output / f"growth-{what}.svg").write_text(figure(title, size_name, curves), encoding="utf-8")


def point(arguments: argparse.Namespace) -> dict[str, float]:
    """Get ready, make one call where a size is given, and return its time and this process's peak of memory."""
    size = arguments.point
    with tempfile.TemporaryDirectory() as folder:
        make = _results(arguments.into, Path(folder))
        call, n = PREPARED[arguments.what](size or SIZES[arguments.what][0], arguments.model, make)
        started, started_cpu = time.perf_counter(), time.process_time()
        if size:
            call()
        times = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - started_cpu}
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {"n": n, **times, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


def _segmentation(n_dims: int, size: int, model_name: str, make: Callable[..., Any]) -> tuple[Call, int]:
    from unveil import Image, SegmentationOptions, load_model, segment
    from unveil.events import ignore
    from unveil.tasks.results import SegmentationSink

    model = small_model(n_dims) if model_name == "small" or n_dims == 3 else load_model(model_name)
    shape = (size, size) if n_dims == 2 else (size, PLANE_PX, PLANE_PX)
    image = Image(Drawn(shape), "ZYX"[-n_dims:])
    options = SegmentationOptions(device="cpu", denoise_first="off")

    def call() -> object:
        sink = SegmentationSink.create(image, model.card, make)
        return segment(image, model, options=options, into=sink, monitor=ignore)

    return call, int(np.prod(shape)) if n_dims == 2 else size


class Drawn:
    """An image of discs or balls on a noisy ground, uint16, drawn where it is read: it takes no memory."""

    dtype = np.dtype(np.uint16)
    _PERIOD = 96

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        grid = np.indices((self._PERIOD,) * len(shape)) % 24 - 12
        inside = (grid**2).sum(axis=0) < 64
        self._pattern = np.random.default_rng(0).poisson(inside * 400 + 50).astype(self.dtype)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        places = [np.arange(*part.indices(size)) % self._PERIOD for part, size in zip(key, self.shape, strict=True)]
        window: np.ndarray = self._pattern[np.ix_(*places)]
        return window


def small_model(n_dims: int) -> Any:
    """Make a U-Net of width 8 and two poolings that hands the normalized intensity through to both its maps."""
    import torch

    from unveil import Model, ModelCard, UNetConfig, build_network
    from unveil.config.normalization import PercentileNormalization
    from unveil.config.objects import ObjectRule

    config = UNetConfig(n_dims=n_dims, out_channels=3, width=8, poolings=2)
    network: Any = build_network(config)
    centre = (1,) * n_dims
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for convolutions in (network.down[0], network.merge[0]):
            for convolution in (convolutions[0], convolutions[2]):
                convolution.weight[0, 0][centre] = 1
        network.head.weight[1, 0] = STEEPNESS
        network.head.bias[1] = -STEEPNESS / 2
        network.head.weight[2, 0] = 1
    card = ModelCard.describe(
        config,
        name="small",
        task="segmentation",
        classes=("background", "disc"),
        objects=ObjectRule(),
        normalization=PercentileNormalization(low=1, high=99),
    )
    return Model.make(card, network, np.random.default_rng(0).random((1, 1, *(32,) * n_dims), np.float32))


def _objects(size: int, *_: Any) -> tuple[Call, int]:
    from unveil import Image, SegmentationOptions
    from unveil.image import frames
    from unveil.inference.hands import one_by_one
    from unveil.tasks.frame_canvas import FrameCanvas
    from unveil.tasks.results import SegmentationSink

    rows, columns = (edge // CELL_PX for edge in drawn_objects(size).shape)
    distance = np.tile(np.clip(1 - _radius() / (CELL_PX / 2), 0, 1).astype(np.float32), (rows, columns))
    foreground = (distance > 0).astype(np.float32)
    sink = SegmentationSink(np.zeros(distance.shape, np.int32), foreground[np.newaxis], distance)
    image = Image(np.zeros(distance.shape, np.uint8))
    canvas = FrameCanvas(sink, image, next(frames(image, 2, (0,))), small_model(2).card)
    return lambda: canvas.make_labels(SegmentationOptions(), (), 0, one_by_one), rows * columns


def _measurements(size: int, *_: Any) -> tuple[Call, int]:
    from unveil import Image
    from unveil.tasks.measure import measure_objects

    labels = drawn_objects(size)
    image = labels.astype(np.uint16)
    return lambda: measure_objects(Image(labels), Image(image)), int(labels.max())


def _scores(size: int, *_: Any) -> tuple[Call, int]:
    from unveil.operators.metrics import ObjectTally

    labels = drawn_objects(size)
    return lambda: ObjectTally().add(labels, labels), int(labels.max())


PREPARED: dict[str, Callable[..., tuple[Call, int]]] = {
    "images": partial(_segmentation, 2),
    "volumes": partial(_segmentation, 3),
    "objects": _objects,
    "measurements": _measurements,
    "scores": _scores,
}
"""What makes each kind ready: from size, model and maker of arrays to the call that is measured, and its n."""


def drawn_objects(size: int) -> np.ndarray:
    """Return labels, int32, of about `size` discs on a square grid, at least as many."""
    columns = int(np.ceil(np.sqrt(size)))
    rows = -(-size // columns)
    numbers = np.arange(1, rows * columns + 1, dtype=np.int32).reshape(rows, columns)
    labels: np.ndarray = np.kron(numbers, (_radius() < CELL_PX / 2).astype(np.int32))
    return labels


def _radius() -> np.ndarray:
    y, x = np.indices((CELL_PX, CELL_PX)) - (CELL_PX - 1) / 2
    return np.hypot(y, x)


def _results(into: str, folder: Path) -> Callable[..., Any]:
    """Return what makes arrays of a shape and dtype: in memory, or in chunks in `folder`."""
    if into == "memory":
        return np.zeros
    import zarr

    def make(shape: tuple[int, ...], dtype: Any) -> Any:
        path = tempfile.mkdtemp(dir=folder)
        chunks = tuple(min(size, 1024) for size in shape)
        return zarr.create_array(store=path, shape=shape, dtype=dtype, chunks=chunks, overwrite=True)

    return make


def _in_a_fresh_process(arguments: argparse.Namespace, size: int) -> dict[str, float]:
    options = ["--model", arguments.model, "--into", arguments.into, "--point", str(size)]
    command = [sys.executable, __file__, arguments.what, *options]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=(*SIZES, "plot"))
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent, help="of the files to plot")
    parser.add_argument("--sizes", type=int, nargs="+", help="edges in pixels, planes, or numbers of objects")
    parser.add_argument("--model", default="small", help="small, or the name or file of a 2D segmentation model")
    parser.add_argument("--into", choices=("memory", "zarr"), default="memory", help="where results lie")
    parser.add_argument("--repeats", type=int, default=3, help="how often each point is measured")
    parser.add_argument("--output", type=Path, help="folder for the result file, or for the plots")
    parser.add_argument("--point", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
