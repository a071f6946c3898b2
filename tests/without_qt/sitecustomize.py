"""Hide Qt and napari from every Python process that has this folder in PYTHONPATH.

Python imports a module of this name at its start, so that the processes which tests start are blind as well. What is
hidden looks exactly like what is not installed: ``import`` raises ModuleNotFoundError and ``find_spec`` gives None.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

QT = {"qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "pyqtgraph"}
NAPARI = {"napari", "npe2", "magicgui", "vispy", "app_model", "psygnal"}

_find_spec = PathFinder.find_spec


def find_visible_spec(cls: type, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
    """Find a module as usual, unless it is hidden."""
    return None if name.partition(".")[0] in QT | NAPARI else _find_spec(name, path, target)


# The method itself, not an entry of sys.meta_path: pytest's rewriting of assertions calls it directly.
PathFinder.find_spec = classmethod(find_visible_spec)  # type: ignore[method-assign, assignment]
