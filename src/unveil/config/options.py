"""What a user may choose for one run of a model."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, field_validator

from unveil.config.base import Config

Device: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
EngineName: TypeAlias = Literal["auto", "torch", "openvino"]
Precision: TypeAlias = Literal["auto", "exact", "fast"]

RESCALE_FROM = 1.25
"""Pixel sizes of image and model that differ by more than this factor are worth a rescaling."""
RESCALE_FACTORS = (0.05, 20.0)
"""Smallest and largest factor by which an image is resized."""


class ViewOptions(Config):
    """What a model is shown of an image."""

    channel: int | str | None = None
    """Channel of the image, by name or number from 0; needed where the image has more channels than the model takes."""
    rescale: Literal["auto", "off"] | float = "auto"
    """Resize the image before the network: auto to the model's pixel size where both are known and differ by over
    25 %, off never, or a factor (0.5 halves the size)."""

    @field_validator("rescale")
    @classmethod
    def _check_rescale(cls, rescale: str | float) -> str | float:
        smallest, largest = RESCALE_FACTORS
        if isinstance(rescale, float) and not smallest <= rescale <= largest:
            raise ValueError(f"the factor {rescale:g} must lie between {smallest:g} and {largest:g}")
        return rescale


class EngineOptions(Config):
    """On which channel, and by what, a network is computed."""

    channel: int | str | None = None
    """Channel of the image, by name or number from 0; needed where the image has more channels than the model takes."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    engine: EngineName = "auto"
    """What computes; auto takes OpenVINO on processors and PyTorch elsewhere."""
    precision: Precision = "auto"
    """exact is float32 throughout; fast may use half precision; auto is fast where the deviation stays negligible."""


class RunOptions(EngineOptions, ViewOptions):
    """How a network is computed."""

    accurate: bool = False
    """Average over the image and its mirror images: a little better, and four times as slow."""
    tile: int | None = Field(None, ge=1, le=65536)
    """Inner size of a tile in pixels, rounded up to the network's step; chosen from free memory if not given."""
    size_px: float | None = Field(None, gt=0, le=32)
    """Classical filters: how far they look, in pixels (radius of the median, standard deviation of the others); the
    filter's own value if not given."""
    strength: float | None = Field(None, gt=0, le=100)
    """Clipped high-pass: the most that is taken away from a pixel, in standard deviations of the noise; the filter's
    own value if not given."""


class CheckOptions(Config):
    """Whether an image is compared with those that taught the model."""

    skip_check: bool = False
    """Do not compare the image with those that taught the model: no warning where it is unlike them."""


class SegmenterOptions(RunOptions):
    """How a segmentation model is computed."""

    denoise_first: Literal["auto", "on", "off"] = "auto"
    """Denoise the image with `fluorescence-denoiser` before it is segmented; auto does so where the noise is over 5 %
    of the image's range and the model's card says that it is for fluorescence images, as the shipped ones do."""
    threshold: float | None = Field(None, gt=0, lt=1)
    """Foreground is where its probability exceeds this; the model's own value if not given. It changes nothing for
    models of three or more classes, which give each pixel the likeliest."""
    separation: float | None = Field(None, ge=0, lt=1)
    """How readily touching objects are split, 0 to 1; the model's own value if not given."""
    min_size: int | None = Field(None, ge=0)
    """Smallest object, in pixels of the image: smaller ones are dropped, and a speck too small to become one starts
    none; the model's own value if not given."""


class SegmentationOptions(SegmenterOptions, CheckOptions):
    """How an image is segmented, and what is told of it."""

    uncertainty: bool = False
    """Also give how unsure the model is of each pixel, in bits from 0 (certain) to 1 (a coin toss; more with more
    classes), and how much it contradicts itself when the image is flipped and turned: eight times as slow. The labels
    stay as they are."""


class DenoiserOptions(RunOptions):
    """How a denoiser is computed."""

    rescale: Literal["auto", "off"] | float = "auto"
    """Resize the image by this factor before the network; auto and off leave it as it is, since noise changes with
    every resizing."""


class DenoisingOptions(DenoiserOptions, CheckOptions):
    """How an image is denoised, and what is told of it."""

    skip_assessment: bool = False
    """Do not estimate how strong the noise is and how good the result. For the estimate some tiles are computed twice;
    without it, small images take as little as half the time."""
    residual: bool = False
    """Also give what was removed (noisy minus denoised): where it shows structures of the image, the result lacks
    them."""


class EvaluationOptions(SegmenterOptions):
    """How a model is judged against references."""

    fit_gain: bool = False
    """Denoising: fit gain and offset of each result to its clean image by least squares before scoring."""


class StabilityOptions(ViewOptions):
    """How it is found out how far a model's output moves with its input."""

    strength: float | None = Field(None, gt=0, le=1)
    """Root mean square of a perturbation per pixel, as a part of the image's range (percentiles 1 to 99.8); that of the
    image's own noise if not given, and 0.01 where it shows none."""
    n_steps: int = Field(8, ge=1, le=1000)
    """Gradient steps of each search for the worst perturbation; more find more."""
    seed: int = Field(0, ge=0)
    """Seed of everything that is random."""
    rescale: Literal["auto", "off"] | float = "auto"
    """Resize the image before the network, as a run does: auto brings an image that is segmented to the model's pixel
    size, off never resizes, a factor (0.5 halves the size) sets it by hand."""
