"""`unveil segment` and `unveil denoise`: image files in, result files out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Group, Parameter

from unveil.cli import failures
from unveil.cli.flowing import flowing
from unveil.cli.plan import Job, check_images, check_results, plan
from unveil.cli.results import (
    PROBABILITY,
    TABLE,
    UNCERTAINTY,
    denoise_growing,
    denoise_one,
    segment_growing,
    segment_one,
)
from unveil.cli.terminal import Terminal
from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.errors import ConfigError, MismatchError
from unveil.words import count

if TYPE_CHECKING:
    from unveil.events import Monitor
    from unveil.image import Image
    from unveil.model.card import ModelCard, Task
    from unveil.model.model import Model
    from unveil.tasks.results import RunReport


COMPUTING = Group("How to compute", sort_key=2)

Format: TypeAlias = Literal["auto", "tiff", "ome-zarr"]

Worker: TypeAlias = "Callable[[Job, Monitor], RunReport]"
"""Computes one job and writes its results."""


@flowing
def segment(
    images: list[Path],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    model: Annotated[str, Parameter(alias="-m")] = "nuclei",
    ensemble: tuple[str, ...] = (),
    probabilities: bool = False,
    table: bool = False,
    file_format: Annotated[Format, Parameter(name="--format")] = "auto",
    cluster: str | None = None,
    axes: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    options: Annotated[SegmentationOptions, Parameter(name="*", group=COMPUTING)] = SegmentationOptions(),  # noqa: B008
) -> int:
    """Segment images into labels, written as <stem>_labels.tif or OME-Zarr.

    Parameters
    ----------
    images
        TIFF files of any kind, OME-Zarr folders, or folders of images.
    output
        Folder for the results, made if it is not there; earlier results of the same name are replaced. With
        --uncertainty it gets <stem>_uncertainty.tif too.
    model
        Name of a model, or a model file.
    ensemble
        A further model of the same kind (trained with another seed, say), to be averaged with --model; give the option
        once for each.
    probabilities
        Also write the probability of each class but the background, <stem>_probability.tif.
    table
        Also write the measurements of each object, <stem>_objects.csv.
    file_format
        tiff, or ome-zarr for results larger than memory: they grow on the disk, and the same command goes on with them
        after an interruption. auto is tiff, and ome-zarr with --cluster.
    cluster
        Address of a dask.distributed scheduler, such as tcp://host:8786, whose workers compute and write OME-Zarr.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    terminal = Terminal(as_json=as_json)
    with terminal.session():
        as_zarr = _is_zarr(file_format, cluster)
        endings = ["_segmentation.ome.zarr"] if as_zarr else ["_labels.tif"] + [PROBABILITY] * probabilities
        endings += [UNCERTAINTY] * (options.uncertainty and not as_zarr)
        endings += [TABLE] * table
        further = _check_ensemble(model, ensemble)
        jobs, loaded = _prepare(images, output, endings, model, "segmentation", axes, options, cluster, terminal)
        others = _load(further)
        work: Worker = partial(segment_one, model=loaded, others=others, axes=axes, options=options)
        if as_zarr:
            work = partial(segment_growing, model=loaded, others=others, axes=axes, options=options, cluster=cluster)
        return _run(jobs, work, terminal)


@flowing
def denoise(
    images: list[Path],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    model: Annotated[str, Parameter(alias="-m")] = "fluorescence-denoiser",
    file_format: Annotated[Format, Parameter(name="--format")] = "auto",
    cluster: str | None = None,
    axes: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    options: Annotated[DenoisingOptions, Parameter(name="*", group=COMPUTING)] = DenoisingOptions(),  # noqa: B008
) -> int:
    """Denoise images, written as <stem>_denoised.tif or OME-Zarr.

    Parameters
    ----------
    images
        TIFF files of any kind, OME-Zarr folders, or folders of images.
    output
        Folder for the results; made if it is not there. Earlier results of the same name are replaced.
    model
        Name of a model, or a model file.
    file_format
        tiff, or ome-zarr for results larger than memory: they grow on the disk, and the same command goes on with them
        after an interruption. auto is tiff, and ome-zarr with --cluster.
    cluster
        Address of a dask.distributed scheduler, such as tcp://host:8786, whose workers compute and write OME-Zarr.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    terminal = Terminal(as_json=as_json)
    with terminal.session():
        as_zarr = _is_zarr(file_format, cluster)
        if as_zarr and options.residual:
            raise ConfigError("The residual is written as TIFF only. Leave --residual out, or choose --format tiff.")
        endings = ["_denoised.ome.zarr"] if as_zarr else ["_denoised.tif"] + ["_residual.tif"] * options.residual
        jobs, loaded = _prepare(images, output, endings, model, "denoising", axes, options, cluster, terminal)
        work: Worker = partial(denoise_one, model=loaded, axes=axes, options=options)
        if as_zarr:
            work = partial(denoise_growing, model=loaded, axes=axes, options=options, cluster=cluster)
        return _run(jobs, work, terminal)


def _is_zarr(chosen: Format, cluster: str | None) -> bool:
    if chosen == "tiff" and cluster is not None:
        raise ConfigError("The workers of a cluster write OME-Zarr. Choose --format ome-zarr, or leave --cluster out.")
    return chosen == "ome-zarr" or cluster is not None


def _prepare(
    images: Sequence[Path],
    output: Path,
    endings: Sequence[str],
    model: str,
    task: Task,
    axes: str | None,
    options: RunOptions,
    cluster: str | None,
    terminal: Terminal,
) -> tuple[list[Job], Model]:
    """Check all that can be checked cheaply, then load the model and make the output folder."""
    from unveil.io.images import find_images, read_image
    from unveil.io.model_file import load_model
    from unveil.tasks.running import check_cluster, check_device

    jobs = plan(find_images(images), output, endings)
    path, card = check_task(model, task)
    if TABLE in endings and card.objects is None:
        raise ConfigError(
            f"Model '{card.name}' gives classes, not objects, so that there is nothing to list. Leave --table out."
        )
    if isinstance(options, SegmentationOptions) and options.uncertainty and card.is_filter:
        raise ConfigError(f"Model '{card.name}' is a classical filter and gives no uncertainty. Leave it out.")
    check_device(options)
    check_cluster(cluster)
    loaded = load_model(path)
    with terminal.progress() as bar:
        check_images(jobs, lambda file: _check_fit(read_image(file, axes=axes), card, options), bar.about("checking"))
    check_results(jobs)
    return jobs, loaded


def _check_fit(image: Image, card: ModelCard, options: RunOptions) -> None:
    """Refuse an image that the model does not take, or that is not resized to its pixel size."""
    from unveil.tasks.matching import check_fit
    from unveil.tasks.rescaling import scale_factors

    check_fit(image, card, options.channel)
    scale_factors(image, card, options.rescale)


def _check_ensemble(model: str, others: Sequence[str]) -> list[Path]:
    """Return the files of the models that are averaged with `model`, whose cards fit it."""
    if not others:
        return []
    from unveil.tasks.matching import check_ensemble

    found = [check_task(name, "segmentation") for name in (model, *others)]
    check_ensemble(found[0][1], [card for _, card in found[1:]])
    return [path for path, _ in found[1:]]


def _load(paths: Sequence[Path]) -> list[Model]:
    from unveil.io.model_file import load_model

    return [load_model(path) for path in paths]


def check_task(model: str, task: Task) -> tuple[Path, ModelCard]:
    """Return file and card of `model` if it was made for `task`; neither weights nor torch are loaded.

    Raises
    ------
    InputError
        If there is no such model, or it was made for another task.
    """
    from unveil.io.card_file import read_card
    from unveil.io.library import find_model

    path = find_model(model)
    card = read_card(path)
    if card.task != task:
        raise MismatchError(
            f"Model '{card.name}' was made for {card.task}, not for {task}. "
            f"Choose another model; `unveil models list` names them."
        )
    return path, card


def _run(jobs: Sequence[Job], work: Worker, terminal: Terminal) -> int:
    """Work through `jobs`; one that fails is reported and the others go on."""
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    code = failures.DONE
    with terminal.progress() as bar:
        for number, job in enumerate(jobs, 1):
            what = job.image.name if len(jobs) == 1 else f"{number}/{len(jobs)} {job.image.name}"
            try:
                report = work(job, bar.about(what))
            except KeyboardInterrupt:
                if job.results[0].suffix == ".zarr":
                    terminal.say("The OME-Zarr result that was begun is kept: the same command goes on with it.")
                raise
            except Exception as failure:
                failed.append({"input": str(job.image), "error": failures.describe(failure)})
                code = failures.worse(code, failures.report(failure, about=str(job.image)))
                continue
            done.append(_as_json(job, report))
            terminal.result(_as_line(job, report))
    if terminal.as_json:
        terminal.json({"images": done, **({"failed": failed} if failed else {})})
    return code


def _as_json(job: Job, report: RunReport) -> dict[str, Any]:
    return {
        "input": str(job.image),
        "outputs": [str(path) for path in job.results],
        "seconds": round(report.seconds, 4),
        "device": report.device,
        "engine": report.engine,
        "precision": report.precision,
        "tile": list(report.tile),
        "n_objects": report.n_objects,
        "n_objects_interval": _listed(report.n_objects_interval),
        "expected_iou": report.expected_iou,
        "iou_interval": _listed(report.iou_interval),
        "unlikeness": report.unlikeness,
        "suggested_rescale": report.suggested_rescale,
        "noise_level": report.noise_level,
        "expected_psnr": report.expected_psnr,
        "residual_correlation": report.residual_correlation,
    }


def _as_line(job: Job, report: RunReport) -> str:
    found = "" if report.n_objects is None else f"{count(report.n_objects, 'object')}{report.objects_range}, "
    if report.expected_iou is not None:
        found += f"expected IoU {report.expected_iou:.2f}{report.iou_range}, "
    if report.iou_interval is not None:
        found += "ranges that hold for 9 in 10 such images, "
    if report.noise_level is not None:
        found += f"noise {report.noise_level:.3g}, "
    if report.expected_psnr is not None:
        found += f"expected PSNR {report.expected_psnr:.1f} dB, "
    return f"{', '.join(str(path) for path in job.results)}: {found}{report.seconds:.1f} s"


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
