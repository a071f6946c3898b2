"""Where a training stands: all that it needs to go on, as tensors and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

Tensors = dict[str, Tensor]

_CONFIDENCE = 0.95
"""With which an earlier epoch is to be better than a later one, to be kept instead."""


@dataclass(slots=True, eq=False)
class TrainingState:
    """A network, its optimizer, and how far they have come; changed in place by the loop.

    Attributes
    ----------
    epoch
        Epochs done.
    best_loss, best_epoch, best_losses
        The lowest loss so far, its epoch, and what it was on each held-out example, with their weights.
    kept_epoch, kept_weights
        What becomes of the training.
    rate_factor
        What setbacks have left of the learning rate, 1 at first.
    """

    network: nn.Module
    optimizer: torch.optim.Adam
    epoch: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    n_setbacks: int = 0
    rate_factor: float = 1.0
    ended_by: Literal["schedule", "user", "patience", "time"] = "schedule"
    best_losses: list[list[float]] = field(default_factory=list)
    kept_epoch: int = 0
    kept_weights: Tensors = field(default_factory=dict)

    @classmethod
    def begin(cls, network: nn.Module) -> TrainingState:
        """Begin anew with `network`."""
        on_card = next(network.parameters()).device.type == "cuda"
        return cls(network, torch.optim.Adam(network.parameters(), fused=on_card))

    def note_score(self, loss: float, losses: Sequence[Sequence[float]] = ()) -> bool:
        """Remember the epoch just done; say whether its weights are kept.

        They are where no earlier epoch is better by more than chance, by a paired one-sided t-test over the held-out
        examples: on a few of them some early epoch does best by luck, and the learning rate falls for a reason.

        Parameters
        ----------
        losses
            `loss` on each held-out example, with its weight; less than two say nothing of chance.
        """
        is_best = loss < self.best_loss
        is_kept = is_best or loss - self.best_loss <= _chance(losses, self.best_losses)
        if is_best:
            self.best_loss, self.best_epoch, self.best_losses = loss, self.epoch, [list(each) for each in losses]
        if is_kept:
            self.kept_epoch, self.kept_weights = self.epoch, self.weights()
        return is_kept

    def is_stuck(self, patience: int) -> bool:
        """Say whether nothing has improved for `patience` epochs; 0 is endless patience."""
        return 0 < patience <= self.epoch - self.best_epoch

    def weights(self) -> Tensors:
        """Return a copy of the network's weights, on the CPU."""
        return {name: _copy(tensor) for name, tensor in self.network.state_dict().items()}

    def snapshot(self) -> Tensors:
        """Return copies of all tensors that a step changes, by name."""
        taken = {f"network.{name}": tensor for name, tensor in self.weights().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            taken |= {f"optimizer.{index}.{name}": _copy(tensor) for name, tensor in moments.items()}
        return taken

    def go_back(self, snapshot: Mapping[str, Tensor]) -> None:
        """Return to `snapshot` with half the learning rate."""
        self.restore(snapshot)
        self.n_setbacks += 1
        self.rate_factor /= 2

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Put the tensors of `snapshot` back; nothing is shared with it."""
        self.network.load_state_dict(_part(snapshot, "network."))
        moments: dict[int, dict[str, Tensor]] = {}
        parameters = list(self.network.parameters())
        for name, tensor in _part(snapshot, "optimizer.").items():
            index, _, what = name.partition(".")
            # Adam's kernels go through a parameter and its moments side by side, in the order of memory.
            like = parameters[int(index)] if tensor.dim() else tensor
            moments.setdefault(int(index), {})[what] = torch.empty_like(like).copy_(tensor).detach()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def tensors(self) -> Tensors:
        """Return everything that a checkpoint holds as tensors."""
        return self.snapshot() | {f"kept.{name}": tensor for name, tensor in self.kept_weights.items()}

    def numbers(self) -> dict[str, Any]:
        """Return everything that a checkpoint holds as numbers."""
        return {name: getattr(self, name) for name in _NUMBERS}

    def resume(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was made."""
        self.restore(tensors)
        self.kept_weights = _part(tensors, "kept.")
        for name in _NUMBERS:
            setattr(self, name, numbers[name])


_NUMBERS = ("epoch", "best_loss", "best_epoch", "best_losses", "kept_epoch", "seconds", "n_setbacks", "rate_factor")


def _chance(losses: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> float:
    """Return which weighted mean difference two equal losses of the same examples may have; below 0 where unknown."""
    n = len(losses)
    if n < 2 or n != len(others):
        return -1.0
    differences = [(weight, loss - other) for (loss, weight), (other, _) in zip(losses, others, strict=True)]
    whole = sum(weight for weight, _ in differences)
    mean = sum(weight * difference for weight, difference in differences) / whole
    spread = sum((weight * (difference - mean)) ** 2 for weight, difference in differences)
    standard_error = math.sqrt(n / (n - 1) * spread) / whole
    return standard_error * float(stdtrit(n - 1, _CONFIDENCE))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
