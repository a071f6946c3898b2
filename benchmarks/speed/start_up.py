"""Measure how long it takes until something can be used: imports, help and one image, each in a fresh interpreter.

``python benchmarks/speed/start_up.py [--repeats 7] [--json]``

Beside other work the wall time is longer than it would be; the processor's time, of all threads, hardly is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import unveil

_IMAGE = Path(unveil.__file__).parent / "sample_data" / "nuclei.tif"  # 512²
_SEGMENT = f"from unveil.cli.main import main; main(['segment', {str(_IMAGE)!r}, '-o', 'results'])"


@dataclass(frozen=True, slots=True)
class Case:
    """Code for a fresh interpreter, how long it may take, and whether the cache is empty whenever it runs."""

    code: str
    goal_s: float | None = None
    has_empty_cache: bool = False


CASES = {
    "python alone": Case("pass"),
    "from unveil import UNetConfig": Case("from unveil import UNetConfig"),
    "import unveil.io.library": Case("import unveil.io.library"),
    "unveil --help": Case("from unveil.cli.main import main; main(['--help'])", goal_s=0.3),
    "unveil models list": Case("from unveil.cli.main import main; main(['models', 'list'])"),
    "import torch": Case("import torch"),
    "from unveil import segment": Case("from unveil import segment"),
    "unveil segment, 512², empty cache": Case(_SEGMENT, goal_s=3.0, has_empty_cache=True),
    "unveil segment, 512²": Case(_SEGMENT, goal_s=3.0),
}


@dataclass(frozen=True, slots=True)
class Times:
    """Of one run, in seconds: on the clock, and of the processor in all threads together."""

    wall: float
    processor: float


def measure(case: Case, folder: Path) -> Times:
    """Run `case` in a fresh interpreter, with compiled modules; `folder` keeps its results and the cache."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    cache = tempfile.mkdtemp(dir=folder) if case.has_empty_cache else folder / "cache"
    environment["UNVEIL_CACHE"] = str(cache)
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", case.code],
        check=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Times(wall, spent)


def main() -> None:
    """Print a table, or JSON, of the time of each case beside its goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            measure(case, Path(folder))  # compiles modules, fills the disk's cache and ours
            measured[name] = [measure(case, Path(folder)) for _ in range(arguments.repeats)]
    if arguments.json:
        print(json.dumps({name: [[t.wall, t.processor] for t in times] for name, times in measured.items()}))
        return
    print("| | min s | median s | max s | processor, median s | goal s |\n| --- | --- | --- | --- | --- | --- |")
    for name, times in measured.items():
        walls, goal = sorted(t.wall for t in times), CASES[name].goal_s
        processor = statistics.median(t.processor for t in times)
        print(
            f"| {name} | {walls[0]:.3f} | {statistics.median(walls):.3f} | {walls[-1]:.3f} | {processor:.3f} | "
            f"{'' if goal is None else f'≤ {goal:g}'} |"
        )


if __name__ == "__main__":
    main()
