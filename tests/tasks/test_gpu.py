"""Training on a graphics card: it learns there, predicts the same elsewhere, and gives the card's memory back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.config.options import DenoisingOptions, SegmentationOptions
from unveil.config.training import NoiseConfig
from unveil.events import EpochEnd, Event, TrainingStart, ignore
from unveil.io.model_file import load_model
from unveil.io.runs import create_run
from unveil.tasks.denoise import denoise
from unveil.tasks.isolated import IsolatedTraining
from unveil.tasks.segment import segment
from unveil.tasks.train import train
from unveil.training.forward import training_forward
from unveil.training.initial_weights import random_network

Make = Callable[..., Any]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

MIB = 2**20


def test_it_learns_to_segment_there_and_segments_the_same_here(scenes: Make, segmentation: Make) -> None:
    images, annotations = scenes(6)
    events: list[Event] = []
    learner = segmentation().architecture.model_copy(update={"width": 8})
    config = segmentation(
        architecture=learner, epochs=4, steps_per_epoch=30, learning_rate=1e-2, device="cuda", precision="auto"
    )

    model = train(images, annotations, config, monitor=events.append)

    started = next(event for event in events if isinstance(event, TrainingStart))
    assert started.device == "cuda"
    assert [event for event in events if isinstance(event, EpochEnd)][-1].metric > 0.85  # type: ignore[operator]
    maps = []
    for where in ("cuda", "cpu"):
        options = SegmentationOptions(device=where, precision="exact")  # type: ignore[arg-type]
        maps.append(np.asarray(segment(images[0], model, options=options, monitor=ignore).probabilities.data))
    np.testing.assert_allclose(*maps, atol=1e-4)


def test_it_learns_to_denoise_there_and_denoises_the_same_here(scenes: Make, denoising: Make) -> None:
    images, _ = scenes(5)
    noise = NoiseConfig(poisson=(0.01, 0.05), gaussian=(0.05, 0.1), correlation=(0, 0.3), gain_spread=(0, 0.5))

    model = train(None, images, denoising(epochs=3, steps_per_epoch=40, noise=noise, device="cuda"), monitor=ignore)

    history = model.card.training.history  # type: ignore[union-attr]
    assert history[-1].metric > history[0].metric  # type: ignore[operator]
    results = []
    for where in ("cuda", "cpu"):
        options = DenoisingOptions(device=where, precision="exact")  # type: ignore[arg-type]
        results.append(np.asarray(denoise(images[0], model, options=options, monitor=ignore).image.data))
    np.testing.assert_allclose(*results, rtol=1e-3, atol=1e-3 * float(np.ptp(results[1])))


@pytest.mark.parametrize(
    "architecture", [UNetConfig(width=4, poolings=2), DnCNNConfig(depth=6, width=8, skips=True, stride=2)]
)
def test_recorded_kernels_learn_what_launched_ones_do(architecture: Architecture) -> None:
    device = torch.device("cuda")
    plain, recorded = (random_network(architecture, 3).to(device) for _ in range(2))
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-2) for network in (plain, recorded)]
    forwards = [plain, training_forward(recorded, device, None)]
    for seed in range(5):
        batch = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(seed)).to(device)
        for forward, optimizer in zip(forwards, optimizers, strict=True):
            optimizer.zero_grad()
            forward(batch).square().mean().backward()
            optimizer.step()
    for ours, theirs in zip(recorded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_process_of_its_own_gives_the_memory_of_the_card_back(
    scenes: Make, segmentation: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNVEIL_RUNS", str(tmp_path))
    free_before, _ = torch.cuda.mem_get_info()
    least_free = free_before

    def look(_: Event) -> None:
        nonlocal least_free
        least_free = min(least_free, torch.cuda.mem_get_info()[0])

    run = create_run(*scenes(3), segmentation(epochs=2, steps_per_epoch=20, device="cuda"))
    assert load_model(IsolatedTraining(run).train(look)).card.task == "segmentation"

    assert least_free < free_before - 64 * MIB
    assert torch.cuda.mem_get_info()[0] >= free_before - 16 * MIB
