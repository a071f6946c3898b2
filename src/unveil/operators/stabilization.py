"""Noise of one strength everywhere: grey values on a scale on which it is so, and back.

Detectors count photons, so that noise grows with the grey value. On the scale

::

    y = ∫ dx / √v(x)        with the variance v(x) = gain · x + variance, and not below `least`

it has a standard deviation of about 1 (Anscombe 1948, Biometrika 35, 246), a root where it grows and a straight line
where it does not. The gain's square times 3/8 is added to the variance: few photons come nearer to 1 with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", NDArray[np.float32], "Tensor")

_TINY = 1e-30
_FEW_PHOTONS = 3 / 8


@dataclass(frozen=True, slots=True, eq=False)
class Stabilization(Generic[Array]):
    """The scale of one noise, for arrays and tensors.

    Attributes
    ----------
    gain
        By how much the variance grows per unit of intensity; 0 or more, broadcast over the intensities.
    variance
        At intensity 0, positive.
    least
        Positive, and at most `variance`.
    """

    gain: Array
    variance: Array
    least: Array

    def apply(self, intensity: Array) -> Array:
        """Map intensities, with 0 at 0."""
        gain, variance, least, knee = self._terms()
        above = intensity.clip(min=knee)
        root: Array = 2 * above / ((gain * above + variance) ** 0.5 + variance**0.5)
        line: Array = (intensity - above) / least**0.5
        return root + line

    def invert(self, stabilized: Array) -> Array:
        """Return to intensities."""
        gain, variance, least, knee = self._terms()
        above = stabilized.clip(min=2 * knee / (least**0.5 + variance**0.5))
        square: Array = variance**0.5 * above + gain * above**2 / 4
        line: Array = (stabilized - above) * least**0.5
        return square + line

    def expect(self, clean: Array) -> Array:
        """Map clean intensities to the mean of what `apply` makes of them under the noise, to second order.

        A root bends, so that this mean lies below the map of the mean: by v · y″/2 = gain / (4 √v).
        """
        mean: Array = self.apply(clean) - self.gain / (4 * self.variance_of(clean) ** 0.5)
        return mean

    def restore(self, mean: Array) -> Array:
        """Return from the mean on the scale to clean intensities, without the bias that `invert` would have.

        Mäkitalo and Foi 2011 (IEEE Trans. Image Process. 20, 99), to the first order.
        """
        clean: Array = self.invert(mean) + 0.25 * self.gain
        return clean

    def variance_of(self, intensity: Array) -> Array:
        """Return the variance of the noise that the scale makes 1."""
        gain, variance, _, knee = self._terms()
        found: Array = gain * intensity.clip(min=knee) + variance
        return found

    def _terms(self) -> tuple[Array, Array, Array, Array]:
        """Return gain, variance, least, and where the variance no longer falls."""
        few = _FEW_PHOTONS * self.gain**2
        return self.gain, self.variance + few, self.least + few, (self.least - self.variance) / (self.gain + _TINY)
