from __future__ import annotations

import numpy as np

from unveil.operators.montage import montage


def test_rows_and_columns_stay_what_they_are(rng: np.random.Generator) -> None:
    tiles = rng.random((3, 2, 4, 5), dtype=np.float32)
    image = montage(tiles)
    assert image.shape == (3 * 5 - 1, 2 * 6 - 1)
    for row in range(3):
        for column in range(2):
            np.testing.assert_array_equal(image[5 * row : 5 * row + 4, 6 * column : 6 * column + 5], tiles[row, column])
    assert np.isnan(image[4]).all()
    assert np.isnan(image[:, 5]).all()


def test_a_single_column_is_folded_to_about_a_square(rng: np.random.Generator) -> None:
    tiles = rng.random((7, 1, 2, 2), dtype=np.float32)
    image = montage(tiles)
    assert image.shape == (8, 8)
    np.testing.assert_array_equal(image[3:5, :2], tiles[3, 0])
    assert np.isnan(image[6:, 2:]).all()


def test_further_axes_come_first(rng: np.random.Generator) -> None:
    tiles = rng.random((2, 3, 4, 2, 2), dtype=np.float32)
    image = montage(tiles, gap_px=0)
    assert image.shape == (4, 4, 6)
    np.testing.assert_array_equal(image[:, 2:, 4:], tiles[1, 2])
