"""What the tests of the doors share: a model that finds what is bright, squares for it to find, small trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.data.annotation import Annotation
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.build import build_network


def _brightness_model(
    *,
    n_dims: int = 2,
    in_channels: int = 1,
    classes: int = 2,
    objects: bool = True,
    rule: ObjectRule | None = None,
    **fields: Any,
) -> Model:
    """Make a model by hand: the foreground is what is bright, and the distance is the brightness itself."""
    architecture = UNetConfig(
        n_dims=n_dims,  # type: ignore[arg-type]
        in_channels=in_channels,
        out_channels=classes + objects,
        width=2,
        poolings=1,
    )
    network = build_network(architecture)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    centre = (1,) * n_dims
    with torch.no_grad():
        for convolution in (network.down[0][0], network.down[0][2], network.merge[0][0], network.merge[0][2]):  # type: ignore[index, union-attr]
            convolution.weight[(0, 0, *centre)] = 1  # the first channel passes through, over the skip
        network.head.weight[1, 0] = 20  # type: ignore[index, union-attr]
        network.head.bias[1:classes] = -10  # type: ignore[index, union-attr]
        if objects:
            network.head.weight[classes, 0] = 1  # type: ignore[index, union-attr]
    card = ModelCard.describe(
        architecture,
        **{
            "name": "brightness",
            "task": "segmentation",
            "classes": ("background", *(f"class {i}" for i in range(1, classes))),
            "objects": (rule or ObjectRule()) if objects else None,
            "normalization": PercentileNormalization(low=0, high=100),
        }
        | fields,
    )
    check_input = np.random.default_rng(0).random((1, in_channels, *(8,) * n_dims), dtype=np.float32)
    return Model.make(card, network, check_input)


def _squares(shape: tuple[int, ...], *corners: tuple[int, ...], size: int = 6) -> NDArray[np.uint16]:
    """Draw bright squares, one per corner, on black; leading axes of a corner choose the plane."""
    pixels = np.zeros(shape, np.uint16)
    for corner in corners:
        *planes, y, x = corner
        pixels[(*planes, slice(y, y + size), slice(x, x + size))] = 1000
    return pixels


def _scenes(n: int, size: int = 48, n_objects: int = 5) -> tuple[list[Image], list[Annotation]]:
    """Draw discs on a dark ground, each with its own number."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:size, :size]
    images, annotations = [], []
    for _ in range(n):
        labels = np.zeros((size, size), np.uint16)
        for number, (y, x) in enumerate(rng.integers(6, size - 6, (n_objects, 2)), start=1):
            labels[(yy - y) ** 2 + (xx - x) ** 2 < 25] = number
        grey = 20 + 100 * (labels > 0) + rng.normal(0, 5, labels.shape)
        images.append(Image(grey.astype(np.float32), pixel_size_um={"Y": 0.5, "X": 0.5}))
        annotations.append(Annotation(Image(labels)))
    return images, annotations


_SHORT = {
    "patch_px": 32, "batch_size": 4, "epochs": 2, "steps_per_epoch": 4, "precision": "exact", "device": "cpu",
}  # fmt: skip


def _segmentation(**changes: Any) -> SegmentationTraining:
    tiny = {"architecture": UNetConfig(width=4, poolings=2, out_channels=3)}
    return SegmentationTraining.model_validate(tiny | _SHORT | changes)


def _denoising(**changes: Any) -> DenoisingTraining:
    tiny = {"architecture": DnCNNConfig(depth=3, width=8)}
    return DenoisingTraining.model_validate(tiny | _SHORT | changes)


@pytest.fixture(scope="session")
def scenes() -> Callable[..., tuple[list[Image], list[Annotation]]]:
    """Draw images of bright discs and their annotations: ``scenes(n, size=48, n_objects=5)``."""
    return _scenes


@pytest.fixture(scope="session")
def segmentation() -> Callable[..., SegmentationTraining]:
    """Settings of a short training of a tiny U-Net, in float32 on the processor: ``segmentation(**changes)``."""
    return _segmentation


@pytest.fixture(scope="session")
def denoising() -> Callable[..., DenoisingTraining]:
    """Settings of a short training of a tiny DnCNN, in float32 on the processor: ``denoising(**changes)``."""
    return _denoising


@pytest.fixture(scope="session")
def brightness_model() -> Callable[..., Model]:
    """Make a model by hand: ``brightness_model(n_dims=2, in_channels=1, classes=2, objects=True, **card_fields)``."""
    return _brightness_model


@pytest.fixture(scope="session")
def squares() -> Callable[..., NDArray[np.uint16]]:
    """Draw bright squares on black: ``squares(shape, *corners, size=6)``."""
    return _squares
