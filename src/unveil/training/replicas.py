"""Training on several graphics cards at once: replicas of a network, each in a process of its own.

::

    this process, which leads                     python -m unveil.training.replica_child, one per replica
    ─────────────────────────                     ──────────────────────────────────────────────────────
    stdin   ──── network, examples, plan ───────▶ the same network on a card of its own
    stdout  ◀─── ready ──────────────────────────
    stdin   ──── begin, take, go back ──────────▶ the same steps, on other windows of the same examples
            ◀─── gradients, their mean ─────────▶ PyTorch's DistributedDataParallel

Replicas know nothing of epochs, validation, time or whoever watches: they do each step that the leader takes, with the
same gradient, and so have the same weights. They end when the leader closes their standard input, or dies.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, distributed, nn

from unveil.errors import ConfigError, TrainingError
from unveil.training.child_process import end, last_words
from unveil.training.norm_limits import NormLimiter, norm_limits
from unveil.training.plan import Plan
from unveil.training.state import TrainingState
from unveil.training.steps import Batches, Loss, OwnSteps, Steps, derived_seed

READY = b"ready\n"
_TIMEOUT = timedelta(minutes=2)
"""After which a replica that does not answer counts as lost."""
_LAST_MOMENTS_S = 2.0
"""What a process may take to end after its connection broke."""


@dataclass(frozen=True, slots=True)
class Lot:
    """What a process needs to take its part in every step.

    Attributes
    ----------
    batches
        Starts the batches of a plan on a device; can be pickled.
    plan
        With the batch size of one replica.
    lip1_layers
        Whether the norm of every convolution stays at 1 or less.
    """

    batches: Callable[[Plan, torch.device], Batches]
    plan: Plan
    loss: Loss
    device: str
    autocast: torch.dtype | None
    lip1_layers: bool

    def steps(self, state: TrainingState, rank: int = 0, *, is_replica: bool = False) -> OwnSteps:
        """Return the steps of replica `rank`, whose batches are its own; those of 0 are those of a lone network."""
        device = torch.device(self.device)
        begin = self.batches(self.plan, device)
        limits = norm_limits(state.network, lip1_layers=self.lip1_layers)
        return OwnSteps(
            state,
            lambda seed: begin(derived_seed(seed, rank) if rank else seed),
            self.loss,
            device=device,
            autocast=self.autocast,
            limiter=NormLimiter(limits) if limits else None,
            is_replica=is_replica,
        )


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a new replica is told first: who it is, which graphics card is its own, and where the network stands."""

    rank: int
    n_replicas: int
    card: int
    meeting_point: Path
    lot: Lot
    network: nn.Module
    tensors: dict[str, Tensor]


def check_replicas(device: torch.device, n_replicas: int) -> None:
    """Refuse more replicas than there are graphics cards; processors share as many as are asked for.

    Raises
    ------
    ConfigError
        If there are fewer cards, or if this process group is not ours to found.
    """
    if n_replicas == 1:
        return
    n_cards = {"cuda": torch.cuda.device_count(), "cpu": n_replicas}.get(device.type, 1)
    if n_cards < n_replicas:
        raise ConfigError(
            f"{n_replicas} replicas need a graphics card each, and there {'is' if n_cards == 1 else 'are'} {n_cards}. "
            f"Set replicas to {n_cards}."
        )
    if not distributed.is_available():
        raise ConfigError(
            "This build of PyTorch cannot train replicas (torch.distributed is missing). Set replicas to 1."
        )
    if distributed.is_initialized():
        raise ConfigError("This process belongs to a group of torch.distributed already. Set replicas to 1.")


@contextmanager
def shared_steps(state: TrainingState, lot: Lot, n_replicas: int) -> Iterator[Steps]:
    """Give the steps of `state`, of which `n_replicas` processes compute a part each; they end with the context.

    Raises
    ------
    TrainingError
        If a replica could not begin, or ended before its time.
    """
    if n_replicas == 1:
        alone = lot.steps(state)
        try:
            yield alone
        finally:
            alone.end()
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="unveil-replicas-", ignore_cleanup_errors=True)))
        on_card = lot.device == "cuda"
        n_threads = max(1, torch.get_num_threads() // (1 if on_card else n_replicas))
        others = []
        for rank in range(1, n_replicas):
            others.append(_Replica(rank, folder / f"{rank}.log", n_threads))
            stack.callback(others[-1].end)
        network = copy.deepcopy(state.network).cpu()
        tensors = state.snapshot()
        for other in others:
            card = (torch.cuda.current_device() + other.rank) % torch.cuda.device_count() if on_card else 0
            other.tell(Enrolment(other.rank, n_replicas, card, folder / "meeting-point", lot, network, tensors))
        for other in others:
            other.wait_until_ready()
        stack.enter_context(_threads(n_threads))
        with _lost_ones_named(others):
            join(folder / "meeting-point", 0, n_replicas, lot.device)
            stack.callback(distributed.destroy_process_group)
            steps = lot.steps(state, is_replica=True)
            stack.callback(steps.end)
        yield _LedSteps(steps, others)


def join(meeting_point: Path, rank: int, n_replicas: int, device: str) -> None:
    """Found the default process group, or join it; returns when all are there."""
    with_nccl = device == "cuda" and distributed.is_nccl_available()
    if with_nccl:  # what waits for a lost replica raises an error, instead of ending this process
        os.environ["TORCH_NCCL_BLOCKING_WAIT"] = "1"
    distributed.init_process_group(
        "nccl" if with_nccl else "gloo",
        init_method=meeting_point.as_uri(),
        rank=rank,
        world_size=n_replicas,
        timeout=_TIMEOUT,
        device_id=torch.device("cuda", torch.cuda.current_device()) if with_nccl else None,
    )


class _LedSteps:
    """The leader's own steps, each announced to the others first."""

    def __init__(self, own: OwnSteps, others: Sequence[_Replica]) -> None:
        self._own, self._others = own, others

    def begin(self, seed: int) -> None:
        """Begin an epoch, whose batches depend on `seed` alone."""
        self._announce("begin", seed)
        self._own.begin(seed)

    def take(self, rate: float) -> float:
        """Take one step at a learning rate and return the mean loss; none is taken where that is no number."""
        with _lost_ones_named(self._others):
            self._announce("take", rate)
            return self._own.take(rate)

    def go_back(self) -> None:
        """Return to where the epoch began, with half the learning rate."""
        self._announce("go_back")
        self._own.go_back()

    def _announce(self, what: str, *arguments: float) -> None:
        for other in self._others:
            other.tell((what, arguments))


class _Replica:
    """The leader's end of one process."""

    def __init__(self, rank: int, log: Path, n_threads: int) -> None:
        self.rank, self._log = rank, log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "unveil.training.replica_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, "OMP_NUM_THREADS": str(n_threads)},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                start_new_session=os.name == "posix",  # Ctrl-C in a terminal is the leader's to answer
            )

    def wait_until_ready(self) -> None:
        """Return when it is about to join the others."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            raise self.error()

    def tell(self, message: Any) -> None:
        """Send a message."""
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except OSError as error:
            raise self.error() from error

    def is_lost(self) -> bool:
        """Say whether it has ended."""
        return self._process.poll() is not None

    def error(self) -> TrainingError:
        """Say how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_MOMENTS_S)
        return TrainingError(
            f"Replica {self.rank} of the network ended unexpectedly (code {self._process.poll()}). Resume the training "
            f"from its last epoch where it has a checkpoint, or set replicas to 1." + last_words(self._log)
        )

    def end(self) -> None:
        """End the process."""
        end(self._process)


@contextmanager
def _lost_ones_named(others: Sequence[_Replica]) -> Iterator[None]:
    """Where the connection breaks because a replica is gone, say which, and how it ended."""
    try:
        yield
    except RuntimeError as broken:
        given_up = time.monotonic() + _LAST_MOMENTS_S
        while time.monotonic() < given_up:
            for other in others:
                if other.is_lost():
                    raise other.error() from broken
            time.sleep(_LAST_MOMENTS_S / 100)
        raise


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
