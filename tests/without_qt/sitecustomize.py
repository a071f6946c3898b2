"""Hide Qt and napari from every Python process that has this folder in PYTHONPATH.

Python imports a module of this name at its start, so that the processes which tests start are blind as well. What is
hidden looks exactly like what is not installed: ``import`` raises ModuleNotFoundError and ``find_spec`` gives None.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

QT = {"qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "pyqtgraph"}
NAPARI = {"napari", "npe2", "magicgui", "vispy", "app_model", "psygnal"}


class VisiblePathFinder:
    """The usual finder of modules, less the hidden ones."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] in QT | NAPARI:
            return None
        return PathFinder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(PathFinder, name)


sys.meta_path[:] = [VisiblePathFinder() if finder is PathFinder else finder for finder in sys.meta_path]
