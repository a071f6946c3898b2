"""How far a training is and how long the rest will take, in words."""

from __future__ import annotations

import time

from unveil.events import EpochEnd, StepEnd, TrainingStart
from unveil.widgets.run_bar import format_seconds


class TrainingPace:
    """Takes steps and epochs down and tells a sentence.

    Parameters
    ----------
    start
        What was planned; None before a training began.
    """

    def __init__(self, start: TrainingStart | None = None) -> None:
        self.n_steps = start.n_steps if start is not None else 0
        self.step = 0
        self._device = f"{start.device}, {start.precision}" if start is not None else ""
        self._epoch, self._n_epochs = 0, 0
        self._metric = ""
        self._from_step, self._from_time = 0, time.monotonic()

    def note_step(self, event: StepEnd) -> None:
        """Take down the latest step."""
        if not self._from_step:
            self._from_step, self._from_time = event.step, time.monotonic()
        self.step = event.step

    def note_epoch(self, event: EpochEnd) -> None:
        """Take down an epoch; its step counts too, where a training goes on."""
        self._epoch, self._n_epochs = event.epoch, event.n_epochs
        self.step = max(self.step, event.step)
        if event.metric is not None:
            value = f"{event.metric:.1f} dB" if event.metric_name == "PSNR" else f"{event.metric:.3f}"
            self._metric = f" · {event.metric_name} {value}"

    def restart(self) -> None:
        """Begin to measure anew: the time in between was a pause."""
        self._from_step = 0

    def sentence(self) -> str:
        """Say epoch, step, time left, the last score and the device."""
        epoch = f"epoch {min(self._epoch + 1, self._n_epochs)} of {self._n_epochs} · " if self._n_epochs else ""
        return f"{epoch}step {self.step:,} of {self.n_steps:,}{self._left()}{self._metric}\n{self._device}"

    def _left(self) -> str:
        done = self.step - self._from_step
        if not self._from_step or done < 1 or self.step >= self.n_steps:
            return ""
        seconds = (time.monotonic() - self._from_time) / done * (self.n_steps - self.step)
        return f" · {format_seconds(seconds)} left"
