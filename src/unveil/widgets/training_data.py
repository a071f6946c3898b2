"""From layers to what `unveil.tasks.train.train` takes; in the main thread, and every problem told at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from unveil.data.annotation import Annotation
from unveil.data.classes import count_classes
from unveil.errors import ImageError
from unveil.image import Image
from unveil.widgets.layer_annotation import Annotated, annotate
from unveil.widgets.layers import pixels, source_of
from unveil.widgets.training_layers import (
    Extent,
    LayerPair,
    TrainingTask,
    Whole,
    background_of,
    n_channels,
    what_is_missing,
)

_WHOLE = Whole()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a training learns from, taken down from the layers; painting on changes nothing of it.

    Attributes
    ----------
    images
        None where clean images alone teach.
    targets
        One annotation or clean image per image; None where noisy images alone teach.
    class_numbers
        Where labels are classes, the numbers as they were painted: of class 1, class 2 and so on, background left out.
        In `targets` they count from 1 without a gap.
    notices
        What was left out, one sentence each.
    """

    images: tuple[Image, ...] | None
    targets: tuple[Annotation, ...] | tuple[Image, ...] | None
    class_numbers: tuple[int, ...] = ()
    notices: tuple[str, ...] = ()


def training_data(
    pairs: Sequence[LayerPair], task: TrainingTask, extent: Extent = _WHOLE, *, n_dims: int = 2
) -> TrainingData:
    """Take down what a training of `task` learns from.

    Parameters
    ----------
    extent
        How far the annotation reaches; of no meaning where a network learns to denoise.
    n_dims
        What the network sees at once: 2 for planes, 3 for volumes. Frames of a stack that hold no label are left out.

    Raises
    ------
    ImageError
        With one line for every problem of every pair.
    """
    problems = _repeated(pairs, task) if pairs else ["There is nothing to learn from. Add a pair."]
    sound = []
    for number, pair in enumerate(pairs, start=1):
        if problem := what_is_missing(pair, task, number):
            problems.append(problem)
        else:
            sound.append(pair)
    if task.is_segmentation:
        data = _segmentation(sound, task, extent, n_dims, problems)
    else:
        data = _denoising(sound, task, n_dims, problems)
    if problems:
        raise ImageError("\n".join(dict.fromkeys(problems)))  # one Shapes layer may be wrong for all
    return data


def _repeated(pairs: Sequence[LayerPair], task: TrainingTask) -> list[str]:
    """Name the layers that stand where they stand already."""
    inputs = [pair.image if task.has_images else pair.target for pair in pairs]
    names = {layer.unique_id: layer.name for layer in inputs if layer is not None}
    times = Counter(layer.unique_id for layer in inputs if layer is not None)
    problems = [
        f"Image '{names[one]}' is there {n} times; each image counts once. Remove the other pairs."
        for one, n in times.items()
        if n > 1
    ]
    if task is TrainingTask.PAIRS:
        problems += [
            f"'{pair.image.name}' is both noisy and clean; two images of the same scene are needed. Choose another."
            for pair in pairs
            if pair.image is not None and pair.target is not None and pair.image.unique_id == pair.target.unique_id
        ]
    return problems


def _segmentation(
    pairs: Sequence[LayerPair], task: TrainingTask, extent: Extent, n_dims: int, problems: list[str]
) -> TrainingData:
    found: list[Annotated] = []
    for pair in pairs:
        with _noting(problems):
            found.append(annotate(pair.image, pair.target, pair.axes_meant, extent, n_dims=n_dims))
    problems += _differing_channels(pairs)
    if found and not problems and not any(one.has_background for one in found):
        problems.append(
            "The labels cover every annotated pixel; training needs background (0) to tell objects from. Leave some "
            "ground unpainted, or annotate more of it."
        )
    data = TrainingData(
        images=tuple(one.image for one in found),
        targets=tuple(one.annotation for one in found),
        notices=tuple(_left_out(one, n_dims) for one in found if one.n_annotated < one.n_frames),
    )
    return data if task is TrainingTask.OBJECTS else _with_classes(data, extent, problems)


def _with_classes(data: TrainingData, extent: Extent, problems: list[str]) -> TrainingData:
    """Let the classes count from 1."""
    with _noting(problems):
        annotations = [target for target in data.targets or () if isinstance(target, Annotation)]
        counted = count_classes(annotations, background=background_of(extent))
        notices = (*data.notices, counted.notice) if counted.notice else data.notices
        return replace(data, targets=counted.annotations, class_numbers=counted.painted, notices=notices)
    return data


def _differing_channels(pairs: Sequence[LayerPair]) -> list[str]:
    """Say where images differ that one network is to see."""
    images = [(pair.image, pair.axes_meant) for pair in pairs if pair.image is not None]
    counts = {n_channels(image, axes): image.name for image, axes in images}
    if len(counts) < 2:
        return []
    found = ", ".join(f"'{name}' has {n}" for n, name in sorted(counts.items()))
    return [f"The images have different numbers of channels ({found}); a network takes one number. Train on one kind."]


def _left_out(one: Annotated, n_dims: int) -> str:
    frames = "volumes" if n_dims == 3 else "planes" if "Z" in one.image.axes else "time points"
    return (
        f"Labels '{one.annotation.labels.name}' show objects on {one.n_annotated} of {one.n_frames} {frames}; "
        f"the others are left out."
    )


def _denoising(pairs: Sequence[LayerPair], task: TrainingTask, n_dims: int, problems: list[str]) -> TrainingData:
    images, targets = [], []
    for pair in pairs:
        with _noting(problems):
            if task is TrainingTask.PAIRS:
                _check_same_pixels(pair)
            if task.has_images:
                images.append(source_of(pair.image, pair.axes_meant).image())
            if task.target_kind == "image":
                targets.append(source_of(pair.target, pair.axes_meant).image())
            if task is TrainingTask.FRAMES:
                _check_frames(images[-1], n_dims)
    return TrainingData(
        images=tuple(images) if task.has_images else None,
        targets=tuple(targets) if task.target_kind == "image" else None,
    )


def _check_same_pixels(pair: LayerPair) -> None:
    noisy, clean, axes = pair.image, pair.target, pair.axes_meant
    assert noisy is not None
    assert clean is not None
    shapes = [pixels(layer).shape for layer in (noisy, clean)]
    if shapes[0][: noisy.ndim] != shapes[1][: clean.ndim] or n_channels(noisy, axes) != n_channels(clean, axes):
        raise ImageError(
            f"Noisy image '{noisy.name}' has shape {shapes[0]}, clean image '{clean.name}' {shapes[1]}; both must show "
            f"the same pixels. Choose the pair that belongs together."
        )


def _check_frames(stack: Image, n_dims: int) -> None:
    along = "T" if "T" in stack.axes or n_dims == 3 else "Z"
    if stack.size(along) < 2:
        raise ImageError(
            f"Image '{stack.name}' has no frames to compare (axes {' '.join(stack.axes)}); learning from repeated "
            f"frames needs at least two. Choose a stack, say which axis is time, or learn from noisy images alone."
        )


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """Take down what is wrong and go on."""
    try:
        yield
    except ImageError as error:
        problems.append(str(error))
