from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from unveil.errors import ImageError
from unveil.image import Image
from unveil.tasks.measure import measure_objects


def _random_labels(seed, shape, n_ids=6):
    rng = np.random.default_rng(seed)
    return (rng.integers(1, n_ids, shape) * (rng.random(shape) < 0.4)).astype(np.int32)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), is_3d=st.booleans())
def test_measurements_agree_with_scikit_image(seed, is_3d):
    shape = (4, 9, 11) if is_3d else (9, 11)
    labels = _random_labels(seed, shape)
    intensities = np.random.default_rng(seed).random(shape)
    axes = "ZYX" if is_3d else "YX"
    columns = measure_objects(Image(labels, axes), Image(intensities, axes), n_dims=3 if is_3d else 2)
    expected = regionprops(labels, intensities)
    assert columns["index"].tolist() == [region.label for region in expected]
    assert columns["volume_px" if is_3d else "area_px"].tolist() == [region.area for region in expected]
    assert np.allclose(columns["mean_intensity"], [region.intensity_mean for region in expected])
    for number, axis in enumerate(axes.lower()):
        assert np.allclose(columns[f"centroid_{axis}"], [region.centroid[number] for region in expected])


def test_sizes_and_places_are_given_in_micrometres_where_the_pixel_size_is_known():
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 2:6] = 1
    columns = measure_objects(Image(labels, pixel_size_um={"Y": 0.5, "X": 2.0}), None)
    assert list(columns) == [
        *("index", "area_px", "area_um2"),
        *("centroid_y", "centroid_x", "centroid_y_um", "centroid_x_um"),
    ]
    assert {name: column.item() for name, column in columns.items()} == {
        "index": 1,
        "area_px": 8,
        "area_um2": 8.0,
        "centroid_y": 1.5,
        "centroid_x": 3.5,
        "centroid_y_um": 0.75,
        "centroid_x_um": 7.0,
    }


def test_what_the_labels_do_not_know_of_the_pixel_size_the_image_does():
    labels = Image(np.ones((3, 4, 5), np.int32), "ZYX", pixel_size_um={"Z": 2.0})
    image = Image(np.ones((3, 4, 5)), "ZYX", pixel_size_um={"Z": 9.0, "Y": 0.5, "X": 0.25})
    assert measure_objects(labels, image)["volume_um3"].tolist() == [60 * 2.0 * 0.5 * 0.25]


def test_volumes_and_places_are_in_micrometres_of_every_axis():
    labels = np.zeros((5, 6, 8), np.int32)
    labels[1:4, 2:4, 3:7] = 9
    size_um = {"Z": 2.0, "Y": 0.5, "X": 0.25}
    expected = regionprops(labels, spacing=tuple(size_um.values()))[0]
    for pair in ((Image(labels, "ZYX", size_um), None), (Image(labels, "ZYX"), Image(labels, "ZYX", size_um))):
        columns = measure_objects(*pair, n_dims=3)
        assert columns["volume_um3"].item() == pytest.approx(expected.area)
        found = [columns[f"centroid_{axis}_um"].item() for axis in "zyx"]
        assert found == pytest.approx(expected.centroid)


def test_an_axis_of_unknown_size_gives_no_volume():
    labels = np.ones((3, 4, 5), np.int32)
    columns = measure_objects(Image(labels, "ZYX", pixel_size_um={"Y": 0.5, "X": 0.5}), None)
    assert columns["volume_px"].tolist() == [60]
    assert "volume_um3" not in columns
    assert "centroid_y_um" in columns
    assert "centroid_z_um" not in columns


def test_volumes_are_known_by_objects_that_span_planes():
    planes = np.zeros((2, 3, 4, 5), np.int32)
    planes[0, 0, 0], planes[0, 1, 1], planes[1, 0, 0] = 1, 2, 3
    by_plane = measure_objects(Image(planes, "TZYX"), None)
    assert by_plane["area_px"].tolist() == [5, 5, 5]
    assert (by_plane["t"].tolist(), by_plane["z"].tolist()) == ([0, 0, 1], [0, 1, 0])
    volumes = planes.copy()
    volumes[0, 2, 0] = 1
    by_volume = measure_objects(Image(volumes, "TZYX"), None)
    assert by_volume["volume_px"].tolist() == [10, 5, 5]
    assert by_volume["t"].tolist() == [0, 0, 1]
    assert "z" not in by_volume
    assert by_volume["centroid_z"].tolist() == [1.0, 1.0, 0.0]


def test_an_object_that_is_tracked_over_time_is_one_row_per_time_point():
    labels = np.zeros((2, 4, 5), np.int32)
    labels[0, 0], labels[1, 1] = 7, 7
    columns = measure_objects(Image(labels, "TYX"), None)
    assert columns["index"].tolist() == [7, 7]
    assert columns["t"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ((), ["mean_intensity_0", "mean_intensity_1"]),
        (("DAPI", "GFP"), ["mean_intensity_DAPI", "mean_intensity_GFP"]),
        (("GFP", "GFP"), ["mean_intensity_0", "mean_intensity_1"]),
    ],
)
def test_every_channel_has_its_mean_intensity(names, columns):
    labels = _random_labels(1, (3, 6, 7))
    channels = np.random.default_rng(1).random((3, 2, 6, 7))
    image = Image(channels, "TCYX", channel_names=names)
    measured = measure_objects(Image(labels, "TYX"), image)
    assert list(measured)[-2:] == columns
    row = next(i for i in range(len(measured["index"])) if measured["t"][i] == 2)
    inside = labels[2] == measured["index"][row]
    assert [measured[name][row] for name in columns] == pytest.approx([c[inside].mean() for c in channels[2]])


@pytest.mark.parametrize("number", [np.int32(-1), np.uint64(2**63 + 5)])
def test_numbers_that_name_no_object_are_refused(number):
    labels = np.array([[0, 0, 3], [3, number, 0]], number.dtype)
    with pytest.raises(ImageError, match=f"The labels hold {number}; objects are numbers from 1 to 2⁶³−1"):
        measure_objects(Image(labels), None)


def test_labels_without_objects_give_empty_columns():
    columns = measure_objects(Image(np.zeros((2, 4, 5), np.int32), "TYX"), Image(np.ones((2, 4, 5)), "TYX"))
    assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(
        ["index", "t", "area_px", "centroid_y", "centroid_x", "mean_intensity"], 0
    )


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_objects_in_several_blocks_are_measured_as_in_one(axes, monkeypatch):
    shape = (5, 9, 11)[-len(axes) :]
    labels = _random_labels(3, shape)
    labels[labels == 2] = 2_000_000_000
    pair = Image(labels, axes), Image(np.random.default_rng(3).random(shape), axes)
    whole = measure_objects(*pair, n_dims=len(axes))
    monkeypatch.setattr("unveil.tasks.measure._BLOCK_PIXELS", 3 ** len(axes))
    in_blocks = measure_objects(*pair, n_dims=len(axes))
    assert list(in_blocks) == list(whole)
    assert all(np.allclose(in_blocks[name], whole[name]) for name in whole)


def test_no_more_than_a_block_is_read_at_once(monkeypatch):
    monkeypatch.setattr("unveil.tasks.measure._BLOCK_PIXELS", 16)
    sizes = []

    class Watched:
        shape, dtype = (10, 10), np.dtype(np.int32)

        def __getitem__(self, key):
            block = np.ones(self.shape, self.dtype)[key]
            sizes.append(block.size)
            return block

    assert measure_objects(Image(Watched()), None)["area_px"].tolist() == [100]
    assert max(sizes) <= 16


def test_what_cannot_be_measured_is_refused_with_all_problems():
    labels = Image(np.ones((4, 5)))
    with pytest.raises(ImageError, match=r"must be integers, not float64.*axes YX and image 'stack' has TYX"):
        measure_objects(labels, Image(np.ones((2, 4, 5)), "TYX", name="stack"))
    with pytest.raises(ImageError, match=r"shape \(4, 5\) \(YX\) and image 'image' has \(5, 4\)"):
        measure_objects(Image(np.ones((4, 5), int)), Image(np.ones((5, 4))))
    with pytest.raises(ImageError, match="no channels"):
        measure_objects(Image(np.ones((2, 4, 5), int), "CYX"), None)
