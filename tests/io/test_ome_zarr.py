from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from unveil.errors import FileError, ImageError
from unveil.io.images import find_images, read_image, read_labels

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def axes_of(letters: str, unit: str | None = "micrometer") -> list[dict[str, str]]:
    units = {"unit": unit} if unit else {}
    return [{"name": n, "type": TYPES[n]} | (units if TYPES[n] == "space" else {}) for n in letters.lower()]


def write_zarr(
    path: Path,
    pixels: NDArray[Any],
    *,
    version: str = "0.5",
    scale: list[float] | None = None,
    axes: Any = None,
    channels: list[str] | None = None,
) -> Path:
    """Write a small OME-Zarr with two levels."""
    zarr_format: Any = 3 if version == "0.5" else 2
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    for level, step in enumerate((1, 2)):
        array = group.create_array(
            str(level),
            shape=pixels[..., ::step, ::step].shape,
            dtype=pixels.dtype,
            chunks=(1,) * (pixels.ndim - 2) + (8, 8),
        )
        array[...] = pixels[..., ::step, ::step]
    scale = scale or [1.0] * pixels.ndim
    datasets = []
    for level, step in enumerate((1, 2)):
        scaled = [*scale[:-2], scale[-2] * step, scale[-1] * step]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scaled}]})
    multiscale: dict[str, Any] = {"version": version, "datasets": datasets}
    if axes is not None:
        multiscale["axes"] = axes
    attributes: dict[str, Any] = {"multiscales": [multiscale]}
    if channels:
        attributes["omero"] = {"channels": [{"label": channel} for channel in channels]}
    group.attrs.update({"ome": {"version": version, **attributes}} if version == "0.5" else attributes)
    return path


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    ("version", "dtype"),
    [("0.4", "uint8"), ("0.4", ">u2"), ("0.4", "float32"), ("0.5", "uint8"), ("0.5", "int32"), ("0.5", "float32")],
)
def test_the_finest_level_is_read_with_its_metadata(tmp_path: Path, version: str, dtype: str) -> None:
    pixels = noise(2, 3, 4, 20, 30, dtype=dtype)
    path = write_zarr(
        tmp_path / "cells.ome.zarr", pixels, version=version, axes=axes_of("TCZYX"),
        scale=[1, 1, 2, 0.5, 0.25], channels=["DAPI", "GFP", "Cy5"],
    )  # fmt: skip
    image = read_image(path)
    assert (image.axes, image.shape, image.name) == ("TCZYX", (2, 3, 4, 20, 30), "cells")
    assert image.pixel_size_um == {"Z": 2, "Y": 0.5, "X": 0.25}
    assert image.channel_names == ("DAPI", "GFP", "Cy5")
    assert np.asarray(image.data[0, 1]).dtype == np.dtype(dtype).newbyteorder("=")
    assert np.dtype(image.data.dtype).isnative
    np.testing.assert_array_equal(image.data[1, 0, :, 3:17, 5], pixels[1, 0, :, 3:17, 5])


def test_axes_in_another_order_are_moved(tmp_path: Path) -> None:
    pixels = noise(4, 2, 20, 30)
    image = read_image(write_zarr(tmp_path / "a.zarr", pixels, axes=axes_of("ZCYX"), scale=[3, 1, 1, 1]))
    assert (image.axes, image.shape) == ("CZYX", (2, 4, 20, 30))
    assert image.pixel_size_um["Z"] == 3
    np.testing.assert_array_equal(np.asarray(image.data), pixels.swapaxes(0, 1))


def test_axes_of_length_one_go(tmp_path: Path) -> None:
    image = read_image(
        write_zarr(tmp_path / "a.zarr", noise(1, 1, 1, 20, 30), axes=axes_of("TCZYX"), channels=["DAPI"])
    )
    assert (image.axes, image.channel_names) == ("YX", ("DAPI",))


def test_older_versions_name_axes_by_letters_or_not_at_all(tmp_path: Path) -> None:
    assert (
        read_image(write_zarr(tmp_path / "3.zarr", noise(3, 20, 30), version="0.3", axes=["z", "y", "x"])).axes == "ZYX"
    )
    assert read_image(write_zarr(tmp_path / "1.zarr", noise(2, 2, 2, 20, 30), version="0.1")).axes == "TCZYX"


def test_units_other_than_lengths_are_no_pixel_size(tmp_path: Path) -> None:
    for number, unit in enumerate((None, "pixel", "inch")):
        path = write_zarr(tmp_path / f"{number}.zarr", noise(20, 30), axes=axes_of("YX", unit), scale=[0.5, 0.5])
        assert read_image(path).pixel_size_um == {}
    path = write_zarr(tmp_path / "nm.zarr", noise(20, 30), axes=axes_of("YX", "nanometer"), scale=[500, 250])
    assert read_image(path).pixel_size_um == {"Y": 0.5, "X": 0.25}


@pytest.mark.parametrize(
    ("unit", "interval_s"), [("second", 2.5), ("minute", 150), ("millisecond", 0.0025), (None, None)]
)
def test_the_interval_between_frames_is_read_in_seconds(
    tmp_path: Path, unit: str | None, interval_s: float | None
) -> None:
    axes = [{"name": "t", "type": "time"} | ({"unit": unit} if unit else {}), *axes_of("YX")]
    path = write_zarr(tmp_path / "movie.zarr", noise(3, 20, 30), axes=axes, scale=[2.5, 1, 1])
    assert read_image(path).frame_interval_s == interval_s


def test_the_origin_is_read_in_micrometres(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "cells.zarr", noise(4, 20, 30), version="0.4", axes=axes_of("ZYX", "nanometer"))
    attributes = json.loads((path / ".zattrs").read_text())
    (multiscale,) = attributes["multiscales"]
    multiscale["datasets"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 250, 250]},
        {"type": "translation", "translation": [0, 1000, 3000]},
    ]
    multiscale["coordinateTransformations"] = [
        {"type": "scale", "scale": [1000, 2, 1]},
        {"type": "translation", "translation": [0, 500, -3000]},
    ]
    (path / ".zattrs").write_text(json.dumps(attributes))
    image = read_image(path)
    assert image.pixel_size_um == {"Z": 1, "Y": 0.5, "X": 0.25}
    assert image.origin_um == {"Y": 2.5}
    multiscale["axes"] = axes_of("ZYX", None)
    (path / ".zattrs").write_text(json.dumps(attributes))
    assert read_image(path).origin_um == {}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_an_image_are_found(tmp_path: Path, version: str) -> None:
    path = write_zarr(tmp_path / "cells.zarr", noise(3, 20, 30), version=version, axes=axes_of("CYX"))
    labels = noise(20, 30, dtype="int32")
    write_zarr(path / "labels" / "nuclei", labels, version=version, axes=axes_of("YX"))
    parent = zarr.open_group(str(path / "labels"), mode="a", zarr_format=3 if version == "0.5" else 2)
    parent.attrs.update({"ome": {"labels": ["nuclei"]}} if version == "0.5" else {"labels": ["nuclei"]})
    np.testing.assert_array_equal(np.asarray(read_labels(path).data), labels)
    np.testing.assert_array_equal(np.asarray(read_labels(path / "labels" / "nuclei").data), labels)
    parent.attrs.update(
        {"ome": {"labels": ["nuclei", "cells"]}} if version == "0.5" else {"labels": ["nuclei", "cells"]}
    )
    with pytest.raises(FileError, match="2 sets of labels"):
        read_labels(path)


def test_labels_that_are_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="3 channels"):
        read_labels(write_zarr(tmp_path / "cells.zarr", noise(3, 20, 30), axes=axes_of("CYX")))
    with pytest.raises(ImageError, match="negative"):
        read_labels(write_zarr(tmp_path / "other.zarr", noise(4, 20, 30, dtype="int16") - 100, axes=axes_of("ZYX")))


def test_plates_wells_and_collections_say_what_to_give(tmp_path: Path) -> None:
    cases = {
        "plate": ({"plate": {"wells": [{"path": "B/03"}]}}, r"plate of 1 wells.*B.03.0"),
        "well": ({"well": {"images": [{"path": "0"}, {"path": "1"}]}}, "well of 2 fields"),
        "nothing": ({}, "without OME metadata"),
    }
    for name, (attributes, message) in cases.items():
        group = zarr.open_group(str(tmp_path / name), mode="w", zarr_format=2)
        group.attrs.update(attributes)
        with pytest.raises(FileError, match=message):
            read_image(tmp_path / name)
    write_zarr(tmp_path / "nothing" / "0", noise(20, 30), version="0.4", axes=axes_of("YX"))
    (tmp_path / "nothing" / "OME").mkdir()
    (tmp_path / "nothing" / "OME" / ".zgroup").write_text('{"zarr_format": 2}')  # as bioformats2raw writes it
    with pytest.raises(FileError, match=r"Give one of its members: \S*nothing.0\.$"):
        read_image(tmp_path / "nothing")


def test_a_plain_array_needs_axes(tmp_path: Path) -> None:
    path = tmp_path / "array.zarr"
    zarr.create_array(str(path), data=noise(4, 20, 30))
    with pytest.raises(FileError, match="does not say what its 3 dimensions are"):
        read_image(path)
    assert read_image(path, axes="CYX").axes == "CYX"


@pytest.mark.parametrize(
    "damage",
    [
        {"multiscales": "no list"},
        {"multiscales": [{}]},
        {"multiscales": [{"datasets": []}]},
        {"multiscales": [{"axes": [{"name": "x"}], "datasets": [{"path": "0"}]}]},
        {"multiscales": [{"axes": [{"kind": "x"}, 3], "datasets": [{"path": "0"}]}]},
        {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "7"}]}]},
        {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "../../secret"}]}]},
        {"multiscales": [{"axes": ["angle", "x"], "datasets": [{"path": "0"}]}]},
        {"multiscales": [{"axes": ["y", "y"], "datasets": [{"path": "0"}]}]},
    ],
)
def test_damaged_metadata_are_our_error(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = write_zarr(tmp_path / "cells.zarr", noise(20, 30), version="0.4", axes=axes_of("YX"))
    (path / ".zattrs").write_text(json.dumps(damage))
    with pytest.raises((FileError, ImageError)):
        read_image(path)


def test_damaged_stores_are_our_error(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "cells.zarr", noise(20, 30), version="0.4", axes=axes_of("YX"))
    described = json.loads((path / "0" / ".zarray").read_text())
    for change in ({"shape": [10**7, 10**7], "chunks": [10**7, 10**7]}, {"dtype": "<q99"}, {"shape": [-1, 5]}):
        (path / "0" / ".zarray").write_text(json.dumps(described | change))
        with pytest.raises((FileError, ImageError)):
            read_image(path)
    (path / "0" / ".zarray").write_text(json.dumps(described))
    chunk = next(p for p in (path / "0").rglob("*") if p.is_file() and not p.name.startswith("."))
    chunk.write_bytes(b"garbage")
    with pytest.raises(FileError, match="pixels are damaged"):
        np.asarray(read_image(path).data)


def test_stores_are_found_as_images(tmp_path: Path) -> None:
    for version in ("0.4", "0.5"):
        write_zarr(tmp_path / f"{version}.zarr", noise(20, 30), version=version, axes=axes_of("YX"))
    assert len(find_images([tmp_path])) == 2
    assert find_images([tmp_path / "0.4.zarr"]) == [tmp_path / "0.4.zarr"]


def test_real_stores(test_data: Path) -> None:
    path = test_data / "zarr" / "cardiomyocyte_B03_mip_lowres.ome.zarr"
    image, labels = read_image(path), read_labels(path)
    assert (image.axes, image.shape, image.channel_names) == ("CYX", (3, 540, 640), ("DAPI", "nanog", "Lamin B1"))
    assert (labels.axes, labels.shape, labels.pixel_size_um) == ("YX", (540, 640), {"Y": 1.3, "X": 1.3})
