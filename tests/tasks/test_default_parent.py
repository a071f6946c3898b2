"""The model that a training starts from by itself: the one that knows such images, and none otherwise."""

from __future__ import annotations

import pytest

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import PercentileNormalization, StabilizedNormalization
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.io.library import shipped_models_folder
from unveil.io.model_file import load_model
from unveil.tasks.default_parent import default_parent


@pytest.mark.parametrize(
    "settings",
    [
        SegmentationTraining(),
        SegmentationTraining(objects=False, classes=("ground", "a", "b")),
        SegmentationTraining(architecture=UNetConfig(in_channels=3, out_channels=5)),
    ],
)
def test_the_usual_network_starts_from_simulated_cells(settings: SegmentationTraining) -> None:
    parent = default_parent(settings)
    assert parent == shipped_models_folder() / "simulated-cells.safetensors"
    assert load_model(parent).card.task == "segmentation"


@pytest.mark.parametrize(
    ("settings", "has_clean_images"),
    [
        (DenoisingTraining(noisy_only="adapt"), False),
        (DenoisingTraining(), True),
        (DenoisingTraining(normalization=StabilizedNormalization()), True),
    ],
)
def test_the_shipped_denoiser_is_adapted_or_learns_from_clean_images(
    settings: DenoisingTraining, has_clean_images: bool
) -> None:
    parent = default_parent(settings, has_clean_images=has_clean_images)
    assert parent == shipped_models_folder() / "fluorescence-denoiser.safetensors"
    assert load_model(parent).card.task == "denoising"


@pytest.mark.parametrize(
    "settings",
    [
        SegmentationTraining(recipe="lecture"),
        SegmentationTraining(architecture=UNetConfig(n_dims=3)),
        SegmentationTraining(architecture=UNetConfig(width=16)),
        DenoisingTraining(recipe="lecture"),
        DenoisingTraining(architecture=DnCNNConfig(depth=4)),
        DenoisingTraining(normalization=PercentileNormalization()),
        DenoisingTraining(lip1_layers=True),
    ],
)
def test_others_start_from_scratch(settings: SegmentationTraining | DenoisingTraining) -> None:
    assert default_parent(settings, has_clean_images=True) is None


def test_blind_spots_start_from_scratch() -> None:
    assert default_parent(DenoisingTraining()) is None
