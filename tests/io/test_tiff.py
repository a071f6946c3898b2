from __future__ import annotations

import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from unveil.errors import FileError, ImageError, UnveilWarning
from unveil.io import tiff
from unveil.io.images import read_image, read_labels
from unveil.io.reordered import Reordered
from unveil.io.tiff_metadata import um_per_unit


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd"},
        {"tile": (32, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"rowsperstrip": 7, "compression": "packbits"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib", "predictor": True},
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", "uint32"])
def test_every_storage_gives_the_same_pixels(tmp_path: Path, options: dict[str, Any], dtype: str) -> None:
    pixels = noise(50, 61, dtype=dtype)
    tifffile.imwrite(tmp_path / "cells.tif", pixels, photometric="minisblack", **options)
    image = read_image(tmp_path / "cells.tif")
    assert image.axes == "YX"
    assert image.name == "cells"
    assert np.asarray(image.data).dtype == np.dtype(dtype)
    assert np.dtype(image.data.dtype).isnative
    np.testing.assert_array_equal(np.asarray(image.data[...]), pixels)


def test_colours_become_channels_and_transparency_goes(tmp_path: Path) -> None:
    pixels = noise(20, 30, 4, dtype="uint8")
    tifffile.imwrite(tmp_path / "rgb.tif", pixels[..., :3], photometric="rgb")
    tifffile.imwrite(tmp_path / "rgba.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    planar = np.moveaxis(pixels[..., :3], -1, 0)
    tifffile.imwrite(tmp_path / "planar.tif", planar, photometric="rgb", planarconfig="separate")
    for name in ("rgb.tif", "rgba.tif", "planar.tif"):
        image = read_image(tmp_path / name)
        assert (image.axes, image.shape, image.channel_names) == ("CYX", (3, 20, 30), ("red", "green", "blue"))
        np.testing.assert_array_equal(np.asarray(image.data), planar)


def test_grey_with_transparency_is_grey(tmp_path: Path) -> None:
    pixels = noise(20, 30, 2, dtype="uint8")
    tifffile.imwrite(
        tmp_path / "grey.tif", pixels, photometric="minisblack", planarconfig="contig", extrasamples=["assocalpha"]
    )
    image = read_image(tmp_path / "grey.tif")
    assert image.axes == "YX"
    np.testing.assert_array_equal(np.asarray(image.data), pixels[..., 0])


def test_white_is_zero_is_turned_round_for_images_and_not_for_labels(tmp_path: Path) -> None:
    pixels = noise(20, 30, dtype="uint8")
    tifffile.imwrite(tmp_path / "white.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "white.tif").data), 255 - pixels)
    np.testing.assert_array_equal(np.asarray(read_labels(tmp_path / "white.tif").data), pixels)


def test_a_palette_is_refused_as_image_unless_it_is_a_ramp(tmp_path: Path) -> None:
    pixels = noise(20, 30, dtype="uint8")
    ramp = np.zeros((3, 256), np.uint16)
    ramp[1] = np.arange(256) * 257
    random = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "green.tif", pixels, photometric="palette", colormap=ramp)
    tifffile.imwrite(tmp_path / "colours.tif", pixels, photometric="palette", colormap=random)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "green.tif").data), pixels)
    with pytest.raises(FileError, match="colour palette"):
        read_image(tmp_path / "colours.tif")
    np.testing.assert_array_equal(np.asarray(read_labels(tmp_path / "colours.tif").data), pixels)


@pytest.mark.parametrize("axes", ["TZCYX", "ZCYX", "TYX", "CYX", "ZYX", "TCYX"])
def test_imagej_hyperstacks(tmp_path: Path, axes: str) -> None:
    sizes = {"T": 3, "Z": 5, "C": 2, "Y": 20, "X": 30}
    pixels = noise(*(sizes[a] for a in axes))
    metadata = {"axes": axes, "unit": "micron", "spacing": 1.5, "finterval": 2.0}
    tifffile.imwrite(tmp_path / "stack.tif", pixels, imagej=True, resolution=(1 / 0.65, 1 / 0.5), metadata=metadata)
    image = read_image(tmp_path / "stack.tif")
    expected = [a for a in "TCZYX" if a in axes]
    assert image.axes == "".join(expected)
    assert image.pixel_size_um == {"Y": 0.5, "X": 0.65} | ({"Z": 1.5} if "Z" in axes else {})
    assert image.frame_interval_s == (2.0 if "T" in axes else None)
    np.testing.assert_array_equal(np.asarray(image.data), pixels.transpose([axes.index(a) for a in expected]))


@pytest.mark.parametrize(
    ("metadata", "interval_s"),
    [
        ({"finterval": 1.5, "tunit": "min"}, 90),
        ({"finterval": 0}, None),
        ({"finterval": 2, "tunit": "frame"}, None),
        ({"TimeIncrement": 250, "TimeIncrementUnit": "ms"}, 0.25),
        ({"TimeIncrement": 5}, 5),
        ({}, None),
    ],
)
def test_intervals_between_frames_are_seconds(
    tmp_path: Path, metadata: dict[str, Any], interval_s: float | None
) -> None:
    path, is_ome = tmp_path / "movie.ome.tif", "TimeIncrement" in metadata
    tifffile.imwrite(path, noise(3, 20, 30), imagej=not is_ome, ome=is_ome, metadata={"axes": "TYX", **metadata})
    assert read_image(path).frame_interval_s == interval_s
    assert read_image(path, axes="ZYX").frame_interval_s is None


@pytest.mark.parametrize("unit", ["nanometer", "micrometer", "millimeter", "centimeter"])
def test_a_unit_in_the_plural_is_the_same_unit(unit: str) -> None:
    british = unit.replace("meter", "metre")
    assert um_per_unit(unit) == um_per_unit(f"{unit}s") == um_per_unit(british) == um_per_unit(f"{british}s")


@pytest.mark.parametrize(
    ("prefix", "name", "metres"),
    [
        *(("", "", 1), ("c", "centi", 1e-2), ("m", "milli", 1e-3), ("µ", "micro", 1e-6), ("n", "nano", 1e-9)),
        *((letter, "micro", 1e-6) for letter in ("u", "\u03bc", "\\u00B5")),
    ],
)
def test_units_are_those_of_physics(prefix: str, name: str, metres: float) -> None:
    for unit in (f"{prefix}m", f"{name}meter", f" {name}metre ".upper()):
        assert um_per_unit(unit) == pytest.approx(metres * 1e6, rel=1e-12)
    assert um_per_unit("pm") == um_per_unit("picometer") == pytest.approx(1e-6, rel=1e-12)
    assert um_per_unit("Å") == um_per_unit("angstrom") == pytest.approx(1e-4, rel=1e-12)
    assert [um_per_unit(unit) for unit in ("pixel", "inch", "", None)] == [None] * 4


@pytest.mark.parametrize(
    ("order", "labels", "names"),
    [
        ("czt", ["DAPI", "GFP"] * 3, ("DAPI", "GFP")),
        ("zct", ["DAPI"] * 3 + ["GFP"] * 3, ("DAPI", "GFP")),
        ("czt", ["DAPI", "GFP", "DAPI", "GFP", "DAPI", "Cy5"], ()),  # no name of the channel
        ("czt", ["DAPI", "DAPI"] * 3, ()),
        ("czt", ["DAPI", "GFP"], ()),  # not one per plane
    ],
)
def test_slice_labels_of_imagej_name_channels(
    tmp_path: Path, order: str, labels: list[str], names: tuple[str, ...]
) -> None:
    metadata = {"axes": "ZCYX", "Labels": labels} | ({"order": order} if order != "czt" else {})
    tifffile.imwrite(tmp_path / "stack.tif", noise(3, 2, 20, 30), imagej=True, metadata=metadata)
    image = read_image(tmp_path / "stack.tif")
    assert (image.axes, image.shape, image.channel_names) == ("CZYX", (2, 3, 20, 30), names)


@pytest.mark.parametrize(("pixel_um", "known"), [(0.5, {"Z": 50.0, "Y": 0.5, "X": 0.5}), (264.6, {"Z": 50.0})])
def test_planes_in_centimetres_may_lie_further_apart_than_pixels(
    tmp_path: Path, pixel_um: float, known: dict[str, float]
) -> None:
    metadata = {"axes": "ZYX", "unit": "cm", "spacing": 50e-4}
    resolution = (1e4 / pixel_um, 1e4 / pixel_um)
    tifffile.imwrite(tmp_path / "stack.tif", noise(3, 20, 30), imagej=True, resolution=resolution, metadata=metadata)
    assert read_image(tmp_path / "stack.tif").pixel_size_um == known


def test_ome_tiff(tmp_path: Path) -> None:
    pixels = noise(2, 4, 3, 20, 30)
    metadata = {
        "axes": "TZCYX", "PhysicalSizeX": 325.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.000325,
        "PhysicalSizeYUnit": "mm", "PhysicalSizeZ": 2.0, "Channel": {"Name": ["DAPI", "488", "Cy5"]},
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "cells.ome.tif", pixels, metadata=metadata)
    image = read_image(tmp_path / "cells.ome.tif")
    assert (image.axes, image.name) == ("TCZYX", "cells")
    assert image.pixel_size_um == {"Z": 2.0, "Y": 0.325, "X": 0.325}
    assert image.channel_names == ("DAPI", "488", "Cy5")
    np.testing.assert_array_equal(np.asarray(image.data), pixels.transpose(0, 2, 1, 3, 4))


def test_dots_per_inch_are_no_pixel_size(tmp_path: Path) -> None:
    for number, (unit, resolution) in enumerate([("INCH", 72), ("INCH", 300), ("CENTIMETER", 37.8), ("NONE", 2)]):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, noise(20, 30), resolution=(resolution, resolution), resolutionunit=unit)
        assert read_image(path).pixel_size_um == {}
    tifffile.imwrite(tmp_path / "cm.tif", noise(20, 30), resolution=(20_000, 10_000), resolutionunit="CENTIMETER")
    assert read_image(tmp_path / "cm.tif").pixel_size_um == {"Y": 1.0, "X": 0.5}


def test_unnamed_pages_are_depth_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    pixels = noise(6, 20, 30)
    tifffile.imwrite(tmp_path / "named.tif", pixels, photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for page in pixels:
            writer.write(page, photometric="minisblack", metadata=None, contiguous=False)
    for name in ("named.tif", "pages.tif"):
        assert read_image(tmp_path / name).axes == "ZYX"
        assert read_image(tmp_path / name, axes="TYX").axes == "TYX"
        turned = read_image(tmp_path / name, axes="YXC")
        assert (turned.axes, turned.shape) == ("CYX", (30, 6, 20))


def test_a_few_unnamed_pages_are_read_as_depth_with_a_warning(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "three.tif", noise(3, 20, 30), photometric="minisblack")
    with pytest.warns(UnveilWarning, match="does not say what its 3 pages are"):
        assert read_image(tmp_path / "three.tif").axes == "ZYX"
    assert read_image(tmp_path / "three.tif", axes="CYX").axes == "CYX"


def test_two_unnamed_dimensions_are_an_error_that_asks_for_axes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "four.tif", noise(2, 3, 20, 30), photometric="minisblack")
    with pytest.raises(ImageError, match="Give the axes yourself, one letter per dimension, such as TZYX"):
        read_image(tmp_path / "four.tif")
    assert read_image(tmp_path / "four.tif", axes="ZCYX").shape == (3, 2, 20, 30)
    with pytest.raises(ImageError, match="the array has 4 dimensions"):
        read_image(tmp_path / "four.tif", axes="ZYX")


def test_axes_that_do_not_fit_are_told_with_the_file_and_what_was_given(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, noise(2, 3, 20, 30), photometric="minisblack")
    assert read_labels(path, axes="TCZYX").axes == "TZYX"  # those of its image
    with pytest.raises(ImageError, match="the array has 4 dimensions") as refused:
        read_labels(path, axes="czyx")
    assert str(refused.value).startswith(f"{path}: labels have no channels, so that of CZYX they have ZYX. Axes 'ZYX'")
    with pytest.raises(ImageError, match="Axes 'ZYX' do not describe the image") as refused:
        read_image(path, axes="ZYX")
    assert str(refused.value).startswith(f"{path}: ")


def test_axes_may_name_dimensions_of_length_one(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.ome.tif", noise(1, 4, 1, 20, 30), metadata={"axes": "TZCYX"})
    assert read_image(tmp_path / "one.ome.tif").axes == "ZYX"
    assert read_image(tmp_path / "one.ome.tif", axes="tyx").axes == "TYX"
    image = read_image(tmp_path / "one.ome.tif", axes="ZTCYX")
    assert (image.axes, image.shape) == ("TCZYX", (4, 1, 1, 20, 30))


def test_several_images_in_one_ome_tiff_are_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif") as writer:
        writer.write(noise(20, 30))
        writer.write(noise(20, 30) + 1)
    with pytest.warns(UnveilWarning, match=r"two\.ome\.tif holds 2 images"):
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "two.ome.tif").data), noise(20, 30))


def write_positions(folder: Path, *, compression: str | None) -> list[Path]:
    """Write three positions of a stage as microscopes do: a file each, and all files tell of all images."""
    names = [f"Pos{n}.ome.tif" for n in range(3)]
    images = "".join(
        f'<Image ID="Image:{n}" Name="Pos{n}"><Pixels ID="Pixels:{n}" DimensionOrder="XYZCT" Type="uint16" SizeX="30" '
        f'SizeY="20" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="{n + 1}" PhysicalSizeY="{n + 1}"><Channel '
        f'ID="Channel:{n}:0" Name="dye {n}" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"><UUID '
        f'FileName="{name}">urn:uuid:{n}</UUID></TiffData></Pixels></Image>'
        for n, name in enumerate(names)
    )
    for n, name in enumerate(names):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{n}">{images}</OME>'
        )
        options = {"description": xml, "metadata": None, "compression": compression}
        tifffile.imwrite(folder / name, np.full((20, 30), n, np.uint16), **options)
    return [folder / name for name in names]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_of_several_images_in_several_files_the_own_is_read(tmp_path: Path, compression: str | None) -> None:
    paths = write_positions(tmp_path, compression=compression)
    paths.pop(0).unlink()
    for n, path in enumerate(paths, 1):
        image = read_image(path)
        assert np.unique(image.data).tolist() == [n]
        assert (image.pixel_size_um, image.channel_names) == ({"Y": n + 1, "X": n + 1}, (f"dye {n}",))


def test_a_file_that_tells_of_others_alone_names_them(tmp_path: Path) -> None:
    paths = write_positions(tmp_path, compression=None)
    index = paths[0].read_bytes().replace(b'UUID="urn:uuid:0"', b'UUID="urn:uuid:9"')
    (tmp_path / "index.ome.tif").write_bytes(index)
    with pytest.raises(FileError, match=r"lie in other files. Choose one of these: Pos0\.ome\.tif"):
        read_image(tmp_path / "index.ome.tif")


def test_a_pyramid_is_read_at_its_finest_level(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pyramid.ome.tif") as writer:
        writer.write(noise(64, 64), subifds=1, tile=(16, 16))
        writer.write(noise(64, 64)[::2, ::2], subfiletype=1, tile=(16, 16))
    assert read_image(tmp_path / "pyramid.ome.tif").shape == (64, 64)


def test_pages_of_unlike_shape_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as writer:
        writer.write(noise(20, 30), metadata=None)
        writer.write(noise(21, 30), metadata=None)
    with pytest.raises(FileError, match="pages of unlike shape"):
        read_image(tmp_path / "mixed.tif")


def test_a_plane_in_a_missing_file_is_said(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="20" SizeZ="6" '
        'SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        + "".join(
            f'<TiffData FirstZ="{z}" FirstC="0" FirstT="0" IFD="0">'
            f'<UUID FileName="{name}">urn:uuid:{uuid}</UUID></TiffData>'
            for z, (name, uuid) in enumerate([("a.ome.tif", "1")] + [("gone.ome.tif", "2")] * 5)
        )
        + "</Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", noise(20, 30), description=xml, metadata=None)
    with pytest.warns(UnveilWarning, match="5 of 6 planes"):
        image = read_image(tmp_path / "a.ome.tif")
    assert image.shape == (6, 20, 30)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["stack", "planes", "rgb"])
def test_large_images_are_read_when_sliced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str | None, kind: str
) -> None:
    pixels = noise(2, 5, 40, 50) if kind != "rgb" else noise(40, 50, 3, dtype="uint8")
    path = tmp_path / "large.tif"
    if kind == "stack":
        tifffile.imwrite(path, pixels.swapaxes(0, 1), ome=True, metadata={"axes": "ZTYX"}, compression=compression)
    elif kind == "planes":
        tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "TZYX"}, compression=compression, tile=(16, 16))
    else:
        tifffile.imwrite(path, pixels, photometric="rgb", compression=compression, byteorder=">")
        pixels = np.moveaxis(pixels, -1, 0)
    monkeypatch.setattr(tiff, "AT_ONCE_BYTES", 0)
    image = read_image(path)
    assert isinstance(image.data, Reordered)
    np.testing.assert_array_equal(np.asarray(image.data), pixels)
    np.testing.assert_array_equal(image.data[1, ..., 3:30, 7:9], pixels[1, ..., 3:30, 7:9])
    path.rename(tmp_path / "moved.tif")  # the file stays open as long as the image lives, and no longer
    del image


def test_a_tifffile_that_does_not_go_with_zarr_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tifffile 2026.3.3 beside Zarr 3.4: the file is not to blame."""
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, noise(40, 50), compression="zlib")
    monkeypatch.setattr(tiff, "AT_ONCE_BYTES", 0)
    monkeypatch.setitem(sys.modules, "tifffile.zarr", None)
    with pytest.raises(FileError, match="Run: pip install --upgrade tifffile zarr"):
        read_image(path)


def test_damage_found_when_slicing_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, noise(40, 50), compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(path) as tif:
        start = tif.pages.first.dataoffsets[2]
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    with pytest.raises(FileError):
        read_image(path)
    monkeypatch.setattr(tiff, "AT_ONCE_BYTES", 0)
    image = read_image(path)
    image.data[:10]
    with pytest.raises(FileError, match="pixels are damaged"):
        image.data[20:30]


def plain_tiff(
    width: int, height: int, *, bits: int = 8, compression: int = 1, offset: int = 200, count: int = 100
) -> bytes:
    """Write a TIFF header that declares what it likes, and 100 bytes of pixels."""
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, count),
    ]  # fmt: skip
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", 0)
    return (b"II*\0" + struct.pack("<I", 8) + ifd).ljust(200, b"\0") + bytes(100)


HOSTILE = {
    "empty": b"",
    "signature alone": b"II*\0",
    "pages nowhere": b"II*\0" + struct.pack("<I", 2**31),
    "pages at zero": b"II*\0" + struct.pack("<I", 0),
    "first page is the header": b"II*\0" + struct.pack("<I", 4) + b"\xff" * 100,
    "text": b"Plate\tWell\tCount\n" * 10,
    "gigantic": plain_tiff(2**31 - 1, 2**31 - 1),
    "gigantic and compressed": plain_tiff(2**31 - 1, 2**31 - 1, compression=8),
    "large and compressed": plain_tiff(40_000, 40_000, compression=8),
    "larger than the file": plain_tiff(100, 100),
    "pixels beyond the end": plain_tiff(10, 10, offset=10**6),
    "garbage for a stream": plain_tiff(10, 10, compression=8),
    "unknown compression": plain_tiff(10, 10, compression=31_337),
    "no pixels": plain_tiff(0, 10),
    "odd bits": plain_tiff(10, 10, bits=61),
    "loop": plain_tiff(10, 10)[:118] + struct.pack("<I", 8) + plain_tiff(10, 10)[122:],
    "big header": b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63) + bytes(50),
    "many entries": b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(100),
}

READ_UNDER_LIMIT = """
import resource, sys, time, warnings
from pathlib import Path
from unveil.errors import UnveilError
from unveil.io.images import read_image, read_labels
import zarr
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
warnings.simplefilter("ignore")
for path in sorted(Path(sys.argv[1]).iterdir()):
    for read in (read_image, read_labels):
        start = time.monotonic()
        try:
            image = read(path)
            image.data[(0,) * (len(image.axes) - 2)]
            print(path.name, read.__name__, "gives", image.axes, image.shape, image.data.dtype)
        except UnveilError as error:
            print(path.name, read.__name__, "is refused:", error)
        assert time.monotonic() - start < 20, path
print("all read")
"""


def read_all_under_limit(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", READ_UNDER_LIMIT, str(folder)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stderr == ""
    *lines, last = done.stdout.splitlines()
    assert last == "all read"
    return lines


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_hostile_files_are_refused_within_bounds(tmp_path: Path) -> None:
    for name, data in HOSTILE.items():
        (tmp_path / f"{name}.tif").write_bytes(data)
    (tmp_path / "sound.tif").write_bytes(plain_tiff(10, 10))
    results = dict(line.split(".tif ", 1) for line in read_all_under_limit(tmp_path))
    assert results.pop("sound") == "read_labels gives YX (10, 10) uint8"
    assert {name for name, result in results.items() if "is refused" not in result} == set()
    assert set(results) == set(HOSTILE)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_real_odd_files(test_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for path in (test_data / "odd_files").iterdir():
        if path.suffix not in (".md", ".csv"):
            (folder / path.name).symlink_to(path)
    lines = read_all_under_limit(folder)
    assert len(lines) == 2 * len(list(folder.iterdir()))
    refused = {line.split(" ")[0] for line in lines if "read_image is refused" in line}
    assert refused == {
        "imagetiff__gradient-1c-32b-float.tiff",
        "imagetiff__gradient-1c-64b.tiff",
        "imagetiff__miniswhite-1c-1b.tiff",
        "imagetiff__palette-1c-8b.tiff",
        "neubias__xyz__multiple_images.czi",
        "pillow__multipage.tiff",
        "pillow__multipage_multiple_frame_loop.tiff",
        "pillow__seek_too_large.tif",
    }


@pytest.mark.parametrize("imagej", [True, False])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_cut_anywhere_never_gives_other_pixels(tmp_path: Path, imagej: bool, compression: str | None) -> None:
    pixels = noise(5, 20, 30)
    path = tmp_path / "cut.tif"
    metadata = {"axes": "ZYX"}
    tifffile.imwrite(path, pixels, imagej=imagej, ome=not imagej, metadata=metadata, compression=compression)
    data = path.read_bytes()
    refused = 0
    for n_bytes in range(0, len(data) - 1, 97):
        path.write_bytes(data[:n_bytes])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                image = read_image(path)
        except (FileError, ImageError, UnveilWarning):
            refused += 1
        else:
            np.testing.assert_array_equal(np.asarray(image.data), pixels)
    assert refused > 10


def test_random_damage_gives_our_errors_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sources = []
    for number, options in enumerate(({"imagej": True}, {"ome": True, "compression": "zlib"}, {"tile": (16, 16)})):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, noise(3, 20, 30), metadata={"axes": "ZYX"}, photometric="minisblack", **options)
        sources.append(path.read_bytes())
    path = tmp_path / "damaged.tif"
    for _ in range(300):
        data = bytearray(sources[rng.integers(len(sources))])
        for _ in range(rng.integers(1, 20)):
            at = rng.integers(min(len(data), 700)) if rng.random() < 0.7 else rng.integers(len(data))
            data[at] = rng.integers(256)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnveilWarning)
            try:
                read_image(path)
            except (FileError, ImageError):
                continue


def test_other_formats_are_named(tmp_path: Path) -> None:
    for start, message in (
        (b"ZISRAWFILE" + bytes(50), "Zeiss CZI.*export it as OME-TIFF"),
        (b"\x89PNG\r\n", "PNG file"),
    ):
        (tmp_path / "other.tif").write_bytes(start)
        with pytest.raises(FileError, match=message):
            read_image(tmp_path / "other.tif")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read_image(tmp_path / "nothing.tif")
    with pytest.raises(FileError, match="is a folder and no OME-Zarr"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 4), -1, np.int16), "negative numbers"),
        (np.full((4, 4), 0.5, np.float32), "fractions"),
        (np.full((4, 4), np.nan, np.float32), "fractions"),
        (np.full((4, 4), 1e12, np.float32), "beyond"),
        (np.zeros((4, 4, 3), np.uint8), "3 channels; labels have one number per pixel"),
        (np.zeros((4, 4), np.complex64), "complex"),
    ],
)
def test_what_is_no_labels_is_refused(tmp_path: Path, pixels: NDArray[Any], message: str) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    with pytest.raises(ImageError, match=message):
        read_labels(tmp_path / "labels.tif")


def test_labels_of_every_kind(tmp_path: Path) -> None:
    mask = noise(20, 30) > 100
    tifffile.imwrite(tmp_path / "mask.tif", mask)  # "white is 0", and yet true stays true
    assert read_labels(tmp_path / "mask.tif").data.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(read_labels(tmp_path / "mask.tif").data), mask)
    with pytest.raises(ImageError, match="true/false pixels"):
        read_image(tmp_path / "mask.tif")
    tifffile.imwrite(tmp_path / "float.tif", noise(20, 30).astype(np.float32))
    assert read_labels(tmp_path / "float.tif").data.dtype == np.int32
    np.testing.assert_array_equal(np.asarray(read_labels(tmp_path / "float.tif").data), noise(20, 30))
