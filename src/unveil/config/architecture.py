"""Which network or classical filter: the settings that determine what is computed."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from unveil.config.base import Config


class UNetConfig(Config):
    """U-Net (arXiv 1505.04597) in the variant of the lecture: zero padding, 1×1 head, no normalization layers.

    The defaults give the lecture's network of 1,925,058 parameters.
    """

    kind: Literal["unet"] = "unet"
    n_dims: Literal[2, 3] = 2
    """Spatial dimensions of the images: 2 for planes, 3 for volumes."""
    in_channels: int = Field(1, ge=1, le=256)
    """Channels of the image."""
    out_channels: int = Field(2, ge=1, le=4096)
    """Output maps: one per class, and further ones such as a distance."""
    width: int = Field(32, ge=1, le=1024)
    """Channels of the first level; each level doubles them."""
    poolings: int | tuple[int, ...] = 3
    """How often each axis is halved, for all axes or per axis (Z, Y, X). An axis with fewer poolings than the
    others is halved at the deepest levels, so that thin volumes keep their sections apart as long as possible."""
    residual: bool = False
    """Subtract the output from the input: the U-Net as a denoiser."""

    @model_validator(mode="after")
    def _check(self) -> UNetConfig:
        if isinstance(self.poolings, tuple) and len(self.poolings) != self.n_dims:
            raise ValueError(f"poolings {self.poolings} need one number per axis, {self.n_dims} in all")
        if not all(0 <= n <= 8 for n in self.poolings_per_axis):
            raise ValueError(f"poolings {self.poolings} must lie between 0 and 8")
        if self.residual and self.out_channels != self.in_channels:
            raise ValueError(
                f"a residual U-Net has as many output as input channels, not {self.out_channels} and {self.in_channels}"
            )
        return self

    @property
    def poolings_per_axis(self) -> tuple[int, ...]:
        """Number of poolings of each spatial axis, in the order (Z,) Y, X."""
        return (self.poolings,) * self.n_dims if isinstance(self.poolings, int) else self.poolings


class DnCNNConfig(Config):
    """DnCNN (arXiv 1608.03981) in the variant of the lecture: 3×3 convolutions with bias, output = input − network.

    The defaults give the lecture's network of 37,601 parameters.
    """

    kind: Literal["dncnn"] = "dncnn"
    n_dims: Literal[2, 3] = 2
    """Spatial dimensions of the images: 2 for planes, 3 for volumes."""
    in_channels: int = Field(1, ge=1, le=256)
    """Channels of the image, before and after."""
    depth: int = Field(6, ge=2, le=64)
    """Convolution layers."""
    width: int = Field(32, ge=1, le=1024)
    """Channels between the layers."""
    dilations: tuple[Annotated[int, Field(ge=1, le=64)], ...] = ()
    """Distance between the pixels that a convolution looks at, layer by layer; 1 everywhere where not given. Larger
    ones see farther with the same number of parameters (Zhang 2017, arXiv 1704.03264)."""
    skips: bool = False
    """Add to the output of every two layers between the first and the last what went in (He 2016, arXiv 1603.05027):
    such a network learns several times faster, and needs an even number of layers."""
    stride: Literal[1, 2, 4] = 1
    """Edge of the blocks of pixels that the layers see as one, in pixels: with 2 they work at half the size, a quarter
    of the operations, and see twice as far (Zhang 2018, arXiv 1710.04026)."""

    @model_validator(mode="after")
    def _check(self) -> DnCNNConfig:
        if self.dilations and len(self.dilations) != self.depth:
            raise ValueError(f"dilations {self.dilations} need one number per layer, {self.depth} in all")
        if self.skips and self.depth % 2:
            raise ValueError(f"a depth of {self.depth} leaves a layer without its pair: skips need an even one")
        if self.stride > 1 and (self.dilation_per_layer[0], self.dilation_per_layer[-1]) != (1, 1):
            raise ValueError(f"with a stride, the first and the last of dilations {self.dilations} must be 1")
        return self

    @property
    def dilation_per_layer(self) -> tuple[int, ...]:
        """Dilation of each convolution."""
        return self.dilations or (1,) * self.depth

    @property
    def out_channels(self) -> int:
        """Output channels: those of the image."""
        return self.in_channels


class NonexpansiveConfig(Config):
    """A denoiser that moves no two images apart: soft thresholds under learned filters, step after step.

    Each step subtracts what its filters find, limited; a training keeps their norm so small that no step can move two
    images apart (networks/nonexpansive.py).
    """

    kind: Literal["dncnn-stable"] = "dncnn-stable"
    n_dims: Literal[2, 3] = 2
    """Spatial dimensions of the images: 2 for planes, 3 for volumes."""
    width: int = Field(70, ge=1, le=1024)
    """Filters of each step."""
    taps: Literal[1, 3, 5, 7] = 3
    """Their extent along an axis, in blocks of 2 pixels."""
    dilations: Annotated[tuple[Annotated[int, Field(ge=1, le=32)], ...], Field(min_length=1, max_length=64)] = (1,) * 10
    """One number per step: how far apart the blocks of 2 pixels lie that its filters look at, in blocks."""

    @property
    def in_channels(self) -> int:
        """Channels of the image: one."""
        return 1

    @property
    def out_channels(self) -> int:
        """Output channels: that of the image."""
        return 1


class FilterConfig(Config):
    """A classical filter, for one channel: an operator with nothing to learn."""

    kind: Literal["gaussian", "median", "clipped_high_pass", "texture"]
    n_dims: Literal[2, 3] = 2
    """Spatial dimensions of the images: 2 for planes, 3 for volumes."""
    size_px: float = Field(gt=0, le=32)
    """How far it looks, in pixels: radius of the median; standard deviation of the Gaussian, of the low-pass under the
    clipped high-pass, or of the window in which a texture is judged."""
    strength: float = Field(3.0, gt=0, le=100)
    """Clipped high-pass alone: the most that is taken away from a pixel, in standard deviations of the noise."""

    @model_validator(mode="after")
    def _check(self) -> FilterConfig:
        if self.kind == "texture" and self.n_dims != 2:
            raise ValueError("textures are told apart in planes: n_dims must be 2")
        return self

    @property
    def in_channels(self) -> int:
        """Channels of the image: one."""
        return 1

    @property
    def out_channels(self) -> int:
        """Output maps: the filtered image, or eight features of texture."""
        return 8 if self.kind == "texture" else 1

    @property
    def choices(self) -> tuple[str, ...]:
        """Fields that mean something for this kind of filter, and that a run may choose."""
        return ("size_px", "strength") if self.kind == "clipped_high_pass" else ("size_px",)


TrainableArchitecture: TypeAlias = Annotated[UNetConfig | DnCNNConfig | NonexpansiveConfig, Field(discriminator="kind")]
Architecture: TypeAlias = Annotated[
    UNetConfig | DnCNNConfig | NonexpansiveConfig | FilterConfig, Field(discriminator="kind")
]
