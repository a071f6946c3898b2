"""The bounds of the models that ship."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path

import numpy as np
import pytest

import unveil
from unveil.config.architecture import UNetConfig
from unveil.config.normalization import PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.errors import InputError
from unveil.io.model_file import load_model
from unveil.model.card import ModelCard
from unveil.model.lipschitz import LOWER, UPPER, lipschitz_bounds, model_bound
from unveil.model.model import Model
from unveil.networks.build import build_network
from unveil.networks.lipschitz import certified_bound

ZOO = Path(unveil.__file__).parent / "zoo"


def segmentation(classes: int, *, temperature: float = 1.0, with_objects: bool = False) -> Model:
    architecture = UNetConfig(width=2, poolings=1, out_channels=classes + with_objects)
    card = ModelCard.describe(
        architecture,
        name="test",
        task="segmentation",
        classes=tuple(f"class {n}" for n in range(classes)),
        objects=ObjectRule(reach_px=9) if with_objects else None,
        normalization=PercentileNormalization(),
        temperature=temperature,
    )
    return Model.make(card, build_network(architecture), np.zeros((1, 1, 16, 16), np.float32))


def test_the_shipped_denoiser_has_bounds_on_both_sides() -> None:
    bounds = lipschitz_bounds(load_model(ZOO / "fluorescence-denoiser.safetensors"), n_rounds=1, size_px=16)
    assert 1 < bounds.lower <= bounds.upper
    assert isfinite(bounds.upper)
    assert (bounds.upper_method, bounds.lower_method) == (UPPER, LOWER)


def test_a_segmenter_has_bounds_on_both_sides(make_tiny_model: Callable[..., Model]) -> None:
    bounds = lipschitz_bounds(make_tiny_model(), n_rounds=1, size_px=16)
    assert 0 < bounds.lower <= bounds.upper


def test_probabilities_move_by_half_the_scores_over_the_temperature() -> None:
    model = segmentation(3, temperature=2.0)
    assert model_bound(model) == pytest.approx(certified_bound(model.network) / 4)


def test_a_clipped_distance_beside_the_probabilities_moves_as_the_network() -> None:
    model = segmentation(2, with_objects=True)
    assert model_bound(model) == pytest.approx(certified_bound(model.network))
    sharp = segmentation(2, with_objects=True, temperature=0.25)
    assert model_bound(sharp) == pytest.approx(2 * certified_bound(sharp.network))


def test_classical_filters_have_no_bound() -> None:
    with pytest.raises(InputError, match="No Lipschitz bound is known"):
        lipschitz_bounds(load_model(ZOO / "median-filter.safetensors"))
