"""What a model's training images looked like: the part of its card that tells unlike images."""

from __future__ import annotations

from math import inf, pi
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from unveil.config.base import Config
from unveil.operators.likeness import Cloud
from unveil.operators.magnification import Magnification

_DIGITS = 4
_CONTENT = {2: pi / 4, 3: pi / 6}
"""Of the disc and the ball of diameter 1."""


Values: TypeAlias = tuple[FiniteFloat, ...]


class CloudRecord(Config):
    """A `Cloud` of statistics, as numbers of four digits."""

    mean: Values
    spread: Values
    directions: tuple[Values, ...] = ()
    variances: Values = ()
    rest: float = Field(gt=0, lt=inf)

    @model_validator(mode="after")
    def _check(self) -> Self:
        lengths = {len(self.mean), len(self.spread), *map(len, self.directions)}
        if len(lengths) != 1 or len(self.variances) != len(self.directions):
            raise ValueError("mean, spread, directions and variances do not fit each other")
        if any(value <= 0 for value in (*self.spread, *self.variances)):
            raise ValueError("spread and variances must be positive")
        return self

    @classmethod
    def of(cls, cloud: Cloud) -> Self:
        """Write `cloud` down."""
        return cls(
            mean=rounded(cloud.mean),
            spread=rounded(cloud.spread),
            directions=tuple(rounded(direction) for direction in cloud.directions),
            variances=rounded(cloud.variances),
            rest=rounded(np.array([cloud.rest]))[0],
        )

    def cloud(self) -> Cloud:
        """Return the cloud that was written down."""
        n = len(self.mean)
        directions = np.array(self.directions, np.float64).reshape(-1, n)
        return Cloud(np.array(self.mean), np.array(self.spread), directions, np.array(self.variances), self.rest)


class MagnificationRecord(Config):
    """A `Magnification`, as numbers of four digits."""

    mean: Values
    spread: Values
    weights: tuple[Values, ...]
    biases: Values
    inner_weights: tuple[Values, ...] = ()
    inner_biases: Values = ()
    """Of the second hidden layer; older files have one."""
    output: Values
    offset: FiniteFloat

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({len(self.mean), len(self.spread), *map(len, self.weights)}) != 1:
            raise ValueError("mean, spread and weights do not fit each other")
        layers = [(self.weights, self.biases), (self.inner_weights, self.inner_biases)]
        lengths = [len(self.mean), *(len(weights) for weights, _ in layers if weights)]
        agree = all(len(weights) == len(biases) for weights, biases in layers)
        if not self.weights or not agree or lengths[-1] != len(self.output):
            raise ValueError("weights, biases and output do not fit each other")
        if any(len(row) != lengths[1] for row in self.inner_weights):
            raise ValueError("the weights of the layers do not fit each other")
        if any(value <= 0 for value in self.spread):
            raise ValueError("spread must be positive")
        return self

    @classmethod
    def of(cls, function: Magnification) -> Self:
        """Write `function` down, of two hidden layers."""
        (weights, biases), (inner_weights, inner_biases) = function.hidden
        return cls(
            mean=rounded(function.mean),
            spread=rounded(function.spread),
            weights=tuple(rounded(row) for row in weights),
            biases=rounded(biases),
            inner_weights=tuple(rounded(row) for row in inner_weights),
            inner_biases=rounded(inner_biases),
            output=rounded(function.output),
            offset=rounded(np.array([function.offset]))[0],
        )

    def function(self) -> Magnification:
        """Return the function that was written down."""
        layers = [(self.weights, self.biases), (self.inner_weights, self.inner_biases)]
        hidden = tuple((np.array(weights), np.array(biases)) for weights, biases in layers if weights)
        return Magnification(np.array(self.mean), np.array(self.spread), hidden, np.array(self.output), self.offset)


class ResizedRecord(Config):
    """What the training images look like when they are magnified and reduced."""

    looks: CloudRecord
    """Where their statistics lie."""
    threshold: float = Field(gt=0, lt=inf)
    """Images that lie farther are unlike the training images at any size."""
    magnification: MagnificationRecord
    """Tells from the statistics by how much an image is magnified."""
    usual_octaves: float | None = Field(default=None, gt=0, lt=inf)
    """Images that seem magnified or reduced by more are unlike the training images; None where it was not measured."""


class Appearance(Config):
    """What the training images looked like, normalized as for the network (`operators/appearance.py` says how)."""

    n_images: int
    """How many images were looked at; those that a training held out of its images are among them."""
    statistics: tuple[str, ...]
    """What was measured, in order; another version of Unveil that measures otherwise compares nothing."""
    looks: CloudRecord
    """Where the statistics of the training images lie: intensities, noise, sharpness, structures, early features."""
    threshold: float = Field(gt=0, lt=inf)
    """Images that lie farther from `looks` are unlike the training images."""
    resized: ResizedRecord | None = None
    """The same of other sizes, which tells by how much to rescale; None for denoisers."""
    object_px: tuple[float, float, float] | None = None
    """Diameters of the training objects, in pixels: of 5, 50 and 95 % of them at most (`diameters` says of what)."""
    object_dims: int = Field(default=2, ge=2, le=3)
    """Whether these are diameters of discs (2) or of balls (3); in older cards they are of discs, of volumes too."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        means = [self.looks.mean]
        if self.resized is not None:
            means += [self.resized.looks.mean, self.resized.magnification.mean]
        if {len(mean) for mean in means} != {len(self.statistics)}:
            raise ValueError("there are not as many numbers as statistics")
        return self

    def object_diameters(self, n_dims: int) -> tuple[float, float, float] | None:
        """Return `object_px`, of discs (`n_dims` 2) or balls (3), whichever the card is of."""
        if self.object_px is None:
            return None
        n_pixels = _CONTENT[self.object_dims] * np.array(self.object_px) ** self.object_dims
        small, usual, large = diameters(n_pixels, n_dims)
        return small, usual, large


def diameters(n_pixels: NDArray[np.float64], n_dims: int) -> tuple[float, ...]:
    """Return the diameter of the disc (`n_dims` 2) or ball (3) that holds as many pixels, in pixels, of four digits."""
    return rounded((n_pixels / _CONTENT[n_dims]) ** (1 / n_dims))


def rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return `values` with four digits each, which is more than they are worth."""
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
