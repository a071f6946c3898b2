"""The plan of one training: every number that its settings leave open, chosen, and why.

The *auto* recipe chooses from the data, the device and a measured pace; the *lecture* recipe does what the project's
source did. What the user gives is never changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unveil.config.architecture import Architecture
from unveil.config.normalization import GlobalNormalization, PercentileNormalization, TrainingNormalization
from unveil.config.training import AugmentationConfig, SegmentationTraining, TrainingSettings
from unveil.inference.tiling import round_up
from unveil.operators.receptive_field import size_step
from unveil.words import count

_NONE = AugmentationConfig(flips=False, scale=0, gain=0, offset=0, gamma=0, noise=0, blur_px=0)
_LECTURE_EPOCHS = {"segmentation": 100, "denoising": 80}
_LECTURE_PATCH_PX = {"segmentation": 256, "denoising": 384}
_LECTURE_BATCH = 16
_LECTURE_RATE = 1e-3
_RATES = {"segmentation": 1e-3, "denoising": 2e-3}
_FINE_TUNING_RATE = 3e-4
_FLIPS = _NONE.model_copy(update={"flips": True})
_VALIDATE_EVERY_S = 8.0
"""Seconds between validations, where the pace allows: a person wants to see it learn."""
_SHARE_PLANNED = 0.95
"""Part of a time budget that is planned for: the rest is for what takes longer than it seemed."""
_VALIDATION_SHARE = 0.2
"""Validations take at most about this share of the time."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the auto recipe looks at.

    Attributes
    ----------
    shapes
        Spatial shape of each training example, in pixels.
    n_judged
        Pixels from which there is something to learn.
    largest_object_px
        Largest diameter of a training object, in the shortest side of a pixel; 0 where there are none.
    is_adaptation
        Whether a denoiser is fitted to these images and no others.
    """

    device: str
    shapes: Sequence[tuple[int, ...]]
    n_judged: int
    largest_object_px: float
    is_fine_tuning: bool
    is_adaptation: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured seconds per optimizer step and per validation, and what measuring took."""

    step_s: float
    validation_s: float
    spent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All numbers of one training.

    Attributes
    ----------
    patch
        Spatial size of a patch, in pixels, multiples of the network's step, square in Y, X.
    reasons
        One sentence per choice.
    """

    patch: tuple[int, ...]
    batch_size: int
    learning_rate: float
    schedule: Literal["constant", "cosine"]
    augmentation: AugmentationConfig
    epochs: int = 1
    steps_per_epoch: int = 1
    patience: int = 0
    stop_after: int = 1
    time_budget_s: float | None = None
    reasons: tuple[str, ...] = ()

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole schedule."""
        return self.epochs * self.steps_per_epoch

    @property
    def n_steps_to_take(self) -> int:
        """Optimizer steps until `stop_after`."""
        return self.stop_after * self.steps_per_epoch

    def share(self, n_replicas: int) -> Plan:
        """Return the plan of one of `n_replicas`, which share each batch evenly."""
        return replace(self, batch_size=self.batch_size // n_replicas)

    def settings(self, config: TrainingSettings) -> TrainingSettings:
        """Return `config` with every choice written out, and no time budget: what repeats this training anywhere."""
        return config.model_copy(
            update={
                "time_budget_s": None,
                "patch_px": self.patch[-1],
                "batch_size": self.batch_size,
                "learning_rate": self.learning_rate,
                "schedule": self.schedule,
                "augmentation": self.augmentation,
                "epochs": self.epochs,
                "steps_per_epoch": self.steps_per_epoch,
                "patience": self.patience,
            }
        )


def with_recipe(config: TrainingSettings) -> TrainingSettings:
    """Return `config` with what its recipe says of the data: normalization, loss, and what the lecture leaves out."""
    if isinstance(config, SegmentationTraining):
        is_lecture = config.recipe == "lecture"
        loss = config.loss or ("cross_entropy" if is_lecture else "cross_entropy_dice")
        config = config.model_copy(update={"objects": config.objects and not is_lecture, "loss": loss})
    if config.normalization is not None:
        return config
    return config.model_copy(update={"normalization": _normalization(config)})


def choose_patches(config: TrainingSettings, architecture: Architecture, facts: Facts) -> Plan:
    """Choose what does not depend on the pace: patches, batch, learning rate and augmentation."""
    schedule: Literal["constant", "cosine"]
    if config.recipe == "lecture":
        shortest = min(min(shape[-2:]) for shape in facts.shapes)
        edge, batch = min(_LECTURE_PATCH_PX[config.task], max(shortest, 8)), _LECTURE_BATCH
        rate, schedule, augmentation, why = _LECTURE_RATE, "constant", _NONE, "as in the lecture"
    else:
        edge, batch, why = _auto_patch(config, architecture, facts)
        rate = _FINE_TUNING_RATE if facts.is_fine_tuning else _RATES[config.task]
        # a denoiser is adapted to images as they are: nothing else is to be known
        schedule, augmentation = "cosine", _FLIPS if facts.is_adaptation else AugmentationConfig()
    edge, batch = config.patch_px or edge, config.batch_size or round_up(batch, config.replicas)
    steps = size_step(architecture)
    edge = round_up(edge, max(steps[-2:]))
    patch = (round_up(config.patch_z, steps[0]), edge, edge)[-architecture.n_dims :]
    reasons = []
    if config.patch_px is None or config.batch_size is None:
        reasons.append(f"{batch} patches of {' × '.join(map(str, patch))} px per step ({why}).")
    if config.learning_rate is None and facts.is_fine_tuning:
        reasons.append(f"Learning rate {rate:g}, lower than from scratch, so that what was learnt is kept.")
    return Plan(
        patch=patch,
        batch_size=batch,
        learning_rate=config.learning_rate or rate,
        schedule=config.schedule or schedule,
        augmentation=config.augmentation or augmentation,
        reasons=tuple(reasons),
    )


def needs_pace(config: TrainingSettings) -> bool:
    """Say whether the number of steps depends on how fast they are."""
    return config.recipe == "auto" and (config.epochs is None or config.steps_per_epoch is None)


def _choose_steps(plan: Plan, config: TrainingSettings, facts: Facts, pace: Pace | None) -> tuple[int, int, list[str]]:
    """Return epochs, steps per epoch, and why."""
    n_windows = max(1.0, facts.n_judged / math.prod(plan.patch))
    if config.recipe == "lecture":
        per_epoch = config.steps_per_epoch or max(1, round(n_windows / plan.batch_size))
        epochs = config.epochs or _LECTURE_EPOCHS[config.task]
        return epochs, per_epoch, [f"{count(epochs, 'epoch')} of {count(per_epoch, 'step')}, as in the lecture."]
    if pace is None:
        assert config.epochs is not None
        assert config.steps_per_epoch is not None
        return config.epochs, config.steps_per_epoch, []
    per_epoch = config.steps_per_epoch or _steps_between_validations(pace)
    if config.epochs is not None:
        if config.time_budget_s is not None:
            per_epoch = max(1, int((config.time_budget_s / config.epochs - pace.validation_s) / pace.step_s))
        return (
            config.epochs,
            per_epoch,
            [f"A validation every {per_epoch} steps, about {_duration(per_epoch * pace.step_s)}."],
        )
    total, _ = _total_steps(config, facts, pace, per_epoch, n_windows)
    per_epoch = config.steps_per_epoch or max(1, min(per_epoch, total // 4))
    total, why = _total_steps(config, facts, pace, per_epoch, n_windows)
    epochs = max(1, round(total / per_epoch))
    return epochs, per_epoch, [f"{count(epochs, 'epoch')} of {count(per_epoch, 'step')}: {why}."]


def complete(plan: Plan, config: TrainingSettings, facts: Facts, pace: Pace | None) -> Plan:
    """Choose how long to train, and when to give up."""
    epochs, per_epoch, reasons = _choose_steps(plan, config, facts, pace)
    patience = config.patience
    if patience is None:
        patience = 0 if config.recipe == "lecture" else max(8, epochs // 2)
    return replace(
        plan,
        epochs=epochs,
        steps_per_epoch=per_epoch,
        patience=patience,
        stop_after=min(epochs, config.stop_after or epochs),
        time_budget_s=config.time_budget_s,
        reasons=(*plan.reasons, *reasons),
    )


def _normalization(config: TrainingSettings) -> TrainingNormalization:
    if config.recipe == "lecture":
        return GlobalNormalization()
    return PercentileNormalization() if config.task == "segmentation" else PercentileNormalization(low=0.5, high=99.9)


def _auto_patch(config: TrainingSettings, architecture: Architecture, facts: Facts) -> tuple[int, int, str]:
    """Return edge, batch size and why."""
    is_gpu = facts.device != "cpu"
    if config.task == "denoising":
        edge, batch = (96, 32) if is_gpu else (64, 16)
    elif architecture.n_dims == 3:
        edge, batch = (96, 4) if is_gpu else (64, 2)
    else:
        edge, batch = (256, 16) if is_gpu else (128, 4)
    why = f"what suits a {'graphics card' if is_gpu else 'processor'}"
    needed = math.ceil(1.5 * facts.largest_object_px / 32) * 32
    if needed > edge and not is_gpu:
        edge, batch, why = min(needed, 256), 2, f"objects are up to {facts.largest_object_px:.0f} px wide"
    longest = max(max(shape[-2:]) for shape in facts.shapes)
    return min(edge, max(longest, 8)), batch, why


def _steps_between_validations(pace: Pace) -> int:
    by_clock = _VALIDATE_EVERY_S / max(pace.step_s, 1e-6)
    by_share = pace.validation_s / max(pace.step_s, 1e-6) * (1 - _VALIDATION_SHARE) / _VALIDATION_SHARE
    return int(min(max(by_clock, by_share, 4), 1000))


def _total_steps(
    config: TrainingSettings, facts: Facts, pace: Pace, per_epoch: int, n_windows: float
) -> tuple[int, str]:
    """Return how many steps to take, and why."""
    per_step = pace.step_s + pace.validation_s / per_epoch
    if config.time_budget_s is not None:
        total = max(1, int(_SHARE_PLANNED * (config.time_budget_s - pace.spent_s) / per_step))
        return total, f"what {config.time_budget_s:g} s allow at {pace.step_s:.2g} s per step"
    low, high, per_window = (300, 4000, 40) if config.task == "segmentation" else (1000, 10000, 10)
    if facts.is_adaptation:
        low, high, per_window = 400, 4000, 3
    total = int(min(max(low, per_window * n_windows), high))
    return total, f"for about {n_windows:.0f} patches of annotated pixels, some {_duration(total * per_step)}"


def _duration(seconds: float) -> str:
    """Return about how long that is: ``0.3 s``, ``12 s``, ``4 min``."""
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1g} s"
