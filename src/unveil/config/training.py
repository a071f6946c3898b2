"""What a user may choose for a training."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.config.base import Config
from unveil.config.normalization import Normalization, PercentileNormalization
from unveil.config.options import Device


class AugmentationConfig(Config):
    """Random changes of training patches; validation patches stay as they are."""

    flips: bool = True
    """Mirror and turn by quarter turns (in the plane Y, X)."""
    scale: float = Field(0.25, ge=0, lt=1)
    """Resize by a random factor between 1 − scale and 1 + scale."""
    gain: float = Field(0.2, ge=0, lt=1)
    """Multiply intensities by a random factor between 1 − gain and 1 + gain."""
    offset: float = Field(0.1, ge=0)
    """Add a random value between −offset and offset, in normalized intensity."""
    gamma: float = Field(0.3, ge=0, lt=1)
    """Raise intensities to a random power between 1 − gamma and 1 + gamma."""
    noise: float = Field(0.05, ge=0)
    """Add Gaussian noise of a random standard deviation up to this, in normalized intensity."""
    blur_px: float = Field(1.0, ge=0)
    """Blur with a Gaussian of a random standard deviation up to this, in pixels."""


class NoiseConfig(Config):
    """Synthetic Poisson–Gaussian noise: variance = (intensity · poisson + gaussian²), on intensities from 0 to 1."""

    poisson: tuple[float, float] = (0.0, 0.05)
    """Range of the variance per unit of intensity (1 / photons at intensity 1)."""
    gaussian: tuple[float, float] = (0.005, 0.1)
    """Range of the standard deviation of the signal-independent part, in units of the intensity range."""

    @field_validator("poisson", "gaussian")
    @classmethod
    def _check_range(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= bounds[0] <= bounds[1] < float("inf"):
            raise ValueError(f"the range {bounds} must go up from 0 or more")
        return bounds


class TrainingSchedule(Config):
    """The parts of a training that both tasks share."""

    patch_px: int = Field(256, ge=8, le=4096)
    """Edge of the square training patches (of the Y, X plane), in pixels; cut to the image where that is smaller."""
    patch_z: int = Field(16, ge=1, le=1024)
    """Depth of training patches in 3D, in planes."""
    batch_size: int = Field(8, ge=1, le=4096)
    """Patches per optimizer step."""
    epochs: int = Field(30, ge=1)
    """Epochs; each is followed by a validation."""
    steps_per_epoch: int = Field(50, ge=1)
    """Optimizer steps per epoch."""
    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Peak learning rate of Adam."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate falls: not at all, or along a cosine after a short warm-up."""
    validation_fraction: float = Field(0.25, ge=0, lt=1)
    """Share of the images held out for validation; 0 trains without."""
    seed: int = 0
    """Seed of the split, the weights, the patches and the augmentation."""
    device: Device = "auto"
    """Where to train; auto takes a GPU where there is one."""
    precision: Literal["auto", "exact", "fast"] = "auto"
    """exact is float32 throughout; fast computes convolutions in bfloat16; auto is fast where the processor supports
    it."""
    normalization: Normalization = PercentileNormalization()
    """How intensities are normalized before the network."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """Random changes of the training patches."""
    name: str = "model"
    """Name of the model in its card."""


class SegmentationTraining(TrainingSchedule):
    """Train a U-Net to segment."""

    task: Literal["segmentation"] = "segmentation"
    objects: bool = True
    """Every label is an object of its own (otherwise labels are classes)."""
    classes: tuple[str, ...] = ("background", "foreground")
    """Names of the classes, background first."""
    architecture: UNetConfig | None = None
    """The network; by default the lecture's U-Net with the channels and maps that the data need."""


class DenoisingTraining(TrainingSchedule):
    """Train a network to denoise."""

    task: Literal["denoising"] = "denoising"
    patch_px: int = Field(96, ge=8, le=4096)
    """Edge of the square training patches, in pixels."""
    batch_size: int = Field(16, ge=1, le=4096)
    """Patches per optimizer step."""
    loss: Literal["mse", "log_mse"] = "mse"
    """mse is the mean squared error; log_mse averages its logarithm over patches, so that weak and strong noise count
    alike."""
    noise: NoiseConfig = NoiseConfig()
    """Noise added to clean images where no noisy ones are given."""
    architecture: Architecture = DnCNNConfig()
    """The network."""
    normalization: Normalization = PercentileNormalization(low=0.5, high=99.9)
    """How intensities are normalized before the network."""


TrainingConfig: TypeAlias = Annotated[SegmentationTraining | DenoisingTraining, Field(discriminator="task")]
