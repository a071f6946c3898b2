"""Time the network and the making of labels apart, on one large image of many objects.

    python benchmarks/speed/instances.py [--data FOLDER] [--model nuclei] [--edge 4352] [--precision auto]
        [--repeats 5] [--threads N] [--json FILE]

FOLDER has ``images/``, real fluorescence images (dsb2018_fluo/train); corners of 256² pixels of them, each brought to
the range of 16 bits, are laid side by side in a seeded order, again from the first where there are too few. Without
FOLDER discs are drawn. What is timed is `segment`, the model loaded and one call made before: its network ends with the
last tile, of which the monitor is told, and the labels are what comes after.
"""

from __future__ import annotations

import argparse
import json
import runpy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unveil import Image, Model, SegmentationOptions, load_model, segment
from unveil.events import Event, Progress, ignore
from unveil.io.images import find_images, read_image

PREDICTION = runpy.run_path(str(Path(__file__).parent / "prediction.py"))
CELL_PX = 256
EDGE_PX = 4352
GOAL_SHARE = 0.25
GOAL_SECONDS = 6.0
"""In all, on two cores whose matrix units (AMX) compute half precision."""


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    image = make_mosaic(arguments.data, arguments.edge)
    report = measure(load_model(arguments.model), image, arguments.precision, arguments.repeats)
    report = {"processor": PREDICTION["processor"](), "n_threads": arguments.threads, **report}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(page(report)))


def make_mosaic(data: Path | None, edge: int) -> Image:
    """Lay corners of the images in ``data/images`` side by side, or draw discs, ``(edge, edge)``, uint16."""
    if data is None:
        drawn: Image = PREDICTION["make_image"](edge)
        return drawn
    paths = find_images([data / "images"])
    order = np.random.default_rng(0).permutation(len(paths))
    n_cells = -(-edge // CELL_PX)
    cells = [_cell(paths[order[number % len(paths)]]) for number in range(n_cells**2)]
    rows = [np.hstack(cells[start : start + n_cells]) for start in range(0, n_cells**2, n_cells)]
    return Image(np.vstack(rows)[:edge, :edge], name=f"mosaic of {data.name}")


def measure(model: Model, image: Image, precision: str, repeats: int) -> dict[str, Any]:
    """Segment `image` again and again, and tell the spread of each part and of the labels' share."""
    options = SegmentationOptions(device="cpu", precision=precision, denoise_first="off")
    result = segment(image, model, options=options, monitor=ignore)
    parts = np.array([_parts(image, model, options) for _ in range(repeats)])
    spread = PREDICTION["spread"]
    return {
        "image": image.name,
        "size": list(image.shape),
        "model": model.card.name,
        "precision": result.report.precision,
        "n_objects": result.report.n_objects,
        "repeats": repeats,
        "seconds_network": spread(parts[:, 0].tolist()),
        "seconds_labels": spread(parts[:, 1].tolist()),
        "seconds_in_all": spread(parts.sum(axis=1).tolist()),
        "share_of_labels": spread((parts[:, 1] / parts.sum(axis=1)).tolist()),
    }


def page(report: dict[str, Any]) -> Sequence[str]:
    """Return the table as lines."""
    rows = {"network": "seconds_network", "labels": "seconds_labels", "in all": "seconds_in_all"}
    seconds = [f"| {name} | {_range(report[key], '.2f')} |" for name, key in rows.items()]
    return [
        f"{report['image']}, {' × '.join(map(str, report['size']))}, {report['n_objects']:,} objects, model "
        f"'{report['model']}' in {report['precision']}, {report['repeats']} repeats.",
        "",
        "| | seconds, median (range) |",
        "| --- | --- |",
        *seconds,
        "",
        f"Labels take {_range(report['share_of_labels'], '.0%')} of the time (goal: at most {GOAL_SHARE:.0%}; and at "
        f"most {GOAL_SECONDS:g} s in all on two cores with AMX).",
    ]


def _parts(image: Image, model: Model, options: SegmentationOptions) -> tuple[float, float]:
    """Return the seconds until the last tile, and those after it."""
    last_tile = started = time.perf_counter()

    def note(event: Event) -> None:
        nonlocal last_tile
        if isinstance(event, Progress) and event.unit == "tiles":
            last_tile = time.perf_counter()

    segment(image, model, options=options, monitor=note)
    return last_tile - started, time.perf_counter() - last_tile


def _cell(path: Path) -> NDArray[np.uint16]:
    grey = np.asarray(read_image(path).data)[..., :CELL_PX, :CELL_PX].astype(np.float32)
    assert grey.ndim == 2, f"{path.name} has more than one plane or channel"
    grey = np.pad(grey, [(0, CELL_PX - size) for size in grey.shape], mode="symmetric")
    black, white = float(grey.min()), float(grey.max())
    return np.asarray(np.rint((grey - black) / max(white - black, 1) * 65535), np.uint16)


def _range(values: dict[str, float], form: str) -> str:
    return f"{values['median']:{form}} ({values['min']:{form}} to {values['max']:{form}})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with images/; discs are drawn if not given")
    parser.add_argument("--model", default="nuclei", help="name or file of a 2D model that separates objects")
    parser.add_argument("--edge", type=int, default=EDGE_PX, help="edge of the image in pixels")
    parser.add_argument("--precision", choices=("auto", "exact", "fast"), default="auto")
    parser.add_argument("--repeats", type=int, default=5, help="how often it is timed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the network")
    parser.add_argument("--json", type=Path, help="write the result here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
