"""State: a snapshot brings everything back, and shares nothing."""

from __future__ import annotations

import copy
import json
import math

import torch
from torch import nn

from unveil.training.state import TrainingState


def begun() -> TrainingState:
    torch.manual_seed(0)
    return TrainingState.begin(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)))


def step(state: TrainingState, seed: int) -> float:
    batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
    loss = (state.network(batch) - batch.sum(dim=1, keepdim=True)).square().mean()
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for group in state.optimizer.param_groups:
        group["lr"] = 0.1
    state.optimizer.step()
    return float(loss.detach())


def test_after_going_back_the_same_steps_give_the_same_losses() -> None:
    state = begun()
    for seed in range(3):
        step(state, seed)
    snapshot = state.snapshot()
    before = {name: tensor.clone() for name, tensor in snapshot.items()}
    first = [step(state, seed) for seed in range(3, 6)]
    assert all(torch.equal(snapshot[name], tensor) for name, tensor in before.items()), "the snapshot was changed"
    state.restore(snapshot)
    assert [step(state, seed) for seed in range(3, 6)] == first
    state.restore(snapshot)
    assert [step(state, seed) for seed in range(3, 6)] == first, "restoring shared a tensor with its snapshot"


def test_a_snapshot_of_the_beginning_forgets_the_optimizer() -> None:
    state = begun()
    snapshot = state.snapshot()
    first = [step(state, seed) for seed in range(4)]
    state.go_back(snapshot)
    assert [step(state, seed) for seed in range(4)] == first
    assert (state.n_setbacks, state.rate_factor) == (1, 0.5)


def test_a_checkpoint_goes_on_in_another_process() -> None:
    state = begun()
    for seed in range(3):
        step(state, seed)
    state.epoch, state.seconds, state.n_setbacks, state.rate_factor = 3, 12.5, 1, 0.5
    state.note_score(0.7)
    step(state, 9)
    tensors, numbers = copy.deepcopy(state.tensors()), json.loads(json.dumps(state.numbers()))
    ahead = [step(state, seed) for seed in range(3)]
    other = begun()
    other.resume(tensors, numbers)
    assert other.numbers() == state.numbers()
    assert {name: t.tolist() for name, t in other.best_weights.items()} == {
        name: t.tolist() for name, t in state.best_weights.items()
    }
    assert [step(other, seed) for seed in range(3)] == ahead


def test_the_best_is_kept_while_training_goes_on() -> None:
    state = begun()
    state.epoch = 1
    assert state.note_score(0.5)
    best = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    step(state, 0)
    state.epoch = 2
    assert not state.note_score(0.5)
    assert not state.note_score(math.nan)
    assert (state.best_loss, state.best_epoch) == (0.5, 1)
    assert all(torch.equal(state.best_weights[name], tensor) for name, tensor in best.items())
    assert not torch.equal(state.network.state_dict()["0.weight"], best["0.weight"])


def test_patience() -> None:
    state = begun()
    state.epoch, state.best_epoch = 7, 4
    assert [state.is_stuck(patience) for patience in (0, 2, 3, 4)] == [False, True, True, False]
