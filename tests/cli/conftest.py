"""The command line, run in this process; small images and models as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def unveil(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command: ``unveil("segment", image, "--output", folder)``."""
    from unveil.cli.main import main

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(unveil: Callable[..., Outcome], tmp_path: Path) -> Callable[..., str]:
    """Run a command that must exit with 2, one paragraph and nothing written; return the paragraph."""

    def run(*arguments: object) -> str:
        before = contents(tmp_path)
        outcome = unveil(*arguments)
        assert outcome.code == 2, outcome.err
        assert outcome.out == ""
        assert outcome.err.startswith("unveil: ")
        assert outcome.err.count("unveil: ") == 1
        assert "\n\n" not in outcome.err
        assert "Traceback" not in outcome.err
        assert contents(tmp_path) == before
        return outcome.err

    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return every file in `folder` with its bytes, and every folder with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory, make_tiny_model: Callable[..., Any]) -> Path:
    """A model file that segments objects in 2D."""
    return _saved(make_tiny_model("segmentation"), tmp_path_factory)


@pytest.fixture(scope="session")
def denoiser(tmp_path_factory: pytest.TempPathFactory, make_tiny_model: Callable[..., Any]) -> Path:
    """A model file that denoises in 2D."""
    return _saved(make_tiny_model("denoising"), tmp_path_factory)


@pytest.fixture(scope="session")
def volume_segmenter(tmp_path_factory: pytest.TempPathFactory, make_tiny_model: Callable[..., Any]) -> Path:
    """A model file that segments objects in 3D."""
    return _saved(make_tiny_model("segmentation", n_dims=3), tmp_path_factory)


def _saved(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from unveil.io.model_file import save_model

    path = tmp_path_factory.mktemp("models") / f"{model.card.name}.safetensors"
    save_model(model, path)
    return path


@pytest.fixture
def write_blobs(make_blobs: Callable[..., Any]) -> Callable[..., Path]:
    """Write an image of discs as a TIFF of Fiji's kind: ``write_blobs(path, shape, axes)``."""

    def write(path: Path, shape: tuple[int, ...] = (48, 40), axes: str = "YX", **fields: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(make_blobs(shape, axes, **fields).data)
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes, "unit": "um"}, resolution=(2, 2))
        return path

    return write
