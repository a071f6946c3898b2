"""Write one result undisturbed and one whose process is killed again and again; started by `test_growing_result`.

Each attempt is a fork of this process, which has imported everything and started nothing.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from unveil.image import Image
from unveil.io import pyramid
from unveil.io.growing_result import GrowingResult

SHAPE, PIECE = (2, 50, 40), 32
LONGER_S, LONGER_OPERATIONS = 0.05, 40
"""How much longer each attempt may take than the one before: the first come to a piece or two, the last to the end."""
N_KILLS = 5
"""At least; a machine that is done sooner does the work again."""


def work(path: Path, version: int) -> None:
    """Write a result piece by piece, some of it zero, some by way of a scratch array."""
    image = Image(np.zeros(SHAPE, np.uint16), "ZYX", pixel_size_um={"Z": 1, "Y": 0.5, "X": 0.5})
    pixels = np.add.outer(np.arange(2), np.random.default_rng(version).integers(0, 200, SHAPE[1:])).astype(np.float32)
    with GrowingResult.open(path, {"version": version}) as result:
        probabilities = result.image(image, "CZYX", (1, *SHAPE), np.float32, channel_names=("cells",))
        labels, scratch = result.labels("cells", image, "ZYX", SHAPE), result.scratch("distances", SHAPE, np.float32)
        for z, y, x in itertools.product(range(2), range(0, SHAPE[1], PIECE), range(0, SHAPE[2], PIECE)):
            if (piece := f"{z}/{y}/{x}") in result.journal:
                continue
            window = (z, slice(y, y + PIECE), slice(x, x + PIECE))
            scratch[window] = pixels[window]
            probabilities[(0, *window)] = scratch[window] / 256
            labels[window] = np.where(y, pixels[window], 0)
            result.journal.add(piece)
        result.finish({"version": version})


def attempt(path: Path, *, n_operations: int | None = None, seconds: float | None = None) -> bool:
    """Let a process work until its `n_operations`-th operation on files, or for `seconds`; say whether it was done."""
    process = os.fork()
    if not process:
        if n_operations is not None:
            kill_at(n_operations, str(path.parent))
        work(path, version=1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("the work itself failed")
    return os.WIFEXITED(status)


def kill_at(n_operations: int, folder: str) -> None:
    """Kill this process before its `n_operations`-th operation on files in `folder`."""
    counter = itertools.count(1)

    def on(event: str, arguments: tuple[Any, ...]) -> None:
        is_ours = event.startswith(("open", "os.")) and arguments and str(arguments[0]).startswith(folder)
        if is_ours and next(counter) == n_operations:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on)


def main() -> None:
    """Work once undisturbed; then begin with an older result in place and be killed until the work is done
    and has been killed `N_KILLS` times."""
    folder, how = Path(sys.argv[1]), sys.argv[2]
    pyramid.CHUNK_2D, pyramid.COARSEST = (1, 16, 16), 16
    killed = folder / "killed.ome.zarr"
    for path, version in ((folder / "whole.ome.zarr", 1), (killed, 0)):
        if not os.fork():
            work(path, version)
            os._exit(0)
        os.wait()
    rng, n_kills, n_since_done = random.Random(0), 0, 0
    while n_kills < N_KILLS or n_since_done:
        growth = rng.random() * (n_since_done + 1)
        if how == "at random times":
            is_done = attempt(killed, seconds=growth * LONGER_S)
        else:
            is_done = attempt(killed, n_operations=1 + int(growth * LONGER_OPERATIONS))
        n_kills += not is_done
        n_since_done = 0 if is_done else n_since_done + 1


if __name__ == "__main__":
    main()
