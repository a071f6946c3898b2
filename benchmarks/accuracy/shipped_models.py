"""Score the shipped models on real images that they never saw, and write the figures down.

    python benchmarks/accuracy/shipped_models.py --data FOLDER [--output FOLDER]

FOLDER holds ``dsb2018_fluo/test/{images,masks}``, ``denoise_fmd/{noisy,target}`` and ``denoise_w2s/*/{noisy,target}``;
what is absent is left out, and named. A frame that lies nearer to the next pixel of its target, by drift, is scored as
it lies, and a second time moved by that pixel: beside its target, what is blurred scores best. The results are printed
and written as ``shipped_models.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

from unveil import EvaluationOptions, Image, __version__, evaluate, load_model
from unveil.events import Event, Progress, ignore
from unveil.io.images import read_image, read_labels
from unveil.io.pairs import pair_files
from unveil.model.model import Model
from unveil.operators.metrics import DenoisingTally
from unveil.tasks.evaluate import Scores

GOALS = {"iou": 0.90, "ap50": 0.84, "ap90": 0.35, "gain_db": 6.3}
GAUSSIAN_SIGMA_PX = 1.0

Table = list[dict[str, Any]]


def main() -> None:
    """Score what there is data for, print the tables and write them."""
    arguments = _arguments()
    report: dict[str, Any] = {"unveil": __version__, "python": platform.python_version(), "machine": platform.machine()}
    sections = []
    nuclei = arguments.data / "dsb2018_fluo" / "test"
    if _is_there(nuclei):
        report["nuclei"] = segmentation_report(load_model(arguments.nuclei), nuclei)
        sections.append(_nuclei_page(report["nuclei"]))
    for name, folders, fit_gain in _denoising_sets(arguments.data):
        report[name] = denoising_report(load_model(arguments.denoiser), folders, fit_gain=fit_gain)
        sections.append(_denoising_page(name, report[name]))
    page = "\n\n".join(["# The shipped models on real images they never saw", *sections])
    print(page)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "shipped_models.json").write_text(json.dumps(report, indent=2) + "\n")
    (arguments.output / "shipped_models.md").write_text(page + "\n")


def segmentation_report(model: Model, folder: Path) -> dict[str, Any]:
    """Score a segmentation model on ``folder/images`` against ``folder/masks``."""
    pairs = pair_files(folder / "images", folder / "masks")
    images, references = (read_image(image) for image, _ in pairs), (read_labels(mask) for _, mask in pairs)
    scores = evaluate(model, images, references, monitor=_Bar(f"{model.card.name} on {folder}", len(pairs)))
    return {**_run(scores), **scores.as_dict()}


def denoising_report(model: Model, folders: Iterable[Path], *, fit_gain: bool) -> dict[str, Any]:
    """Score a denoiser and a Gaussian filter on ``folder/noisy`` against ``folder/target``, by specimen."""
    pairs = [pair for folder in folders for pair in pair_files(folder / "noisy", folder / "target")]
    images, references = (read_image(noisy) for noisy, _ in pairs), (read_image(clean) for _, clean in pairs)
    options = EvaluationOptions(fit_gain=fit_gain)
    bar = _Bar(f"{model.card.name} on {len(pairs)} pairs", len(pairs))
    scores = evaluate(model, images, references, options=options, monitor=bar)
    lines = []
    for pair, one in zip(pairs, scores.per_image, strict=True):
        blurred = _gaussian(*_pixels(*pair), fit_gain=fit_gain)
        lines.append({"specimen": _specimen(pair[1], fit_gain=fit_gain), **one.values, **blurred})
    return {
        **_run(scores),
        "fit_gain": fit_gain,
        "moved": [line for pair in pairs if (line := _moved(model, *pair, fit_gain=fit_gain)) is not None],
        **scores.as_dict(),
        "gain_db": _mean(line["psnr"] - line["psnr_noisy"] for line in lines),
        "gain_db_gaussian": _mean(line["psnr_gaussian"] - line["psnr_noisy"] for line in lines),
        "specimens": _by_specimen(lines),
    }


def _moved(model: Model, noisy: Path, clean: Path, *, fit_gain: bool) -> dict[str, Any] | None:
    """Score a frame that is moved by whole pixels onto its target; None where it lies nearest as it is."""
    pixels, reference = _pixels(noisy, clean)
    offset = phase_cross_correlation(reference, pixels, normalization=None)[0].astype(int)
    if not offset.any():
        return None
    for axis, n in enumerate(offset):
        length = pixels.shape[axis]
        pixels = pixels.take(range(max(0, -n), min(length, length - n)), axis)
        reference = reference.take(range(max(0, n), min(length, length + n)), axis)
    options = EvaluationOptions(fit_gain=fit_gain)
    (one,) = evaluate(model, [Image(pixels)], [Image(reference)], options=options, monitor=ignore).per_image
    blurred = _gaussian(pixels, reference, fit_gain=fit_gain)
    return {"frame": noisy.stem, "offset_px": offset.tolist(), **one.values, **blurred}


def _run(scores: Scores) -> dict[str, Any]:
    report = scores.per_image[0].report
    return {
        "model": report.model,
        "model_sha256": report.model_sha256,
        "device": report.device,
        "engine": report.engine,
        "precision": report.precision,
        "notices": list(scores.notices),
    }


def _gaussian(pixels: NDArray[Any], reference: NDArray[Any], *, fit_gain: bool) -> dict[str, float]:
    tally = DenoisingTally()
    tally.add(pixels, gaussian_filter(pixels.astype(float), GAUSSIAN_SIGMA_PX), reference, fit_gain_first=fit_gain)
    return {f"{name}_gaussian": tally.sums[name] for name in ("psnr", "ssim")}


def _pixels(noisy: Path, clean: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.asarray(read_image(noisy).data), np.asarray(read_image(clean).data)


def _specimen(clean: Path, *, fit_gain: bool) -> str:
    """Name what was imaged: the clean image, or, of many fields, the channel ``_c<number>``."""
    return f"channel {clean.stem.rpartition('_c')[2]}" if fit_gain else clean.stem


def _by_specimen(lines: Table) -> Table:
    groups: dict[str, Table] = defaultdict(list)
    for line in lines:
        groups[line["specimen"]].append(line)
    names = ("psnr_noisy", "psnr_gaussian", "psnr", "ssim_noisy", "ssim_gaussian", "ssim")
    return [
        {"specimen": specimen, "n_images": len(group), **{name: _mean(line[name] for line in group) for name in names}}
        for specimen, group in sorted(groups.items())
    ]


def _denoising_sets(data: Path) -> Iterable[tuple[str, list[Path], bool]]:
    confocal = data / "denoise_fmd"
    if _is_there(confocal):
        yield "denoise_fmd", [confocal], False
    widefield = [data / "denoise_w2s" / part for part in ("train", "val", "test")]
    if all(map(_is_there, widefield)):
        yield "denoise_w2s", widefield, True


def _nuclei_page(scores: dict[str, Any]) -> str:
    ap = scores["ap"]
    rows = [
        ("foreground IoU", scores["iou"], GOALS["iou"]),
        ("AP@0.50", ap["0.50"], GOALS["ap50"]),
        ("AP@0.60", ap["0.60"], None),
        ("AP@0.70", ap["0.70"], None),
        ("AP@0.80", ap["0.80"], None),
        ("AP@0.90", ap["0.90"], GOALS["ap90"]),
    ]
    lines = [f"| {name} | {value:.3f} | {'' if goal is None else f'≥ {goal:.2f}'} |" for name, value, goal in rows]
    head = f"## {scores['model']} on dsb2018_fluo/test ({scores['n_images']} images)"
    return "\n".join([head, "", "| score | measured | goal |", "|---|---|---|", *lines])


def _denoising_page(name: str, scores: dict[str, Any]) -> str:
    fitted = ", gain and offset of every result fitted to its clean image" if scores["fit_gain"] else ""
    goal = "" if scores["fit_gain"] else f" (goal ≥ {GOALS['gain_db']} dB, and nowhere less than the Gaussian filter)"
    lines = [
        f"## {scores['model']} on {name} ({scores['n_images']} images{fitted})",
        "",
        f"Mean gain over the noisy images: {scores['gain_db']:.2f} dB{goal}; "
        f"Gaussian filter of σ = {GAUSSIAN_SIGMA_PX:g} px: {scores['gain_db_gaussian']:.2f} dB.",
        "",
        "| specimen | images | PSNR noisy | Gaussian | model | SSIM noisy | Gaussian | model |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in scores["specimens"]:
        psnr = " | ".join(f"{row[key]:.2f}" for key in ("psnr_noisy", "psnr_gaussian", "psnr"))
        ssim = " | ".join(f"{row[key]:.3f}" for key in ("ssim_noisy", "ssim_gaussian", "ssim"))
        lines.append(f"| {row['specimen']} | {row['n_images']} | {psnr} | {ssim} |")
    if scores["moved"]:
        lines += ["", "Frames that lie nearer to the next pixel of their target, moved by it (PSNR):", ""]
        lines += ["| frame | moved by (Y, X), px | noisy | Gaussian | model |", "|---|---|---|---|---|"]
    for row in scores["moved"]:
        psnr = " | ".join(f"{row[key]:.2f}" for key in ("psnr_noisy", "psnr_gaussian", "psnr"))
        lines.append(f"| {row['frame']} | {', '.join(map(str, row['offset_px']))} | {psnr} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Bar:
    """Says on a terminal how many images are done."""

    title: str
    n_images: int

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and sys.stderr.isatty():
            end = "\n" if event.done == self.n_images else ""
            print(f"\r{self.title}: {event.done}/{self.n_images}", end=end, file=sys.stderr, flush=True)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _is_there(folder: Path) -> bool:
    if not folder.is_dir():
        print(f"left out: there is no {folder}")
    return folder.is_dir()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the two result files")
    parser.add_argument("--nuclei", default="nuclei", help="name or file of the segmentation model")
    parser.add_argument("--denoiser", default="fluorescence-denoiser", help="name or file of the denoiser")
    return parser.parse_args()


if __name__ == "__main__":
    main()
