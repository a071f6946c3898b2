"""Look at a bounded number of windows of an image, and measure what they look like to a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.image import Frame
from unveil.model.model import Model
from unveil.networks.unet import UNet
from unveil.operators.appearance import LEAST_PX, STATISTICS, describe
from unveil.operators.finite import usable
from unveil.operators.normalization import fit
from unveil.tasks.rescaling import resized

EDGE_PX = 256
"""Edge of a window as the network sees it; an image of up to four windows' area is cut into as many at most."""
_SLACK = 1.25
"""An axis up to so many times as long is one window."""

Windows = list[NDArray[np.float32]]
"""Grey values ``(C, Y, X)``, finite."""


def windows_of(frame: Frame, scale: float = 1.0, *, single: bool = False) -> Windows:
    """Cut windows out of a plane, or out of the plane in the middle of a volume, and resize them by `scale`.

    Up to four, spread over the plane, so that it may be of any size, or a `single` one in its middle; none where one
    would be too small to say anything.
    """
    height, width = frame.shape[-2:]
    edge = max(1, round(EDGE_PX / scale))
    if min(height, width, edge) * scale < LEAST_PX:
        return []
    spans = product(*(_spread(length, edge, single) for length in (height, width)))
    return [magnified(_finite(frame.read_plane(rows, columns)), scale) for rows, columns in spans]


def magnified(grey: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Resize ``(C, Y, X)`` by `scale`."""
    if scale == 1:
        return grey
    return resized(grey, (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[2] * scale))))


def looks_of(windows: Windows, model: Model) -> NDArray[np.float64] | None:
    """Measure `windows` as normalized for `model`; None where all is constant, or too small.

    Returns
    -------
    statistics
        One per name of `statistics_of`.
    """
    if not windows or min(min(window.shape[1:]) for window in windows) < LEAST_PX:
        return None
    if any(_is_constant([window[channel] for window in windows]) for channel in range(len(windows[0]))):
        return None
    intensities = fit(model.card.normalization, lambda: windows)
    normalized = [intensities.apply(window) for window in windows]
    parts = [describe([window[channel] for window in normalized]) for channel in range(len(windows[0]))]
    statistics = np.concatenate([*parts, _early_features(normalized, model)])
    return statistics if np.isfinite(statistics).all() else None


def statistics_of(model: Model) -> tuple[str, ...]:
    """Name what `looks_of` measures."""
    channels = range(model.card.in_channels)
    names = [name if len(channels) == 1 else f"{name} of channel {c}" for c in channels for name in STATISTICS]
    n_features = model.card.architecture.width if _has_early_features(model) else 0  # type: ignore[union-attr]
    names += [f"feature {kind} {number}" for kind in ("mean", "spread") for number in range(n_features)]
    return tuple(names)


def _has_early_features(model: Model) -> bool:
    return isinstance(model.network, UNet) and model.card.n_dims == 2


def _early_features(windows: Windows, model: Model) -> NDArray[np.float64]:
    """Return mean and standard deviation of each channel after a U-Net's first level; nothing for other networks."""
    if not _has_early_features(model):
        return np.zeros(0)
    first_level = model.network.down[0]  # type: ignore[index]
    n_pixels, moments = 0, torch.zeros(2, 1)
    with torch.inference_mode():
        for window in windows:
            features = first_level(torch.from_numpy(np.ascontiguousarray(window))[None])[0].flatten(1)  # type: ignore[operator]
            n_pixels += features.shape[1]
            moments = moments + torch.stack([features.sum(dim=1), features.square().sum(dim=1)])
    mean, square = (moments / n_pixels).double().numpy()
    return np.concatenate([mean, np.sqrt(np.maximum(square - np.square(mean), 0))])


def _spread(length: int, edge: int, single: bool) -> list[slice]:
    """Return one span in the middle, or two at a quarter and three quarters of a long axis."""
    n = 1 if single or length <= _SLACK * edge else 2
    edge = min(edge, length)
    starts = [round((length - edge) * share) for share in ((0.5,), (0.0, 1.0))[n - 1]]
    if n == 2 and length > 4 * edge:
        starts = [math.floor(length * share - edge / 2) for share in (0.25, 0.75)]
    return [slice(start, start + edge) for start in starts]


def _finite(grey: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 with the mean of its channel for what is not finite, or too large."""
    single = usable(grey).astype(np.float32)
    finite = np.isfinite(single)
    if finite.all():
        return single
    for channel, known in zip(single, finite, strict=True):
        channel[~known] = channel[known].mean() if known.any() else 0
    return single


def _is_constant(planes: Sequence[NDArray[np.float32]]) -> bool:
    return min(float(plane.min()) for plane in planes) >= max(float(plane.max()) for plane in planes)
