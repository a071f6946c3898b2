"""Which pixels of the image each pixel of a layer sees, followed from the image on, along one axis.

The pixels of a U-Net do not all see alike: it matters where they lie in the windows of the poolings. So a field is kept
for every position, up to the one from which on all repeats::

    image              0  1  2  3 │ 4  5  6  7      repeats after 4 pixels, as it is told
    pooled by 2        0     1    │ 2     3         stride 2, two positions: 0 sees 0 … 1, 1 sees 2 … 3
    3 taps             0     1    │ 2     3         0 sees −2 … 3, 1 sees 0 … 5
    doubled            0  1  2  3 │ 4  5  6  7      stride 1: 0 and 1 see −2 … 3, 2 and 3 see 0 … 5

What is followed is the smallest interval that holds all pixels seen; a dilation leaves gaps in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class AxisField:
    """The receptive field of every pixel of a layer along one axis, in pixels of the image."""

    stride: int
    """Pixels of the image per pixel of the layer."""
    first: tuple[int, ...]
    """The first pixel seen by the layer's pixel 0, 1, …; what follows repeats, as many pixels further on."""
    last: tuple[int, ...]
    """The last pixel seen."""

    @classmethod
    def of_image(cls, period: int) -> Self:
        """Return the field of the image's own pixels, for a network in which all repeats after `period` of them."""
        return cls(1, tuple(range(period)), tuple(range(period)))

    @property
    def size_px(self) -> int:
        """The most pixels that a pixel of the layer sees."""
        return max(last - first + 1 for first, last in zip(self.first, self.last, strict=True))

    def window(self, pixel: int) -> tuple[int, int]:
        """Return the first and the last pixel of the image that `pixel` of the layer sees; both may lie outside."""
        turns, position = divmod(pixel, len(self.first))
        further = turns * len(self.first) * self.stride
        return self.first[position] + further, self.last[position] + further

    def convolved(self, taps: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> AxisField:
        """Return the field behind a convolution or a pooling: pixel q reads stride · q − padding + dilation · k."""
        reads = [
            [stride * pixel - padding + dilation * tap for tap in range(taps)]
            for pixel in range(len(self.first) // stride)
        ]
        return self._reading(self.stride * stride, reads)

    def upsampled(self, taps: int, *, stride: int, padding: int = 0, dilation: int = 1) -> AxisField:
        """Return the field behind a transposed convolution: q reads p where q = stride · p − padding + dilation · k.

        Where there are fewer taps than the stride, some pixels read nothing; the layers we know have none such.
        """
        reads = [
            [source // stride for tap in range(taps) if (source := pixel + padding - dilation * tap) % stride == 0]
            for pixel in range(len(self.first) * stride)
        ]
        return self._reading(self.stride // stride, reads)

    def joined(self, other: AxisField) -> AxisField:
        """Return the field of what reads the same pixel of both layers."""
        pairs = zip(self.first, other.first, strict=True), zip(self.last, other.last, strict=True)
        return AxisField(self.stride, tuple(map(min, pairs[0])), tuple(map(max, pairs[1])))

    def _reading(self, stride: int, reads: Sequence[Sequence[int]]) -> AxisField:
        """Return the field of pixels that each read some pixels of this layer."""
        windows = [[self.window(pixel) for pixel in pixels] for pixels in reads]
        return AxisField(
            stride,
            tuple(min(first for first, _ in seen) for seen in windows),
            tuple(max(last for _, last in seen) for seen in windows),
        )
