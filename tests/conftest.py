"""What all tests share: small seeded images, and the check that nothing stays behind.

Nothing here imports torch, Qt or napari by itself, so that tests which need neither start at once.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import psutil
import pytest

if TYPE_CHECKING:
    from unveil.image import Image

# Sums in another order differ in the last bit: processes that are to agree have one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples everywhere and every time; a busy machine is no failure.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.load_profile("project")

HARMLESS_THREADS = (
    "tqdm_monitor",  # tqdm's own clock, one per process
    "zarr_io",  # zarr's event loop, one per process
    "asyncio_",  # its pool
    "Dummy-",  # threads of C++ libraries that once called Python: torch, OpenVINO, Qt's pools
    "pydevd",
    "pyinstrument",
)
PATIENCE_S = 3.0


@pytest.fixture(autouse=True, scope="session")
def _folders_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled networks and results out of the user's own folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNVEIL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("UNVEIL_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    """Fail the test that leaves a thread, a child process or a top-level widget behind."""
    threads, children, widgets = set(threading.enumerate()), _children(), _widgets()
    yield
    deadline = time.monotonic() + PATIENCE_S
    while (left := _left_behind(threads, children, widgets)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, f"left behind: {'; '.join(left)}"


def _left_behind(threads: set[threading.Thread], children: set[int], widgets: set[str]) -> list[str]:
    new_threads = [t for t in threading.enumerate() if t not in threads and not t.name.startswith(HARMLESS_THREADS)]
    left = [f"thread {thread.name}" for thread in new_threads]
    left += [f"process {pid}" for pid in _children() - children]
    return left + [f"widget {widget}" for widget in _widgets() - widgets]


def _children() -> set[int]:
    """Return the ids of our living child processes."""
    if hasattr(os, "waitid"):
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # there is none at all, which is told at once; psutil looks at every process
            return set()
    # What multiprocessing's locks are noted in, one process per process: zarr's codecs make one as they are imported.
    noted_in = getattr(resource_tracker._resource_tracker, "_pid", None)
    return {child.pid for child in psutil.Process().children() if child.pid != noted_in and _lives(child)}


def _lives(child: psutil.Process) -> bool:
    try:
        return bool(child.is_running() and child.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it has ended while it was asked
        return False


def _widgets() -> set[str]:
    """Name the top-level widgets there are; none where Qt was never imported."""
    if "qtpy.QtWidgets" not in sys.modules:
        return set()
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    if (application := QApplication.instance()) is None:
        return set()
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    application.processEvents()
    return {f"{type(widget).__name__} at {id(widget):#x}" for widget in QApplication.topLevelWidgets()}


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator that gives every test the same numbers."""
    return np.random.default_rng(20150518)


@pytest.fixture
def test_data() -> Path:
    """The folder of real images; the test is skipped where there is none."""
    folder = os.environ.get("UNVEIL_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real images are absent: set UNVEIL_TEST_DATA to their folder")
    return Path(folder)


@pytest.fixture
def make_blobs(rng: np.random.Generator) -> Callable[..., Image]:
    """Make an image of bright discs or balls on a noisy ground: ``make_blobs(shape, axes, **image_fields)``."""
    from unveil.image import Image

    def make(shape: tuple[int, ...] = (64, 96), axes: str = "YX", *, dtype: Any = np.uint16, **fields: Any) -> Image:
        n_dims = 3 if "Z" in axes else 2
        frame = np.zeros(shape[-n_dims:])
        grid = np.stack(np.indices(frame.shape), axis=-1)
        for _ in range(8):
            centre, radius = rng.uniform(0, frame.shape), rng.uniform(4, 8)
            frame[((grid - centre) ** 2).sum(axis=-1) < radius**2] = 100
        pixels = 20 + frame + rng.normal(0, 3, size=shape)
        return Image(np.clip(pixels, 0, None).astype(dtype), axes, **fields)

    return make


@pytest.fixture(scope="session")
def make_tiny_model() -> Callable[..., Any]:
    """Make an untrained model of width 4, the same for each seed: ``make_tiny_model("segmentation", n_dims=2, …)``."""

    def make(
        task: str = "segmentation",
        *,
        n_dims: int = 2,
        in_channels: int = 1,
        objects: bool = True,
        poolings: int | tuple[int, ...] = 2,
        seed: int = 0,
    ) -> Any:
        import torch

        from unveil.config.architecture import DnCNNConfig, UNetConfig
        from unveil.config.normalization import PercentileNormalization
        from unveil.config.objects import ObjectRule
        from unveil.model.card import ModelCard
        from unveil.model.model import Model
        from unveil.networks.build import build_network

        is_denoiser = task == "denoising"
        architecture: UNetConfig | DnCNNConfig = (
            DnCNNConfig(n_dims=n_dims, in_channels=in_channels, depth=3, width=4)  # type: ignore[arg-type]
            if is_denoiser
            else UNetConfig(
                n_dims=n_dims, in_channels=in_channels, out_channels=2 + objects, width=4, poolings=poolings
            )  # type: ignore[arg-type]
        )
        card = ModelCard.describe(
            architecture,
            name=f"tiny-{task}",
            task=task,
            classes=() if is_denoiser else ("background", "cell"),
            objects=ObjectRule() if objects and not is_denoiser else None,
            normalization=PercentileNormalization(),
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(architecture)
        check_input = np.random.default_rng(0).random((1, in_channels, *(16,) * n_dims), dtype=np.float32)
        return Model.make(card, network, check_input)

    return make
