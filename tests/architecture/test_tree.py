"""The tree itself: names, sizes, links and the layers."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "unveil"
FILES_OF_NO_SUBJECT = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "core", "base_utils"}
MOST_LINES = 400
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".cfg", ".sh", ""}


def text_files() -> Iterator[Path]:
    """Yield the tracked text files of the project."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in TEXT and path.is_file() and not path.is_symlink():
            yield path


def test_layers_and_forbidden_imports_hold() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 kept, 0 broken" in result.stdout


SCRIPTS = [
    *sorted(ROOT.glob("recipes/*.py")),
    *sorted(ROOT.glob("benchmarks/*.py")),
    *sorted(ROOT.glob("benchmarks/*/*.py")),
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_scripts_fit_the_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(path.parent))  # as where a script is started; some import their neighbour
    runpy.run_path(str(path), run_name="imported")  # settings that no longer exist are found here, not hours later


def test_every_file_has_a_subject() -> None:
    modules = {path for path in SOURCE.rglob("*") if path.suffix == ".py" or path.is_dir()}
    assert not {path for path in modules if path.stem.strip("_") in FILES_OF_NO_SUBJECT}


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert not {path: n for path, n in lengths.items() if n > MOST_LINES}


def test_the_links_at_the_top_lead_into_the_package() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("a source archive leaves the links out")
    manifest, samples = ROOT / "napari.yaml", ROOT / "sample_data"
    assert manifest.resolve() == SOURCE / "napari.yaml"
    assert samples.resolve() == SOURCE / "sample_data"
    assert manifest.is_file()
    assert (samples / "nuclei.tif").is_file()


def test_the_manifest_is_valid_and_its_commands_exist() -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 comes with napari")
    manifest = npe2.PluginManifest.from_file(SOURCE / "napari.yaml")
    manifest.validate_imports()
    assert manifest.name == "napari-unveil"


def test_no_machine_is_named() -> None:
    private = re.compile(r"/(?:work|root|home/\w+|opt/\w+|tmp/\w+)/")
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if private.search(line)
    ]
    assert not named


def test_every_pin_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert not [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin)]


def test_the_project_asks_for_no_qt_binding_by_itself() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {re.split(r"[\[<>=; ]", line)[0].lower() for line in project["dependencies"]}
    assert not named & {"napari", "pyqt5", "pyqt6", "pyside2", "pyside6"}
    assert {"all", "cluster", "test"} <= set(project["optional-dependencies"])
