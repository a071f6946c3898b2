"""How large results are, and whether memory has room for them: the one rule of panels and command line."""

from __future__ import annotations

import math

import psutil

from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.tasks.results import denoised_shape, segmentation_shapes

SHARE_OF_MEMORY = 0.25
"""Results of one image beyond this share of the free memory go to the disk."""
_BYTES_PER_PIXEL = 4
"""Of float32, and of the labels' int32."""


def memory_for_results() -> int:
    """Return how many bytes the results of one image may take in memory."""
    return int(psutil.virtual_memory().available * SHARE_OF_MEMORY)


def result_bytes(image: Image, card: ModelCard, options: RunOptions) -> int:
    """Return the size of all maps of a segmentation, or of the denoised image, in memory."""
    if isinstance(options, SegmentationOptions):
        shapes = list(segmentation_shapes(image, card, options).values())
    else:
        assert isinstance(options, DenoisingOptions)
        shapes = [denoised_shape(image, options.channel)] * (1 + options.residual)
    return sum(math.prod(shape) for shape in shapes) * _BYTES_PER_PIXEL
