"""Whether an image is denoised before it is segmented."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.events import Monitor, Notice
from unveil.image import Frame, Image, middle_frame
from unveil.io.model_file import load_model
from unveil.model.card import ModelCard
from unveil.operators.finite import usable
from unveil.operators.noise_estimation import relative_noise
from unveil.tasks.denoise import denoise
from unveil.tasks.results import MakeArray, denoised_shape

WORTH_IT = 0.05
"""Relative noise above which `nuclei` finds more once it is gone (`benchmarks/accuracy/denoise_first.py`)."""
_DENOISER = "fluorescence-denoiser"
_KIND = "fluorescence"
"""Tag of the models whose images that denoiser knows."""
_BLOCK_PX = 512
_BLOCKS = 4
"""Along each axis of a plane that is too large to be looked at as a whole."""


def decide(
    image: Image, card: ModelCard, channels: tuple[int, ...], options: SegmentationOptions, monitor: Monitor
) -> SegmentationOptions:
    """Return `options` with `denoise_first` on or off; where auto chose on, `monitor` is told.

    The plane in the middle stands for all.
    """
    if options.denoise_first != "auto":
        return options
    noise = 0.0
    if _KIND in card.tags and not card.is_filter:
        noise = max(relative_noise(plane) for plane in _seen(middle_frame(image, card.n_dims, channels)))
    if noise > WORTH_IT:
        monitor(
            Notice(
                f"Image '{image.name}' is noisy (standard deviation {noise:.0%} of its range), so it is denoised "
                f"first. Choose off for 'denoise first' to segment it as it is."
            )
        )
    return options.model_copy(update={"denoise_first": "on" if noise > WORTH_IT else "off"})


def denoised(image: Image, options: SegmentationOptions, make: MakeArray, monitor: Monitor) -> Image:
    """Remove the noise of the channels that are segmented.

    Parameters
    ----------
    make
        Makes the array that the result lies in, from its shape and dtype.
    """
    shared = RunOptions.model_fields.keys() - {"rescale", "size_px", "strength"}
    how = DenoisingOptions(skip_assessment=True, skip_check=True, **{name: getattr(options, name) for name in shared})
    into = make(denoised_shape(image, options.channel), np.float32)
    return denoise(image, load_model(_DENOISER), options=how, into=into, monitor=monitor).image


def _seen(frame: Frame) -> Iterator[NDArray[np.float64]]:
    """Yield one plane per channel, of a large one some blocks from all over it, one below the other."""
    height, width = frame.shape[-2:]
    windows = [(slice(0, height), slice(0, width))]
    if max(height, width) > _BLOCKS * _BLOCK_PX:
        windows = list(product(_spread(height), _spread(width)))
    blocks = [frame.read_plane(rows, columns) for rows, columns in windows]
    for plane in usable(np.concatenate(blocks, axis=1)).astype(np.float64):
        finite = np.isfinite(plane)
        yield np.where(finite, plane, plane[finite].mean() if finite.any() else 0)


def _spread(length: int) -> list[slice]:
    edge = min(_BLOCK_PX, length)
    return [slice(start, start + edge) for start in np.linspace(0, length - edge, _BLOCKS).astype(int).tolist()]
