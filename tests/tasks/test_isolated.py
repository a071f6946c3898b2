"""Training in a process of its own: the real child on tiny data. Each costs its imports, so each test checks much."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from unveil.config.architecture import UNetConfig
from unveil.config.training import SegmentationTraining
from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, ImageError, InputError, TrainingError
from unveil.events import Cancelled, EpochEnd, Event, Preview, StepEnd, StopEarly, TrainingStart, ignore
from unveil.image import Image
from unveil.io.model_file import load_model
from unveil.io.runs import Run, create_run, resumable_runs
from unveil.model.model import Model, digest
from unveil.tasks.isolated import IsolatedTraining
from unveil.tasks.train import train

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal between processes")

LONG = {"epochs": 100_000}


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs of this test's own; processes on one thread."""
    monkeypatch.setenv("UNVEIL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "runs"


def settings(**changes: object) -> SegmentationTraining:
    given = {
        "architecture": UNetConfig(width=4, poolings=2), "patch_px": 32, "batch_size": 2, "epochs": 3,
        "steps_per_epoch": 2, "precision": "exact", "device": "cpu",
    }  # fmt: skip
    return SegmentationTraining.model_validate(given | changes)


def scenes(n: int = 3) -> tuple[list[Image], list[Annotation]]:
    """Bright discs on a dark ground."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:40, :48]
    images, annotations = [], []
    for _ in range(n):
        labels = np.zeros((40, 48), np.uint16)
        for number, (y, x) in enumerate(rng.integers(6, 34, (4, 2)), start=1):
            labels[(yy - y) ** 2 + (xx - x) ** 2 < 25] = number
        images.append(Image((20 + 100 * (labels > 0) + rng.normal(0, 5, labels.shape)).astype(np.float32)))
        annotations.append(Annotation(Image(labels)))
    return images, annotations


@dataclass
class Background:
    """A training in a thread, as a panel runs it."""

    training: IsolatedTraining
    events: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    outcome: Path | BaseException | None = None

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._train)
        self.thread.start()

    def _train(self) -> None:
        try:
            self.outcome = self.training.train(self.events.put)
        except BaseException as error:
            self.outcome = error

    def next(self, kind: type[Event], timeout_s: float = 60) -> Any:
        """Wait for the next event of a kind."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if isinstance(event := self.events.get(timeout=left), kind):
                return event
        raise TimeoutError(kind)

    def wait_for_silence(self, timeout_s: float = 60) -> None:
        """Wait until nothing happens for a second."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                self.events.get(timeout=1.0)
            except queue.Empty:
                return
        raise TimeoutError("events without end")

    def end(self, timeout_s: float = 60) -> Path | BaseException | None:
        self.thread.join(timeout_s)
        assert not self.thread.is_alive()
        return self.outcome


@pytest.fixture
def begin() -> Iterator[Callable[[Run], Background]]:
    """Train a run in a thread; the process is killed if the test fails."""
    begun: list[Background] = []

    def start(run: Run) -> Background:
        begun.append(Background(IsolatedTraining(run)))
        return begun[-1]

    yield start
    for one in begun:
        one.training.cancel()
        one.thread.join()


def child_of(run: Run) -> psutil.Process:
    """Return the process that works on a run."""
    return psutil.Process(json.loads((run.path / "running.json").read_text())["pid"])


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; nobody may have asked how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def leftovers(run: Run) -> set[str]:
    """Name the files of a run that no run has at its beginning."""
    return {path.name for path in run.path.iterdir()} - {"images", "labels", "masks", "settings.yaml", "run.json"}


def weights(model: Model) -> str:
    return digest(model.tensors())


def test_the_model_is_that_of_a_training_in_this_process() -> None:
    data, config = scenes(), settings(name="twin")
    run, shown = create_run(*data, config), Image(np.asarray(data[0][0].data)[:24, :24])
    here: list[Event] = []
    there: list[Event] = []
    training = IsolatedTraining(run)
    training.show(data[0][1])
    training.show(shown)

    path = training.train(there.append)
    expected = train(*data, config, monitor=here.append)

    model = load_model(path)
    assert weights(model) == weights(expected)
    assert model.card.training is not None
    assert expected.card.training is not None
    assert model.card.training.history == expected.card.training.history
    assert model.card.training.ended_by == "schedule"
    assert [type(event) for event in there if not isinstance(event, Preview)] == [type(event) for event in here]
    assert [e for e in there if isinstance(e, StepEnd)] == [e for e in here if isinstance(e, StepEnd)]
    previews = [event for event in there if isinstance(event, Preview)]
    assert [preview.maps.shape for preview in previews] == [(2, 24, 24)] * 3
    assert [preview.epoch for preview in previews] == [1, 2, 3]
    assert leftovers(run) == {"model.safetensors", "log.txt"}
    assert not run.is_alive


def test_pause_holds_and_stop_keeps_the_best(begin: Callable[[Run], Background]) -> None:
    run = create_run(*scenes(), settings(**LONG))
    work = begin(run)
    work.next(EpochEnd)
    assert run.is_alive
    assert not resumable_runs()
    with pytest.raises(ConfigError, match="Another process"):
        IsolatedTraining(run).train(ignore)

    work.training.pause()
    work.training.pause()
    work.wait_for_silence()
    if hasattr(psutil.Process, "memory_maps"):
        libraries = [Path(part.path).name for part in child_of(run).memory_maps()]
        assert any("torch" in name for name in libraries)
        assert not [name for name in libraries if "Qt" in name]

    work.training.go_on()
    assert work.next(StepEnd)
    work.training.pause()
    work.training.stop()
    path = work.end()

    assert path == run.model
    record = load_model(run.model).card.training
    assert record is not None
    assert record.ended_by == "user"
    assert record.history
    assert not run.checkpoint.exists()
    work.training.cancel()  # too late, and harmless
    work.training.pause()


def test_cancelling_while_it_starts(begin: Callable[[Run], Background]) -> None:
    run = create_run(*scenes(), settings())
    work = begin(run)
    while not run.is_alive:
        time.sleep(0.01)
    time.sleep(0.5)
    process, asked = child_of(run), time.monotonic()
    work.training.cancel()

    assert isinstance(work.end(), Cancelled)
    assert time.monotonic() - asked < 10
    assert not process.is_running()

    never = IsolatedTraining(run)
    never.cancel()
    with pytest.raises(Cancelled):
        never.train(ignore)


def test_a_stop_before_the_first_step_waits_for_it() -> None:
    run = create_run(*scenes(), settings(**LONG))
    events: list[Event] = []

    def monitor(event: Event) -> None:
        events.append(event)
        if not isinstance(event, StepEnd | EpochEnd):
            raise StopEarly

    record = load_model(IsolatedTraining(run).train(monitor)).card.training

    assert any(isinstance(event, TrainingStart) for event in events)
    assert record is not None
    assert record.ended_by == "user"


@pytest.mark.slow
@needs_signals
def test_a_killed_process_is_resumed_as_if_nothing_had_happened(begin: Callable[[Run], Background]) -> None:
    n_epochs = 20  # it is not to be done before it is killed
    config = settings(epochs=n_epochs, name="killed")
    expected = train(*scenes(), config, monitor=ignore)
    run = create_run(*scenes(), config)
    work = begin(run)
    for _ in range(3):
        work.next(EpochEnd)
    work.training.pause()
    os.kill(child_of(run).pid, signal.SIGKILL)

    error = work.end()
    assert isinstance(error, TrainingError)
    assert "killed (signal 9" in str(error)
    assert str(run.checkpoint) in str(error)
    assert resumable_runs() == [run]

    events: list[Event] = []
    model = load_model(IsolatedTraining(run).train(events.append))

    assert weights(model) == weights(expected)
    assert [event.epoch for event in events if isinstance(event, EpochEnd)] == list(range(1, n_epochs + 1))
    assert min(event.step for event in events if isinstance(event, StepEnd)) > 6
    assert expected.card.training is not None
    assert model.card.training is not None
    assert model.card.training.history == expected.card.training.history


def test_errors_come_back_as_what_they_are(begin: Callable[[Run], Background]) -> None:
    images, annotations = scenes(2)
    broken = Image(np.full((40, 48), np.nan, np.float32), name="µ-cells/3")
    with pytest.raises(ImageError) as here:
        train([images[0], broken], annotations, settings(), monitor=ignore)
    work = begin(create_run([images[0], broken], annotations, settings()))
    gone = create_run(images, annotations, settings())
    (gone.path / "run.json").write_text("{}")
    other = begin(gone)

    there = work.end()
    assert type(there) is ImageError
    assert str(there) == str(here.value)
    unexpected = other.end()
    assert type(unexpected) is TrainingError
    assert not isinstance(unexpected, InputError)
    assert "KeyError: 'images'" in str(unexpected)
    assert str(gone.log) in str(unexpected)
    assert "Traceback" in gone.log.read_text()


@needs_signals
@pytest.mark.slow
def test_the_process_does_not_outlive_whoever_started_it() -> None:
    run = create_run(*scenes(), settings(**LONG))
    code = """
import os, sys, time
from pathlib import Path
from unveil.events import StepEnd
from unveil.io.runs import Run
from unveil.tasks.isolated import IsolatedTraining

def tell(event):
    if isinstance(event, StepEnd) and event.step == 1:
        fork = os.fork()  # a worker that lives on, and holds our end of the pipe open
        if fork == 0:
            time.sleep(60)
            os._exit(0)
        print(fork, flush=True)
IsolatedTraining(Run(Path(sys.argv[1]))).train(tell)
"""
    parent = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    fork = int(parent.stdout.readline())
    trainer = child_of(run)
    assert trainer.ppid() == parent.pid

    parent.kill()
    parent.wait()
    parent.stdout.close()
    killed = time.monotonic()
    while run.is_alive and time.monotonic() < killed + 10:
        time.sleep(0.05)

    assert time.monotonic() < killed + 5
    assert is_gone(trainer.pid)
    assert not is_gone(fork)
    os.kill(fork, signal.SIGKILL)


def test_cancelling_ends_at_once_and_leaves_the_checkpoint_and_no_replica(begin: Callable[[Run], Background]) -> None:
    run = create_run(*scenes(), settings(replicas=2, **LONG))
    work = begin(run)
    work.next(EpochEnd)
    work.training.pause()
    process, asked = child_of(run), time.monotonic()
    (replica,) = process.children()
    work.training.cancel()

    assert isinstance(work.end(), Cancelled)
    assert time.monotonic() - asked < 10
    assert not process.is_running()
    psutil.wait_procs([replica], timeout=5)
    assert is_gone(replica.pid)
    assert resumable_runs() == [run]
    assert leftovers(run) == {"checkpoint.safetensors", "log.txt"}


@needs_signals
@pytest.mark.parametrize("end", ["stopped", "replica lost"])
def test_replicas_do_not_outlive_their_training(end: str, begin: Callable[[Run], Background]) -> None:
    run = create_run(*scenes(), settings(replicas=2, **LONG))
    work = begin(run)
    work.next(EpochEnd)
    (replica,) = child_of(run).children()

    if end == "stopped":
        work.training.stop()
    else:
        replica.kill()
    outcome = work.end()
    psutil.wait_procs([replica], timeout=5)

    assert is_gone(replica.pid)
    if end == "stopped":
        assert isinstance(outcome, Path)
    else:
        assert isinstance(outcome, TrainingError)
        assert "Replica 1 of the network ended unexpectedly (code -9)" in str(outcome)
        assert run.checkpoint.exists()


def test_a_slow_listener_loses_nothing_and_may_cancel() -> None:
    run = create_run(*scenes(), settings(**LONG))
    training = IsolatedTraining(run)
    plane = Image(np.zeros((200, 200), np.float32))  # a preview is larger than a pipe holds
    training.show(plane)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Preview):
            time.sleep(0.3)
            training.show(plane)
        if isinstance(event, Preview) and event.epoch == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        training.train(listen)

    steps = [event.step for event in events if isinstance(event, StepEnd)]
    assert steps == list(range(1, len(steps) + 1))
    assert isinstance(events[-1], Preview)
    assert leftovers(run) == {"checkpoint.safetensors", "log.txt"}
    assert resumable_runs() == [run]
