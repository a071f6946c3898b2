"""The course of one training as its task sees it: the state, the history, the checkpoints and the previews."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from unveil.config.training import TrainingSettings
from unveil.errors import ConfigError, ImageError
from unveil.events import EpochEnd, Event, Monitor, Notice, Preview, StepEnd, StopEarly
from unveil.image import Image
from unveil.model.card import Epoch, ModelCard
from unveil.training.advice import LossWatch
from unveil.training.fit import fit
from unveil.training.lesson import Lesson
from unveil.training.plan import Plan
from unveil.training.precision import number_format
from unveil.training.preview import preview_maps
from unveil.training.replicas import Lot, shared_steps
from unveil.training.state import TrainingState
from unveil.training.validation import on_device

AskPreview: TypeAlias = Callable[[], Image | None]
"""Says on which plane or volume to show the network's output now; None shows nothing."""


_IDENTITY = (("settings", "asked"), ("images or annotations", "data_sha256"), ("parent model", "parent_sha256"))


class Checkpoints(Protocol):
    """Where a training leaves its state after each validation."""

    def load(self) -> tuple[Mapping[str, Tensor], dict[str, Any]] | None:
        """Return tensors and record of the last checkpoint, or None where there is none."""

    def save(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Keep a checkpoint in place of the last one, all of it or nothing."""


class Course:
    """A training under way; it goes on from a checkpoint where there is one.

    Attributes
    ----------
    state
        Changed by the loop.
    settings
        The settings with every choice written out; None until they are chosen, or taken from the checkpoint.
    history
        The epochs done.

    Raises
    ------
    ConfigError
        If the checkpoint was made with other settings, other data, another parent model or another version of Unveil.
    """

    def __init__(
        self,
        network: nn.Module,
        config: TrainingSettings,
        lesson: Lesson,
        checkpoints: Checkpoints | None,
        *,
        parent: ModelCard | None,
        device: torch.device,
        autocast: torch.dtype | None,
    ) -> None:
        self.state = TrainingState.begin(network)
        self.settings: TrainingSettings | None = None
        self.history: list[Epoch] = []
        self._lesson, self._checkpoints = lesson, checkpoints
        self._refused: Image | None = None
        self._device, self._autocast = device, autocast
        self._identity = {
            "asked": config.model_dump(mode="json"),
            "data_sha256": lesson.data_sha256,
            "parent_sha256": parent and parent.weights_sha256,
        }
        if checkpoints is not None and (saved := checkpoints.load()) is not None:
            self._resume(*saved, type(config))

    def take(self, plan: Plan, preview: AskPreview | None, monitor: Monitor) -> None:
        """Train as `plan` says and keep a checkpoint per epoch, until the loop ends or the monitor ends it.

        Raises
        ------
        TrainingError
            If the loss is no number again and again, or a replica is lost.
        """
        settings, lesson = self.settings, self._lesson
        assert settings is not None
        lot = Lot(
            batches=lesson.batches,
            plan=plan.share(settings.replicas),
            loss=lesson.loss,
            device=self._device.type,
            autocast=self._autocast,
            lip1_layers=settings.lip1_layers,
        )
        with number_format(self._device, self._autocast), shared_steps(self.state, lot, settings.replicas) as steps:
            events = fit(
                self.state,
                steps,
                lesson.judge,
                plan,
                seed=settings.seed,
                device=self._device,
                autocast=self._autocast,
                metric_name=lesson.metric_name,
            )
            with closing(events):
                self._follow(events, preview, monitor)

    def kept_network(self) -> nn.Module:
        """Return the network with the weights that are kept, or the latest where nothing was validated yet."""
        if self.state.kept_weights:
            self.state.network.load_state_dict(self.state.kept_weights)
        return self.state.network

    def _follow(self, events: Iterator[Event], preview: AskPreview | None, monitor: Monitor) -> None:
        """Hand every event on, keep a checkpoint per epoch, and end when the loop or the monitor does."""
        watch = LossWatch()
        try:
            self._tell_past(monitor)
            for event in events:
                if isinstance(event, EpochEnd):
                    self._note(event)
                monitor(event)
                image = preview() if preview is not None and isinstance(event, EpochEnd) else None
                if image is not None and image is not self._refused:
                    monitor(self._preview(image))
                if isinstance(event, StepEnd) and (advice := watch.note(event)):
                    monitor(Notice(advice))
        except StopEarly:
            self.state.ended_by = "user"

    def _note(self, event: EpochEnd) -> None:
        self.history.append(
            Epoch(
                epoch=event.epoch,
                training_loss=event.training_loss,
                validation_loss=event.validation_loss,
                metric=event.metric,
            )
        )
        if self._checkpoints is not None:
            assert self.settings is not None
            record = {
                **self._identity,
                "settings": self.settings.model_dump(mode="json"),
                "numbers": self.state.numbers(),
                "history": [epoch.model_dump() for epoch in self.history],
            }
            self._checkpoints.save(self.state.tensors(), record)

    def _resume(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any], kind: type[TrainingSettings]) -> None:
        unlike = [name for name, key in _IDENTITY if record[key] != self._identity[key]]
        if unlike:
            raise ConfigError(
                f"The checkpoint was made with other {' and other '.join(unlike)}; training can only go on with the "
                f"same. Give them as they were, or begin a new training."
            )
        if set(record["numbers"]) != set(self.state.numbers()):
            raise ConfigError("The checkpoint was made by another version of Unveil. Begin a new training.")
        self.settings = kind.model_validate(record["settings"])
        self.history = [Epoch.model_validate(epoch) for epoch in record["history"]]
        self.state.resume(tensors, record["numbers"])

    def _tell_past(self, monitor: Monitor) -> None:
        """Report the epochs that an earlier process did."""
        if not self.history or self.settings is None:
            return
        monitor(Notice(f"Training goes on after epoch {self.state.epoch}."))
        n_epochs = self.settings.epochs or 0
        for epoch in self.history:
            monitor(
                EpochEnd(
                    epoch=epoch.epoch,
                    n_epochs=min(n_epochs, self.settings.stop_after or n_epochs),
                    step=epoch.epoch * (self.settings.steps_per_epoch or 0),
                    training_loss=epoch.training_loss,
                    validation_loss=epoch.validation_loss,
                    metric=epoch.metric,
                    metric_name=self._lesson.metric_name,
                    is_kept=epoch.epoch == self.state.kept_epoch,
                    seconds=self.state.seconds * epoch.epoch / self.state.epoch,
                )
            )

    def _preview(self, image: Image) -> Preview | Notice:
        """Return what the network makes of `image`, or why that cannot be computed: training goes on."""
        started = time.monotonic()
        network = on_device(self.state.network, self._device, self._autocast)
        try:
            return Preview(self.state.epoch, preview_maps(network, image, self._lesson))
        except (ImageError, RuntimeError, MemoryError) as error:  # of torch, where memory runs out or shapes do not fit
            self._refused = image
            return Notice(f"There is no preview, and training goes on: {error}")
        finally:
            self.state.seconds += time.monotonic() - started
