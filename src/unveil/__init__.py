"""Unveil: segment and denoise microscopy images with U-Net and DnCNN, and train both.

The public names, loaded when they are first used, so that importing one costs only what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "segment": "unveil.tasks.segment",
    "Segmentation": "unveil.tasks.results",
    "denoise": "unveil.tasks.denoise",
    "train": "unveil.tasks.train",
    "evaluate": "unveil.tasks.evaluate",
    "summarize": "unveil.tasks.inspect",
    "feature_maps": "unveil.tasks.inspect",
    "layer_filters": "unveil.tasks.inspect",
    "stability": "unveil.tasks.stability",
    "verify": "unveil.tasks.verify",
    "suggest_blocks": "unveil.tasks.suggest",
    "load_model": "unveil.io.model_file",
    "save_model": "unveil.io.model_file",
    "build_network": "unveil.networks.build",
    "Model": "unveil.model.model",
    "ModelCard": "unveil.model.card",
    "Image": "unveil.image",
    "Annotation": "unveil.data.annotation",
    "UNetConfig": "unveil.config.architecture",
    "DnCNNConfig": "unveil.config.architecture",
    "SegmentationOptions": "unveil.config.options",
    "DenoisingOptions": "unveil.config.options",
    "EvaluationOptions": "unveil.config.options",
    "EngineOptions": "unveil.config.options",
    "ViewOptions": "unveil.config.options",
    "StabilityOptions": "unveil.config.options",
    "SegmentationTraining": "unveil.config.training",
    "DenoisingTraining": "unveil.config.training",
    "UnveilError": "unveil.errors",
    "InputError": "unveil.errors",
    "ImageError": "unveil.errors",
    "FileError": "unveil.errors",
    "ModelFileError": "unveil.errors",
    "MismatchError": "unveil.errors",
    "ConfigError": "unveil.errors",
    "EngineError": "unveil.errors",
    "UnveilWarning": "unveil.errors",
    "Cancelled": "unveil.events",
    "StopEarly": "unveil.events",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unveil' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
