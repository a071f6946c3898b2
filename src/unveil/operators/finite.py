"""Which pixels are numbers that can be computed with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 1e18
"""Larger values count as not finite: squares of their differences leave the range of float32, which ends at 3.4e38."""


def usable(grey: NDArray[Any]) -> NDArray[Any]:
    """Return integers as they are, and floats as float32 with NaN for what is not finite or too large."""
    if np.issubdtype(grey.dtype, np.integer):
        return grey
    with np.errstate(over="ignore", invalid="ignore"):
        single = grey.astype(np.float32)
    single[~(np.abs(single) <= LARGEST)] = np.nan
    return single
