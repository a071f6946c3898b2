"""Denoise natural images: classical filters, the lecture's networks, small networks, BM3D; the same noise for all.

    python benchmarks/accuracy/natural_denoising.py --data FOLDER --models FOLDER [--peers PYTHON] [--noises NAME ...]
        [--output FOLDER]

FOLDER of the data holds clean grey images (BSD68, 0 to 255); ``--models`` is what ``recipes/natural_denoisers.py``
wrote. The noise is the lecture's, of 15.36 dB, or has a standard deviation of 15, 25 or 50 grey values. A model is
scored at the noise of its name, ``NETWORK-LEVEL``, a blind one at all levels, and one of the lecture at the lecture's.
Noise is not clipped, and its seed is the number of the image. PYTHON is that of an environment with the package bm3d
(``python -m venv peers; peers/bin/pip install bm3d``), which is told the level; without it that row is left out.

PSNR in dB, means over the images. ``natural_denoising.json`` and ``.md`` are written after every row, and what they
hold is not computed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unveil import DenoisingOptions, Image, Model, denoise, load_model
from unveil.events import ignore
from unveil.io.images import find_images, read_image
from unveil.networks.build import count_parameters
from unveil.operators.noise import add_gaussian

GREY = 255.0
LECTURE = "lecture"
SIGMAS = {LECTURE: GREY * 10 ** (-15.36 / 20), "15": 15.0, "25": 25.0, "50": 50.0}
"""Standard deviations of the noise, in grey values."""
CLASSICAL = {
    "Gaussian filter, σ = 1": ("gaussian-filter", 1.0),
    "median, radius 3": ("median-filter", 3.0),
    "high-pass and soft clip": ("clipped-high-pass", 1.5),
}
"""Filters and their sizes in pixels."""
BM3D = "BM3D"
BM3D_PEER = Path(__file__).parent / "peers" / "bm3d_peer.py"
SOURCE = {
    "noisy": 15.36,
    "Gaussian filter, σ = 1": 18.23,
    "median, radius 3": 18.45,
    "high-pass and soft clip": 19.97,
    "resnet-3x16": 20.91,
    "resnet-5x32": 21.01,
    "unet": 20.99,
}
"""What the lecture found on its one image."""
WHY_THE_ORDER_DIFFERS = (
    "The lecture's gains are smaller, and its median is ahead of its Gaussian. It does not say whether its noisy "
    "image was clipped at black and white, which shifts bright and dark areas, so that averages keep an error and "
    "medians less of it. With the contrast of these images doubled, and all clipped: noisy 16.89, Gaussian 20.91, "
    "median 20.82 dB (by hand). Unclipped, the median is ahead on the smoothest fifth of them alone (26.33 "
    "against 25.65 dB), since a radius of 3 blurs more than σ = 1. The lecture's networks "
    "end alike; here the U-Net, which sees farthest, is ahead, and the DnCNN behind 5 × 32, which had 200 epochs "
    "where it had 80."
)

Floats: TypeAlias = NDArray[np.float32]
Denoise: TypeAlias = Callable[[Floats], NDArray[Any]]
Table: TypeAlias = dict[str, float]


def main() -> None:
    """Score every row at every noise, and write the table after each."""
    arguments = _arguments()
    path = arguments.output / "natural_denoising.json"
    images = [np.asarray(read_image(file).data, np.float32) for file in find_images([arguments.data])]
    before = json.loads(path.read_text()) if path.exists() else {"psnr": {}, "networks": []}
    report: dict[str, Table] = before["psnr"]
    here = [facts(load_model(file)) for file in sorted(arguments.models.glob("*.safetensors"))]
    by_name = {row["name"]: row for row in [*before["networks"], *here]}
    networks = [by_name[name] for name in sorted(by_name)]
    written = {"n_images": len(images), "sigmas": SIGMAS, "source": SOURCE, "psnr": report, "networks": networks}

    def write() -> None:
        path.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(page(report, networks, len(images)), encoding="utf-8")

    write()
    for noise in arguments.noises:
        table = report.setdefault(noise, {})
        for name, denoised in _rows(noise, arguments.models, arguments.peers):
            if name not in table:
                table[name] = round(mean_psnr(denoised, images, SIGMAS[noise]), 3)
                print(noise, name, table[name], flush=True)
                write()


def mean_psnr(denoised: Denoise, images: list[Floats], sigma: float) -> float:
    """Return the mean PSNR of `images` with noise added and taken away, against 255."""
    errors = [
        np.mean((np.asarray(denoised(add_gaussian(clean, sigma, seed)), np.float64) - clean) ** 2)
        for seed, clean in enumerate(images)
    ]
    return float(np.mean(10 * np.log10(GREY**2 / np.array(errors))))


def facts(model: Model) -> dict[str, Any]:
    """Return how large a model is and how it was trained."""
    record = model.card.training
    assert record is not None
    return {
        "name": model.card.name,
        "parameters": count_parameters(model.network),
        "steps": len(record.history) * record.config["steps_per_epoch"],
        "patches": f"{record.config['batch_size']} × {record.config['patch_px']}²",
        "seconds": record.seconds,
    }


def page(report: dict[str, Table], networks: list[dict[str, Any]], n_images: int) -> str:
    """Return the tables: the lecture's experiment beside its own figures, the others beside BM3D, and the trainings."""
    parts = [
        f"# Gaussian noise on {n_images} natural images\n\nPSNR in dB, means over the images; noise is not clipped.\n"
    ]
    for noise, table in report.items():
        if noise == LECTURE:
            parts.append(_lecture_page(table))
            continue
        parts.append(f"## σ = {noise}\n\n| | PSNR | over BM3D |\n| --- | --- | --- |")
        over = {name: f"{value - table[BM3D]:+.2f}" for name, value in table.items() if BM3D in table}
        parts += [f"| {name} | {value:.2f} | {over.get(name, '–')} |" for name, value in table.items()]
        parts.append("")
    parts.append(
        "## The networks\n\n| | parameters | steps at most | patches | seconds |\n| --- | --- | --- | --- | --- |"
    )
    parts += [
        f"| {row['name']} | {row['parameters']:,} | {row['steps']:,} | {row['patches']} | {row['seconds']:.0f} |"
        for row in networks
    ]
    return "\n".join(parts) + "\n"


def _lecture_page(table: Table) -> str:
    lines = ["## The lecture's noise, 15.36 dB", "", "| | PSNR | gain | the lecture, one image | its gain |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, value in table.items():
        theirs = [f"{SOURCE[name]:.2f}", f"{SOURCE[name] - SOURCE['noisy']:.2f}"] if name in SOURCE else ["–", "–"]
        lines.append(f"| {name} | {value:.2f} | {value - table['noisy']:.2f} | {' | '.join(theirs)} |")
    return "\n".join([*lines, "", WHY_THE_ORDER_DIFFERS, ""])


def _rows(noise: str, models: Path, peers: Path | None) -> Iterator[tuple[str, Denoise]]:
    yield "noisy", lambda noisy: noisy
    for row, (name, size) in CLASSICAL.items():
        yield row, _by(load_model(name), DenoisingOptions(size_px=size))
    for path in sorted(models.glob("*.safetensors")):
        network, _, level = path.stem.partition("-")
        levels = [LECTURE] if network in ("resnet", "unet", "dncnn") else [level]
        if noise in levels or (level == "blind" and noise != LECTURE):
            yield path.stem, _by(load_model(path))
    if peers:
        yield BM3D, lambda noisy: _bm3d(peers, noisy / SIGMAS[noise]) * SIGMAS[noise]


def _by(model: Model, options: DenoisingOptions = DenoisingOptions()) -> Denoise:  # noqa: B008 (frozen)
    return lambda noisy: np.asarray(denoise(Image(noisy), model, options=options, monitor=ignore).image.data)


def _bm3d(python: Path, noisy: Floats) -> NDArray[Any]:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "noisy.npy"), Path(folder, "denoised.npy")
        np.save(source, noisy)
        subprocess.run([str(python), str(BM3D_PEER), str(source), str(target)], check=True, capture_output=True)
        return np.asarray(np.load(target))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--models", type=Path, required=True, help="folder of model files")
    parser.add_argument("--peers", type=Path, help="Python of an environment with bm3d")
    parser.add_argument("--noises", nargs="+", choices=list(SIGMAS), default=list(SIGMAS), help="noises to add")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
