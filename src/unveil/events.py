"""What long work reports, and the two ways to end it.

A *monitor* is any callable of one event. It is called at least once per tile and per optimizer step,
and may raise `Cancelled` or `StopEarly`: that is the promised delay of a request.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from unveil.errors import UnveilWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Cancelled(Exception):
    """Raised by a monitor to end the work and discard it."""


class StopEarly(Exception):
    """Raised by a monitor during training to end it and keep the best model so far."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the work is done."""

    done: int
    """Units finished so far, 0 to `total`."""
    total: int
    unit: str = "tiles"
    """What is counted, in the plural: tiles, images, steps."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence the user should see: the engine chosen, a tile halved, pixels filled."""

    message: str


@dataclass(frozen=True, slots=True)
class Unlike(Notice):
    """The image is unlike those that the model learned from."""

    suggested_rescale: float | None = None
    """The factor by which to resize the image instead; None where that is no remedy."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A part of one training image that judges instead of teaching; see `unveil.data.split.Block`."""

    image: int
    """Which image, counted from 0."""
    start: tuple[int, ...]
    """First pixel per spatial axis."""
    stop: tuple[int, ...]
    """First pixel beyond, per spatial axis."""


@dataclass(frozen=True, slots=True)
class TrainingStart:
    """A training is planned and about to take its first step."""

    device: str
    precision: str
    """Number formats of the convolutions."""
    n_steps: int
    settings: Mapping[str, Any]
    """The training configuration with every choice written out, as JSON values."""
    reasons: tuple[str, ...]
    """What was chosen and why, one sentence each."""
    held_out: tuple[HeldOut, ...]
    """What judges; empty where whole other images, or none, do."""


@dataclass(frozen=True, slots=True)
class StepEnd:
    """One optimizer step is done."""

    step: int
    n_steps: int
    loss: float


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """One epoch is done and validated."""

    epoch: int
    n_epochs: int
    step: int
    """Optimizer steps done in all."""
    training_loss: float
    validation_loss: float | None
    """None where no validation data were held out."""
    metric: float | None
    """The validation metric in its own unit (see `metric_name`); None without validation or without a clean image."""
    metric_name: str
    """IoU (0 to 1) for segmentation, PSNR (dB) for denoising."""
    is_kept: bool
    """Whether its weights are the ones to keep, so far."""
    seconds: float
    """Seconds since training began."""


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """The network's present output on the image that was asked for."""

    epoch: int
    maps: NDArray[np.float32]
    """Segmentation: probability of each class; denoising: the denoised image in grey values. ``(K, *spatial)``."""


Event: TypeAlias = Progress | Notice | Unlike | TrainingStart | StepEnd | EpochEnd | Preview
Monitor: TypeAlias = Callable[[Event], None]

_Item = TypeVar("_Item")


def ignore(event: Event) -> None:
    """Listen to nothing."""


def told(items: Sequence[_Item], monitor: Monitor, unit: str) -> Iterator[_Item]:
    """Yield `items`; `monitor` is told before each, and after the last, how many are done with."""
    for n_done, item in enumerate(items):
        monitor(Progress(n_done, len(items), unit))
        yield item
    monitor(Progress(len(items), len(items), unit))


def warn_only(event: Event) -> None:
    """Turn notices into Python warnings and ignore the rest: the default monitor."""
    if isinstance(event, Notice):
        warnings.warn(event.message, UnveilWarning, stacklevel=3)
