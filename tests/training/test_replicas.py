"""Replicas in processes of their own: the mean gradient, the same weights, and what happens where one is lost."""

from __future__ import annotations

import copy
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import distributed, nn

from unveil.config.architecture import DnCNNConfig
from unveil.config.training import AugmentationConfig, DenoisingTraining
from unveil.errors import ConfigError, TrainingError
from unveil.image import Image
from unveil.networks.build import build_network
from unveil.training.lesson import prepare_lesson
from unveil.training.norm_limits import NormLimiter, norm_limits
from unveil.training.plan import Plan, with_recipe
from unveil.training.replicas import Lot, check_replicas, shared_steps
from unveil.training.state import TrainingState

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal, nor such a script")

CPU = torch.device("cpu")
RATE = 1e-2
PLAN = Plan((16, 16), 4, RATE, "constant", AugmentationConfig())


def lot(n_replicas: int, *, lip1_layers: bool = False) -> Lot:
    config = with_recipe(DenoisingTraining(validation_fraction=0))
    grey = np.random.default_rng(1).normal(100, 20, (64, 64)).cumsum(axis=0).astype(np.float32)
    lesson = prepare_lesson(None, [Image(grey)], config, None)
    return Lot(lesson.batches, PLAN.share(n_replicas), lesson.loss, "cpu", None, lip1_layers)


def new_state() -> TrainingState:
    torch.manual_seed(0)
    return TrainingState.begin(build_network(DnCNNConfig(depth=3, width=4)))


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "replica_child" in _command(one)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended while it was asked
        return ""


class Together:
    """Two replicas in this process, without a message sent: what they are to do."""

    def __init__(self, part: Lot) -> None:
        self.state, self._loss = new_state(), part.loss
        limits = norm_limits(self.state.network, lip1_layers=part.lip1_layers)
        self._limiter = NormLimiter(limits)
        self._own = [part.steps(TrainingState.begin(copy.deepcopy(self.state.network)), rank) for rank in (0, 1)]

    def begin(self, seed: int) -> None:
        self._streams = [own._batches(seed) for own in self._own]
        self._limiter.begin(seed)

    def take(self) -> float:
        self.state.optimizer.zero_grad()
        losses = [self._loss(self.state.network(image), *rest) for image, *rest in map(next, self._streams)]
        loss = sum(losses) / 2
        loss.backward()
        nn.utils.clip_grad_norm_(self.state.network.parameters(), 1.0)
        self.state.optimizer.param_groups[0]["lr"] = RATE
        self.state.optimizer.step()
        self._limiter.apply()
        return float(loss.detach())


@pytest.mark.parametrize("lip1_layers", [False, True])
def test_replicas_take_the_steps_of_one_network_that_sees_the_windows_of_all(lip1_layers: bool) -> None:
    part = lot(2, lip1_layers=lip1_layers)
    state, expected = new_state(), Together(part)
    with shared_steps(state, part, 2) as steps:
        for seed in (3, 4):
            steps.begin(seed)
            expected.begin(seed)
            for _ in range(3):
                assert steps.take(RATE) == pytest.approx(expected.take(), rel=1e-4)
        assert len(children()) == 1
    for ours, theirs in zip(state.network.parameters(), expected.state.network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    assert not children()
    assert not distributed.is_initialized()


def test_each_replica_sees_windows_of_its_own() -> None:
    part = lot(2)
    own = [part.steps(new_state(), rank) for rank in (0, 1)]
    first, other = (next(steps._batches(3))[0] for steps in own)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("n_replicas", [1, 2])
def test_the_thread_that_draws_ends_with_the_steps(n_replicas: int) -> None:
    def drawing() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("windows")]

    with shared_steps(new_state(), lot(n_replicas), n_replicas) as steps:
        steps.begin(3)
        for _ in range(2):
            steps.take(RATE)
        assert drawing()
    assert not drawing()


def test_replicas_go_back_together() -> None:
    losses = []
    state = new_state()
    with shared_steps(state, lot(2), 2) as steps:
        for _ in range(2):
            steps.begin(3)
            losses.append([steps.take(RATE) for _ in range(3)])
            steps.go_back()
    assert losses[0] == losses[1]
    assert state.n_setbacks == 2


def test_replicas_join_where_a_training_stands() -> None:
    unbroken, broken = Together(lot(2)), new_state()
    for seed in (3, 4):
        unbroken.begin(seed)
        losses = [unbroken.take() for _ in range(3)]
        with shared_steps(broken, lot(2), 2) as steps:
            steps.begin(seed)
            assert [steps.take(RATE) for _ in range(3)] == pytest.approx(losses, rel=1e-4)


@posix_only
def test_a_lost_replica_is_named_and_leaves_nothing_behind() -> None:
    n_threads = torch.get_num_threads()

    def lose_one() -> None:
        with shared_steps(new_state(), lot(2), 2) as steps:
            steps.begin(3)
            steps.take(RATE)
            children()[0].kill()
            for _ in range(5):
                steps.take(RATE)

    with pytest.raises(TrainingError, match=r"Replica 1 of the network ended unexpectedly \(code -9\)\. Resume"):
        lose_one()
    assert not children()
    assert not distributed.is_initialized()
    assert torch.get_num_threads() == n_threads


@posix_only
def test_a_replica_that_cannot_begin_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = tmp_path / "python"
    impostor.write_text("#!/bin/sh\necho no such library >&2\nexit 7\n")
    impostor.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(impostor))
    with (
        pytest.raises(TrainingError, match=r"code 7.*It said at last: …no such library"),
        shared_steps(new_state(), lot(2), 2),
    ):
        pass


def test_each_replica_needs_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    check_replicas(CPU, 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_replicas(torch.device("cuda"), 2)
    with pytest.raises(ConfigError, match=r"4 replicas need a graphics card each, and there are 2\. Set replicas to 2"):
        check_replicas(torch.device("cuda"), 4)
    with pytest.raises(ConfigError, match="there is 1"):
        check_replicas(torch.device("mps"), 2)
