"""The function that tells the magnification, against its formula."""

from __future__ import annotations

import numpy as np

from unveil.operators.magnification import Magnification


def test_octaves_are_those_of_the_formula(rng: np.random.Generator) -> None:
    mean, spread = rng.normal(3, 1, 8), rng.uniform(1, 2, 8)
    (w1, b1), (w2, b2) = hidden = ((rng.normal(size=(5, 8)), rng.normal(size=5)), (rng.normal(size=(4, 5)), np.ones(4)))
    function = Magnification(mean, spread, hidden, rng.normal(size=4), 0.5)
    samples = rng.normal(size=(20, 8)) * spread + mean
    samples[0, 0], samples[1, 1] = mean[0] + 99 * spread[0], -1e9  # no single statistic decides everything
    z = (samples - mean) / spread
    z[0, 0], z[1, 1] = 5, -5
    expected = [0.5 + function.output @ np.tanh(w2 @ np.tanh(w1 @ one + b1) + b2) for one in z]
    np.testing.assert_allclose(function.octaves(samples), expected)
