"""`unveil train`: folders of images in, a model file out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from unveil.cli import failures
from unveil.cli.interrupt import stopping_early
from unveil.cli.settings import gather
from unveil.cli.terminal import Terminal
from unveil.config.training import DenoisingTraining, SegmentationTraining
from unveil.errors import ConfigError, FileError
from unveil.io.card_file import ENDING

if TYPE_CHECKING:
    from unveil.data.annotation import Annotation
    from unveil.image import Image
    from unveil.model.model import Model

Assignments: TypeAlias = Annotated[list[str] | None, Parameter(name="--set", alias="-s")]


def segmentation(
    *,
    images: Path,
    labels: Path,
    output: Annotated[Path, Parameter(alias="-o")],
    start: str | None = None,
    config: Path | None = None,
    assignments: Assignments = None,
    axes: str | None = None,
) -> int:
    """Train a model that segments, from images and labels.

    Ctrl-C ends the training early and keeps the best model so far; a second Ctrl-C discards it.

    Parameters
    ----------
    images
        Folder of images (or one image).
    labels
        Folder of label images of the same names: 0 is background, each object its own number.
    output
        Model file to write, ending in .safetensors.
    start
        Begin with the weights of this model: its name, or a model file.
    config
        YAML file with training settings (epochs: 50).
    assignments
        One training setting as KEY=VALUE (--set epochs=50 --set augmentation.flips=false); may be repeated.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    """
    terminal = Terminal()
    with terminal.session():
        target = _model_file(output)
        settings = gather(SegmentationTraining, config, assignments or (), name=target.stem)
        parent = _parent(start)
        _check_folder(target)
        inputs, annotations = _labelled(images, labels, axes)
        return _train(inputs, annotations, settings, parent, target, terminal)


def denoising(
    *,
    images: Path | None = None,
    clean: Path | None = None,
    output: Annotated[Path, Parameter(alias="-o")],
    start: str | None = None,
    config: Path | None = None,
    assignments: Assignments = None,
    axes: str | None = None,
) -> int:
    """Train a model that denoises, from noisy and clean images, or from one kind to which noise is added.

    Ctrl-C ends the training early and keeps the best model so far; a second Ctrl-C discards it.

    Parameters
    ----------
    images
        Folder of noisy images; with --clean they pair by name. Alone, further noise is added to them.
    clean
        Folder of clean images. Alone, noise is added to them.
    output
        Model file to write, ending in .safetensors.
    start
        Begin with the weights of this model: its name, or a model file.
    config
        YAML file with training settings (epochs: 50).
    assignments
        One training setting as KEY=VALUE (--set epochs=50 --set noise.gaussian=[0.01,0.1]); may be repeated.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    """
    terminal = Terminal()
    with terminal.session():
        target = _model_file(output)
        if images is None and clean is None:
            raise ConfigError("Neither --images nor --clean is given; training needs at least one of the two folders.")
        settings = gather(DenoisingTraining, config, assignments or (), name=target.stem)
        parent = _parent(start)
        _check_folder(target)
        inputs, cleans = _noisy_and_clean(images, clean, axes, terminal)
        return _train(inputs, cleans, settings, parent, target, terminal)


def _train(
    images: Sequence[Image] | None,
    targets: Sequence[Annotation] | Sequence[Image],
    settings: SegmentationTraining | DenoisingTraining,
    parent: Model | None,
    target: Path,
    terminal: Terminal,
) -> int:
    from unveil.io.model_file import save_model
    from unveil.tasks.train import train

    with terminal.progress() as bar, stopping_early(bar.about("training"), terminal) as monitor:
        model = train(images, targets, settings, start=parent, monitor=monitor)
        save_model(model, target)
    terminal.result(f"{target}: {_outcome(model)}")
    return failures.DONE


def _model_file(output: Path) -> Path:
    """Return where the model goes, with our ending.

    Raises
    ------
    FileError
        If a folder is in its place.
    """
    target = output if output.suffix == ENDING else output.with_name(output.name + ENDING)
    for path in (output, target):
        if path.is_dir():
            raise FileError(f"{path} is a folder; the model is one file. Give --output a file name in it.")
    return target


def _check_folder(target: Path) -> None:
    from unveil.io.writing import check_output_folder

    check_output_folder(target.parent)


def _parent(start: str | None) -> Model | None:
    if start is None:
        return None
    from unveil.io.model_file import load_model

    return load_model(start)


def _labelled(images: Path, labels: Path, axes: str | None) -> tuple[list[Image], list[Annotation]]:
    """Read images and labels, paired by name."""
    from unveil.data.annotation import Annotation
    from unveil.io.images import pair_files, read_image, read_labels

    pairs = pair_files(images, labels)
    inputs = [read_image(image, axes=axes) for image, _ in pairs]
    return inputs, [Annotation(read_labels(reference)) for _, reference in pairs]


def _noisy_and_clean(
    noisy: Path | None, clean: Path | None, axes: str | None, terminal: Terminal
) -> tuple[list[Image] | None, list[Image]]:
    """Read noisy and clean images, paired by name; no noisy ones where noise is to be added."""
    from unveil.io.images import find_images, pair_files, read_image

    if noisy is not None and clean is not None:
        pairs = pair_files(noisy, clean)
        images = [read_image(image, axes=axes) for image, _ in pairs]
        return images, [read_image(reference, axes=axes) for _, reference in pairs]
    if clean is None:
        terminal.notice(
            "No clean images are given, so noise is added to these and the model learns to remove that. "
            "What noise they hold already is taken for signal: give --clean where you can."
        )
    only = [folder for folder in (noisy, clean) if folder is not None]
    return None, [read_image(image, axes=axes) for image in find_images(only)]


def _outcome(model: Model) -> str:
    """Say in a few words how the training went."""
    record = model.card.training
    if record is None or not record.history:
        return "no epoch was finished"
    metrics = [epoch.metric for epoch in record.history if epoch.metric is not None]
    best = f", best {record.metric_name} {max(metrics):.3f} on {record.n_validation_images} held out" if metrics else ""
    ended = ", ended early" if record.ended_by == "user" else ""
    return f"{len(record.history)} epochs on {record.n_images} images in {record.seconds:.0f} s{best}{ended}"
