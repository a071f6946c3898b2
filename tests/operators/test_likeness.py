from __future__ import annotations

import numpy as np
import pytest

from unveil.operators.likeness import fit_cloud, fit_trimmed_cloud, left_out_distances


@pytest.fixture
def samples(rng):
    """Numbers of very different sizes that depend on three hidden ones."""
    mixed = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(size=(200, 12))
    return mixed * 10.0 ** np.arange(-3, 3, 0.5) + 5


def test_what_made_the_cloud_lies_in_it(samples):
    squared = np.square(fit_cloud(samples, 3).distances(samples))
    assert squared.mean() == pytest.approx(1, abs=0.1)


def test_distances_are_those_of_mahalanobis(rng):
    samples = rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12)) + 5
    for n_directions in (0, 3, 7):
        cloud = fit_cloud(samples, n_directions)
        assert cloud.directions.shape == (n_directions, 12)
        standard = (samples - samples.mean(axis=0)) / cloud.spread
        values, vectors = np.linalg.eigh(standard.T @ standard / (len(samples) - 1))
        values[: 12 - n_directions] = values[: 12 - n_directions].mean()
        inverse = np.linalg.inv(vectors @ np.diag(values) @ vectors.T)
        others = rng.normal(size=(5, 12)) * samples.std(axis=0) + samples.mean(axis=0)
        off = (others - samples.mean(axis=0)) / cloud.spread
        expected = np.sqrt(np.einsum("ij,jk,ik->i", off, inverse, off) / 12)
        np.testing.assert_allclose(cloud.distances(others), expected, rtol=1e-6)
        along = off @ vectors[:, ::-1][:, :n_directions] / np.sqrt(values[::-1][:n_directions])
        np.testing.assert_allclose(np.abs(cloud.coordinates(others)), np.abs(along), rtol=1e-6)


def test_a_rule_that_is_broken_is_seen_though_each_number_is_usual(samples, rng):
    shuffled = np.stack([rng.permutation(column) for column in samples.T], axis=1)
    cloud = fit_cloud(samples, 3)
    assert np.median(cloud.distances(shuffled)) > 3 * np.median(cloud.distances(samples))


@pytest.mark.parametrize("units", [7, np.logspace(0, 3, 12)], ids=["one", "one each"])
def test_units_do_not_matter(samples, units):
    scaled = fit_cloud(samples * units, 3).distances(samples * units)
    np.testing.assert_allclose(scaled, fit_cloud(samples, 3).distances(samples), rtol=0.02)


def test_samples_left_out_lie_farther(samples):
    few = samples[:24]
    within, without = fit_cloud(few, 6).distances(few), left_out_distances(few, np.arange(24) // 4, 6)
    assert without.mean() > within.mean()


def test_few_and_constant_samples_give_finite_distances():
    cloud = fit_cloud(np.tile(np.arange(5.0), (4, 1)), 3)
    assert cloud.directions.shape[0] <= 1
    distances = cloud.distances(np.array([[0, 1, 2, 3, 4.0], [9, 1, 2, 3, 4.0]]))
    assert distances[0] < 1e-6
    assert 1 < distances[1] < np.inf


def test_a_few_strange_samples_do_not_widen_a_trimmed_cloud(samples, rng):
    strange = samples[:10] + 30 * samples.std(axis=0) * rng.normal(size=(10, 12))
    mixed = np.concatenate([samples, strange])
    trimmed, plain = (fit(mixed, 3).distances(strange).min() for fit in (fit_trimmed_cloud, fit_cloud))
    assert trimmed > 3 * plain
