"""What is found out about a network that has learnt, from its certificate to what its images look like.

All of it takes its time after the last epoch, so each part tells how far it is and can be stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from torch import nn
from torch.nn.modules.conv import _ConvNd

from unveil.config.options import Device
from unveil.config.training import DenoisingTraining, TrainingSettings
from unveil.data.annotation import Annotation
from unveil.events import Event, Monitor, Notice, Progress, StopEarly
from unveil.image import Image, n_frames
from unveil.model.model import Model
from unveil.operators.conformal import least_images
from unveil.operators.objects import ObjectFacts
from unveil.tasks.interval_record import outcomes, record_of
from unveil.tasks.object_rule import fit_object_rule, judged_windows
from unveil.tasks.recording import with_appearance
from unveil.training.lesson import Lesson
from unveil.training.norm_limits import Limits, settle
from unveil.training.pairs import Targets, pair_up
from unveil.training.validation import on_device

Found = TypeVar("Found")

_THRESHOLDS, _SEPARATIONS = (0.5, 0.4, 0.6), (0.4, 0.3, 0.5, 0.2, 0.6, 0.7)
"""What is tried for the rule of objects, the usual first (decision 0021)."""
_SMALL_PERCENT = 10
"""An object of half the size of these smallest ones is none, where there are enough to have a tenth."""


class Finish:
    """Finds out about a model what it can until somebody asks to stop, and then says what is missing.

    Parameters
    ----------
    is_stopped
        Whether the training itself was ended by such a request, which then asks for no more than that.
    """

    def __init__(self, monitor: Monitor, *, is_stopped: bool) -> None:
        self._tell = monitor
        self._monitor = _without_stops(monitor) if is_stopped else monitor
        self._missing: list[str] = []

    def bounds(self, limits: Limits) -> Mapping[_ConvNd, float]:
        """Scale convolutions down to their limits and return their bounds; nothing where that was stopped."""

        def watch(n_done: int) -> None:
            self._monitor(Progress(n_done, len(limits), "layers for the certificate"))

        return self._attempt("a certificate", partial(settle, limits, watch), {}) if limits else {}

    def temperature(self, lesson: Lesson, network: nn.Module) -> float:
        """Find the temperature on what was held out; that of the training stays where nothing was."""
        if lesson.temperature is None:
            return lesson.learnt_at
        apply = on_device(network, next(network.parameters()).device, None)
        find = partial(lesson.temperature, apply, monitor=self._monitor)
        return self._attempt("calibrated probabilities", find, lesson.learnt_at)

    def rule(
        self, model: Model, pairs: Sequence[tuple[Image, Annotation]], objects: ObjectFacts, device: Device
    ) -> Model:
        """Choose the rule of objects on what is annotated wholly; the default stays where nothing is."""
        windows = judged_windows(pairs, model.card.n_dims)
        if not windows or not objects.sizes:
            return model
        small = int(np.percentile(objects.sizes, _SMALL_PERCENT) / 2)
        min_sizes = sorted({0, small}, reverse=len(objects.sizes) * _SMALL_PERCENT >= 100)
        choose = partial(
            fit_object_rule,
            model,
            *zip(*windows, strict=True),
            thresholds=_THRESHOLDS,
            separations=_SEPARATIONS,
            min_sizes=min_sizes,
            is_cautious=True,
            device=device,
            monitor=self._monitor,
        )
        return self._attempt("a rule of objects of its own", choose, model)

    def record(self, model: Model, judged: Sequence[tuple[Image, Annotation]], device: Device) -> Model:
        """Record how far off the model is on what judged it, where enough single frames are annotated wholly."""
        n_dims = model.card.n_dims
        whole = [
            (image, annotation.labels)
            for image, annotation in judged
            if n_frames(image, n_dims) == 1
            and annotation.has_outlines
            and (annotation.mask is None or annotation.mask.all())
        ]
        if len(whole) < least_images():
            return model
        data = (
            f"the {len(whole)} validation images of its training, which also chose epoch, temperature and object rule"
        )

        def with_record() -> Model:
            record = record_of(outcomes(model, *zip(*whole, strict=True), device=device, monitor=self._monitor), data)
            if len(record.iou) < least_images():  # some were blank
                return model
            return replace(model, card=model.card.model_copy(update={"conformal": record}))

        return self._attempt("intervals of overlap and number of objects", with_record, model)

    def appearance(
        self,
        model: Model,
        images: Sequence[Image] | None,
        targets: Targets | None,
        config: TrainingSettings,
        objects: ObjectFacts,
    ) -> Model:
        """Note what the images look like."""
        noise = config.noise if isinstance(config, DenoisingTraining) and images is None else None
        seen = [image for image, _ in pair_up(images, targets)]
        look = partial(with_appearance, model, seen, object_sizes=objects.sizes, noise=noise, monitor=self._monitor)
        return self._attempt("a record of what its images look like", look, model)

    def say_what_is_missing(self) -> None:
        """Tell what a request to stop left out."""
        if self._missing:
            *others, last = self._missing
            words = f"{', '.join(others)} and {last}" if others else last
            _without_stops(self._tell)(
                Notice(
                    f"The model is kept as it was when you stopped, without {words}. Let a training end to have them."
                )
            )

    def _attempt(self, what: str, find: Callable[[], Found], otherwise: Found) -> Found:
        """Return what `find` does; `otherwise` where somebody asked to stop meanwhile, or before."""
        if not self._missing:
            with suppress(StopEarly):
                return find()
        self._missing.append(what)
        return otherwise


def _without_stops(monitor: Monitor) -> Monitor:
    """Return `monitor`, whose requests to stop are not heard."""

    def hand_on(event: Event) -> None:
        with suppress(StopEarly):
            monitor(event)

    return hand_on
