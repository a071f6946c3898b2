"""`unveil evaluate`: a model and folders of images with references in, scores out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic import JsonValue

from unveil.cli import failures
from unveil.cli.flowing import flowing
from unveil.cli.prediction import COMPUTING, check_task
from unveil.cli.terminal import Terminal
from unveil.config.options import DenoiserOptions, EvaluationOptions, SegmenterOptions
from unveil.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from unveil.image import Image
    from unveil.tasks.evaluate import Scores

_TITLES = {
    "n_images": "images",
    "iou": "foreground IoU",
    "dice": "Dice",
    "iou_per_class": "IoU",
    "ap": "AP",
    "ap_mean": "mean AP",
    "iou_coverage": "IoU in its 90 % interval",
    "psnr_noisy": "PSNR before, dB",
    "psnr": "PSNR after, dB",
    "ssim_noisy": "SSIM before",
    "ssim": "SSIM after",
}


@flowing
def segmentation(
    *,
    model: Annotated[str, Parameter(alias="-m")],
    images: Path,
    labels: Path,
    axes: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    options: Annotated[SegmenterOptions, Parameter(name="*", group=COMPUTING)] = SegmenterOptions(),  # noqa: B008
) -> int:
    """Judge a segmentation model against labels.

    Parameters
    ----------
    model
        Name of a model, or a model file.
    images
        Folder of images (or one image).
    labels
        Folder of label images of the same names.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    from unveil.io.images import read_labels
    from unveil.io.paired_images import read_pairs

    terminal = Terminal(as_json=as_json)
    with terminal.session():
        check_task(model, "segmentation")
        inputs, references = read_pairs(images, labels, read_labels, axes=axes)
        return _judge(model, inputs, references, EvaluationOptions(**options.model_dump()), terminal)


@flowing
def denoising(
    *,
    model: Annotated[str, Parameter(alias="-m")],
    clean: Path,
    noisy: Path | None = None,
    sigma: float | None = None,
    seed: int = 0,
    fit_gain: Annotated[bool, Parameter(help=EvaluationOptions.model_fields["fit_gain"].description)] = False,
    axes: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    options: Annotated[DenoiserOptions, Parameter(name="*", group=COMPUTING)] = DenoiserOptions(),  # noqa: B008
) -> int:
    """Judge a denoising model against clean images.

    Parameters
    ----------
    model
        Name of a model, or a model file.
    clean
        Folder of clean images (or one image).
    noisy
        Folder of noisy images; several of one clean image are named like it, with a number (cell_1.tif, cell_2.tif).
    sigma
        Instead of noisy images: standard deviation of Gaussian noise added to the clean ones, in their grey values.
    seed
        Seed of that noise.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    as_json
        Put one JSON object on standard output, everything else on standard error.
    """
    from unveil.io.paired_images import read_pairs

    terminal = Terminal(as_json=as_json)
    with terminal.session():
        if (noisy is None) == (sigma is None):
            raise ConfigError(
                "Give either --noisy (a folder of noisy images) or --sigma (noise to add), one of the two."
            )
        if sigma is not None and not 0 <= sigma < float("inf"):
            raise ConfigError(f"--sigma is {sigma:g}; a standard deviation is a number from 0. Give another one.")
        check_task(model, "denoising")
        inputs, references = (
            _with_noise(clean, sigma, seed, axes) if noisy is None else read_pairs(noisy, clean, axes=axes)
        )
        judged_by = EvaluationOptions(**options.model_dump(), fit_gain=fit_gain)
        return _judge(model, inputs, references, judged_by, terminal)


def _judge(
    model: str, images: Iterable[Image], references: Sequence[Image], options: EvaluationOptions, terminal: Terminal
) -> int:
    from unveil.io.model_file import load_model
    from unveil.tasks.evaluate import evaluate

    loaded = load_model(model)
    with terminal.progress() as bar:
        scores = evaluate(loaded, images, references, options=options, monitor=bar.about("evaluating"))
    if terminal.as_json:
        terminal.json(scores.as_dict())
    else:
        terminal.table(_table(scores))
    return failures.DONE


def _with_noise(clean: Path, sigma: float | None, seed: int, axes: str | None) -> tuple[Iterator[Image], list[Image]]:
    """Read clean images, and make a noisy one of each when it is asked for; image i gets the seed `seed` + i."""
    from unveil.io.images import find_images, read_image
    from unveil.tasks.evaluate import with_noise

    assert sigma is not None
    references = [read_image(path, axes=axes) for path in find_images([clean])]
    return (with_noise(image, sigma, seed + number) for number, image in enumerate(references)), references


def _table(scores: Scores) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("score", "value", title=escape(f"Model '{scores.model}'"))
    for title, value in _rows(scores.as_dict()):
        table.add_row(title, value)
    return table


def _rows(values: dict[str, JsonValue]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        title = _TITLES.get(key, key)
        if isinstance(value, dict):
            yield from (
                (f"{title} {inner}" if key != "ap" else f"AP@{inner}", _number(v)) for inner, v in value.items()
            )
        elif value is not None:
            yield title, _number(value)


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
