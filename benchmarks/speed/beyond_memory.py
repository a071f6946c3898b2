"""Segment an image larger than memory beside one in memory: time per pixel, peak memory, going on after a kill.

    python benchmarks/speed/beyond_memory.py [--edge 32768] [--reference-edge 4096] [--repeats 3] [--model nuclei]
        [--kill-after SECONDS] [--work FOLDER] [--output FOLDER]

Each run is `unveil segment` in a process of its own: of an OME-Zarr image of ``edge`` pixels squared into OME-Zarr
(labels, probabilities, all levels), and of a TIFF of ``reference-edge`` pixels squared into TIFF files of labels and
probabilities, whose results are arrays in memory. Seconds are those of the whole command less those of the same command
on an image of 64 × 64 pixels; memory is the largest resident set that the system saw. The reference takes its turns
before and after the large image. With ``--kill-after`` the large run is killed after so many seconds and gone on with,
and the reference image is computed in OME-Zarr both unbroken and killed, to see that both results are the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

MOST_BYTES = 1.5 * 2**30
MOST_SLOWER = 0.15
_CHUNK = 512
_PATTERN = 2048
_DISC_PIXELS = 4000
"""Pixels per disc drawn."""


def main() -> None:
    """Run, print and write what was measured."""
    given = _arguments()
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        report = measure(Path(folder), given)
    print(json.dumps(report, indent=2))
    (given.output / "beyond_memory.json").write_text(json.dumps(report, indent=2) + "\n")


def measure(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Take turns between the reference and the large image."""
    tiny, reference, large = folder / "tiny.tif", folder / "reference.tif", folder / "large.zarr"
    tifffile.imwrite(tiny, pattern(64, seed=1))
    tifffile.imwrite(reference, pattern(given.reference_edge, seed=2))
    write_large(large, given.edge)
    in_memory = ["--probabilities"]
    on_disk = ["--format", "ome-zarr", "--axes", "YX"]
    fixed = {name: run(tiny, folder, given.model, how)["seconds"] for name, how in (("m", in_memory), ("d", on_disk))}
    before = [run(reference, folder, given.model, in_memory) for _ in range(given.repeats)]
    huge = run(large, folder, given.model, on_disk, kill_after=given.kill_after)
    after = [run(reference, folder, given.model, in_memory) for _ in range(given.repeats)]
    per_pixel = [(one["seconds"] - fixed["m"]) / given.reference_edge**2 for one in before + after]
    large_per_pixel = (huge["seconds"] - fixed["d"]) / given.edge**2
    ratios = [one / large_per_pixel for one in per_pixel]
    same_bytes = None
    if given.kill_after:
        unbroken = hashes(reference, folder, given.model, None)
        same_bytes = unbroken == hashes(reference, folder, given.model, min(given.kill_after, 3 * fixed["d"]))
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "model": given.model,
        "edge": given.edge,
        "n_objects": huge["n_objects"],
        "seconds": huge["seconds"],
        "killed": huge["killed"],
        "peak bytes": huge["peak"],
        "goal bytes": MOST_BYTES,
        "reference edge": given.reference_edge,
        "reference seconds": [one["seconds"] for one in before + after],
        "reference peak bytes": max(one["peak"] for one in before + after),
        "fixed seconds": fixed,
        "throughput over that in memory": {
            "min": min(ratios), "median": statistics.median(ratios), "max": max(ratios), "goal": 1 - MOST_SLOWER
        },
        "a killed run gives the same bytes": same_bytes,
        "precision": huge["precision"],
        "tile": huge["tile"],
    }  # fmt: skip


def run(image: Path, folder: Path, model: str, how: list[str], *, kill_after: float | None = None) -> dict[str, Any]:
    """Segment `image` in a process of its own, killed once and gone on with where that is asked for."""
    output = folder / "results"
    command = [sys.executable, "-m", "unveil", "segment", str(image), "-o", str(output), "-m", model, "--json", *how]
    command += ["--denoise-first", "off"]
    start = time.perf_counter()
    killed = False
    if kill_after:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed = True
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    answer = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}.")
    found = json.loads(answer)["images"][0]
    seconds = time.perf_counter() - start
    if image.suffix == ".tif":
        shutil.rmtree(output)
    return {**found, "seconds": seconds, "peak": usage.ru_maxrss * 1024, "killed": killed}


def hashes(image: Path, folder: Path, model: str, kill_after: float | None) -> dict[str, str]:
    """Return the digest of every file of the result in OME-Zarr, but of the one that holds its seconds."""
    output = folder / "hashed"
    command = [sys.executable, "-m", "unveil", "segment", str(image), "-o", str(output), "-m", model]
    command += ["--format", "ome-zarr", "--tile", str(_CHUNK), "--denoise-first", "off"]
    if kill_after:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    result = next(output.glob("*.ome.zarr"))
    found = {
        str(path.relative_to(result)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in result.rglob("*")
        if path.is_file() and path != result / ".zattrs"
    }
    shutil.rmtree(output)
    return found


def pattern(edge: int, seed: int) -> np.ndarray:
    """Draw bright discs on a noisy ground, uint16."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(200, 10, (edge, edge)).astype(np.float32)
    for _ in range(max(1, edge * edge // _DISC_PIXELS)):
        centre, radius = rng.uniform(0, edge, 2), rng.uniform(6, 14)
        top, left = (int(max(c - radius, 0)) for c in centre)
        y, x = np.mgrid[top : min(edge, top + 30), left : min(edge, left + 30)]
        pixels[top : top + 30, left : left + 30] += 800 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2)
    return pixels.astype(np.uint16)


def write_large(path: Path, edge: int) -> None:
    """Write a plane of `edge` pixels squared that repeats a pattern, chunk by chunk."""
    array = zarr.create_array(path, shape=(edge, edge), dtype="u2", chunks=(_CHUNK, _CHUNK), zarr_format=2)
    drawn = pattern(_PATTERN, seed=3)
    for y in range(0, edge, _PATTERN):
        for x in range(0, edge, _PATTERN):
            array[y : y + _PATTERN, x : x + _PATTERN] = drawn[: edge - y, : edge - x]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=32768)
    parser.add_argument("--reference-edge", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3, help="turns of the reference before, and after")
    parser.add_argument("--model", default="nuclei", help="name or file of a segmentation model")
    parser.add_argument("--kill-after", type=float, help="seconds after which the large run is killed once")
    parser.add_argument("--work", type=Path, help="folder with room for image and result")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
