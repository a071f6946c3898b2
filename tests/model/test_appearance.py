from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from unveil.model.appearance import Appearance, CloudRecord, MagnificationRecord, ResizedRecord, diameters
from unveil.operators.likeness import fit_cloud
from unveil.operators.magnification import Magnification


@pytest.mark.parametrize("n_directions", [0, 2])
def test_a_cloud_survives_writing_it_down(n_directions, rng):
    samples = rng.normal(3, 1, (60, 6)) @ rng.normal(size=(6, 6))
    cloud = fit_cloud(samples, n_directions)
    read = CloudRecord.model_validate_json(CloudRecord.of(cloud).model_dump_json()).cloud()
    np.testing.assert_allclose(read.distances(2 * samples), cloud.distances(2 * samples), rtol=0.01)
    np.testing.assert_allclose(read.coordinates(samples), cloud.coordinates(samples), atol=0.01)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"mean": (0.0,)}, "fit"),
        ({"spread": (1.0,)}, "fit"),
        ({"directions": ((1.0,),)}, "fit"),
        ({"variances": ()}, "fit"),
        ({"spread": (1.0, 0.0)}, "positive"),
        ({"variances": (0.0,)}, "positive"),
    ],
)
def test_numbers_of_a_cloud_that_do_not_fit_each_other_are_refused(change, problem):
    values = {"mean": (0.0, 0.0), "spread": (1.0, 1.0), "directions": ((0.6, 0.8),), "variances": (2.0,), "rest": 0.5}
    assert CloudRecord.model_validate(values).cloud().distances(np.zeros(2)) == 0
    with pytest.raises(ValidationError, match=problem):
        CloudRecord.model_validate(values | change)


@pytest.fixture
def function(rng):
    hidden = ((rng.normal(size=(5, 8)), rng.normal(size=5)), (rng.normal(size=(4, 5)), rng.normal(size=4)))
    return Magnification(rng.normal(size=8), rng.uniform(1, 2, 8), hidden, rng.normal(size=4), 0.5)


def test_the_function_survives_writing_it_down(function, rng):
    samples = rng.normal(size=(20, 8))
    written = MagnificationRecord.of(function).model_dump_json()
    read = MagnificationRecord.model_validate_json(written).function()
    np.testing.assert_allclose(read.octaves(samples), function.octaves(samples), atol=0.02)


def test_a_card_of_one_hidden_layer_still_opens(rng):
    old = {"mean": [0.0] * 3, "spread": [1.0] * 3, "weights": [[1.0, 0.0, 0.0]], "biases": [0.5], "output": [2.0]}
    function = MagnificationRecord.model_validate({**old, "offset": 0.1}).function()
    sample = np.array([0.7, 1.0, 2.0])
    assert function.octaves(sample) == pytest.approx(2 * np.tanh(0.7 + 0.5) + 0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"biases": (1.0,)},
        {"output": (1.0,)},
        {"inner_biases": ()},
        {"inner_weights": (), "inner_biases": ()},
        {"inner_weights": ((1.0,),) * 4},
        {"mean": (1.0,)},
        {"weights": ()},
        {"spread": (1.0,) * 7 + (0.0,)},
    ],
)
def test_layers_that_do_not_fit_each_other_are_refused(function, change):
    values = MagnificationRecord.of(function).model_dump() | change
    with pytest.raises(ValidationError, match=r"fit|spread must be positive"):
        MagnificationRecord.model_validate(values)


@pytest.fixture
def appearance():
    looks = CloudRecord(mean=(0.0,), spread=(1.0,), rest=1.0)
    return Appearance(n_images=4, statistics=("grey",), looks=looks, threshold=1.0, object_px=(4.0, 6.0, 9.0))


def test_an_appearance_has_as_many_numbers_as_statistics(appearance, function):
    one, eight = appearance.looks, CloudRecord(mean=(0.0,) * 8, spread=(1.0,) * 8, rest=1.0)
    magnification = MagnificationRecord.of(function)
    changes = [
        {"statistics": ("grey", "noise")},
        {"resized": ResizedRecord(looks=one, threshold=1, magnification=magnification)},
        {"looks": eight, "resized": ResizedRecord(looks=eight, threshold=1, magnification=magnification)},
    ]
    for change in changes:
        with pytest.raises(ValidationError, match="not as many numbers as statistics"):
            Appearance.model_validate(appearance.model_dump() | change)
    assert Appearance.model_validate(appearance.model_dump() | changes[2] | {"statistics": tuple("abcdefgh")}).resized


def test_the_diameter_is_that_of_the_disc_or_ball_of_as_many_pixels():
    edges = np.array([10.0, 16.0])
    assert diameters(np.pi / 4 * edges**2, 2) == pytest.approx(edges, rel=1e-3)
    assert diameters(np.pi / 6 * edges**3, 3) == pytest.approx(edges, rel=1e-3)


def test_an_older_card_of_volumes_tells_diameters_of_balls(appearance):
    n_voxels = np.pi / 4 * np.array(appearance.object_px) ** 2  # as older versions wrote them
    assert appearance.object_diameters(3) == diameters(n_voxels, 3)
    assert appearance.object_diameters(2) == appearance.object_px


def test_a_card_of_volumes_tells_the_diameters_that_it_holds(appearance):
    newer = appearance.model_copy(update={"object_dims": 3})
    assert newer.object_diameters(3) == pytest.approx(appearance.object_px)
