from __future__ import annotations

import numpy as np

from unveil.training.magnification import fit_magnification


def _samples(rng, n):
    octaves = rng.uniform(-2, 2, n)
    hidden = np.stack([octaves, np.exp2(-octaves), np.square(octaves)], axis=1)
    mixing = np.random.default_rng(1).normal(size=(3, 24))
    return hidden @ mixing + rng.normal(0, 0.05, (n, 24)), octaves


def test_it_learns_what_tells_the_factor(rng):
    function = fit_magnification(*_samples(rng, 250))
    samples, octaves = _samples(rng, 200)
    assert np.median(np.abs(function.octaves(samples) - octaves)) < 0.25


def test_the_same_samples_teach_the_same(rng):
    samples, octaves = _samples(rng, 40)
    first, second = (fit_magnification(samples, octaves) for _ in range(2))
    np.testing.assert_array_equal(first.octaves(samples), second.octaves(samples))
