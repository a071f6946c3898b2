"""How intensities are brought to the range a network was trained for."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from unveil.config.base import Config


class PercentileNormalization(Config):
    """Map two percentiles of each channel of each plane or volume to 0 and 1; values beyond are kept."""

    method: Literal["percentile"] = "percentile"
    low: float = Field(1.0, ge=0, le=100)
    """Percentile mapped to 0, in %."""
    high: float = Field(99.8, ge=0, le=100)
    """Percentile mapped to 1, in %."""

    @model_validator(mode="after")
    def _check(self) -> PercentileNormalization:
        if self.low >= self.high:
            raise ValueError(f"the low percentile {self.low} must lie below the high one {self.high}")
        return self


class StandardNormalization(Config):
    """Map each channel of each plane or volume to mean 0 and variance 1."""

    method: Literal["standard"] = "standard"


class FixedNormalization(Config):
    """Subtract a fixed mean and divide by a fixed standard deviation, fitted once on the training data."""

    method: Literal["fixed"] = "fixed"
    mean: tuple[float, ...]
    """Mean of each channel over all training images, in grey values."""
    std: tuple[Annotated[float, Field(gt=0)], ...]
    """Standard deviation of each channel over all training images, in grey values."""

    @model_validator(mode="after")
    def _check(self) -> FixedNormalization:
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(f"mean and std need one value per channel each, not {len(self.mean)} and {len(self.std)}")
        return self


class NoiseNormalization(Config):
    """Map each channel of each plane or volume to mean 0 and noise of standard deviation 1, as the image shows it."""

    method: Literal["noise"] = "noise"


class StabilizedNormalization(Config):
    """Map each channel of each plane or volume to where its noise has a standard deviation of 1, dark and bright.

    Black is about 0. For noise that grows with the grey value, as that of all detectors of light does.
    """

    method: Literal["stabilized"] = "stabilized"


class GlobalNormalization(Config):
    """Bring each channel to mean 0 and variance 1 over all training images; what is fitted becomes a fixed one."""

    method: Literal["global"] = "global"


Normalization: TypeAlias = Annotated[
    PercentileNormalization | StandardNormalization | FixedNormalization | NoiseNormalization | StabilizedNormalization,
    Field(discriminator="method"),
]
TrainingNormalization: TypeAlias = Annotated[
    PercentileNormalization
    | StandardNormalization
    | FixedNormalization
    | NoiseNormalization
    | StabilizedNormalization
    | GlobalNormalization,
    Field(discriminator="method"),
]
"""What a training may ask for; a card never holds what is yet to be fitted."""
