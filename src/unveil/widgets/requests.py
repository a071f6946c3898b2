"""What a panel asks for, as values, and how it is computed in a job's thread: no Qt, no layers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.events import Monitor
from unveil.image import Image
from unveil.widgets.growing_levels import Growth
from unveil.widgets.layers import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unveil.model.model import Model
    from unveil.tasks.results import Denoised, Segmentation


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One run of a model on a layer, as the panel stood when the button was pressed.

    Attributes
    ----------
    layer_id
        The layer's `unique_id`.
    cut
        Axes along which only the plane shown is computed.
    target
        The OME-Zarr folder that results larger than memory are written to; None for arrays in memory.
    growth
        What is there to show before a result on the disk is whole.
    """

    layer_id: Any
    source: Source
    cut: str
    model: Path
    options: RunOptions
    target: Path | None = None
    growth: Growth = field(default_factory=Growth)

    @property
    def plane(self) -> dict[str, int]:
        """Where the plane is that is shown, along the axes of `cut`."""
        return {axis: self.source.position[axis] for axis in self.cut}

    @property
    def key(self) -> Hashable:
        """What makes two runs "the same": layer, model, channel, and the plane if it is one."""
        return self.layer_id, self.model, self.options.channel, tuple(self.plane.items())


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A result on the disk: its levels, the finest first, read when they are shown.

    Attributes
    ----------
    file
        The OME-Zarr folder.
    image
        Probabilities, or the denoised image.
    """

    file: Path
    image: tuple[Image, ...]
    labels: tuple[Image, ...] = ()
    uncertainty: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """A segmentation with its measurements, and the image they were measured on.

    Attributes
    ----------
    stored
        Where it lies, if it does not lie in memory.
    plane
        Where the image lies in the layer, if it is one plane of it.
    """

    segmentation: Segmentation
    image: Image
    table: dict[str, NDArray[Any]]
    stored: Stored | None = None
    plane: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """A denoised image; for `stored` see `Segmented`."""

    denoised: Denoised
    stored: Stored | None = None


def compute_segmentation(request: Request, monitor: Monitor) -> Segmented:
    """Segment and measure."""
    from unveil.tasks.segment import segment

    assert isinstance(request.options, SegmentationOptions)
    image = request.source.image(request.cut)
    result = segment(image, load(request.model), options=request.options, monitor=monitor)
    return _measured(result, image, request.plane)


def compute_separation(segmented: Segmented, options: SegmentationOptions) -> Segmented:
    """Separate the objects again by other thresholds, without the network, and measure them."""
    from unveil.tasks.segment import separate

    return _measured(separate(segmented.segmentation, options), segmented.image, segmented.plane)


def compute_measurements(segmented: Segmented, labels: Image) -> Segmented:
    """Measure the objects of `labels`, a segmentation's labels as a person has changed them."""
    changed = replace(segmented.segmentation, labels=labels)
    return replace(segmented, table=measure(changed, segmented.image, segmented.plane))


def measure(segmentation: Segmentation, image: Image, plane: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Measure the objects, and say in columns ``t`` and ``z`` in which `plane` they are, if it is one of several."""
    from unveil.tasks.measure import measure_segmentation

    table = measure_segmentation(segmentation, image)
    index = table["index"]
    return {
        "index": index,
        **{axis.lower(): np.full(len(index), plane[axis]) for axis in "TZ" if axis in plane},
        **table,
    }


def compute_denoising(request: Request, monitor: Monitor) -> Restored:
    """Denoise."""
    from unveil.tasks.denoise import denoise

    assert isinstance(request.options, DenoisingOptions)
    image = request.source.image(request.cut)
    denoised = denoise(image, load(request.model), options=request.options, monitor=monitor)
    if denoised.residual is None:
        return Restored(denoised)
    residual = denoised.residual.like(np.asarray(denoised.residual.data), denoised.residual.axes)
    return Restored(replace(denoised, residual=residual))


def load(path: Path) -> Model:
    """Load a model, or return it as it was loaded before, if the file is still the same."""
    stat = path.stat() if path.exists() else None
    return _load(path, (stat.st_mtime_ns, stat.st_size) if stat is not None else None)


@lru_cache(maxsize=2)
def _load(path: Path, stamp: object) -> Model:
    from unveil.io.model_file import load_model

    return load_model(path)


def _measured(segmentation: Segmentation, image: Image, plane: Mapping[str, int]) -> Segmented:
    table = measure(segmentation, image, plane) if segmentation.card.objects else {}
    return Segmented(segmentation, image, table, plane=plane)
