"""Train `dncnn-stable`, the denoiser that moves no two images apart, for Gaussian noise of 25 grey values.

    python recipes/stable_denoiser.py DATA SMALL --taps 3 --seconds 630
    python recipes/stable_denoiser.py DATA OUTPUT --start SMALL [--seconds SECONDS]

DATA is a TIFF of many grey planes from 0 to 255 (the 400 images of the Berkeley set, 180 × 180); the last twelve judge.
OUTPUT is the model file. Every 200 steps the state is kept beside it, in ``OUTPUT.state``, and a training that was
interrupted goes on from there. SECONDS of processor time are what the learning rate falls along.

The weights that are kept are a running average, which needs a fifth of the steps. Filters of 10 × 10 pixels (5 taps)
begin as those that were learnt on 6 × 6, which a step costs less, with zeros around them.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from torch import Tensor, nn

from unveil import Model, ModelCard, __version__, load_model, save_model
from unveil.config.architecture import NonexpansiveConfig
from unveil.config.normalization import FixedNormalization
from unveil.model.card import Epoch, TrainingRecord
from unveil.model.lipschitz import with_certificate
from unveil.networks.build import build_network
from unveil.training.norm_limits import NormLimiter, norm_limits, settle

GREY, SIGMA, MEAN = 255.0, 25.0, 115.0
N_JUDGING = 12
BATCH, PATCH_PX = 9, 64
RATE, RATE_OF_START = 3e-3, 1.5e-3
"""Learning rates, from cosines and from a trained model: a larger one there undoes more than it learns."""
LIMITS_FASTER = 5
"""How many times the rate their logarithms learn with."""
N_AVERAGED = 500
EVERY = 200
"""Steps between validations."""
KEPT = ("network", "average", "optimizer")
"""What a file keeps the state of."""


def main(data: Path, output: Path, seconds: float, taps: int, start: Path | None) -> None:
    """Train, and write the model."""
    planes = torch.from_numpy((tifffile.imread(data).astype(np.float32) - MEAN) / GREY)
    teaching, judging = planes[:-N_JUDGING], planes[-N_JUDGING:]
    training = Training(output.with_suffix(".state"), NonexpansiveConfig.model_validate({"taps": taps}), start)
    noisy = judging + SIGMA / GREY * torch.randn(judging.shape, generator=torch.Generator().manual_seed(1))
    since = time.process_time()
    while training.seconds < seconds:
        for image, clean in batches(teaching, training.n_steps):
            training.step(image, clean, min(1.0, training.seconds / seconds))
        training.seconds, since = training.seconds + time.process_time() - since, time.process_time()
        training.note(psnr(training.average, noisy, judging))
        training.save()
    save_model(sealed(training, data, noisy), output)


class Training:
    """A network, its running average and its optimizer, as a file keeps them."""

    def __init__(self, path: Path, architecture: NonexpansiveConfig, start: Path | None) -> None:
        self.path, self.architecture, self.n_steps, self.seconds = path, architecture, 0, 0.0
        self.rate = RATE_OF_START if start else RATE
        self.history: list[tuple[int, float, float]] = []
        network = build_network(architecture)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, unused-ignore]  # before PyTorch 2.14
        if start:
            grow(load_model(start).network, self.network)
        self.average = deepcopy(self.network)
        limits = [p for name, p in self.network.named_parameters() if name.endswith("log_limits")]
        weights = [p for name, p in self.network.named_parameters() if not name.endswith("log_limits")]
        self.optimizer = torch.optim.Adam([{"params": weights}, {"params": limits}])
        self.limiter = NormLimiter(norm_limits(self.network))
        if path.exists():
            self._load()
        self.limiter.begin(self.n_steps)
        self._losses: list[float] = []

    def step(self, image: Tensor, clean: Tensor, progress: float) -> None:
        """Take one step, and move the average along."""
        fall = min(1, (self.n_steps + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group, faster in zip(self.optimizer.param_groups, (1, LIMITS_FASTER), strict=True):
            group["lr"] = faster * self.rate * fall
        loss = nn.functional.mse_loss(self.network(image), clean)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.limiter.apply()
        self.n_steps += 1
        self._losses.append(loss.item())
        share = max(1 / N_AVERAGED, 1 / (1 + self.n_steps / 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, share)

    def note(self, judged: float) -> None:
        """Remember and print how good the average is."""
        self.history.append((self.n_steps, sum(self._losses) / len(self._losses), judged))
        print(f"{self.n_steps} steps, {self.seconds:.0f} s, {judged:.3f} dB", flush=True)
        self._losses.clear()

    def save(self) -> None:
        """Keep all of it, or what was kept before."""
        part = self.path.with_suffix(".part")
        torch.save({**self._state(), "numbers": (self.n_steps, self.seconds, self.history)}, part)
        part.replace(self.path)

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in KEPT}

    def _load(self) -> None:
        kept = torch.load(self.path)
        for name in KEPT:
            getattr(self, name).load_state_dict(kept[name])
        self.n_steps, self.seconds, self.history = kept["numbers"]


@torch.no_grad()
def grow(small: nn.Module, network: nn.Module) -> None:
    """Give `network` the weights of `small`, whose filters have fewer taps, with zeros around them."""
    for (name, learnt), weight in zip(small.named_parameters(), network.parameters(), strict=True):
        margin = (weight.shape[-1] - learnt.shape[-1]) // 2 if name.endswith("weight") else 0
        weight.copy_(nn.functional.pad(learnt, (margin,) * 4) if margin else learnt)


def batches(planes: Tensor, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield noisy and clean patches for `EVERY` steps, mirrored and turned."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EVERY):
        which = torch.randint(len(planes), (BATCH,), generator=generator).tolist()
        corners = torch.randint(planes.shape[-1] - PATCH_PX + 1, (BATCH, 2), generator=generator).tolist()
        turns, mirrored = torch.randint(4, (), generator=generator).item(), torch.rand((), generator=generator) < 0.5
        cut = [planes[n, y : y + PATCH_PX, x : x + PATCH_PX] for n, (y, x) in zip(which, corners, strict=True)]
        clean = torch.rot90(torch.stack(cut)[:, None], int(turns), (2, 3))
        clean = (clean.flip(3) if mirrored else clean).contiguous()
        yield clean + SIGMA / GREY * torch.randn(clean.shape, generator=generator), clean


def psnr(network: nn.Module, noisy: Tensor, clean: Tensor) -> float:
    """Return the mean PSNR over images, in dB."""
    with torch.no_grad():
        denoised = torch.cat([network(image[None, None])[0] for image in noisy])
    return float((-10 * ((denoised - clean) ** 2).mean((1, 2)).log10()).mean())


def sealed(training: Training, data: Path, noisy: Tensor) -> Model:
    """Return the model of the average, its norms certified."""
    settle(norm_limits(training.average))
    record = TrainingRecord(
        config={
            "noise": f"Gaussian, standard deviation {SIGMA:g} of {GREY:g}",
            "batch_size": BATCH,
            "patch_px": PATCH_PX,
            "steps_per_epoch": EVERY,
            "learning_rate": training.rate,
        },
        data_sha256=sha256(data.read_bytes()).hexdigest(),
        n_images=400,
        n_validation_images=N_JUDGING,
        metric_name="PSNR",
        history=tuple(
            Epoch(epoch=n // EVERY, training_loss=loss, validation_loss=10 ** (-judged / 10), metric=judged)
            for n, loss, judged in training.history
        ),
        seed=0,
        versions={"unveil": __version__, "torch": torch.__version__, "python": platform.python_version()},
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(training.seconds, 1),
        ended_by="schedule",
    )
    card = ModelCard.describe(
        training.architecture,
        name="dncnn-stable",
        task="denoising",
        description=f"Takes Gaussian noise of {SIGMA:g} grey values (of 255) away and moves no two images apart.",
        normalization=FixedNormalization(mean=(MEAN,), std=(GREY,)),
        training=record,
        training_data="400 grey images of the Berkeley segmentation data set (research use)",
    )
    return with_certificate(Model.make(card, training.average, noisy[:1, None, :128, :128].contiguous().numpy()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=3000, help="processor time")
    parser.add_argument("--taps", type=int, default=5, help="extent of the filters, in blocks of 2 pixels")
    parser.add_argument("--start", type=Path, help="model to go on from, whose filters may have fewer taps")
    given = parser.parse_args()
    main(given.data, given.output, given.seconds, given.taps, given.start)
