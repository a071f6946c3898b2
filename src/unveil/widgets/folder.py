"""A whole folder, run from a panel: the files that the command line would write, with the panel's settings."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.errors import ConfigError, UnveilError
from unveil.events import Cancelled, Event, Monitor, Notice, Progress
from unveil.image import Image
from unveil.widgets.requests import load

_MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class FolderRequest:
    """One model over all images of a folder."""

    images: Path
    output: Path
    model: Path
    options: RunOptions


@dataclass(slots=True)
class FolderReport:
    """What was written, and what could not be used."""

    output: Path
    n_images: int = 0
    written: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """Say it in one line, and in one more for each of the first problems."""
        n_done = self.n_images - len(self.problems)
        done = f"{n_done} of {self.n_images} images done; results are in {self.output}."
        more = len(self.problems) - _MOST_TOLD
        return "\n".join([done, *self.problems[:_MOST_TOLD], *([f"… and {more} more"] if more > 0 else [])])


def segment_folder(request: FolderRequest, monitor: Monitor) -> FolderReport:
    """Write `<stem>_labels.tif` for each image, and `<stem>_objects.csv` where the model separates objects.

    Where it is asked for, `<stem>_uncertainty.tif` too.
    """
    from unveil.io.writing import write_image, write_labels, write_table
    from unveil.tasks.measure import measure_segmentation
    from unveil.tasks.segment import segment

    assert isinstance(request.options, SegmentationOptions)
    options, model = request.options, load(request.model)

    def work(image: Image, base: str, listen: Monitor) -> list[Path]:
        result = segment(image, model, options=options, monitor=listen)
        paths = [request.output / f"{base}_labels.tif"]
        write_labels(paths[0], result.labels)
        if model.card.objects is not None:
            paths.append(request.output / f"{base}_objects.csv")
            write_table(paths[-1], measure_segmentation(result, image))
        if result.uncertainty is not None:
            paths.append(request.output / f"{base}_uncertainty.tif")
            write_image(paths[-1], result.uncertainty)
        return paths

    return _run(request, work, monitor)


def denoise_folder(request: FolderRequest, monitor: Monitor) -> FolderReport:
    """Write `<stem>_denoised.tif` for each image, and `<stem>_residual.tif` where what was removed is asked for."""
    from unveil.io.writing import write_image
    from unveil.tasks.denoise import denoise

    assert isinstance(request.options, DenoisingOptions)
    options, model = request.options, load(request.model)

    def work(image: Image, base: str, listen: Monitor) -> list[Path]:
        denoised = denoise(image, model, options=options, monitor=listen)
        paths = [request.output / f"{base}_denoised.tif"]
        write_image(paths[0], denoised.image)
        if denoised.residual is not None:
            paths.append(request.output / f"{base}_residual.tif")
            write_image(paths[1], denoised.residual)
        return paths

    return _run(request, work, monitor)


def _run(request: FolderRequest, work: Callable[[Image, str, Monitor], list[Path]], monitor: Monitor) -> FolderReport:
    """Work through the images in natural order; one that cannot be used is reported and the others go on."""
    from unveil.io.finding import find_images, stem
    from unveil.io.images import read_image
    from unveil.io.writing import check_output_folder

    images = find_images([request.images])
    _check(request, [stem(path) for path in images])
    check_output_folder(request.output)
    report = FolderReport(request.output, n_images=len(images))
    for number, path in enumerate(images):
        monitor(Progress(number, len(images), "images"))
        listen = _about(path.name, number, len(images), monitor)
        try:
            report.written += work(read_image(path), stem(path), listen)
        except Cancelled:
            raise
        except UnveilError as error:
            report.problems.append(f"{path.name}: {error}")
        except Exception as error:  # told, and the night goes on
            traceback.print_exception(error)
            report.problems.append(f"{path.name}: unexpected {type(error).__name__}: {error}")
    monitor(Progress(len(images), len(images), "images"))
    return report


def _about(name: str, number: int, n_images: int, monitor: Monitor) -> Monitor:
    """Return a monitor for one image: its tiles count as calls, so that Cancel takes effect within one."""

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            monitor(Notice(f"{name}: {event.message}"))
        else:
            monitor(Progress(number, n_images, "images"))

    return listen


def _check(request: FolderRequest, stems: list[str]) -> None:
    """Refuse before anything is written what would overwrite images or results of one another."""
    from unveil.io.finding import as_on_disk

    if request.output.resolve() == request.images.resolve():
        raise ConfigError(
            f"The results would be written among the images in {request.images}. Choose another folder for them."
        )
    counts = Counter(map(as_on_disk, stems))
    doubles = [name for name in stems if counts[as_on_disk(name)] > 1]
    if doubles:
        raise ConfigError(f"Two images are called '{doubles[0]}' and would have the same results. Rename one of them.")
