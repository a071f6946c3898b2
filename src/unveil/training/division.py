"""Divide the examples of a training: some teach, the others judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from unveil.config.architecture import Architecture
from unveil.config.training import TrainingSettings
from unveil.data.examples import Example, digest_of, held_out
from unveil.data.split import possible_blocks, split_images
from unveil.errors import NoSplitError
from unveil.events import HeldOut, Monitor, ignore, told
from unveil.image import Image
from unveil.operators.receptive_field import halo, size_step

Pair = TypeVar("Pair", bound=tuple[Any, Any])
Made: TypeAlias = tuple[int, list[Example]]
"""The number of a pair, and the examples made of it."""

_LEAST_JUDGING_PX = 30
"""Annotated pixels of a kind that a validation needs to say anything."""
_ATTEMPTS = 20
"""Divisions of whole images that are tried before none is said to fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Examples that teach and examples that judge.

    Attributes
    ----------
    n_images, n_validation_images
        Images of which all or part teaches, and of which all or part judges.
    held_out
        The part of an image that judges, where images are divided.
    judging_images
        Which of the images that were divided judge as a whole.
    judging_names
        The names of the images that judge as a whole, whoever chose them.
    """

    teaching: list[Example]
    judging: list[Example]
    n_images: int
    n_validation_images: int
    held_out: tuple[HeldOut, ...] = ()
    judging_images: tuple[int, ...] = ()
    judging_names: tuple[str, ...] = ()


def divide(
    pairs: Sequence[Pair],
    judging: Sequence[Pair] | None,
    make: Callable[[Iterable[Pair]], list[Example]],
    config: TrainingSettings,
    architecture: Architecture,
    *,
    monitor: Monitor = ignore,
) -> Division:
    """Divide `pairs` of image and target: as given, by whole images where there are several, else by a block.

    Images of which nothing is annotated count nowhere. Noisy images of one and the same clean image are divided like
    one: what judges would have been taught otherwise.

    Parameters
    ----------
    judging
        Pairs that judge; None divides `pairs`.
    make
        Makes the examples of pairs, one after the other.
    monitor
        Told how many images are prepared.

    Raises
    ------
    NoSplitError
        If the images hold too little to be divided.
    """
    if judging is not None:
        teaching = make(told(pairs, monitor, "images prepared"))
        return Division(
            teaching,
            make(told(judging, monitor, "validation images prepared")),
            len(pairs),
            len(judging),
            judging_names=_names(judging, range(len(judging))),
        )
    scenes: dict[str, list[Made]] = {}
    for number, pair in enumerate(told(pairs, monitor, "images prepared")):
        if examples := make([pair]):
            scenes.setdefault(_scene(pair, number), []).append((number, examples))
    if len(scenes) == 1 and config.validation_fraction > 0:
        return _by_block(next(iter(scenes.values())), config, architecture)
    division = _by_images(list(scenes.values()), config)
    return replace(division, judging_names=_names(pairs, division.judging_images))


def _names(pairs: Sequence[tuple[Any, Any]], numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the names of some images, with their place, counted from 1, where several are called alike."""
    names = [image.name for image, _ in pairs]
    return tuple(f"{names[n]} #{n + 1}" if names.count(names[n]) > 1 else names[n] for n in numbers)


def _scene(pair: tuple[Any, Any], number: int) -> str:
    """Return what tells the scene of an image: the clean image that it shares with others, or else its `number`."""
    image, target = pair
    if not isinstance(target, Image) or target is image:
        return str(number)
    return digest_of([[np.asarray(target.data)]])


def _by_images(scenes: Sequence[list[Made]], config: TrainingSettings) -> Division:
    """Hold out whole images, in a segmentation so that both parts show objects and background."""
    fraction, is_segmentation = config.validation_fraction, config.task == "segmentation"
    for attempt in range(_ATTEMPTS):
        taught, judged = split_images(scenes, fraction, config.seed + attempt)
        teaching, judging = (list(chain.from_iterable(made for _, made in part)) for part in (taught, judged))
        numbers = tuple(number for number, _ in judged)
        division = Division(teaching, judging, len(taught), len(judged), judging_images=numbers)
        if not (is_segmentation and judging) or (_has_both(teaching) and _has_both(judging)):
            return division
    if not all(_kinds([*division.teaching, *division.judging])):
        return division  # whoever looks at the examples says what is missing altogether
    raise _no_split("no part of the images holds both objects and background and leaves both to learn from")


def _by_block(scene: list[Made], config: TrainingSettings, architecture: Architecture) -> Division:
    examples, n_images = list(chain.from_iterable(made for _, made in scene)), len(scene)
    if config.task == "segmentation" and not all(_kinds(examples)):
        return Division(examples, [], n_images, 0)
    contents = [_content(e, config.task) for e in examples]
    why = "there is no part that could be set aside and leave enough to learn from"
    for block in possible_blocks(contents, config.validation_fraction, halo(architecture)):
        teaching, judging = held_out(examples, block, size_step(architecture))
        if config.task == "segmentation" and not (_has_both(teaching) and _has_both(judging)):
            why = "there is no part that could be set aside so that it and the rest hold both objects and background"
            continue
        start, stop = [0] * architecture.n_dims, list(examples[0].spatial_shape)
        start[block.axis], stop[block.axis] = block.start, block.stop
        parts = tuple(HeldOut(number, tuple(start), tuple(stop)) for number, _ in scene)
        return Division(teaching, judging, n_images, n_images, parts)
    raise _no_split(why)


def _content(example: Example, task: str) -> NDArray[np.bool_]:
    """Return the pixels that a validation should hold its share of: annotated objects, or all that are annotated."""
    judged: NDArray[np.bool_] = example.weight[0] > 0
    return judged & (example.target[0] > 0) if task == "segmentation" else judged


def _has_both(examples: Sequence[Example]) -> bool:
    return min(_kinds(examples)) >= _LEAST_JUDGING_PX


def _kinds(examples: Sequence[Example]) -> tuple[int, int]:
    """Count the annotated pixels of objects and of background."""
    objects = sum(int(((e.target[0] > 0) & (e.weight[0] > 0)).sum()) for e in examples)
    return objects, sum(int((e.weight[0] > 0).sum()) for e in examples) - objects


def _no_split(why: str) -> NoSplitError:
    return NoSplitError(
        f"Too little is annotated for an honest validation: {why}. Annotate more, in several places or in another "
        f"image; or train without a validation score (validation_fraction 0)."
    )
