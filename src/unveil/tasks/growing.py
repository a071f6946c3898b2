"""Results that grow on the disk while they are computed, and what they depend on."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

import unveil
from unveil.axes import in_order, without
from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.events import Monitor, Notice
from unveil.image import Image
from unveil.io.growing_result import GrowingResult, is_growing, is_result
from unveil.model.card import ModelCard
from unveil.operators.uncertainty import NAMES
from unveil.tasks.results import SegmentationSink, WritableArray, denoised_axes, denoised_shape, segmentation_shapes

LABELS = "objects"
"""What the labels are called in an OME-Zarr result."""
UNCERTAINTY = "uncertainty"
"""What the image of the uncertainty is called there."""
_DEFAULTS = SegmentationOptions()
_OF_ZARR = re.compile(r"zarr\.json|\.z\w+|c|(c\.)?\d+(\.\d+)*")
"""What files of an OME-Zarr are called: metadata, and chunks."""


def identity(
    source: Mapping[str, JsonValue], card: ModelCard, options: RunOptions, others: Sequence[ModelCard] = ()
) -> dict[str, JsonValue]:
    """Say what the pixels of a result depend on: where it is the same, a run that was ended can be gone on with.

    Parameters
    ----------
    source
        What tells the image from others: file, size, time of its last change.
    others
        Of the models that are averaged with that of `card`.
    """
    return {
        "image": dict(source),
        "model": card.name,
        "card": _digest(card),
        **({"others": [_digest(other) for other in others]} if others else {}),
        "options": options.model_dump(mode="json"),
        "unveil": unveil.__version__,
    }


def _digest(card: ModelCard) -> str:
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


def file_traits(path: Path) -> dict[str, JsonValue]:
    """Return what tells this state of an image file, or of an OME-Zarr folder, from others.

    Results that lie in the folder of their image, tables and TIFF files too, do not count.
    """
    stats = [file.stat() for file in (_own_files(path) if path.is_dir() else [path])]
    return {
        "file": str(path.resolve()),
        "n_bytes": sum(stat.st_size for stat in stats),
        "changed_ns": max((stat.st_mtime_ns for stat in stats), default=0),
    }


def _own_files(folder: Path) -> Iterator[Path]:
    """Yield the files of an OME-Zarr folder, less all else that lies in it and the results that Unveil writes there."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not (is_growing(name) or is_result(Path(place, name)))]
        yield from filter(Path.is_file, (Path(place, name) for name in names if _OF_ZARR.fullmatch(name)))


def begin(path: Path, identity: Mapping[str, JsonValue], monitor: Monitor) -> GrowingResult:
    """Begin the result that will stand at `path`; `monitor` is told where one that was left unfinished is gone on with.

    Raises
    ------
    FileError
        See `GrowingResult.open`.
    """
    growing = GrowingResult.open(path, identity)
    if growing.resumed:
        monitor(Notice(f"Going on with {growing.path.name}: {len(growing.journal)} tiles were written before."))
    return growing


def segmentation_sink(
    result: GrowingResult, image: Image, card: ModelCard, options: SegmentationOptions = _DEFAULTS
) -> SegmentationSink:
    """Return the arrays of a segmentation: probabilities as the image of `result`, labels as its labels.

    The uncertainty, where it is asked for, becomes an image in the folder `UNCERTAINTY` of the result. What lies
    between, as the distance, is gone once the result is whole.
    """
    axes, n_dims = without(image.axes, "C"), card.n_dims
    shapes = segmentation_shapes(image, card, options)

    def maps(name: str, channels: Sequence[str], folder: str = "") -> WritableArray:
        inner = in_order(axes + "C")
        return result.image(image, inner, shapes[name], "f4", channel_names=channels, n_dims=n_dims, folder=folder)

    def scratch(name: str) -> WritableArray | None:
        return result.scratch(name, shapes[name], "f4", n_dims=n_dims) if name in shapes else None

    def make(shape: tuple[int, ...], dtype: Any) -> WritableArray:
        return result.scratch("denoised", shape, dtype, n_dims=n_dims)

    return SegmentationSink(
        labels=result.labels(LABELS, image, axes, shapes["labels"], n_dims=n_dims),
        probabilities=maps("probabilities", card.classes[1:]),
        distance=scratch("distance"),
        features=scratch("features"),
        uncertainty=maps("uncertainty", NAMES, UNCERTAINTY) if "uncertainty" in shapes else None,
        make=make,
    )


def denoised_array(result: GrowingResult, image: Image, card: ModelCard, options: DenoisingOptions) -> WritableArray:
    """Return the array that the denoised image is written to, the image of `result`."""
    axes, shape = denoised_axes(image, options.channel), denoised_shape(image, options.channel)
    names = image.channel_names if "C" in axes else ()
    return result.image(image, axes, shape, "f4", channel_names=names, n_dims=card.n_dims)
