"""Denoise single frames of real fluorescence noise by filters, BM3D, CAREamics and Unveil, side by side.

    python benchmarks/accuracy/real_noise.py --data FOLDER [--frames 1] [--seconds 60] [--peers PYTHON]
        [--methods NAME ...] [--output FOLDER]

FOLDER holds ``denoise_fmd/{noisy,target}`` and ``denoise_w2s/test/{noisy,target}``. PYTHON is that of an environment
with the two peers (``python -m venv peers; peers/bin/pip install bm3d careamics``); without it their rows are left out.

Non-local means and BM3D work where the noise is stabilized: its gain and read-out noise are estimated from the noisy
frame alone, and both are told the level, 1. The networks that are trained here see that frame alone too, for
`seconds`: from scratch by blind spots, or the shipped denoiser, adapted to it. Every result is scored alike, gain and
offset fitted first: a single frame is brighter or darker than the average of many, by bleaching and drift (slopes of
0.88 to 1.19 in denoise_fmd), or because it was stretched on its own (denoise_w2s). ``real_noise.json`` and ``.md`` are
written after every method, and what they hold is not computed again.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares
from skimage.restoration import denoise_nl_means

from unveil import DenoisingOptions, DenoisingTraining, Image, Model, __version__, denoise, load_model, train
from unveil.errors import UnveilError
from unveil.events import ignore
from unveil.io.images import read_image
from unveil.io.pairs import pair_files
from unveil.operators.classical import gaussian, median
from unveil.operators.metrics import DenoisingTally

TITLES = {
    "noisy": "noisy",
    "gaussian": "Gaussian, σ 1",
    "median": "median, radius 1",
    "nlm": "VST + NLM",
    "bm3d": "VST + BM3D",
    "n2v": "CAREamics N2V",
    "shipped": "shipped denoiser",
    "shipped_accurate": "shipped denoiser, accurate",
    "blind_spot": "blind-spot training",
    "adapted": "shipped denoiser, adapted, accurate",
}
OURS = ("shipped", "shipped_accurate", "blind_spot", "adapted")
MARGINS = ("others", "bm3d")
PEERS = Path(__file__).parent / "peers"
START_UP_S = 4
"""What a training of ours takes beside its steps."""
GOAL_OVER_BM3D_DB = 0.5
SHOWN_OF_ERROR = 300
"""Characters, from the end."""

HIGH_PASS = np.outer([1, -2, 1], [1, -2, 1]) / 6
"""Of unit norm, blind to slopes (Immerkær 1996)."""
LEVEL_SIGMA_PX = 2.0
N_LEVELS = 64
SMALLEST = 2 * np.sqrt(3 / 8)
"""What the transform makes of no light without read-out noise."""

Floats: TypeAlias = NDArray[np.float64]
Denoise: TypeAlias = Callable[[Image], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Frame:
    """A noisy image, its clean one, and what was imaged."""

    noisy: Path
    clean: Path
    specimen: str


@dataclass(frozen=True, slots=True)
class Noise:
    """Variance of the noise at the grey value x: ``gain · x + at_zero``, negative at 0 where black is not 0."""

    gain: float
    at_zero: float


def main() -> None:
    """Score every method on every frame, and write the table after each."""
    arguments = _arguments()
    report = _begun(arguments.output / "real_noise.json", arguments.seconds)
    methods = _methods(arguments.seconds, arguments.peers)
    chosen = [name for name in arguments.methods if name in methods]
    for frame in _frames(arguments.data, arguments.frames):
        empty = {"specimen": frame.specimen, "noise": {}, "psnr": {}, "seconds": {}, "failed": {}}
        line = report["frames"].setdefault(frame.noisy.stem, empty)
        line["noise"] = noise_report(np.asarray(read_image(frame.noisy).data, np.float64))
        for name in [name for name in chosen if name not in line["psnr"]]:
            score(frame, name, methods[name], line)
            _write(report, arguments.output)
        print(json.dumps({"frame": frame.noisy.stem, **line}), flush=True)
    _write(report, arguments.output)
    print(page(report))


def score(frame: Frame, name: str, method: Denoise, line: dict[str, Any]) -> None:
    """Write PSNR and time of one method into `line`, or why it failed."""
    noisy, clean = read_image(frame.noisy), np.asarray(read_image(frame.clean).data)
    started = time.monotonic()
    line["failed"].pop(name, None)
    try:
        result = method(noisy)
    except (UnveilError, subprocess.CalledProcessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
        line["failed"][name] = " ".join(said.split())[-SHOWN_OF_ERROR:]
        return
    line["seconds"][name] = round(time.monotonic() - started, 1)
    tally = DenoisingTally()
    tally.add(np.asarray(noisy.data), result, clean, fit_gain_first=True)
    line["psnr"][name] = round(tally.sums["psnr"], 3)


def estimate_noise(image: Floats) -> Noise:
    """Fit a straight line to the noise's variance over the grey value, from one noisy image ``(Y, X)``.

    As Foi 2008 (IEEE Trans. Image Process. 17, 1737): pixels of about the same smoothed grey value make up a level,
    and the level's variance is that of the high-pass. The fit is of logarithms and robust, since edges add variance.
    """
    level = ndimage.gaussian_filter(image, LEVEL_SIGMA_PX).ravel()
    high_pass = ndimage.correlate(image, HIGH_PASS).ravel()
    groups = np.array_split(np.argsort(level), N_LEVELS)
    mean, variance = (np.array([values[group].mean() for group in groups]) for values in (level, high_pass**2))
    tiny = np.finfo(np.float64).eps * variance.max()

    def misfit(line: Floats) -> Floats:
        fitted: Floats = np.log(np.maximum(line[0] * mean + line[1], tiny) / np.maximum(variance, tiny))
        return fitted

    start = np.ptp(variance) / np.ptp(mean), variance.min()
    fit = least_squares(misfit, start, bounds=([1e-6, -np.inf], np.inf), loss="soft_l1", f_scale=0.1)
    return Noise(*map(float, fit.x))


def stabilize(image: Floats, noise: Noise) -> Floats:
    """Transform `image` so that its noise has a standard deviation of about 1 (generalized Anscombe transform)."""
    shifted = noise.gain * image + 3 / 8 * noise.gain**2 + noise.at_zero
    return np.asarray(2 / noise.gain * np.sqrt(np.maximum(shifted, 0)))


def unstabilize(image: Floats, noise: Noise) -> Floats:
    """Invert `stabilize` after denoising, without bias.

    The closed form of Mäkitalo and Foi for Poisson noise (2011, IEEE Trans. Image Process. 20, 2697), less the variance
    of the read-out noise (2013, IEEE Trans. Image Process. 22, 91).
    """
    z = np.maximum(image, SMALLEST)
    light = z**2 / 4 + np.sqrt(3 / 2) / 4 / z - 11 / 8 / z**2 + 5 / 8 * np.sqrt(3 / 2) / z**3 - 1 / 8
    return np.asarray(noise.gain * light - noise.at_zero / noise.gain)


def noise_report(image: Floats) -> dict[str, float]:
    """Return the noise that is found in `image`, and the standard deviation that is left of it when stabilized."""
    noise = estimate_noise(image)
    left = float(ndimage.correlate(stabilize(image, noise), HIGH_PASS).std())
    return {"gain": round(noise.gain, 3), "at_zero": round(noise.at_zero, 3), "stabilized_std": round(left, 3)}


def _methods(seconds: float, peers: Path | None) -> dict[str, Denoise]:
    shipped = load_model("fluorescence-denoiser")
    methods: dict[str, Denoise] = {
        "noisy": lambda noisy: np.asarray(noisy.data),
        "gaussian": lambda noisy: gaussian(np.asarray(noisy.data), 1),
        "median": lambda noisy: median(np.asarray(noisy.data), 1),
        "nlm": _stabilized(_non_local_means),
        "shipped": lambda noisy: _denoised(noisy, shipped),
        "shipped_accurate": lambda noisy: _denoised(noisy, shipped, accurate=True),
        "blind_spot": lambda noisy: _denoised(noisy, _trained_on(noisy, seconds)),
        "adapted": lambda noisy: _denoised(noisy, _trained_on(noisy, seconds, shipped), accurate=True),
    }
    if peers:
        methods["bm3d"] = _stabilized(lambda image: _by_peer(peers, "bm3d_peer.py", image))
        methods["n2v"] = lambda noisy: _by_peer(peers, "careamics_peer.py", np.asarray(noisy.data), str(seconds))
    return methods


def _stabilized(method: Callable[[Floats], NDArray[Any]]) -> Denoise:
    def denoised(noisy: Image) -> NDArray[Any]:
        image = np.asarray(noisy.data, np.float64)
        noise = estimate_noise(image)
        return unstabilize(method(stabilize(image, noise)), noise)

    return denoised


def _non_local_means(image: Floats) -> NDArray[Any]:
    """Filter unit noise with the values of scikit-image's own example of its fast mode with a known level."""
    return np.asarray(denoise_nl_means(image, patch_size=5, patch_distance=6, h=0.6, sigma=1, fast_mode=True))


def _by_peer(python: Path, script: str, image: NDArray[Any], *options: str) -> NDArray[Any]:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "noisy.npy"), Path(folder, "denoised.npy")
        np.save(source, image)
        command = [str(python), str(PEERS / script), str(source), str(target), *options]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return np.asarray(np.load(target))


def _denoised(noisy: Image, model: Model, *, accurate: bool = False) -> NDArray[Any]:
    return np.asarray(denoise(noisy, model, options=DenoisingOptions(accurate=accurate), monitor=ignore).image.data)


def _trained_on(noisy: Image, seconds: float, start: Model | None = None) -> Model:
    how: Literal["adapt", "blind_spot"] = "adapt" if start else "blind_spot"
    settings = DenoisingTraining(noisy_only=how, time_budget_s=seconds - START_UP_S)
    return train([noisy], None, settings, start=start, monitor=ignore)


def page(report: dict[str, Any]) -> str:
    """Return the table: a line per specimen, the means, and who is ahead."""
    specimens: dict[str, list[dict[str, float]]] = defaultdict(list)
    for line in report["frames"].values():
        specimens[line["specimen"]].append(line["psnr"])
    rows = {specimen: _mean(frames) for specimen, frames in sorted(specimens.items())}
    columns = [name for name in TITLES if any(name in psnr for psnr in rows.values())]
    head = ["specimen", *(TITLES[name] for name in columns), "better of ours", "over the best other", "over BM3D"]
    table = [head, ["---"] * len(head), *([name, *_cells(psnr, columns)] for name, psnr in rows.items())]
    for kind in ("FMD", "W2S", ""):
        if group := [psnr for specimen, psnr in rows.items() if specimen.startswith(kind)]:
            margins = _mean([_margins(psnr) for psnr in group])
            table.append([f"mean {kind}".strip(), *_numbers(_mean(group), columns), "", *_numbers(margins, MARGINS)])
    intro = (
        f"PSNR in dB of single frames, after a fit of gain and offset. Networks were trained on the frame "
        f"itself, for {report['seconds']:g} s. VST: the noise, estimated blindly, is stabilized first. Accurate: the "
        f"mean over the image and its mirror images."
    )
    drawn = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    return "\n\n".join(["# Real fluorescence noise", intro, drawn, *_summary(list(rows.values())), *_missing(report)])


def _cells(psnr: dict[str, float], columns: list[str]) -> list[str]:
    better = max((name for name in OURS if name in psnr), key=lambda name: psnr[name], default=None)
    return [*_numbers(psnr, columns), TITLES[better] if better else "–", *_numbers(_margins(psnr), MARGINS)]


def _numbers(values: dict[str, float], names: Iterable[str]) -> list[str]:
    return [f"{values[name]:.2f}" if name in values else "–" for name in names]


def _margins(psnr: dict[str, float], ours: Iterable[str] = OURS) -> dict[str, float]:
    """Return by how many dB the best of `ours` is ahead of the best row that is not ours, and of BM3D."""
    own = [psnr[name] for name in ours if name in psnr]
    others = {name: value for name, value in psnr.items() if name not in OURS}
    if not own or not others:
        return {}
    best_other = {"others": max(own) - max(others.values())}
    return best_other | ({"bm3d": max(own) - psnr["bm3d"]} if "bm3d" in psnr else {})


def _summary(rows: list[dict[str, float]]) -> Iterable[str]:
    """Say on how many specimens ours are ahead: the better of the two, and each alone."""
    for title, ours in {"better of ours": OURS, **{TITLES[name]: (name,) for name in OURS}}.items():
        if margins := [found for psnr in rows if (found := _margins(psnr, ours))]:
            n_ahead, mean = sum(found["others"] > 0 for found in margins), _mean(margins)
            over = f", over BM3D by {mean['bm3d']:+.2f} dB on average" if "bm3d" in mean else ""
            yield f"The {title}: ahead of every other row on {n_ahead} of {len(margins)} specimens{over}."
    yield f"Goal: the better ahead on every specimen, and ≥ {GOAL_OVER_BM3D_DB} dB over BM3D."


def _missing(report: dict[str, Any]) -> Iterable[str]:
    lines = report["frames"].values()
    absent = [
        title for name, title in TITLES.items() if not any(name in line["psnr"] | line["failed"] for line in lines)
    ]
    if absent:
        yield f"Left out: {'; '.join(absent)}."
    for frame, line in report["frames"].items():
        for name, why in line["failed"].items():
            yield f"Failed: {TITLES[name]} on {frame}: {why}"


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Average what every row has."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if all(name in row for row in rows)}


def _frames(data: Path, n_each: int) -> Iterable[Frame]:
    """Yield the first frames of each specimen: a clean image of FMD, a channel of W2S."""
    n_found: dict[str, int] = defaultdict(int)
    for folder, is_w2s in ((data / "denoise_fmd", False), (data / "denoise_w2s" / "test", True)):
        if not folder.is_dir():
            print(f"left out: there is no {folder}")
            continue
        for noisy, clean in pair_files(folder / "noisy", folder / "target"):
            specimen = f"W2S channel {clean.stem.rpartition('_c')[2]}" if is_w2s else f"FMD {clean.stem}"
            n_found[specimen] += 1
            if n_found[specimen] <= n_each:
                yield Frame(noisy, clean, specimen)


def _begun(path: Path, seconds: float) -> dict[str, Any]:
    """Return the results in `path`, to go on with, or none yet."""
    if not path.exists():
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        return {"unveil": __version__, **machine, "seconds": seconds, "frames": {}}
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if report["seconds"] != seconds:
        sys.exit(f"{path} holds trainings of {report['seconds']:g} s, not {seconds:g} s. Choose another --output.")
    return report


def _write(report: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (folder / "real_noise.json").write_text(text + "\n", encoding="utf-8")
    (folder / "real_noise.md").write_text(page(report) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--frames", type=int, default=1, help="how many frames of each specimen")
    parser.add_argument("--seconds", type=float, default=60, help="time of each training")
    parser.add_argument("--peers", type=Path, help="Python of an environment with bm3d and careamics")
    parser.add_argument("--methods", nargs="+", choices=TITLES, default=list(TITLES), help="only these rows")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the two result files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
