"""Where files lie when nobody says: in folders of the user's system, or in those that environment variables name.

None of them needs to exist yet.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def own_models_folder() -> Path:
    """Return the folder of the user's own models."""
    return _named("UNVEIL_MODELS") or _user_data("models")


def runs_folder() -> Path:
    """Return the folder of all training runs."""
    return _named("UNVEIL_RUNS") or _user_data("runs")


def results_folder() -> Path:
    """Return the folder for results of images without a file."""
    return _named("UNVEIL_RESULTS") or _user_data("results")


def cache_folder() -> Path:
    """Return the folder of what can be made again."""
    return _named("UNVEIL_CACHE") or platformdirs.user_cache_path("unveil", appauthor=False)


def _named(variable: str) -> Path | None:
    name = os.environ.get(variable)
    return Path(name) if name else None


def _user_data(name: str) -> Path:
    return platformdirs.user_data_path("unveil", appauthor=False) / name
