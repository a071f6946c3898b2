"""`unveil demo`: the main job on a sample image, in napari where that can be shown, as files where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, assert_never

from cyclopts import Parameter

from unveil.cli import display, failures
from unveil.cli.flowing import flowing
from unveil.cli.prediction import denoise, segment
from unveil.cli.terminal import Terminal

_PROGRAM = "unveil.widgets.demo"
_RESULTS = ("nuclei_labels.tif", "nuclei_probability.tif", "nuclei_objects.csv", "noisy_denoised.tif")
_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")

Stage: TypeAlias = Literal["window", "virtual", "files"]
"""napari on the user's screen, napari on a virtual screen, or no napari at all."""


@flowing
def demo(*, output: Annotated[Path | None, Parameter(alias="-o")] = None) -> int:
    """Show the main job: napari with a sample image and the Segment panel.

    Without a display, napari runs on a virtual screen and its screenshot and results are saved as files; without
    napari, the results alone.

    Parameters
    ----------
    output
        Save a screenshot and the results in this folder instead of opening a window (without a display:
        demo_output).
    """
    from unveil.io.writing import check_output_folder

    terminal = Terminal()
    with terminal.session():
        stage = choose_stage(
            has_napari=find_spec("napari") is not None and any(find_spec(name) for name in _BINDINGS),
            has_display=display.has_display(),
            has_virtual_display=display.has_virtual_display(),
        )
        folder = output or Path("demo_output")
        if output is not None or stage != "window":
            check_output_folder(folder)
        match stage:
            case "window":
                code = _in_napari(output, os.environ)
            case "virtual":
                terminal.say("There is no display: napari runs on a virtual screen, and its screenshot is saved.")
                with display.virtual_display() as name:
                    code = _in_napari(folder, {**os.environ, "DISPLAY": name, "QT_QPA_PLATFORM": "xcb"})
            case "files":
                terminal.say("napari or a screen for it is missing: the samples are computed without it.")
                return _as_files(folder)
            case _:
                assert_never(stage)
        if code in (failures.DONE, failures.INTERRUPTED):
            return code
        terminal.say("napari did not run (see above): the samples are computed without it.")
        return _as_files(folder)


def choose_stage(*, has_napari: bool, has_display: bool, has_virtual_display: bool) -> Stage:
    """Choose how the demonstration can be shown."""
    if has_napari and has_display:
        return "window"
    return "virtual" if has_napari and has_virtual_display else "files"


def _in_napari(output: Path | None, environment: Mapping[str, str]) -> int:
    """Run the demonstration of the panels as a program of its own: this room has no windows."""
    command = [sys.executable, "-m", _PROGRAM, *([] if output is None else ["--output", str(output)])]
    return subprocess.run(command, env=dict(environment), check=False).returncode


def _as_files(folder: Path) -> int:
    """Compute the samples without napari, and print the paths of the results, the most important one first."""
    samples = Path(__file__).parents[1] / "sample_data"
    with redirect_stdout(sys.stderr):
        code = segment([samples / "nuclei.tif"], output=folder, probabilities=True, table=True)
        code = code or denoise([samples / "noisy.tif"], output=folder)
    for name in _RESULTS if code == failures.DONE else ():
        print(folder / name)
    return code
