"""Time the prediction of one image side by side with other libraries, on the same processor cores.

    python benchmarks/speed/peers.py [--monai PYTHON] [--bioimageio PYTHON] [--careamics PYTHON] [--cellpose PYTHON]
        [--stardist PYTHON] [--size 2048] [--repeats 5] [--threads N] [--instances [--data FOLDER]] [--output FILE]

PYTHON is that of an environment with the library (README.md of the folder above says how to make it); a library whose
PYTHON is not given is left out. Ours is the door, from grey values to probabilities, exact and fast, and beside it the
bare engine, which gets whole normalized images of ``--raw-size``. MONAI and BioImage.IO compute the very same network;
the others, each of which is made for networks of its own, compute these with random weights, which cost the same time
as trained ones: how their results would be labelled is not timed, and nothing is downloaded.

Every one is a process that stays alive: it loads, computes the image once, and then once in every repeat, in turn with
the others, forwards and backwards, so that other load hits all; ratios are those of one repeat. Other load hits them
unequally all the same: libraries whose threads wait for each other lose more. So measure on an idle machine; how many
cores other programs took meanwhile is written down. ``--instances`` measures the making of labels too (`instances.py`).

FILE is JSON, rewritten after every repeat; the table lies beside it as ``.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import torch

from unveil import Image, Model, load_model, save_model
from unveil.operators.normalization import fit_array

HERE = Path(__file__).parent
PREDICTION = runpy.run_path(str(HERE / "prediction.py"))
INSTANCES = runpy.run_path(str(HERE / "instances.py"))
OURS = {"Unveil, exact": "exact", "Unveil, fast": "fast"}
RAW = {"bare engine, exact": "exact", "bare engine, fast": "fast"}
PEERS = {
    "monai": "MONAI",
    "bioimageio": "bioimageio.core",
    "careamics": "CAREamics",
    "cellpose": "Cellpose 3",
    "stardist": "StarDist",
}
WITHOUT_A_WAY = {
    "Cellpose-SAM": "Cellpose 4 imports torchvision, of which PyPI has builds for graphics cards only, and those do "
    "not load beside a PyTorch for processors."
}
GOALS_AMX = {"fast": 25.0, "exact": 5.0}
GOALS_ELSEWHERE = {"fast": 4.0, "exact": 4.0}
"""Times as fast as MONAI, with matrix units (AMX) and without."""
GOAL_SHARE = 0.8
"""The door's pixels per second over those of the bare engine."""
STEP_PX = 8
"""The U-Net's step: BioImage.IO takes no other sizes."""
REST_S = 0.5
"""Threads of the one before may spin for a while."""
IDLE = 0.1
"""Cores taken by other programs up to which a machine counts as idle."""
NOT_IDLE = "The machine was **not idle**: these figures show that the script works, not who is faster."

Report = dict[str, Any]


class PeerFailedError(Exception):
    """A process ended, or never began."""


@dataclass
class Contender:
    """A process that computes the image when it is told to."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    facts: Report = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def listen(self) -> Report:
        """Return the next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise PeerFailedError(said[-1] if said else f"ended with status {self.process.wait()}")
        answer: Report = json.loads(line)
        return answer

    def take_turn(self) -> None:
        """Have the image computed once more."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerFailedError("its process ended between two turns") from error
        self.seconds.append(self.listen()["seconds"])


def main() -> None:
    """Start every contender, let them take turns, and write what came out."""
    arguments = _arguments()
    model = load_model(arguments.model) if arguments.model else PREDICTION["untrained_model"]()
    report = describe(arguments, model)
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        prepare(folder, PREDICTION["make_image"](arguments.size), model)
        contenders = start_all(arguments, folder, report["left_out"], stack)
        for number in range(arguments.repeats):
            started, others = time.monotonic(), cpu_seconds_of_others(contenders)
            for contender in contenders[:: -1 if number % 2 else 1]:
                time.sleep(REST_S)
                try:
                    contender.take_turn()
                except PeerFailedError as error:
                    report["left_out"][contender.name] = str(error)
            left = [one for one in contenders if one.name not in report["left_out"]]
            if len(left) == len(contenders):
                others = cpu_seconds_of_others(contenders) - others
                report["cores_of_others"].append(round(max(others, 0.0) / (time.monotonic() - started), 2))
            contenders = left
            report |= summary(contenders, number + 1, report["has_amx"])
            write(report, arguments.output)
    if arguments.instances:
        torch.set_num_threads(arguments.threads)
        image = INSTANCES["make_mosaic"](arguments.data, arguments.instances_edge)
        report["instances"] = INSTANCES["measure"](load_model("nuclei"), image, "auto", arguments.repeats)
    write(report, arguments.output)
    print(page(report))


def describe(arguments: argparse.Namespace, model: Model) -> Report:
    """Return what is known before anything is measured."""
    return {
        "processor": PREDICTION["processor"](),
        "has_amx": has_amx(),
        "n_threads": arguments.threads,
        "n_cores": os.cpu_count(),
        "size": [arguments.size] * 2,
        "model": model.card.name,
        "cores_of_others": [],
        "left_out": dict(WITHOUT_A_WAY),
    }


def has_amx() -> bool:
    """Say whether the processor's matrix units compute bfloat16."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def cpu_seconds_of_others(contenders: list[Contender]) -> float:
    """Return the processor time since the machine's start that was not idle and not spent by the contenders."""
    machine = psutil.cpu_times()
    resting = sum(getattr(machine, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
    own = (psutil.Process(one.process.pid).cpu_times() for one in contenders)
    return float(sum(machine) - resting - sum(times.user + times.system for times in own))


def prepare(folder: Path, image: Image, model: Model) -> None:
    """Write what all contenders read."""
    grey = np.asarray(image.data)
    np.save(folder / "image.npy", grey)
    np.save(folder / "normalized.npy", fit_array(model.card.normalization, grey[np.newaxis]).apply(grey[np.newaxis])[0])
    save_model(model, folder / "model.safetensors")


def start_all(
    arguments: argparse.Namespace, folder: Path, left_out: dict[str, str], stack: ExitStack
) -> list[Contender]:
    """Start and warm up one after the other; note in `left_out` who could not, and why."""
    wanted: list[tuple[str, str, str, Report]] = []
    for name, precision in OURS.items():
        wanted.append((name, sys.executable, "unveil", {"precision": precision, "raw_size": 0}))
    for name, precision in RAW.items():
        wanted.append((name, sys.executable, "unveil", {"precision": precision, "raw_size": arguments.raw_size}))
    for key, name in PEERS.items():
        if python := getattr(arguments, key):
            wanted.append((name, python, key, {}))
        else:
            left_out[name] = f"no environment was given (--{key} PYTHON)"
    contenders = []
    for name, python, key, options in wanted:
        contender = start(name, [python, str(HERE / "peers" / f"{key}_peer.py")], folder, arguments.threads, options)
        stack.callback(_stop, contender.process)
        try:
            contender.facts = contender.listen()
        except PeerFailedError as error:
            if key == "unveil":  # without ours there is nothing to compare
                raise SystemExit(f"{name}: {error}") from error
            left_out[name] = str(error)
            continue
        print(f"{name}: ready, {contender.facts['first_seconds']:.2f} s", file=sys.stderr, flush=True)
        contenders.append(contender)
    return contenders


def start(name: str, command: list[str], folder: Path, n_threads: int, options: Report) -> Contender:
    """Start the process of one contender in a folder of its own."""
    own = folder / name.replace(" ", "-")
    own.mkdir()
    task = {
        "image": str(folder / "image.npy"),
        "normalized": str(folder / "normalized.npy"),
        "model": str(folder / "model.safetensors"),
        "folder": str(own),
        "n_threads": n_threads,
        "options": options,
    }
    (own / "task.json").write_text(json.dumps(task), encoding="utf-8")
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    ours = {"PYTHONPATH": os.pathsep.join([str(HERE.parents[1] / "src"), os.environ.get("PYTHONPATH", "")])}
    log = own / "log.txt"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*command, str(own / "task.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, **dict.fromkeys(limits, str(n_threads)), **ours},
        )
    return Contender(name, process, log)


def summary(contenders: list[Contender], n_repeats: int, amx: bool) -> Report:
    """Return the rows, the ratios of ours within each repeat, and what became of the goals."""
    spread = PREDICTION["spread"]
    by_name = {one.name: one for one in contenders}
    rows = {
        name: {**one.facts, "seconds": spread(one.seconds), "all_seconds": one.seconds} for name, one in by_name.items()
    }

    def ratios(slower: str, faster: str) -> dict[str, float]:
        """Pixels per second of `faster` over those of `slower`."""
        pixels = by_name[faster].facts["n_pixels"] / by_name[slower].facts["n_pixels"]
        return dict(
            spread([pixels * a / b for a, b in zip(by_name[slower].seconds, by_name[faster].seconds, strict=True)])
        )

    speed_up = {
        ours: {name: ratios(name, ours) for name in by_name if name in PEERS.values()}
        for ours in OURS
        if ours in by_name
    }
    share = {
        precision: ratios(raw, ours)
        for (ours, precision), raw in zip(OURS.items(), RAW, strict=True)
        if ours in by_name and raw in by_name
    }
    return {
        "n_repeats": n_repeats,
        "rows": rows,
        "times_as_fast": speed_up,
        "share_of_engine": share,
        "goals": goals(speed_up, share, amx),
    }


def goals(
    speed_up: Mapping[str, Mapping[str, Mapping[str, float]]], share: Mapping[str, Mapping[str, float]], amx: bool
) -> list[Report]:
    """Compare the medians with what is aimed at."""
    aims = GOALS_AMX if amx else GOALS_ELSEWHERE
    where = "with AMX" if amx else "without AMX"
    found = [
        (f"{precision}, times as fast as MONAI {where}", aims[precision], speed_up[ours][PEERS["monai"]]["median"])
        for ours, precision in OURS.items()
        if PEERS["monai"] in speed_up.get(ours, {})
    ]
    found += [(f"{precision}, share of the bare engine", GOAL_SHARE, one["median"]) for precision, one in share.items()]
    return [{"what": what, "goal": goal, "found": median, "met": median >= goal} for what, goal, median in found]


def write(report: Report, output: Path) -> None:
    """Write the report as JSON, and its table beside it."""
    output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """Return the tables."""
    others = report["cores_of_others"] or [math.nan]
    parts = [
        f"# One image of {' × '.join(map(str, report['size']))}, side by side",
        "",
        f"{report['processor']['name']}, {'with' if report['has_amx'] else 'without'} AMX; {report['n_cores']} cores, "
        f"{report['n_threads']} threads each; {report['n_repeats']} repeats; model '{report['model']}'. Other programs "
        f"took {min(others):.2f} to {max(others):.2f} cores.",
        "",
        *([] if max(others) <= IDLE else [NOT_IDLE, ""]),
        *_times(report),
        "",
        *_ratios(report),
        "",
        *_goals(report),
        "",
        "## What was timed",
        "",
        *(f"- {name}: {row['timed']}; {row['network']}. {_versions(row)}." for name, row in report["rows"].items()),
        "",
        "## Left out",
        "",
        *(f"- {name}: {why}" for name, why in report["left_out"].items()),
    ]
    if "instances" in report:
        parts += ["", "## Network and labels", "", *INSTANCES["page"](report["instances"])]
    return "\n".join(parts) + "\n"


def _times(report: Report) -> list[str]:
    lines = ["| | parameters | precision | seconds, median (range) | Mpixel/s |", "| --- | --- | --- | --- | --- |"]
    for name, row in report["rows"].items():
        rate = row["n_pixels"] / row["seconds"]["median"] / 1e6
        lines.append(
            f"| {name} | {row['n_parameters']:,} | {row['precision']} | {_range(row['seconds'], 2)} | {rate:.2f} |"
        )
    return lines


def _ratios(report: Report) -> list[str]:
    speed_up = report["times_as_fast"]
    lines = [f"| times as fast as | {' | '.join(speed_up)} |", f"| --- |{' --- |' * len(speed_up)}"]
    names = [name for name in report["rows"] if name in PEERS.values()]
    return lines + [
        f"| {name} | {' | '.join(_range(ratios[name], 1) for ratios in speed_up.values())} |" for name in names
    ]


def _goals(report: Report) -> list[str]:
    lines = ["| | goal | found | |", "| --- | --- | --- | --- |"]
    return lines + [
        f"| {one['what']} | {one['goal']:g} | {one['found']:.2f} | {'met' if one['met'] else 'missed'} |"
        for one in report["goals"]
    ]


def _versions(row: Report) -> str:
    return ", ".join(f"{name} {version}" for name, version in row["versions"].items())


def _range(values: Mapping[str, float], digits: int) -> str:
    return f"{values['median']:.{digits}f} ({values['min']:.{digits}f} to {values['max']:.{digits}f})"


def _stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for key, name in PEERS.items():
        parser.add_argument(f"--{key}", metavar="PYTHON", help=f"Python of an environment with {name}")
    parser.add_argument("--model", default="nuclei", help="name or file of a 2D segmentation model; '' for untrained")
    parser.add_argument("--size", type=int, default=2048, help="edge of the image in pixels, a multiple of 8")
    parser.add_argument("--raw-size", type=int, help="edge of the bare engine's image; 1024 or less if not given")
    parser.add_argument("--repeats", type=int, default=5, help="how often each takes its turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each process")
    parser.add_argument("--instances", action="store_true", help="also measure the labels of a large image")
    parser.add_argument("--instances-edge", type=int, default=INSTANCES["EDGE_PX"], help="edge of that image in pixels")
    parser.add_argument("--data", type=Path, help="folder with images/ for that image; discs are drawn if not given")
    parser.add_argument("--output", type=Path, default=HERE / "peers.json", help="where the JSON goes")
    given = parser.parse_args()
    given.raw_size = given.raw_size or min(1024, given.size)
    if given.size % STEP_PX or given.raw_size % STEP_PX or not 0 < given.raw_size <= given.size:
        parser.error(
            f"--size is {given.size} and --raw-size {given.raw_size}; give multiples of {STEP_PX}, the second not "
            "larger than the first."
        )
    for key in PEERS:
        if (python := getattr(given, key)) and not Path(python).is_file():
            parser.error(f"--{key} names {python}, which is no file; give the Python of an environment.")
    return given


if __name__ == "__main__":
    main()
