"""Which result belongs to which image, and whether it all can work, before anything is written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unveil.errors import ConfigError, ImageError, InputError
from unveil.events import Monitor, Progress, ignore
from unveil.io.finding import as_on_disk, stem

_MOST_NAMED = 20
_LONGEST_NAME_BYTES = 255
"""Of a file or folder, on most disks."""
_WHILE_GROWING = len("..part")
"""What the name of a growing OME-Zarr has more than that of the finished one."""


@dataclass(frozen=True, slots=True)
class Job:
    """One image and the files that will hold its results, in the order in which they are written."""

    image: Path
    results: tuple[Path, ...]


def plan(images: Iterable[Path], output: Path, endings: Sequence[str]) -> list[Job]:
    """Give each image its result files, ``<output>/<stem><ending>``.

    Raises
    ------
    ConfigError
        If two images would have the same results, a result would overwrite an image, or its name is too long.
    """
    jobs = [
        Job(image, tuple(output / f"{stem(image) or image.name}{ending}" for ending in endings))
        for image in dict.fromkeys(images)
    ]
    _check_collisions(jobs)
    _check_inputs_are_safe(jobs)
    for job in jobs:
        for result in job.results:
            _check_name(result)
    return jobs


def check_tiff_output(output: Path, what: str, *, inputs: Iterable[Path]) -> None:
    """Check that one result may be written as the TIFF file `output`.

    Parameters
    ----------
    what
        What is written, for the message: ``Filters are``.
    inputs
        The files that it is made from.

    Raises
    ------
    ConfigError
        If it has another ending or too long a name, or would overwrite one of the inputs.
    """
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{what} written as TIFF, not as {output.name}. Call it {output.stem}.tif.")
    _check_name(output)
    for path in inputs:
        if _identity(path) == _identity(output):
            raise ConfigError(f"The result would overwrite {path}, which it is made from. Give --output another name.")


def check_results(jobs: Iterable[Job]) -> None:
    """Check that all results may be written, and make their folders: cheap, before long work.

    Raises
    ------
    FileError
        If one may not: in its folder, or because of what stands in its place.
    """
    from unveil.io.writing import check_output_file

    for result in (result for job in jobs for result in job.results):
        if result.suffix == ".zarr":
            from unveil.io.growing_result import check_replaceable  # zarr is slow to import

            check_replaceable(result)
        else:
            check_output_file(result)


def check_images(jobs: Sequence[Job], check: Callable[[Path], object], monitor: Monitor = ignore) -> None:
    """Run `check` on every image and raise all problems together.

    Parameters
    ----------
    monitor
        Receives ``Progress`` in images.

    Raises
    ------
    InputError
        The problem of the one image, or one error that names them all.
    """
    problems: list[tuple[Path, InputError]] = []
    for number, job in enumerate(jobs):
        monitor(Progress(number, len(jobs), "images"))
        try:
            check(job.image)
        except InputError as problem:
            problems.append((job.image, problem))
    if len(problems) == 1:
        raise problems[0][1]
    if problems:
        lines = [f"  {_about(image, problem)}" for image, problem in problems[:_MOST_NAMED]]
        if len(problems) > _MOST_NAMED:
            lines.append(f"  … and {len(problems) - _MOST_NAMED} more")
        found = f"{len(problems)} of {len(jobs)} images cannot be used; nothing was written."
        raise ImageError("\n".join([found, *lines]))


def _about(image: Path, problem: InputError) -> str:
    """Name the image, unless the problem does."""
    return str(problem) if str(image) in str(problem) else f"{image}: {problem}"


def _check_collisions(jobs: Sequence[Job]) -> None:
    sources = defaultdict(list)
    for job in jobs:
        sources[_identity(job.results[0])].append(job.image)
    for images in sources.values():
        if len(images) > 1:
            raise ConfigError(
                f"{' and '.join(str(image) for image in images)} would both be written as "
                f"'{stem(images[0])}…'. Run them one by one into different folders, or rename one."
            )


def _check_inputs_are_safe(jobs: Sequence[Job]) -> None:
    images = {_identity(job.image): job.image for job in jobs}
    for job in jobs:
        for result in job.results:
            if (endangered := images.get(_identity(result))) is not None:
                raise ConfigError(
                    f"The result of {job.image} would overwrite the image {endangered}. "
                    f"Choose another output folder, or leave earlier results out of the images."
                )


def _check_name(result: Path) -> None:
    longest = _LONGEST_NAME_BYTES - _WHILE_GROWING * (result.suffix == ".zarr")
    if (n_bytes := len(os.fsencode(result.name))) > longest:
        raise ConfigError(
            f"The name of the result {result.name} has {n_bytes} bytes; it may have {longest}. Shorten it."
        )


def _identity(path: Path) -> str:
    return as_on_disk(os.path.realpath(path))  # that of pathlib raises where links go in a circle
