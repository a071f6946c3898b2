"""What the scripts beside it share: prepare once, warm up once, then take a turn whenever `peers.py` says so.

Each is started as ``PYTHON NAME_peer.py TASK.json`` in the environment of its library. It answers on its standard
output in lines of JSON: first what it is, then, for every line that it reads, the seconds of one call. What a library
prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Turn = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """What is to be computed."""

    image: Path
    """Grey values, ``(Y, X)``, uint16, as ``.npy``."""
    normalized: Path
    """The same as our network wants it, float32."""
    model: Path
    """Our model file, for those who can compute its network."""
    folder: Path
    """An empty folder for one script alone."""
    n_threads: int
    options: dict[str, Any] = field(default_factory=dict)
    """What one script alone understands."""

    def grey(self) -> NDArray[np.uint16]:
        """Read the image."""
        return np.asarray(np.load(self.image))

    def batch(self) -> NDArray[np.float32]:
        """Read the normalized image, ``(1, 1, Y, X)``."""
        return np.asarray(np.load(self.normalized))[np.newaxis, np.newaxis]


def take_turns(prepare: Callable[[Task], tuple[Turn, dict[str, Any]]], packages: tuple[str, ...]) -> None:
    """Answer until standard input ends.

    Parameters
    ----------
    prepare
        Returns what a turn calls, and facts for the report.
    packages
        Whose versions are reported.
    """
    answers = _own_output()
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    task = Task(**given | {name: Path(given[name]) for name in ("image", "normalized", "model", "folder")})
    turn, facts = prepare(task)
    versions = {"python": platform.python_version()} | {name: version(name) for name in packages}

    def answer(said: dict[str, Any]) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    answer(facts | {"first_seconds": seconds(turn), "versions": versions})
    for _ in sys.stdin:
        answer({"seconds": seconds(turn)})


def seconds(turn: Turn) -> float:
    """Return how long `turn` takes."""
    started = time.perf_counter()
    turn()
    return time.perf_counter() - started


def _own_output() -> Any:
    """Keep standard output for the answers, and let all else that is printed go to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers
