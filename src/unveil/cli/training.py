"""`unveil train`: folders of images in, a model file out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from unveil.cli import failures
from unveil.cli.flowing import flowing
from unveil.cli.interrupt import stopping_early
from unveil.cli.outcome import outcome
from unveil.cli.settings import gather
from unveil.cli.terminal import Terminal
from unveil.config.training import DenoisingTraining, SegmentationTraining, TrainingSettings
from unveil.errors import ConfigError, FileError
from unveil.events import Cancelled
from unveil.io.card_file import ENDING
from unveil.io.finding import is_folder
from unveil.words import count, listed

if TYPE_CHECKING:
    from unveil.data.annotation import Annotation
    from unveil.image import Image
    from unveil.io.checkpoint_file import CheckpointFile
    from unveil.model.model import Model

_SCRIBBLED_BACKGROUND = 1
_MOST_LOOKED_AT = 10
"""Images whose labels are looked at before a training, for objects that are not labelled."""

Assignments: TypeAlias = Annotated[list[str] | None, Parameter(name="--set", alias="-s")]


@flowing
def segmentation(
    *,
    images: Path,
    labels: Path,
    mask: Path | None = None,
    scribbles: bool = False,
    background_label: int | None = None,
    sparse: bool = False,
    output: Annotated[Path, Parameter(alias="-o")],
    start: str = "auto",
    config: Path | None = None,
    assignments: Assignments = None,
    resume: bool = False,
    axes: str | None = None,
) -> int:
    """Train a model that segments, from images and labels.

    Ctrl-C ends the training early and keeps the best model so far; a second Ctrl-C ends it without a model, and
    --resume goes on from its last epoch.

    Parameters
    ----------
    images
        Folder of images (or one image).
    labels
        Folder of label images of the same names: 0 is background, each object its own number.
    mask
        Folder of masks named like the images or their labels: only pixels other than 0 were annotated, the others teach
        nothing.
    scribbles
        The labels are scribbles: 0 was not annotated, and one number marks the background. Where several
        others are few, or have several strokes each, they are classes.
    background_label
        The number that marks the background of scribbles; 1 if not given.
    sparse
        The labels show only some of the objects: 0 is background near those alone, and what lies farther away teaches
        nothing.
    output
        Model file to write, ending in .safetensors.
    start
        Begin with the weights of this model: its name, or a model file. auto takes simulated-cells, where the usual
        network for planes is trained; scratch begins with random weights.
    config
        YAML file with training settings (epochs: 50).
    assignments
        One training setting as KEY=VALUE (--set epochs=50 --set time_budget_s=300); may be repeated.
    resume
        Go on with a training that was interrupted: the same command with this option.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    """
    from unveil.io.paired_images import read_labelled

    terminal = Terminal()
    with terminal.session():
        if (mask is not None) + scribbles + sparse > 1:
            raise ConfigError(
                "--mask, --scribbles and --sparse exclude each other: each says what was annotated. Give one."
            )
        background = _background(background_label, scribbles=scribbles)
        target = _model_file(output)
        asked = partial(gather, SegmentationTraining, config, assignments or (), name=target.stem)
        settings = asked()
        parent = _parent(start, settings)
        checkpoints = _checkpoints(target, resume=resume)
        inputs, annotations = read_labelled(images, labels, masks=mask, background=background, axes=axes)
        n_whole = sum(annotation.mask is None for annotation in annotations)
        if scribbles and _may_be_classes(settings, annotations) and not (meant := asked(objects=False)).objects:
            settings = meant
            terminal.notice(
                "The scribbles hold several numbers beside the background's: each is a class. If each is an object of "
                "its own, add --set objects=true."
            )
        if mask is not None and n_whole:
            terminal.notice(f"{count(n_whole, 'image')} without a mask: taken as annotated everywhere.")
        n_dims = settings.architecture.n_dims if settings.architecture is not None else 2
        if sparse:
            from unveil.data.sparse_labels import around_objects

            annotations = [around_objects(annotation, n_dims) for annotation in annotations]
        elif mask is None and not scribbles:
            _tell_what_seems_sparse(inputs, annotations, terminal)
        judged = _without_empty_frames(annotations, n_dims, terminal)
        if not settings.objects and settings.recipe != "lecture":
            settings, judged = _with_classes(settings, judged, background, terminal)
        return _train(
            inputs, judged, settings, parent=parent, checkpoints=checkpoints, target=target, terminal=terminal
        )


@flowing
def denoising(
    *,
    images: Path | None = None,
    clean: Path | None = None,
    output: Annotated[Path, Parameter(alias="-o")],
    start: str = "auto",
    config: Path | None = None,
    assignments: Assignments = None,
    resume: bool = False,
    axes: str | None = None,
) -> int:
    """Train a model that denoises, from noisy and clean images, or from one kind alone.

    Ctrl-C ends the training early and keeps the best model so far; a second Ctrl-C ends it without a model, and
    --resume goes on from its last epoch.

    Parameters
    ----------
    images
        Folder of noisy images; with --clean they pair by name. Alone, each pixel is learnt from its neighbours, or
        each frame from another (--set noisy_only=frames), or a denoiser is fitted to them (--set noisy_only=adapt).
    clean
        Folder of clean images. Alone, noise is added to them.
    output
        Model file to write, ending in .safetensors.
    start
        Begin with the weights of this model: its name, or a model file. auto takes fluorescence-denoiser where
        there are clean images (for the usual network) or where a denoiser is fitted to noisy ones; scratch begins with
        random weights.
    config
        YAML file with training settings (epochs: 50).
    assignments
        One training setting as KEY=VALUE (--set epochs=50 --set noise.gaussian=[0.01,0.1]); may be repeated.
    resume
        Go on with a training that was interrupted: the same command with this option.
    axes
        Axes of the images, one letter per dimension (TCZYX), where the files do not say or are wrong.
    """
    from unveil.io.paired_images import read_noisy_and_clean

    terminal = Terminal()
    with terminal.session():
        target = _model_file(output)
        if images is None and clean is None:
            raise ConfigError("Neither --images nor --clean is given; training needs at least one of the two folders.")
        settings = gather(DenoisingTraining, config, assignments or (), name=target.stem)
        parent = _parent(start, settings, has_clean_images=clean is not None)
        checkpoints = _checkpoints(target, resume=resume)
        inputs, cleans = read_noisy_and_clean(images, clean, axes=axes)
        return _train(
            inputs, cleans, settings, parent=parent, checkpoints=checkpoints, target=target, terminal=terminal
        )


def _train(
    images: Sequence[Image] | None,
    targets: Sequence[Annotation] | Sequence[Image] | None,
    settings: TrainingSettings,
    *,
    parent: Model | None,
    checkpoints: CheckpointFile,
    target: Path,
    terminal: Terminal,
) -> int:
    from unveil.io.model_file import save_model
    from unveil.tasks.train import train

    try:
        with terminal.progress() as bar, stopping_early(bar.about("training"), terminal) as monitor:
            model = train(images, targets, settings, start=parent, checkpoints=checkpoints, monitor=monitor)
            save_model(model, target)
    except (KeyboardInterrupt, Cancelled):
        if checkpoints.path.exists():
            terminal.say("The last checkpoint is kept: the same command with --resume goes on from there.")
        raise
    checkpoints.remove()
    terminal.result(f"{target}: {outcome(model.card.training)}")
    return failures.DONE


def _background(label: int | None, *, scribbles: bool) -> int | None:
    """Return the number on the background of scribbles; None where the labels are none.

    Raises
    ------
    ConfigError
        If a number is given and the labels are no scribbles.
    """
    if scribbles:
        return _SCRIBBLED_BACKGROUND if label is None else label
    if label is not None:
        raise ConfigError(
            f"--background-label belongs to --scribbles: in whole labels 0 is the background, and {label} would be an "
            f"object. Add --scribbles, or leave it out."
        )
    return None


def _model_file(output: Path) -> Path:
    """Return where the model goes, with our ending.

    Raises
    ------
    FileError
        If a folder is in its place.
    """
    target = output if output.suffix == ENDING else output.with_name(output.name + ENDING)
    for path in (output, target):
        if is_folder(path):
            raise FileError(f"{path} is a folder; the model is one file. Give --output a file name in it.")
    return target


def _checkpoints(target: Path, *, resume: bool) -> CheckpointFile:
    """Return where the state is kept beside the model, having checked that it can be.

    Raises
    ------
    ConfigError
        If there is a checkpoint and nobody said what to do with it, or none to go on from.
    """
    from unveil.io.checkpoint_file import CheckpointFile
    from unveil.io.writing import check_output_file

    check_output_file(target)
    path = target.with_name(f".{target.stem}.checkpoint")
    if path.exists() and not resume:
        raise ConfigError(
            f"A training of {target} was interrupted. Add --resume to go on with it, or delete {path} to begin anew."
        )
    if resume and not path.exists():
        raise ConfigError(f"There is no interrupted training of {target}: {path} is missing. Leave --resume out.")
    return CheckpointFile(path)


def _parent(start: str, settings: TrainingSettings, *, has_clean_images: bool = False) -> Model | None:
    from unveil.io.model_file import load_model
    from unveil.tasks.default_parent import default_parent

    path = default_parent(settings, has_clean_images=has_clean_images) if start == "auto" else start
    return load_model(path) if path is not None and path != "scratch" else None


def _tell_what_seems_sparse(images: Sequence[Image], annotations: Sequence[Annotation], terminal: Terminal) -> None:
    """Say where unpainted objects would be taught as background, as a few images tell."""
    from unveil.data.sparse_labels import seem_sparse

    seen = list(zip(images, annotations, strict=True))[:_MOST_LOOKED_AT]
    found = [annotation.labels.name for image, annotation in seen if seem_sparse(image, annotation.labels)]
    if 2 * len(found) >= len(seen):
        terminal.notice(
            f"The labels of {listed(found, 3)} seem to show only some of the objects; what is not labelled counts as "
            f"background. If so, add --sparse."
        )


def _may_be_classes(settings: SegmentationTraining, annotations: Sequence[Annotation]) -> bool:
    """Say whether scribbles that are to be objects look like classes, and no names or recipe stand against it."""
    from unveil.data.label_facts import scribbles_are_classes

    is_one_kind = settings.recipe == "lecture" or (
        len(settings.classes) == 2 and settings.classes != SegmentationTraining().classes
    )
    return settings.objects and not is_one_kind and scribbles_are_classes(annotations)


def _with_classes(
    settings: SegmentationTraining, annotations: list[Annotation], background: int | None, terminal: Terminal
) -> tuple[SegmentationTraining, list[Annotation]]:
    """Let classes count from 1, named after the numbers that were painted, where nobody gave them other names."""
    from unveil.data.classes import class_names, count_classes, numbers_of_classes

    given, usual = settings.classes, SegmentationTraining().classes
    if given != usual and numbers_of_classes(given) == list(range(len(given))):
        return settings, annotations
    counted = count_classes(annotations, background=background)
    names = class_names(counted.painted)
    if counted.painted in ((), (1,)) or given not in (usual, names):
        return settings, annotations
    if counted.notice:
        terminal.notice(counted.notice)
    return settings.model_copy(update={"classes": names}), list(counted.annotations)


def _without_empty_frames(annotations: Sequence[Annotation], n_dims: int, terminal: Terminal) -> list[Annotation]:
    """Leave out the frames of stacks on which nothing was labelled, and say which."""
    from unveil.data.annotation import annotated_frames

    kept = []
    for annotation in annotations:
        judged, n_empty = annotated_frames(annotation, n_dims)
        kept.append(judged)
        if n_empty:
            frames = count(n_empty, "plane" if n_dims == 2 else "volume")
            terminal.notice(f"Nothing is labelled on {frames} of '{annotation.labels.name}': not used.")
    return kept
