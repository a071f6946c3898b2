"""Volumes with planes far apart: distances in micrometres part objects that touch, from perfect and blurred maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unveil.config.normalization import StandardNormalization
from unveil.data.annotation import Annotation
from unveil.data.examples import segmentation_examples
from unveil.image import Image
from unveil.operators.instances import label_objects
from unveil.operators.objects import object_facts
from unveil.operators.targets import normalized_distance
from unveil.training.description import object_rule, objects_of

FINE_UM = 0.25


def balls(ratio: float, known: str = "ZYX") -> tuple[Image, Annotation]:
    """Two touching balls of 10 µm, 7.2 µm from middle to middle along X; planes `ratio` times 0.25 µm apart.

    The image tells the size of a voxel along the axes in `known`.
    """
    size_um = {"Z": FINE_UM * ratio, "Y": FINE_UM, "X": FINE_UM}
    planes, rows, columns = np.mgrid[: int(14 / size_um["Z"]) + 1, :120, :120]
    z, y, x = planes * size_um["Z"] - 7, rows * FINE_UM - 15, columns * FINE_UM - 15
    left, right = z**2 + y**2 + (x + 3.6) ** 2, z**2 + y**2 + (x - 3.6) ** 2
    labels = np.select([(left < 25) & (left <= right), right < 25], [1, 2]).astype(np.uint8)
    image = Image((labels > 0).astype(np.float32), "ZYX", {axis: size_um[axis] for axis in known})
    return image, Annotation(Image(labels, "ZYX"))


def targets_of(pair: tuple[Image, Annotation], n_dims: int = 3) -> np.ndarray:
    made = segmentation_examples([pair], StandardNormalization(), n_dims=n_dims, objects=True)
    return np.stack([example.target for example in made])


@pytest.mark.parametrize("blur_px", [0, 2])
@pytest.mark.parametrize("separation", [0.4, 0.5])
@pytest.mark.parametrize("ratio", [1, 4, 8, 12])
def test_touching_balls_are_parted_whatever_the_step_between_planes(
    ratio: float, separation: float, blur_px: float
) -> None:
    image, annotation = balls(ratio)
    ((foreground, distance),) = targets_of((image, annotation))
    rule = object_rule(objects_of([(image, annotation)], 3)).model_copy(update={"separation": separation})
    found = label_objects(foreground, gaussian_filter(distance, (0, blur_px, blur_px)), rule)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, foreground > 0)
    assert ((found == 1) != (annotation.labels.data == 1)).mean() < 0.001


@pytest.mark.parametrize("ratio", [1, 2, 4, 8, 12])
def test_the_largest_radius_counts_in_the_finest_side_of_a_voxel(ratio: float) -> None:
    assert objects_of([balls(ratio)], 3).largest_radius_px == pytest.approx(17, rel=0.1)


@pytest.mark.parametrize("known", ["", "Z", "YX"])
def test_nothing_changes_where_a_side_of_the_voxel_is_not_known(known: str) -> None:
    pair = balls(8, known)
    labels = np.asarray(pair[1].labels.data)
    np.testing.assert_array_equal(targets_of(pair)[0, 1], normalized_distance(labels))
    assert objects_of([pair], 3) == object_facts(labels)


def test_planes_learnt_one_by_one_do_not_mind_how_far_apart_they_are() -> None:
    pair = balls(8)
    planes = [normalized_distance(plane) for plane in np.asarray(pair[1].labels.data)]
    np.testing.assert_array_equal(targets_of(pair, 2)[:, 1], planes)
    assert objects_of([pair], 2) == objects_of([balls(8, "")], 2)
