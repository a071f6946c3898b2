"""What a denoiser removed, computed where it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.image import Image
from unveil.io.reordered import expanded


def residual_of(noisy: Image, denoised: Image, channel: int = 0) -> Image:
    """Return ``noisy − denoised`` in the axes of `denoised`, float32; nothing is computed before it is read.

    Parameters
    ----------
    channel
        Which channel of `noisy` was denoised, where `denoised` has no C.
    """
    difference = _Difference(noisy, denoised, channel)
    return denoised.like(difference, denoised.axes, channel_names=denoised.channel_names)


class _Difference:
    """An array that is the difference of two."""

    dtype = np.dtype(np.float32)

    def __init__(self, noisy: Image, denoised: Image, channel: int) -> None:
        self._noisy, self._denoised, self.shape = noisy.data, denoised.data, denoised.shape
        is_chosen = "C" in noisy.axes and "C" not in denoised.axes
        self.ndim = len(self.shape)
        self._at = noisy.axes.index("C") if is_chosen else None
        self._channel = channel

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        keys = expanded(key, self.ndim)
        of_noisy = keys if self._at is None else [*keys[: self._at], self._channel, *keys[self._at :]]
        noisy = np.asarray(self._noisy[tuple(of_noisy)], np.float32)
        difference: NDArray[np.float32] = noisy - np.asarray(self._denoised[tuple(keys)], np.float32)
        return difference

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[()].astype(dtype or self.dtype)
