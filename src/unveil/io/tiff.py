"""Read the TIFF family: OME-TIFF, ImageJ hyperstacks, BigTIFF, LSM, compressed, tiled, planar, big-endian.

What a file declares is checked against its size before anything is allocated. Up to 512 MiB are read at once; larger
images are mapped or decoded strip by strip when they are sliced.
"""

from __future__ import annotations

import logging
import math
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unveil.errors import FileError, UnveilError, UnveilWarning
from unveil.io.raster import Raster
from unveil.io.reordered import native
from unveil.io.tiff_metadata import axes_and_shape, channel_names, frame_interval_s, pixel_size_um, series_of
from unveil.words import count

AT_ONCE_BYTES = 2**29
"""Images up to this size are read into memory, larger ones when they are sliced."""
PIECE_LIMIT_BYTES = 2**31
"""Largest strip or tile that is decoded in one piece."""

_PREVIEWS = {"lsm", "svs", "scn", "ndpi", "bif", "qpi", "philips", "ventana", "avs", "indica"}
"""Formats that hold thumbnails and labels of the slide beside the image."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters is said in our errors


def read_tiff(path: Path, *, as_labels: bool) -> Raster:
    """Read the TIFF file at `path`.

    Parameters
    ----------
    as_labels
        Take numbers as they are: palettes and white-is-zero say how labels are shown, not what they are.

    Raises
    ------
    FileError
        If the file is truncated, damaged, or holds pages of unlike shape.
    """
    try:
        with _collected_logs() as logs:
            tif = tifffile.TiffFile(path)
            try:
                return _read(tif, path, logs, as_labels)
            except BaseException:
                tif.close()
                raise
    except (UnveilError, UnveilWarning):
        raise
    except MemoryError as error:
        raise FileError(f"{path} needs more memory than there is. Close other programs, or save it tiled.") from error
    except Exception as error:  # a parser of hostile bytes raises whatever it likes
        raise FileError(
            f"{path} is no TIFF file that can be read: it is truncated, damaged or of an unknown kind "
            f"({type(error).__name__}: {str(error)[:160]}). Copy it again, or export it anew as OME-TIFF."
        ) from error


def _read(tif: tifffile.TiffFile, path: Path, logs: list[str], as_labels: bool) -> Raster:
    n_pages = len(tif.pages)
    damage = next((log for log in logs if "TiffPages" in log), None)
    if damage or not n_pages:
        raise FileError(
            f"{path} is truncated or damaged: its list of pages leads nowhere after {count(n_pages, 'page')}. "
            f"Copy the file again, or export it anew as OME-TIFF."
        )
    series = _main_series(tif, path)
    _check_pages(series, path)
    page, axes = series.keyframe, axes_and_shape(series)[0]
    convert = native if as_labels else _intensities_of(page, path, is_imagej=bool(tif.is_imagej))
    size_um, interval_s = pixel_size_um(tif, series), frame_interval_s(tif, series)
    names, n_colours = _colours(page)
    if "S" not in axes or page.samplesperpixel == 1:
        names = channel_names(tif, series)
    pixels = _pixels(tif, series, path)  # last: it closes the file
    return Raster(
        pixels,
        axes,
        pixel_size_um=size_um,
        channel_names=names,
        n_colours=n_colours,
        convert=convert,
        frame_interval_s=interval_s,
    )


def _main_series(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    series = series_of(tif)
    if not series:
        raise FileError(f"{path} holds no image. Choose another file.")
    own = [one for one in series if any(page is not None and page.parent is tif for page in one.pages)]
    if not own:
        elsewhere = next(page.parent.filename for page in series[0].pages if page is not None)
        raise FileError(f"{path} tells of images whose pixels lie in other files. Choose one of these: {elsewhere}.")
    main, others = own[0], own[1:]
    if others and main.kind == "ome":
        warnings.warn(
            f"{path.name} holds {len(own)} images; the first one is read. Export the others as files of their own.",
            UnveilWarning,
            stacklevel=2,
        )
    elif others and main.kind not in _PREVIEWS:
        kinds = ", ".join(f"{'×'.join(map(str, one.shape))} {one.dtype}" for one in own[:4])
        raise FileError(
            f"{path} holds pages of unlike shape or kind ({kinds}{', …' if len(own) > 4 else ''}); "
            f"an image has pages of one shape. Save each kind as a file of its own."
        )
    return main


def _check_pages(series: tifffile.TiffPageSeries, path: Path) -> None:
    """Compare what every page declares with the bytes its file has."""
    key = series.keyframe
    n_missing = sum(page is None for page in series.pages)
    if n_missing:
        warnings.warn(
            f"{n_missing} of {len(series.pages)} planes that {path.name} names are missing; they are read as zeros. "
            f"Put all files of the image into one folder.",
            UnveilWarning,
            stacklevel=2,
        )
    for page in series.pages:
        if page is None:
            continue
        n_file, n_needed = page.parent.filehandle.size, _bytes_needed(page, key)
        if n_needed > n_file:
            raise FileError(
                f"{path} is truncated: page {page.index} needs {n_needed} bytes, and the file has {n_file}. "
                f"Copy the file again, or export it anew as OME-TIFF."
            )
    n_bytes = math.prod(axes_and_shape(series)[1]) * series.dtype.itemsize
    n_pages = n_missing + sum(page.nbytes for page in series.pages if page is not None) // max(1, key.nbytes)
    if n_pages * key.nbytes < n_bytes and series.dataoffset is None:
        raise FileError(
            f"{path} is truncated: it declares {n_bytes // max(1, key.nbytes)} planes and holds {n_pages}. "
            f"Copy the file again, or export it anew as OME-TIFF."
        )


def _bytes_needed(page: tifffile.TiffPage | tifffile.TiffFrame, key: tifffile.TiffPage) -> int:
    """Return where the last byte of a page's pixels lies, as its tags tell."""
    n_pixels = math.prod(key.shape) * key.bitspersample // 8 if key.compression == 1 else 0
    if n_pixels and len(page.dataoffsets) == 1:  # the declared count of one plain strip is often wrong, and not needed
        return int(page.dataoffsets[0]) + n_pixels
    ends = [at + n for at, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    return max(n_pixels, *ends, 0)


def _pixels(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> Any:
    """Return the pixels with all dimensions, length one included: in memory, mapped, or decoded on demand."""
    (_, shape), dtype, offset = axes_and_shape(series), series.dtype, series.dataoffset
    n_bytes = math.prod(shape) * dtype.itemsize
    if offset is not None and offset + n_bytes > tif.filehandle.size:
        raise FileError(
            f"{path} is truncated: its pixels need {offset + n_bytes} bytes, and the file has {tif.filehandle.size}. "
            f"Copy the file again, or export it anew as OME-TIFF."
        )
    if n_bytes <= AT_ONCE_BYTES:
        with tif:
            return series.asarray(squeeze=False)
    if offset is not None:
        with tif:
            return np.memmap(path, dtype.newbyteorder(tif.byteorder), "r", offset, shape)
    n_piece = math.prod(series.keyframe.chunks) * dtype.itemsize
    if n_piece > PIECE_LIMIT_BYTES:
        raise FileError(
            f"{path} is compressed in pieces of {n_piece / 2**30:.1f} GiB; up to {PIECE_LIMIT_BYTES / 2**30:.0f} GiB "
            f"are decoded at once. Save it tiled or uncompressed."
        )
    import zarr  # slow to import, and needed for large compressed files only

    try:
        import_module("tifffile.zarr")
    except (ImportError, ValueError) as error:  # a newer Zarr lacks what an older tifffile imports
        raise FileError(
            f"{path} is compressed and too large to be read at once, and the installed tifffile {tifffile.__version__} "
            f"cannot read parts of it with Zarr {zarr.__version__}. Run: pip install --upgrade tifffile zarr"
        ) from error
    array = zarr.open_array(series.aszarr(level=0, squeeze=False), mode="r")
    weakref.finalize(array, tif.close)
    return array


def _colours(page: tifffile.TiffPage) -> tuple[tuple[str, ...], int | None]:
    """Return the names of the colours, and how many samples are colours and not transparency."""
    samples, extra = page.samplesperpixel, tuple(int(kind) for kind in page.extrasamples)
    n_alpha = sum(kind in (1, 2) for kind in extra)
    match page.photometric:
        case tifffile.PHOTOMETRIC.RGB | tifffile.PHOTOMETRIC.YCBCR:
            return ("red", "green", "blue"), 3 if samples - n_alpha <= 4 else None
        case tifffile.PHOTOMETRIC.SEPARATED:
            return ("cyan", "magenta", "yellow", "black"), samples - n_alpha
        case tifffile.PHOTOMETRIC.CIELAB:
            return ("L*", "a*", "b*"), samples - n_alpha
        case _:
            return (), samples - n_alpha if n_alpha and samples > n_alpha else None


def _intensities_of(page: tifffile.TiffPage, path: Path, *, is_imagej: bool) -> Callable[[NDArray[Any]], NDArray[Any]]:
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not is_imagej and not _is_ramp(page.colormap):
        raise FileError(
            f"{path} uses a colour palette, so that its numbers are no intensities. "
            f"Save it as greyscale or RGB. (As labels it can be read.)"
        )
    dtype = page.dtype
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE or dtype is None or dtype.kind != "u":
        return native
    white = dtype.newbyteorder("=").type(2**page.bitspersample - 1)
    return lambda block: white - native(block)


def _is_ramp(colormap: NDArray[Any] | None) -> bool:
    """Say whether a palette grows from dark to bright, as look-up tables of microscopes do."""
    if colormap is None:
        return False
    return bool(np.all(np.diff(colormap.astype(float).sum(axis=0)) >= 0))


@contextmanager
def _collected_logs() -> Iterator[list[str]]:
    """Collect what tifffile logs in this thread: it goes on after damage that makes the image another one."""
    messages: list[str] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                messages.append(record.getMessage())

    collector, logger = Collector(logging.WARNING), logging.getLogger("tifffile")
    logger.addHandler(collector)
    try:
        yield messages
    finally:
        logger.removeHandler(collector)
