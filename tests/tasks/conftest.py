"""What the tests of the doors share: a model that finds what is bright, and squares for it to find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unveil.config.architecture import UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
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


@pytest.fixture(scope="session")
def brightness_model() -> Callable[..., Model]:
    """Make a model by hand: ``brightness_model(n_dims=2, in_channels=1, classes=2, objects=True, **card_fields)``."""
    return _brightness_model


@pytest.fixture(scope="session")
def squares() -> Callable[..., NDArray[np.uint16]]:
    """Draw bright squares on black: ``squares(shape, *corners, size=6)``."""
    return _squares
