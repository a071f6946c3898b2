"""The card: everything needed to use a model again, readable without its weights and without torch.

Field names follow the BioImage.IO model description where it has a word for the thing.
"""

from __future__ import annotations

from math import inf
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, JsonValue, model_validator

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, NonexpansiveConfig
from unveil.config.base import Config
from unveil.config.normalization import FixedNormalization, Normalization
from unveil.config.objects import ObjectRule
from unveil.config.options import RunOptions, SegmentationOptions
from unveil.model.appearance import Appearance
from unveil.operators.receptive_field import halo, size_step
from unveil.words import count

FORMAT_VERSION = 1

Task: TypeAlias = Literal["segmentation", "denoising"]


class Epoch(Config):
    """One line of a training's history."""

    epoch: int
    training_loss: float
    validation_loss: float | None = None
    metric: float | None = None

    @property
    def score(self) -> float:
        """The validation loss, or the training loss where nothing was held out."""
        return self.validation_loss if self.validation_loss is not None else self.training_loss


class TrainingRecord(Config):
    """How a model came to be."""

    config: dict[str, JsonValue]
    """The training configuration, all values."""
    data_sha256: str
    """Digest of all training images and targets, pixel for pixel."""
    n_images: int
    n_validation_images: int
    validation_images: tuple[str, ...] = ()
    """Names of the images that judged as a whole, the first thousand of them; none where a block of an image did."""
    metric_name: str
    """What `Epoch.metric` measures: IoU, or PSNR in dB."""
    history: tuple[Epoch, ...] = ()
    """Losses and metric per epoch, thinned where long."""
    seed: int
    versions: dict[str, str]
    """Versions of unveil, torch and Python."""
    timestamp: str
    """UTC date and time of the end, ISO 8601."""
    seconds: float
    """Duration of the training."""
    ended_by: Literal["schedule", "user", "patience", "time"]
    """Whether the training ran to its end, was stopped with the best model kept, got no better, or ran out of time."""
    kept_epoch: int | None = None
    """Number of the epoch whose weights the model has; None in older cards, where it is the one of the lowest score."""
    parent_sha256: str | None = None
    """Weights digest of the model that training started from."""

    @property
    def kept(self) -> Epoch | None:
        """The epoch whose weights the model has; None where none was finished."""
        lowest = min(self.history, key=lambda epoch: epoch.score, default=None)
        return next((epoch for epoch in self.history if epoch.epoch == self.kept_epoch), lowest)


class MeasuredScores(Config):
    """Scores measured once, with what they were measured on."""

    data: str
    """The data, in words."""
    values: dict[str, JsonValue]
    """The scores as `evaluate` returns them."""


class ConformalRecord(Config):
    """How far off a model was on images with a known truth, one score per image (`unveil.operators.conformal`)."""

    data: str
    """The images, in words."""
    iou: tuple[Annotated[float, Field(ge=0)], ...]
    """Scores of the expected IoU, ascending."""
    n_objects: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Scores of the number of objects, ascending; empty where the model gives none."""


class LipschitzCertificate(Config):
    """A promise about the weights, which counts once it was recomputed from them."""

    bound: float = Field(gt=0)
    """No two images are moved apart by more than this times their distance."""
    method: str
    """How it was computed."""
    covers: str
    """What it is said of."""


class ModelCard(Config):
    """The written record inside a model."""

    format_version: int = FORMAT_VERSION
    name: str
    description: str = ""
    task: Task
    architecture: Architecture
    axes: Literal["CYX", "CZYX"]
    """What the network sees at once."""
    channel_names: tuple[str, ...] = ()
    """One name per input channel, or empty."""
    classes: tuple[str, ...] = ()
    """Segmentation: names of the classes, background first. Denoising: empty."""
    objects: ObjectRule | None = None
    """Segmentation into objects: the rule. None for classes alone."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Two classes without an object rule: foreground is where its probability exceeds this."""
    temperature: float = Field(1.0, gt=0)
    """Segmentation: the class scores are divided by it before they become probabilities, so that these mean what they
    say (Guo 2017, arXiv 1706.04599); fitted on images that did not teach. 1 leaves them as they are."""
    pixel_size_um: dict[str, float] = Field(default_factory=dict)
    """Pixel size of the training images per spatial axis, in micrometres; empty where unknown."""
    normalization: Normalization
    size_step: tuple[int, ...]
    """Sizes and tile borders are multiples of it, per spatial axis, in pixels."""
    halo: tuple[int, ...]
    """Pixels beyond a tile that its output depends on, per spatial axis."""
    weights_sha256: str = ""
    """Digest of all tensors; set when the model is made."""
    training: TrainingRecord | None = None
    appearance: Appearance | None = None
    """What the training images looked like; None of models that do not know, which compare nothing."""
    scores: tuple[MeasuredScores, ...] = ()
    conformal: ConformalRecord | None = None
    """Segmentation: what the intervals of expected IoU and number of objects are made from."""
    certificate: LipschitzCertificate | None = None
    """How far results can move apart; None where nothing is promised."""
    authors: tuple[str, ...] = ()
    license: str = ""
    """Licence of the weights (SPDX identifier), and of the data where it binds."""
    training_data: str = ""
    """What the model was trained on, with source and licence."""
    cite: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        architecture, problems = self.architecture, []
        if self.axes != {2: "CYX", 3: "CZYX"}[architecture.n_dims]:
            problems.append(f"axes {self.axes} do not fit {architecture.n_dims} spatial dimensions")
        if self.size_step != size_step(architecture) or self.halo != halo(architecture):
            problems.append("size_step and halo do not follow from the architecture")
        if self.channel_names and len(self.channel_names) != architecture.in_channels:
            found, expected = len(self.channel_names), architecture.in_channels
            problems.append(f"{count(found, 'channel name')} for {count(expected, 'channel')}")
        if self.task == "segmentation" and isinstance(architecture, DnCNNConfig | NonexpansiveConfig):
            problems.append("segmentation needs a U-Net or a texture filter")
        if isinstance(architecture, FilterConfig) and self.task != _task_of(architecture):
            problems.append(f"a {architecture.kind} filter is for {_task_of(architecture)}")
        if self.task == "segmentation" and architecture.out_channels != self.n_maps:
            problems.append(f"{architecture.out_channels} output maps for {self.n_maps} classes and distances")
        if self.task == "denoising" and architecture.out_channels != architecture.in_channels:
            problems.append("a denoiser has as many output as input channels")
        if self.task == "segmentation" and len(self.classes) < 2:
            problems.append(f"classes are {', '.join(self.classes) or 'missing'}: a background and one more are needed")
        if isinstance(self.normalization, FixedNormalization) and len(self.normalization.mean) != self.in_channels:
            problems.append(f"normalization of {len(self.normalization.mean)} channels for {self.in_channels}")
        if not set(self.pixel_size_um) <= set("ZYX") or any(not 0 < um < inf for um in self.pixel_size_um.values()):
            problems.append(f"pixel sizes {self.pixel_size_um} are not positive micrometres per Z, Y, X")
        if self.objects is not None and len(self.classes) != 2:
            problems.append("objects are separated for one foreground class")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def n_dims(self) -> int:
        """Spatial dimensions the network sees: 2 or 3."""
        return self.architecture.n_dims

    @property
    def in_channels(self) -> int:
        """Channels the network takes."""
        return self.architecture.in_channels

    @property
    def is_filter(self) -> bool:
        """Whether this is a classical filter, which has learned nothing."""
        return isinstance(self.architecture, FilterConfig)

    @property
    def gives_features(self) -> bool:
        """Whether the output maps are features of texture, from which two classes are made afterwards."""
        return self.is_filter and self.task == "segmentation"

    def gives_uncertainty(self, options: RunOptions) -> bool:
        """Say whether two maps of uncertainty are computed: asked for, and of a model that gives probabilities."""
        return isinstance(options, SegmentationOptions) and options.uncertainty and not self.is_filter

    @property
    def n_maps(self) -> int:
        """Output maps for a segmentation: one per class and the distance of objects; or the features of a filter."""
        if isinstance(self.architecture, FilterConfig):
            return self.architecture.out_channels
        return len(self.classes) + (self.objects is not None)

    @classmethod
    def describe(cls, architecture: Architecture, **fields: Any) -> Self:
        """Make a card, with axes, step and halo derived from `architecture`."""
        return cls(
            architecture=architecture,
            axes={2: "CYX", 3: "CZYX"}[architecture.n_dims],
            size_step=size_step(architecture),
            halo=halo(architecture),
            **fields,
        )


def _task_of(filter_: FilterConfig) -> Task:
    return "segmentation" if filter_.kind == "texture" else "denoising"
