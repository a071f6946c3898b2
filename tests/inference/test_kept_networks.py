"""Compiled networks outlive the process: they compute the same, and are taken for the same model alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unveil
from unveil.config.options import RunOptions
from unveil.inference import openvino_engine
from unveil.inference.engines import Engine, open_engine
from unveil.io.cache import keep
from unveil.io.model_file import save_model

SHAPE = (1, 1, 32, 48)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """The shapes that were compiled and not taken from the cache."""
    shapes: list[tuple[int, ...]] = []
    build = openvino_engine.build_graph

    def note(library: Any, module: Any, shape: tuple[int, ...]) -> Any:
        shapes.append(shape)
        return build(library, module, shape)

    monkeypatch.setattr(openvino_engine, "build_graph", note)
    yield shapes
    shapes.clear()


def opened(model: Any, precision: str = "exact") -> Engine:
    options = RunOptions(device="cpu", engine="openvino", precision=precision)  # type: ignore[arg-type]
    return open_engine(model, options, pytest.fail)


@pytest.fixture
def batch(rng: np.random.Generator) -> Any:
    return rng.random(SHAPE, dtype=np.float32)


@pytest.mark.parametrize("precision", ["exact", "fast", "auto"])
@pytest.mark.parametrize("task", ["segmentation", "denoising"])
def test_a_kept_network_computes_the_same_bits(
    make_tiny_model: Any, compiled: list[Any], batch: Any, task: str, precision: str
) -> None:
    model = make_tiny_model(task)
    first = opened(model, precision)
    maps = first.compute(batch)
    assert SHAPE in compiled
    compiled.clear()
    second = opened(model, precision)
    np.testing.assert_array_equal(second.compute(batch), maps)
    assert compiled == []
    assert second.precision == first.precision
    second.release()
    np.testing.assert_array_equal(second.compute(batch), maps)  # it can be used again


def test_another_shape_or_model_or_version_is_compiled(
    make_tiny_model: Any, compiled: list[Any], batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_tiny_model()
    maps = opened(model).compute(batch)
    compiled.clear()

    opened(model).compute(batch[..., :32])
    assert compiled == [(1, 1, 32, 32)]

    opened(make_tiny_model(objects=False)).compute(batch)
    assert compiled[1:] == [SHAPE]

    warmer = replace(model, card=model.card.model_copy(update={"temperature": 2.0}))
    assert np.abs(opened(warmer).compute(batch) - maps).max() > 1e-3
    assert compiled[2:] == [SHAPE]

    monkeypatch.setattr(unveil, "__version__", "99.0")
    np.testing.assert_array_equal(opened(model).compute(batch), maps)
    assert compiled[3:] == [SHAPE]


def test_the_name_of_an_entry_tells_everything_that_it_depends_on(
    make_tiny_model: Any, monkeypatch: pytest.MonkeyPatch, batch: Any
) -> None:
    keys: list[str] = []
    monkeypatch.setattr(openvino_engine, "keep", lambda key, content: keys.append(key))
    model = make_tiny_model()
    opened(model).compute(batch)
    (key,) = keys
    library = openvino_engine.import_openvino()
    for part in (model.card.weights_sha256, library.get_version(), unveil.__version__, "f32", "32, 48", "NUM_THREADS"):
        assert part in key
    assert library.Core().get_property("CPU", "FULL_DEVICE_NAME") in key


def test_an_entry_that_openvino_refuses_is_compiled_anew(
    make_tiny_model: Any, compiled: list[Any], batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    def note(key: str, content: bytes) -> None:
        keys.append(key)
        keep(key, b"no network")

    monkeypatch.setattr(openvino_engine, "keep", note)
    model = make_tiny_model()
    maps = opened(model).compute(batch)
    np.testing.assert_array_equal(opened(model).compute(batch), maps)
    assert compiled == [SHAPE, SHAPE]
    assert len(set(keys)) == 1


def test_a_folder_that_cannot_be_written_is_no_problem(make_tiny_model: Any, folder: Path, batch: Any) -> None:
    folder.write_text("a file stands here")
    model = make_tiny_model()
    np.testing.assert_array_equal(opened(model).compute(batch), opened(model).compute(batch))


RUN = """
import sys
import numpy as np
from unveil.config.options import RunOptions
from unveil.inference.engines import open_engine
from unveil.io.model_file import load_model

engine = open_engine(load_model(sys.argv[1]), RunOptions(device="cpu", engine="openvino", precision="exact"), print)
assert np.isfinite(engine.compute(np.ones((1, 1, 32, 48), np.float32))).all()
"""


def test_two_processes_at_the_same_time_succeed(make_tiny_model: Any, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_model(make_tiny_model(), path)
    command = [sys.executable, "-c", RUN, str(path)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert len(list(folder.iterdir())) == 1
