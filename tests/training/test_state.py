"""State: a snapshot brings everything back, and shares nothing."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import torch
from scipy.stats import ttest_rel
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
    state.note_score(0.7, [(0.6, 4.0), (0.8, 4.0)])
    step(state, 9)
    tensors, numbers = copy.deepcopy(state.tensors()), json.loads(json.dumps(state.numbers()))
    ahead = [step(state, seed) for seed in range(3)]
    other = begun()
    other.resume(tensors, numbers)
    assert other.numbers() == state.numbers()
    assert {name: t.tolist() for name, t in other.kept_weights.items()} == {
        name: t.tolist() for name, t in state.kept_weights.items()
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
    assert all(torch.equal(state.kept_weights[name], tensor) for name, tensor in best.items())
    assert not torch.equal(state.network.state_dict()["0.weight"], best["0.weight"])


def test_of_epochs_that_a_few_examples_cannot_tell_apart_the_latest_is_kept() -> None:
    state, weights = begun(), [3.0, 1.0]

    def note(epoch: int, *losses: float) -> bool:
        state.epoch = epoch
        return state.note_score(float(np.average(losses, weights=weights)), list(zip(losses, weights, strict=True)))

    assert note(1, 0.5, 0.5)
    assert note(2, 0.5, 0.9), "worse on one, as before on the other"
    assert (state.best_epoch, state.kept_epoch) == (1, 2)
    assert not note(3, 0.6, 0.61), "about as much worse on both"
    assert note(4, 0.4, 0.4)
    assert not state.note_score(math.nan, [(math.nan, 3.0), (0.1, 1.0)])
    assert (state.best_epoch, state.kept_epoch) == (4, 4)


def test_chance_is_that_of_a_paired_t_test() -> None:
    before = np.random.default_rng(0).uniform(0.4, 0.6, 12)
    found = set()
    for more in np.linspace(0, 0.02, 41):
        after = before + more + np.random.default_rng(1).normal(0, 0.02, 12)
        state = begun()
        state.note_score(float(before.mean()), [(loss, 1.0) for loss in before])
        is_kept = state.note_score(float(after.mean()), [(loss, 1.0) for loss in after])
        assert is_kept == (ttest_rel(after, before, alternative="greater").pvalue >= 0.05)
        found.add(is_kept)
    assert found == {True, False}


def test_one_example_tells_nothing_of_chance() -> None:
    state = begun()
    assert state.note_score(0.5, [(0.5, 9.0)])
    assert not state.note_score(0.51, [(0.51, 9.0)])


def test_patience() -> None:
    state = begun()
    state.epoch, state.best_epoch = 7, 4
    assert [state.is_stuck(patience) for patience in (0, 2, 3, 4)] == [False, True, True, False]


def test_moments_come_back_in_the_order_of_their_parameters_memory() -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = TrainingState.begin(network)
    network(torch.rand(1, 3, 8, 8)).square().sum().backward()
    state.optimizer.step()
    snapshot = state.snapshot()
    assert all(tensor.is_contiguous() for tensor in snapshot.values())  # model files hold no other
    state.restore(snapshot)
    moments = state.optimizer.state[network.weight]
    assert moments["exp_avg"].stride() == network.weight.stride()
    torch.testing.assert_close(moments["exp_avg"], snapshot["optimizer.0.exp_avg"])
