"""What a user may choose for a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from unveil.config.architecture import DnCNNConfig, TrainableArchitecture, UNetConfig
from unveil.config.base import Config
from unveil.config.normalization import TrainingNormalization
from unveil.config.options import Device
from unveil.errors import ConfigError


class AugmentationConfig(Config):
    """Random changes of training patches; validation patches stay as they are."""

    flips: bool = True
    """Mirror and turn by quarter turns (in the plane Y, X)."""
    scale: float = Field(0.25, ge=0, lt=1)
    """Resize by a random factor between 1 − scale and 1 + scale."""
    gain: float = Field(0.2, ge=0, lt=1)
    """Multiply intensities by a random factor between 1 − gain and 1 + gain."""
    offset: float = Field(0.1, ge=0, le=100)
    """Add a random value between −offset and offset, in normalized intensity."""
    gamma: float = Field(0.3, ge=0, lt=1)
    """Raise intensities to a random power between 1 − gamma and 1 + gamma."""
    noise: float = Field(0.05, ge=0, le=100)
    """Add Gaussian noise of a random standard deviation up to this, in normalized intensity."""
    blur_px: float = Field(1.0, ge=0, le=100)
    """Blur with a Gaussian of a random standard deviation up to this, in pixels."""


class NoiseConfig(Config):
    """Synthetic Poisson–Gaussian noise: variance = (intensity · poisson + gaussian²), on intensities from 0 to 1.

    Where a fixed normalization is given, 0 and 1 are its; elsewhere the darkest and brightest of the image, or of all
    images where each is normalized by its noise.
    """

    poisson: tuple[float, float] = (0.0, 0.05)
    """Range of the variance per unit of intensity (1 / photons at intensity 1)."""
    gaussian: tuple[float, float] = (0.005, 0.1)
    """Range of the standard deviation of the signal-independent part, in units of the intensity range."""
    correlation: tuple[float, float] = (0.0, 0.0)
    """Range of the noise's correlation between neighbours along X: a scanning microscope's detector smears a little of
    each pixel into the next. At most 0.5."""
    gain_spread: tuple[float, float] = (0.0, 0.0)
    """Range of the relative variance of the detector's answer to one photon: 0 for a camera, 0.3–0.5 for a
    photomultiplier, 1 for an electron-multiplying camera."""

    @field_validator("poisson", "gaussian", "correlation", "gain_spread")
    @classmethod
    def _check_range(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= bounds[0] <= bounds[1] < float("inf"):
            raise ValueError(f"the range {bounds} must go up from 0 or more")
        return bounds

    @field_validator("correlation")
    @classmethod
    def _check_correlation(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[1] > 0.5:
            raise ValueError(f"the range {bounds} must end at 0.5 or less: two neighbours cannot share more")
        return bounds


class TrainingSchedule(Config):
    """The parts of a training that both tasks share. What is not given, the recipe chooses."""

    recipe: Literal["auto", "lecture"] = "auto"
    """Who chooses what is not given below: auto from the data and the device, lecture as in the course that Unveil grew
    out of."""
    time_budget_s: float | None = Field(None, gt=0, le=1e7)
    """About how long the epochs may take, in seconds: the steps are chosen to fit. What is found out about the model
    afterwards takes its own time."""
    patch_px: int | None = Field(None, ge=8, le=4096)
    """Edge of the square training patches (of the Y, X plane), in pixels; smaller images are extended by reflection."""
    patch_z: int = Field(16, ge=1, le=1024)
    """Depth of training patches in 3D, in planes."""
    batch_size: int | None = Field(None, ge=1, le=4096)
    """Patches per optimizer step."""
    epochs: int | None = Field(None, ge=1, le=1_000_000)
    """Epochs; each is followed by a validation."""
    steps_per_epoch: int | None = Field(None, ge=1, le=1_000_000)
    """Optimizer steps per epoch."""
    stop_after: int | None = Field(None, ge=1)
    """End after this epoch though the schedule is made for more: repeats a training that was stopped."""
    learning_rate: float | None = Field(None, gt=0, le=1)
    """Peak learning rate of Adam."""
    schedule: Literal["constant", "cosine"] | None = None
    """How the learning rate falls: constant, not at all; cosine, along a cosine after a short warm-up."""
    patience: int | None = Field(None, ge=0)
    """End when the validation loss has not improved for so many epochs; 0 never ends early."""
    validation_fraction: float = Field(0.25, ge=0, lt=1)
    """Share held out for validation, as whole images, or as a block of a single one; 0 trains without."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the split, the weights, the patches and the augmentation."""
    device: Device = "auto"
    """Where to train; auto takes a GPU where there is one."""
    replicas: int = Field(1, ge=1, le=64)
    """How many copies of the network share each batch, each in a process and on a graphics card of its own."""
    precision: Literal["auto", "exact", "fast"] = "auto"
    """exact is float32 throughout; fast computes convolutions in bfloat16; auto is fast where the processor supports
    it. Volumes are computed in float32 on processors whatever is asked for."""
    normalization: TrainingNormalization | None = None
    """How intensities are normalized before the network."""
    augmentation: AugmentationConfig | None = None
    """Random changes of the training patches."""
    lip1_layers: bool = Field(False, title="Lipschitz-1 layers")
    """Keep the norm of every convolution at 1 or less, so that no layer moves two images apart: a DnCNN, and a U-Net
    of three poolings up to its softmax, then amplify a disturbance at most twice. It costs accuracy. dncnn-stable has
    its own limits."""
    name: str = "model"
    """Name of the model in its card."""

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.batch_size is not None and self.batch_size % self.replicas:
            raise ValueError(
                f"{self.replicas} replicas cannot share a batch_size of {self.batch_size} evenly: make it a multiple "
                f"of {self.replicas}"
            )
        return self


class SegmentationTraining(TrainingSchedule):
    """Train a U-Net to segment."""

    task: Literal["segmentation"] = "segmentation"
    objects: bool = True
    """Every label is an object of its own (otherwise labels are classes)."""
    classes: tuple[str, ...] = ("background", "foreground")
    """Names of the classes, background first."""
    loss: Literal["cross_entropy", "cross_entropy_dice"] | None = None
    """cross_entropy judges pixel by pixel; cross_entropy_dice also how far predicted and annotated areas overlap, which
    finds small areas sooner."""
    architecture: UNetConfig | None = None
    """The network; by default the lecture's U-Net with the channels and maps that the data need."""

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"({', '.join(names)}) should be two or more, each with a name of its own")
        return names


class DenoisingTraining(TrainingSchedule):
    """Train a network to denoise."""

    task: Literal["denoising"] = "denoising"
    loss: Literal["mse", "log_mse"] = "mse"
    """mse is the mean squared error; log_mse averages its logarithm over patches, so that weak and strong noise count
    alike."""
    noise: NoiseConfig = NoiseConfig()
    """Noise added to clean images where no noisy ones are given."""
    noisy_only: Literal["blind_spot", "frames", "adapt"] = "blind_spot"
    """Where no clean images are given: blind_spot predicts each pixel from its neighbours (Noise2Void), for noise that
    is independent from pixel to pixel; frames predicts each frame of a stack from another of the same, still scene
    (Noise2Noise); adapt begins with a trained denoiser, and teaches it by what it makes of the images, under noise as
    strong as theirs."""
    architecture: TrainableArchitecture = DnCNNConfig()
    """The network."""


TrainingSettings: TypeAlias = SegmentationTraining | DenoisingTraining


def training_of(given: TrainingSettings | Mapping[str, Any]) -> TrainingSettings:
    """Return settings that were given as such, or by name and value: ``{"task": "segmentation", "epochs": 20}``.

    Raises
    ------
    ConfigError
        If they are neither, do not say for which task they are, or a value does not fit.
    """
    if isinstance(given, TrainingSettings):
        return given
    match given.get("task") if isinstance(given, Mapping) else None:
        case "segmentation":
            return SegmentationTraining.from_values(given)
        case "denoising":
            return DenoisingTraining.from_values(given)
    raise ConfigError(
        "The training settings do not say for which task they are. Give SegmentationTraining(…) or "
        "DenoisingTraining(…), or names and values, 'task' among them: 'segmentation' or 'denoising'."
    )
