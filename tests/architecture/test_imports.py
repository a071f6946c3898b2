"""What each room may import, seen from fresh interpreters."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import unveil

SOURCE = Path(unveil.__file__).parent
TESTS = Path(__file__).parents[1]
MODULES = sorted(
    module.name for module in pkgutil.walk_packages([str(SOURCE)], "unveil.") if not module.name.endswith("__main__")
)
BELOW_WIDGETS = [name for name in MODULES if not name.startswith("unveil.widgets")]
QT_AND_NAPARI = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide6", "magicgui", "superqt", "pyqtgraph"}


def imported_by(code: str, *, without_qt: bool = False) -> set[str]:
    """Run `code` in a fresh interpreter and return the top-level packages that it imported."""
    environment = dict(os.environ)
    if without_qt:
        environment["PYTHONPATH"] = os.pathsep.join([str(TESTS / "without_qt"), str(SOURCE.parent)])
    report = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, env=environment, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_everything_below_widgets_imports_where_qt_and_napari_are_not_installed() -> None:
    assert len(BELOW_WIDGETS) > 20
    code = "\n".join(f"import {name}" for name in BELOW_WIDGETS)
    assert not imported_by(code, without_qt=True) & QT_AND_NAPARI


def test_the_blindfold_hides_what_is_installed() -> None:
    pytest.importorskip("qtpy", reason="Qt is hidden or not installed, as it is in the headless half")
    hidden = "import importlib.util\nassert importlib.util.find_spec('qtpy') is None"
    imported_by(hidden, without_qt=True)
    imported_by(hidden.replace("is None", "is not None"))


def test_light_things_load_without_torch_and_openvino() -> None:
    code = """
from unveil import Image, ModelCard, SegmentationOptions, SegmentationTraining, InputError, Cancelled
import unveil.io.card_file, unveil.io.library, unveil.io.images
"""
    assert not imported_by(code) & {"torch", "openvino", *QT_AND_NAPARI}


def test_settings_load_without_the_scientific_libraries() -> None:
    assert not imported_by("from unveil import UNetConfig") & {"torch", "scipy", "skimage", "zarr", "tifffile"}


def test_help_and_the_list_of_models_come_without_torch() -> None:
    commands = [["--help"], ["segment", "--help"], ["train", "denoising", "--help"], ["models", "list"]]
    code = f"from unveil.cli.main import main\nfor command in {commands}: assert main(command) == 0"
    assert not imported_by(code) & {"torch", "openvino", *QT_AND_NAPARI}


def test_widgets_load_without_torch() -> None:
    pytest.importorskip("napari", reason="widgets need napari")
    widgets = [name for name in MODULES if name.startswith("unveil.widgets")]
    assert "unveil.widgets.segment_panel" in widgets
    assert not imported_by("\n".join(f"import {name}" for name in widgets)) & {"torch", "openvino"}


def test_every_public_name_resolves() -> None:
    for name in unveil.__all__:
        assert getattr(unveil, name) is not None
        assert name in dir(unveil)
    with pytest.raises(AttributeError, match="no_such_name"):
        unveil.no_such_name  # noqa: B018
