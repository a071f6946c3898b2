"""Pixel size, interval between frames and channel names from what microscopes write into TIFF files.

Resolution tags are trusted where a microscope's software wrote them: with an ImageJ unit of length, or in pixels per
centimetre for pixels under 20 µm. Dots per inch, and the 96 or 300 dpi of office software, say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

import tifffile

from unveil.axes import without

UM_PER_UNIT = {
    "pm": 1e-6, "picometer": 1e-6,
    "å": 1e-4, "angstrom": 1e-4,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3, "nanometers": 1e-3, "nanometres": 1e-3,
    "µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0, "micrometers": 1.0,
    "micrometres": 1.0,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3, "millimeters": 1e3, "millimetres": 1e3,
    "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4, "centimeters": 1e4, "centimetres": 1e4,
    "m": 1e6, "meter": 1e6, "metre": 1e6,
}  # fmt: skip
"""Micrometres per unit of length, by the names that files use."""
S_PER_UNIT = {
    "ns": 1e-9, "nanosecond": 1e-9, "µs": 1e-6, "us": 1e-6, "microsecond": 1e-6, "ms": 1e-3, "msec": 1e-3,
    "millisecond": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "minute": 60.0,
    "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0,
    "days": 86400.0,
}  # fmt: skip
"""Seconds per unit of time, by the names that files use."""
_LARGEST_TRUSTED_CM_UM = 20.0
_PLAUSIBLE_UM = (1e-5, 1e5)


def um_per_unit(unit: object) -> float | None:
    """Return how many micrometres `unit` is; None for pixels, inches and what is not known."""
    return UM_PER_UNIT.get(_plain(unit))


def seconds(value: object, unit: object) -> float | None:
    """Return an interval of time, rounded to 7 digits; None where it is no positive number, or the unit not known."""
    number, factor = _number(value), S_PER_UNIT.get(_plain(unit))
    if number is None or factor is None or not (math.isfinite(number) and number > 0):
        return None
    return float(f"{number * factor:.7g}")


def plausible(sizes: Mapping[str, float]) -> dict[str, float]:
    """Return the sizes that are positive and between 0.01 nm and 10 cm, rounded to 7 digits."""
    low, high = _PLAUSIBLE_UM
    return {axis: float(f"{um:.7g}") for axis, um in sizes.items() if math.isfinite(um) and low <= um <= high}


def series_of(tif: tifffile.TiffFile) -> Sequence[tifffile.TiffPageSeries]:
    """Return the images of a file, with axes of length one where tifffile (from 2026.5 on) must be asked for them."""
    return tif.series(squeeze=False) if callable(tif.series) else tif.series


def axes_and_shape(series: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Return all axes and their lengths, those of length one included."""
    if hasattr(series, "get_axes") and hasattr(series, "get_shape"):  # tifffile before 2026.5
        return series.get_axes(False), series.get_shape(False)
    return series.axes, series.shape


def named_axes(path: Path) -> dict[str, int]:
    """Return the axes of the first image that an OME-TIFF, ImageJ or LSM file names, with their lengths; else none.

    Only what the file says is read, no pixels. Nothing is known of a file that cannot be read.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            if not (tif.is_ome or tif.is_imagej or tif.is_lsm):
                return {}
            axes, shape = axes_and_shape(series_of(tif)[0])
    except Exception:  # a parser of hostile bytes raises whatever it likes; who reads the pixels is told
        return {}
    return dict(zip(axes, shape, strict=True))


def pixel_size_um(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> dict[str, float]:
    """Return the pixel size per spatial axis in micrometres; axes of unknown size are left out."""
    page = series.keyframe
    if tif.is_ome:
        return plausible(_ome_sizes(_ome_pixels(tif, series)))
    if tif.is_imagej:
        return plausible(_imagej_sizes(tif, page))
    if tif.is_lsm:
        metadata = tif.lsm_metadata or {}
        return plausible({axis: 1e6 * float(metadata.get(f"VoxelSize{axis}", 0)) for axis in "ZYX"})
    if page.resolutionunit == tifffile.RESUNIT.CENTIMETER:
        return _trusted_cm(_resolution_sizes(page, 1e4))
    return {}


def frame_interval_s(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> float | None:
    """Return the seconds from one time point to the next; None where the file does not say."""
    if tif.is_ome:
        pixels = _ome_pixels(tif, series)
        return seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    if tif.is_imagej:
        metadata = tif.imagej_metadata or {}
        return seconds(metadata.get("finterval"), metadata.get("tunit", "sec"))
    if tif.is_lsm:
        return seconds((tif.lsm_metadata or {}).get("TimeIntervall"), "s")
    return None


def channel_names(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[str, ...]:
    """Return the names of the channels where each has one of its own, else none."""
    axes, shape = axes_and_shape(series)
    n_channels = shape[axes.index("C")] if "C" in axes else 1
    names: list[str] = []
    if tif.is_ome:
        names = [e.get("Name", "").strip() for e in _ome_pixels(tif, series) if _tag(e) == "Channel"]
    elif tif.is_imagej:
        names = [name.strip() for name in _imagej_names(tif, axes, shape)]
    return tuple(names) if len(names) == n_channels == len(set(names)) and all(names) else ()


def _ome_pixels(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Element:
    """Return the Pixels element of the image in the OME-XML that is called like `series`, or of the first."""
    try:
        images = [e for e in fromstring(tif.ome_metadata or "").iter() if _tag(e) == "Image"]
    except ParseError:  # damaged metadata cost the pixel size, not the image
        images = []
    images.sort(key=lambda image: image.get("Name", "") != series.name)
    return next((e for image in images for e in image if _tag(e) == "Pixels"), Element("Pixels"))


def _ome_sizes(pixels: Element) -> dict[str, float]:
    sizes = {}
    for axis in "ZYX":
        factor = um_per_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        size = _number(pixels.get(f"PhysicalSize{axis}"))
        if factor is not None and size is not None:
            sizes[axis] = size * factor
    return sizes


def _plain(unit: object) -> str:
    return str(unit).strip().replace("\\u00B5", "µ").replace("\u03bc", "µ").lower()


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _imagej_sizes(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, float]:
    metadata = tif.imagej_metadata or {}
    factor = um_per_unit(metadata.get("unit", ""))
    if factor is None:
        return {}
    sizes = _resolution_sizes(page, factor)
    if factor == UM_PER_UNIT["cm"]:
        sizes = _trusted_cm(sizes)
    spacing = _number(metadata.get("spacing"))  # no office software writes it
    if spacing is not None:
        sizes["Z"] = abs(spacing) * factor
    return sizes


def _imagej_names(tif: tifffile.TiffFile, axes: str, shape: Sequence[int]) -> list[str]:
    """Return one slice label per channel, where the labels are the same in all planes of a channel."""
    labels = [str(label) for label in (tif.imagej_metadata or {}).get("Labels", [])]
    outer = without(axes, "YXS")
    sizes = [shape[axes.index(axis)] for axis in outer]
    if "C" not in outer or len(labels) != math.prod(sizes):
        return []
    inner = math.prod(sizes[outer.index("C") + 1 :])
    n_channels = sizes[outer.index("C")]
    per_channel = [
        {label for at, label in enumerate(labels) if at // inner % n_channels == c} for c in range(n_channels)
    ]
    return [min(names) for names in per_channel] if all(len(names) == 1 for names in per_channel) else []


def _resolution_sizes(page: tifffile.TiffPage, um: float) -> dict[str, float]:
    """Return Y and X from the resolution tags, which count pixels per unit of `um` micrometres."""
    per_x, per_y = page.get_resolution()
    return {axis: um / per for axis, per in (("Y", per_y), ("X", per_x)) if per > 0}


def _trusted_cm(sizes: dict[str, float]) -> dict[str, float]:
    return plausible({axis: um for axis, um in sizes.items() if um <= _LARGEST_TRUSTED_CM_UM})


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
