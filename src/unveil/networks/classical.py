"""Classical filters in the place of a network: no weights, computed by SciPy on the processor."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.config.architecture import FilterConfig
from unveil.operators.classical import clipped_high_pass, gaussian, median, texture_features


class ClassicalFilter(nn.Module):
    """Input ``(N, 1, *spatial)`` of any size, output ``(N, 1 or 8, *spatial)``; images end in a mirror.

    The clipped high-pass takes noise of standard deviation 1.
    """

    def __init__(self, config: FilterConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, image: Tensor) -> Tensor:
        """Filter each image of the batch."""
        return torch.from_numpy(np.stack([self._filter(grey) for grey in image[:, 0].numpy()]))

    def _filter(self, grey: NDArray[Any]) -> NDArray[np.float32]:
        """Return the maps ``(K, *spatial)`` of ``(*spatial)``."""
        config = self.config
        match config.kind:
            case "gaussian":
                return gaussian(grey, config.size_px)[np.newaxis]
            case "median":
                return median(grey, config.size_px)[np.newaxis]
            case "clipped_high_pass":
                return clipped_high_pass(grey, config.size_px, config.strength)[np.newaxis]
            case "texture":
                return texture_features(grey, config.size_px)
            case _:
                assert_never(config.kind)
