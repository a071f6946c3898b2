"""What labels look like, where only the numbers and strokes tell."""

from __future__ import annotations

import numpy as np
import pytest

from unveil.data.annotation import scribbled
from unveil.data.label_facts import scribbles_are_classes
from unveil.image import Image


def strokes(*numbers: int) -> Image:
    """Paint a line of each number."""
    lines = np.zeros((2 * len(numbers), 9), np.uint8)
    lines[::2] = np.array(numbers)[:, None]
    return Image(lines)


@pytest.mark.parametrize(
    ("painted", "are_classes"),
    [
        ([[1, 2]], False),  # one kind, or one object
        ([[1, 2, 3]], True),
        ([[1, 2], [1, 3]], True),
        ([[1, 2, 3, 4, 5, 6]], False),  # each in one place
        ([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]], False),  # objects of another image count from 2 again
        ([[1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6]], True),
    ],
)
def test_scribbles_of_several_kinds_are_told_from_those_of_many_objects(
    painted: list[list[int]], are_classes: bool
) -> None:
    assert scribbles_are_classes([scribbled(strokes(*numbers)) for numbers in painted]) is are_classes
