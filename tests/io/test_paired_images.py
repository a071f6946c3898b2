"""Images and what belongs to them, read in the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unveil.events import Event, Progress
from unveil.image import Image
from unveil.io.images import read_labels
from unveil.io.paired_images import read_labelled, read_noisy_and_clean, read_pairs
from unveil.io.writing import write_image, write_labels


def folders(path: Path) -> tuple[Path, Path]:
    """Write images `1` and `2` filled with 1 and 2, and labels of them filled with 11 and 12."""
    for number in (1, 2):
        pixels = np.full((4, 4), number, np.uint8)
        write_image(path / "images" / f"{number}.tif", Image(pixels))
        write_labels(path / "labels" / f"{number}_labels.tif", Image(pixels + 10))
    return path / "images", path / "labels"


def values(images: list[Image] | None) -> list[int]:
    assert images is not None
    return [int(np.asarray(image.data)[0, 0]) for image in images]


def test_images_and_references_come_in_the_same_order(tmp_path: Path) -> None:
    images, references = read_pairs(*folders(tmp_path), read_labels)
    assert (values(images), values(references)) == ([1, 2], [11, 12])
    images, annotations = read_labelled(*folders(tmp_path))
    assert (values(images), values([annotation.labels for annotation in annotations])) == ([1, 2], [11, 12])


def test_one_kind_of_image_may_stand_alone(tmp_path: Path) -> None:
    first, second = folders(tmp_path)
    noisy, clean = read_noisy_and_clean(first, second)
    assert (values(noisy), values(clean)) == ([1, 2], [11, 12])
    noisy, clean = read_noisy_and_clean(first, None)
    assert (values(noisy), clean) == ([1, 2], None)
    noisy, clean = read_noisy_and_clean(None, second)
    assert (noisy, values(clean)) == (None, [11, 12])


def test_every_file_is_told(tmp_path: Path) -> None:
    told: list[Event] = []
    read_labelled(*folders(tmp_path), monitor=told.append)
    assert told == [Progress(n, 2, "files") for n in (0, 1, 2)] * 2
