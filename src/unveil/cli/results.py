"""What `unveil segment` and `unveil denoise` do with one image: compute, and write the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unveil.cli.plan import Job
from unveil.cli.scratch import result_arrays
from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.events import Monitor

if TYPE_CHECKING:
    from unveil.image import Image
    from unveil.io.growing_result import GrowingResult
    from unveil.model.model import Model
    from unveil.tasks.results import RunReport

TABLE = "_objects.csv"
PROBABILITY = "_probability.tif"
UNCERTAINTY = "_uncertainty.tif"


def segment_one(
    job: Job,
    monitor: Monitor,
    *,
    model: Model,
    others: Sequence[Model] = (),
    axes: str | None,
    options: SegmentationOptions,
) -> RunReport:
    """Segment one image and write its results as TIFF, and as a table where one is planned."""
    from unveil.io.images import read_image
    from unveil.io.writing import write_image, write_labels, write_table
    from unveil.tasks.measure import measure_segmentation
    from unveil.tasks.results import SegmentationSink
    from unveil.tasks.segment import segment as segment_image

    image = read_image(job.image, axes=axes)
    with result_arrays(job.results[0].parent) as make:
        sink = SegmentationSink.create(image, model.card, make, options)
        result = segment_image(image, model, others=others, options=options, into=sink, monitor=monitor)
        for path in job.results:
            if path.name.endswith(TABLE):
                write_table(path, measure_segmentation(result, image))
            elif path.name.endswith(PROBABILITY):
                write_image(path, _without_single_channel(result.probabilities))
            elif path.name.endswith(UNCERTAINTY):
                assert result.uncertainty is not None
                write_image(path, result.uncertainty)
            else:
                write_labels(path, result.labels)
    return result.report


def denoise_one(job: Job, monitor: Monitor, *, model: Model, axes: str | None, options: DenoisingOptions) -> RunReport:
    """Denoise one image and write its results as TIFF."""
    from unveil.io.images import read_image
    from unveil.io.writing import write_image
    from unveil.tasks.denoise import denoise as denoise_image
    from unveil.tasks.results import denoised_shape

    image = read_image(job.image, axes=axes)
    with result_arrays(job.results[0].parent) as make:
        target = make(denoised_shape(image, options.channel), "float32")
        result = denoise_image(image, model, options=options, into=target, monitor=monitor)
        write_image(job.results[0], result.image)
        if result.residual is not None:
            write_image(job.results[1], result.residual)
    return result.report


def segment_growing(
    job: Job,
    monitor: Monitor,
    *,
    model: Model,
    others: Sequence[Model] = (),
    axes: str | None,
    options: SegmentationOptions,
    cluster: str | None,
) -> RunReport:
    """Segment one image into OME-Zarr that grows meanwhile, and a table where one is planned."""
    from unveil.io.images import read_image
    from unveil.io.writing import write_table
    from unveil.tasks.growing import segmentation_sink
    from unveil.tasks.measure import measure_segmentation
    from unveil.tasks.segment import segment as segment_image

    image = read_image(job.image, axes=axes)
    with _begun(job, model, axes, options, monitor, others) as growing:
        found = segment_image(
            image,
            model,
            others=others,
            options=options,
            into=segmentation_sink(growing, image, model.card, options),
            journal=growing.journal,
            cluster=cluster,
            monitor=monitor,
        )
        for path in job.results[1:]:
            write_table(path, measure_segmentation(found, image))
        growing.finish(found.report.provenance(), monitor)
    return found.report


def denoise_growing(
    job: Job, monitor: Monitor, *, model: Model, axes: str | None, options: DenoisingOptions, cluster: str | None
) -> RunReport:
    """Denoise one image into OME-Zarr that grows meanwhile."""
    from unveil.io.images import read_image
    from unveil.tasks.denoise import denoise as denoise_image
    from unveil.tasks.growing import denoised_array

    image = read_image(job.image, axes=axes)
    with _begun(job, model, axes, options, monitor) as growing:
        denoised = denoise_image(
            image,
            model,
            options=options,
            into=denoised_array(growing, image, model.card, options),
            journal=growing.journal,
            cluster=cluster,
            monitor=monitor,
        )
        growing.finish(denoised.report.provenance(), monitor)
    return denoised.report


def _begun(
    job: Job, model: Model, axes: str | None, options: RunOptions, monitor: Monitor, others: Sequence[Model] = ()
) -> GrowingResult:
    """Begin the result of a job, or go on with the one that an earlier run has left."""
    from unveil.tasks.growing import begin, file_traits, identity

    traits = {**file_traits(job.image), "axes": axes}
    return begin(job.results[0], identity(traits, model.card, options, [other.card for other in others]), monitor)


def _without_single_channel(image: Image) -> Image:
    """Drop the channel axis where it holds one channel only."""
    if image.size("C") != 1 or "C" not in image.axes:
        return image
    at = image.axes.index("C")
    return image.like(image.data[(slice(None),) * at + (0,)], image.axes.replace("C", ""))
