"""Teach the small network that tells by how much an image is magnified."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import smooth_l1_loss

from unveil.operators.magnification import Magnification

_HIDDEN = 64
_MOST_STEPS, _STEPS_PER_SAMPLE, _BATCH = 8000, 4, 256
_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 0.05
_JITTER = 0.1
"""Standard deviations of what is added to each statistic: images of other kinds differ in it."""
_TOLERANCE = 0.2
"""Octaves up to which an error counts squared, and linearly beyond: some images do not tell."""
_LEAST_SPREAD = 1e-6


def fit_magnification(samples: NDArray[np.float64], octaves: NDArray[np.float64]) -> Magnification:
    """Teach it from samples of statistics ``(m, n)`` of images magnified by known `octaves` ``(m,)``; a few seconds.

    AdamW (Loshchilov 2019, arXiv 1711.05101) with a learning rate that falls along a cosine.
    """
    mean, spread = samples.mean(axis=0), samples.std(axis=0) + _LEAST_SPREAD
    n = samples.shape[1]
    blank = Magnification(mean, spread, (), np.zeros(n), 0.0)
    given = torch.from_numpy(blank.standardized(samples)).float()
    wanted = torch.from_numpy(octaves).float()[:, None]
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        outer, inner, last = nn.Linear(n, _HIDDEN), nn.Linear(_HIDDEN, _HIDDEN), nn.Linear(_HIDDEN, 1)
    network = nn.Sequential(outer, nn.Tanh(), inner, nn.Tanh(), last)
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    n_steps = min(_MOST_STEPS, _STEPS_PER_SAMPLE * len(given))
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        drawn = torch.randint(len(given), (_BATCH,), generator=generator)
        jitter = _JITTER * torch.randn((_BATCH, n), generator=generator)
        loss = smooth_l1_loss(network(given[drawn] + jitter), wanted[drawn], beta=_TOLERANCE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    hidden = tuple((_array(layer.weight), _array(layer.bias)) for layer in (outer, inner))
    return Magnification(mean, spread, hidden, _array(last.weight)[0], float(_array(last.bias)[0]))


def _array(parameter: torch.Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = parameter.detach().double().numpy()
    return array
