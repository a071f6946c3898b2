"""What a training that goes on from a model takes from it: settings that nobody chose, and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.training import TrainingSettings
from unveil.errors import MismatchError
from unveil.events import Monitor, Notice
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.training.initial_weights import inherit, random_network, root_mean_square
from unveil.training.lesson import Lesson


def with_settings_of(
    parent: ModelCard | None, config: TrainingSettings, images: Sequence[Image] | None, monitor: Monitor
) -> TrainingSettings:
    """Return `config` with network, normalization and limits of `parent`, whose weights fit no others.

    What `config` asks for stays: a network other than the default one, a normalization, and the lecture's recipe.
    """
    if parent is None or parent.is_filter or parent.task != config.task:
        return config
    kept: dict[str, Any] = {}
    # without its limits, the scores of Lipschitz-1 layers, which hardly differ, would teach anew
    if parent.training is not None and parent.training.config.get("lip1_layers") and not config.lip1_layers:
        kept["lip1_layers"] = True
        monitor(Notice(f"'{parent.name}' has Lipschitz-1 layers, and keeps them. Train from scratch to be without."))
    if config.recipe == "lecture":
        return config.model_copy(update=kept)
    own, usual = parent.architecture, UNetConfig() if config.task == "segmentation" else DnCNNConfig()
    if config.task == "segmentation":  # the data choose channels and maps
        own = own.model_copy(update={name: getattr(usual, name) for name in ("in_channels", "out_channels")})
    if config.architecture in (None, usual) and own.n_dims == usual.n_dims:
        kept["architecture"] = own
    fits = config.task == "denoising" or (images and images[0].size("C") == parent.architecture.in_channels)
    if config.normalization is None and fits:
        kept["normalization"] = parent.normalization
    return config.model_copy(update=kept)


def starting_network(lesson: Lesson, config: TrainingSettings, start: Model | None, monitor: Monitor) -> nn.Module:
    """Return a network with random weights, those of `start` wherever they fit.

    Raises
    ------
    MismatchError
        If `start` is for another task, or a network of another kind.
    """
    input_rms = root_mean_square(lesson.teaching) if config.task == "segmentation" else 1.0
    network = random_network(lesson.architecture, config.seed, input_rms=input_rms)
    if start is None:
        return network
    theirs, needed = (
        f"{architecture.n_dims}D {architecture.kind} for {task}"
        for architecture, task in ((start.card.architecture, start.card.task), (lesson.architecture, config.task))
    )
    if theirs != needed:
        raise MismatchError(
            f"Model '{start.card.name}' is a {theirs}; this training needs a {needed}. Choose another model to start "
            f"from, or none."
        )
    left_out = inherit(network, start.network)
    if left_out:
        monitor(Notice(f"Starting from '{start.card.name}', but these layers start anew: {', '.join(left_out)}."))
    return network
