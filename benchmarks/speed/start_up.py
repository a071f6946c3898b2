"""Measure how long it takes until something can be used: imports and help, each in a fresh interpreter.

``python benchmarks/speed/start_up.py [--repeats 7] [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

CASES = {
    "python alone": "pass",
    "from unveil import UNetConfig": "from unveil import UNetConfig",
    "import unveil.io.library": "import unveil.io.library",
    "unveil --help": "from unveil.cli.main import main; main(['--help'])",
    "unveil models list": "from unveil.cli.main import main; main(['models', 'list'])",
    "from unveil import segment": "from unveil import segment",
}


def seconds(code: str) -> float:
    """Run `code` in a fresh interpreter, with compiled modules, and return the wall time."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def main() -> None:
    """Print a table, or JSON, of the shortest, median and longest time of each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measured = {}
    for name, code in CASES.items():
        seconds(code)  # compiles modules and fills the disk cache
        measured[name] = sorted(seconds(code) for _ in range(arguments.repeats))
    if arguments.json:
        print(json.dumps(measured))
        return
    print("| | min s | median s | max s |\n| --- | --- | --- | --- |")
    for name, times in measured.items():
        print(f"| {name} | {times[0]:.3f} | {statistics.median(times):.3f} | {times[-1]:.3f} |")


if __name__ == "__main__":
    main()
