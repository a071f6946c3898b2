"""Which model a training starts from where nobody chose one; torch is not needed."""

from __future__ import annotations

from pathlib import Path

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import StabilizedNormalization
from unveil.config.training import DenoisingTraining, TrainingSettings
from unveil.io.card_file import ENDING
from unveil.io.library import shipped_models_folder


def default_parent(settings: TrainingSettings, *, has_clean_images: bool = False) -> Path | None:
    """Return the model that a training starts from where nobody chose one; None is from scratch.

    The usual U-Net for planes starts from the shipped `simulated-cells`, which knows cells from simulations. A denoiser
    that learns from clean images, or is adapted to noisy ones, starts from the shipped `fluorescence-denoiser`, unless
    another network or normalization is asked for. All others, and the lecture's recipe, start from scratch.
    """
    if isinstance(settings, DenoisingTraining):
        is_usual = (
            settings.recipe == "auto"
            and settings.architecture == DnCNNConfig()
            and settings.normalization in (None, StabilizedNormalization())
            and not settings.lip1_layers
        )
        goes_on = is_usual if has_clean_images else settings.noisy_only == "adapt"
        return shipped_models_folder() / f"fluorescence-denoiser{ENDING}" if goes_on else None
    if settings.recipe == "lecture":
        return None
    usual, asked = UNetConfig(), settings.architecture or UNetConfig()
    maps = {"in_channels": usual.in_channels, "out_channels": usual.out_channels}
    is_usual = asked.model_copy(update=maps) == usual
    return shipped_models_folder() / f"simulated-cells{ENDING}" if is_usual else None
