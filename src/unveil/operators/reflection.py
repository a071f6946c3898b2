"""An axis without end: beyond its ends it is mirrored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def reflected(positions: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Return the pixel seen at each of `positions`, any integers, when an axis of `size` is mirrored at both ends.

    ::

        position  −2 −1  0  1  2  3  4  5  6  7
        pixel      2  1  0  1  2  3  2  1  0  1        size 4, as np.pad's mode "reflect"
    """
    period = max(2 * (size - 1), 1)
    folded = positions % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(positions)
