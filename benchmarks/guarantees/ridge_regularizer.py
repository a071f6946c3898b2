"""Train a convex ridge regularizer for Gaussian noise of 25 grey values, and score it: a certified, iterative denoiser.

    python benchmarks/guarantees/ridge_regularizer.py --teaching TIFF --data FOLDER [--seconds S] [--output FOLDER]

Our own training of the idea of Goujon 2022 (arXiv 2211.12461), not their network::

    D(y) = argmin over x of ½ ‖x − y‖² + Σ ψ_i(w_i ∗ x)        ψ_i convex

This is a proximal operator, so that it moves no two images apart, whatever the filters are. Each ψ_i′ is a sum of
limits, clip(u, −t, t), with learned t. Nesterov's method for strongly convex functions minimizes: few steps of it are
trained through, many are taken for the score.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import Tensor, nn
from torch.nn import functional

from unveil.io.images import find_images, read_image
from unveil.networks.nonexpansive import cosines
from unveil.operators.noise import add_gaussian

GREY, MEAN, SIGMA, N_JUDGING = 255.0, 115.0, 25.0, 12
N_FILTERS, TAPS, BLOCK_PX = 70, 5, 2
FIRST_LIMITS = (0.005, 0.02)
BATCH, PATCH_PX, RATE, RATE_OF_LIMITS = 6, 48, 3e-3, 1.5e-2
N_STEPS, N_STEPS_SCORED = 25, 300


class RidgeRegularizer(nn.Module):
    """Filters and the slopes of their potentials; images ``(N, 1, Y, X)``, 1 for 255 greys, about 0, edges even."""

    def __init__(self) -> None:
        super().__init__()
        weight = cosines(2, N_FILTERS, TAPS)[0]
        self.filters = nn.Parameter((4 * weight).contiguous(memory_format=torch.channels_last))
        self.log_limits = nn.Parameter(torch.tensor(FIRST_LIMITS).log()[:, None, None, None].repeat(1, N_FILTERS, 1, 1))
        self.register_buffer("direction", torch.randn(1, BLOCK_PX**2, 24, 24))

    def forward(self, noisy: Tensor, n_steps: int = N_STEPS) -> Tensor:
        """Minimize, from `noisy`, whose blocks of 2 × 2 pixels are the channels."""
        noisy = functional.pixel_unshuffle(noisy, BLOCK_PX)
        adjoint = self.filters.transpose(0, 1).flip(2, 3)
        curvature = 1 + len(FIRST_LIMITS) * self._squared_norm()
        momentum = (curvature.sqrt() - 1) / (curvature.sqrt() + 1)
        image = ahead = noisy
        for _ in range(n_steps):
            found = functional.conv2d(ahead, self.filters, padding=TAPS // 2)
            slope = sum(torch.clamp(found, -limit, limit) for limit in self.log_limits.exp())
            descent = ahead - noisy + functional.conv2d(slope, adjoint, padding=TAPS // 2)
            last, image = image, ahead - descent / curvature
            ahead = image + momentum * (image - last)
        return functional.pixel_shuffle(image, BLOCK_PX)

    def _squared_norm(self) -> Tensor:
        """Estimate ‖W‖² by the power method, and 2 % more, as it comes from below."""
        adjoint = self.filters.transpose(0, 1).flip(2, 3)
        for _ in range(2 if self.training else 50):
            back = functional.conv2d(
                functional.conv2d(self.direction, self.filters, padding=TAPS // 2), adjoint, padding=TAPS // 2
            )
            self.direction = (back / back.norm()).detach()
        return 1.02 * functional.conv2d(self.direction, self.filters, padding=TAPS // 2).square().sum()


def trained(planes: Tensor, seconds: float) -> RidgeRegularizer:
    """Train for so many seconds of processor time, and print how it goes on planes that are kept apart."""
    torch.manual_seed(0)
    model, teaching, judging = RidgeRegularizer(), planes[:-N_JUDGING], planes[-N_JUDGING:]
    noise = SIGMA / GREY
    noisy = judging + noise * torch.randn(judging.shape, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam([{"params": model.filters}, {"params": model.log_limits}])
    since, n_steps = time.process_time(), 0
    while (progress := (time.process_time() - since) / seconds) < 1:
        for group, rate in zip(optimizer.param_groups, (RATE, RATE_OF_LIMITS), strict=True):
            group["lr"] = rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        corners = torch.randint(planes.shape[-1] - PATCH_PX + 1, (BATCH, 2)).tolist()
        which = torch.randint(len(teaching), (BATCH,)).tolist()
        cut = [teaching[n, y : y + PATCH_PX, x : x + PATCH_PX] for n, (y, x) in zip(which, corners, strict=True)]
        clean = torch.stack(cut)[:, None]
        loss = functional.mse_loss(model(clean + noise * torch.randn_like(clean)), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        n_steps += 1
        if n_steps % 250 == 0:
            print(f"{n_steps} steps, {progress:.0%}, {scored(model, noisy, judging):.3f} dB", flush=True)
    return model


def scored(model: RidgeRegularizer, noisy: Tensor, clean: Tensor, n_steps: int = N_STEPS) -> float:
    """Return the mean PSNR over planes, in dB."""
    model.eval()
    with torch.no_grad():
        even = functional.pad(noisy, (0, noisy.shape[-1] % BLOCK_PX, 0, noisy.shape[-2] % BLOCK_PX))
        denoised = torch.cat([model(plane[None, None], n_steps)[0] for plane in even])
        denoised = denoised[:, : clean.shape[-2], : clean.shape[-1]]
    model.train()
    return float((-10 * ((denoised - clean) ** 2).mean((1, 2)).log10()).mean())


def units(grey: np.ndarray) -> Tensor:
    """Return grey values as what the regularizer sees."""
    return torch.from_numpy((grey.astype(np.float32) - MEAN) / GREY)


def main(teaching: Path, data: Path, seconds: float, output: Path) -> None:
    """Train, score, and write what came out."""
    model = trained(units(tifffile.imread(teaching)), seconds)
    scores = []
    for seed, file in enumerate(find_images([data])):
        clean = np.asarray(read_image(file).data, np.float32)
        noisy = np.asarray(add_gaussian(clean, SIGMA, seed))
        scores.append(scored(model, units(noisy)[None], units(clean)[None], N_STEPS_SCORED))
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    written = {"psnr": round(float(np.mean(scores)), 3), "n_images": len(scores), "parameters": n_parameters}
    written |= {"training seconds": seconds, "steps": N_STEPS_SCORED}
    (output / "ridge_regularizer.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print(written)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teaching", type=Path, required=True, help="TIFF of the planes of the training")
    parser.add_argument("--data", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--seconds", type=float, default=900, help="of training")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    main(given.teaching, given.data, given.seconds, given.output)
