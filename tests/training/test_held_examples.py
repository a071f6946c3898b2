"""Examples held on a device: windows cut there are those that are cut here."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.data.examples import Example
from unveil.data.patches import draw_places, draw_windows
from unveil.training.held_examples import HeldExamples


def examples(shapes: list[tuple[int, ...]]) -> list[Example]:
    rng = np.random.default_rng(0)

    def random(n_maps: int, shape: tuple[int, ...]) -> np.ndarray:
        return rng.random((n_maps, *shape), np.float32)

    return [
        Example(random(2, shape), random(1, shape), (random(1, shape) > 0.3).astype(np.float32), np.ones(2))
        for shape in shapes
    ]


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(30, 41), (7, 9), (64, 64), (1, 5)], (24, 32)),  # inside, and reflected once, often and never
        ([(5, 20, 18), (9, 30, 30)], (8, 24, 16)),
    ],
)
def test_windows_are_those_that_are_cut_here(shapes: list[tuple[int, ...]], size: tuple[int, ...]) -> None:
    taught = examples(shapes)
    held = HeldExamples(taught, torch.device("cpu"))
    assert HeldExamples.n_bytes(taught) == sum(4 * 4 * int(np.prod(shape)) for shape in shapes)
    drawn = zip(range(8), draw_windows(taught, size, 6, 3), draw_places(taught, size, 6, 3), strict=False)
    for _, here, places in drawn:
        for expected, found in zip(here, held.cut(places, size), strict=True):
            np.testing.assert_array_equal(found.numpy(), expected)
