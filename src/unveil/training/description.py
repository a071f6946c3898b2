"""What is noted of the data that a model learns from: its objects and its pixel size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import geometric_mean

import numpy as np

from unveil.config.objects import ObjectRule
from unveil.config.options import RESCALE_FROM
from unveil.data.annotation import Annotation
from unveil.image import Image, frames, whole
from unveil.operators.objects import ObjectFacts, object_facts

_SEPARATION = 0.4
"""The usual one (decision 0021)."""


def objects_of(pairs: Iterable[tuple[Image, Annotation]], n_dims: int) -> ObjectFacts:
    """Look at all objects of which a part was judged and whose outlines are drawn, plane by plane or as volumes.

    Their radius follows the image's pixel size, as the targets do.
    """
    found = [facts for image, drawn in pairs if drawn.has_outlines for facts in _facts(image, drawn, n_dims)]
    return ObjectFacts.of_all(found)


def object_rule(objects: ObjectFacts) -> ObjectRule:
    """Separate as is usual, and let growth reach half as far again as the largest training object does.

    It reaches no less far than usual: a few small objects are annotated soon, and do not say that there are no larger
    ones.
    """
    reach_px = int(np.ceil(1.5 * objects.largest_radius_px))
    return ObjectRule(separation=_SEPARATION, reach_px=max(ObjectRule().reach_px, reach_px))


def common_pixel_size(images: Sequence[Image]) -> dict[str, float]:
    """Return the pixel size that all images share, their mean where a run would not resize one to the other.

    Axes on which they differ by more, or on which one of them knows nothing, are left out.
    """
    sizes = {axis: [image.pixel_size_um.get(axis) for image in images] for axis in images[0].pixel_size_um}
    known = {axis: [um for um in of_axis if um is not None] for axis, of_axis in sizes.items()}
    return {
        axis: known[axis][0] if np.ptp(known[axis]) == 0 else float(f"{geometric_mean(known[axis]):.4g}")
        for axis in sizes
        if len(known[axis]) == len(images) and max(known[axis]) <= RESCALE_FROM * min(known[axis])
    }


def common_channel_names(images: Sequence[Image]) -> tuple[str, ...]:
    """Return the names of the channels; none where images name them differently."""
    names, *others = {image.channel_names for image in images}
    return () if others else names


def _facts(image: Image, annotation: Annotation, n_dims: int) -> Iterator[ObjectFacts]:
    for frame in frames(image, n_dims, (0,)):
        labels, mask = annotation.frame(frame.result_key(annotation.labels.axes, whole(frame.shape[1:])))
        yield object_facts(np.where(np.isin(labels, np.unique(labels[mask])), labels, 0), frame.spacing)
