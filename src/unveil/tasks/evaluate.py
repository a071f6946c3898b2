"""Judge a model: run it on images and score the results against their references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from operator import length_hint
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from unveil.axes import without
from unveil.config.options import DenoisingOptions, EvaluationOptions, RunOptions, SegmentationOptions
from unveil.data.classes import counted_by_name, numbers_of_classes
from unveil.errors import ImageError
from unveil.events import Event, Monitor, Notice, Progress, warn_only
from unveil.image import Image, frames, whole
from unveil.operators.finite import LARGEST, usable
from unveil.operators.metrics import SSIM_WINDOW, ClassTally, DenoisingTally, ObjectTally
from unveil.operators.noise import add_gaussian
from unveil.operators.objects import HIGHEST_NUMBER
from unveil.tasks.denoise import denoise
from unveil.tasks.matching import card_of, channel_sets, check_match
from unveil.tasks.results import RunReport
from unveil.tasks.segment import segment
from unveil.words import count

if TYPE_CHECKING:
    from unveil.model.card import ModelCard
    from unveil.model.model import Model


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores:
    """The scores of one image, as `Scores.values` of this image alone, and how it was computed."""

    name: str
    values: dict[str, JsonValue]
    report: RunReport


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """How a model did on a set of images.

    Attributes
    ----------
    values
        Segmentation: n_images, iou, dice, ap, ap_mean, pooled over the images; where the model gives classes, ap and
        ap_mean are None and iou_per_class is there; where the model's card has a record for intervals, iou_coverage is
        the share of images whose IoU lies in its 90 % interval. Denoising: n_images, psnr_noisy, psnr, ssim_noisy,
        ssim, means over the images.
    notices
        What the runs had to say (engine, filled pixels and the like), each sentence once.
    """

    model: str
    values: dict[str, JsonValue]
    per_image: tuple[ImageScores, ...]
    notices: tuple[str, ...]

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the scores over all images."""
        return dict(self.values)


def evaluate(
    model: Model,
    images: Iterable[Image],
    references: Iterable[Image],
    *,
    options: EvaluationOptions | Mapping[str, Any] = EvaluationOptions(),  # noqa: B008 (frozen)
    monitor: Monitor = warn_only,
) -> Scores:
    """Run `model` on every image and score the results against the references, one pair at a time.

    Parameters
    ----------
    model
        A model of either task; its own task decides what is scored.
    images
        What the model runs on; a lazy iterable keeps one image in memory.
    references
        As many, in the same order. Segmentation: labels (objects, or the numbers of classes, which are those that
        were painted where names like "class 255" tell them; for a model of two classes all that is not 0 is
        foreground), without channels. Denoising: the clean images, with the channels of
        the image or, where there is one or one was chosen, without. Axes and sizes are those of the image.
    options
        How the model is run, and whether gain and offset are fitted first.
    monitor
        Receives ``Progress`` in images, at least once per tile, and each notice once.

    Returns
    -------
    scores
        Over all images, and of each alone; formulas and their sources are in `unveil.operators.metrics`.

    Raises
    ------
    ImageError
        If images and references do not belong together, or cannot be scored; lists are looked through beforehand.
    MismatchError
        If the model does not take an image.
    Cancelled
        From the monitor.
    """
    options = EvaluationOptions.from_values(options)
    card = card_of(model)
    if isinstance(images, list | tuple) and isinstance(references, list | tuple):
        if len(images) != len(references):
            _raise([f"found {count(len(images), 'image')} and {count(len(references), 'reference')}"])
        _raise([p for pair in zip(images, references, strict=True) for p in _problems(card, options, *pair)])
    listener = _Listener(monitor, max(length_hint(images), length_hint(references)))
    pairs = _checked(card, options, images, references)
    if card.task == "denoising":
        return _pool(card, DenoisingTally, pairs, partial(_score_denoising, model, options, listener), listener)
    score = partial(_score_segmentation, model, options, listener)
    if card.objects is None:
        return _with_coverage(_pool(card, partial(ClassTally, card.classes), pairs, score, listener))
    return _with_coverage(_pool(card, ObjectTally, pairs, score, listener))


def with_noise(clean: Image, sigma: float, seed: int) -> Image:
    """Return `clean` with Gaussian noise of standard deviation `sigma`, in grey values, to judge a denoiser."""
    pixels = add_gaussian(np.asarray(clean.data), sigma, seed)
    return clean.like(pixels, clean.axes, channel_names=clean.channel_names)


class _Mergeable(Protocol):
    def merge(self, other: Self) -> None: ...
    def as_dict(self) -> dict[str, JsonValue]: ...


_Tally = TypeVar("_Tally", bound=_Mergeable)


def _pool(
    card: ModelCard,
    new_tally: Callable[[], _Tally],
    pairs: Iterator[tuple[Image, Image]],
    score: Callable[[_Tally, Image, Image], RunReport],
    listener: _Listener,
) -> Scores:
    """Score every pair by itself and all of them together."""
    pooled, per_image = new_tally(), []
    for image, reference in pairs:
        tally = new_tally()
        report = score(tally, image, reference)
        pooled.merge(tally)
        per_image.append(ImageScores(image.name, tally.as_dict(), report))
        listener.finish_image()
    if not per_image:
        raise ImageError("There are no images to judge the model by. Give at least one image with its reference.")
    return Scores(card.name, pooled.as_dict(), tuple(per_image), tuple(listener.notices))


def _with_coverage(scores: Scores) -> Scores:
    """Add how often an image's IoU lies in its interval, where there are intervals."""
    is_covered = [
        interval[0] <= float(str(one.values["iou"])) <= interval[1]
        for one in scores.per_image
        if (interval := one.report.iou_interval) is not None
    ]
    if not is_covered:
        return scores
    return replace(scores, values=scores.values | {"iou_coverage": float(np.mean(is_covered))})


def _score_segmentation(
    model: Model,
    options: EvaluationOptions,
    listener: _Listener,
    tally: ObjectTally | ClassTally,
    image: Image,
    reference: Image,
) -> RunReport:
    segmentation = segment(image, model, options=_only(SegmentationOptions, options), monitor=listener)
    labels = segmentation.labels
    n_dims = model.card.n_dims
    both = zip(frames(labels, n_dims, (0,)), frames(reference, n_dims, (0,)), strict=True)
    for number, (found, true) in enumerate(both):
        window = whole(found.shape[1:])
        expected = true.read(window)[0]
        if isinstance(tally, ClassTally) and len(tally.classes) == 2:
            expected = expected > 0
        tally.add(found.read(window)[0], expected, is_new_image=number == 0)
    return segmentation.report


def _score_denoising(
    model: Model,
    options: EvaluationOptions,
    listener: _Listener,
    tally: DenoisingTally,
    noisy: Image,
    clean: Image,
) -> RunReport:
    unassessed = _only(DenoisingOptions, options).model_copy(update={"skip_assessment": True})
    denoised = denoise(noisy, model, options=unassessed, monitor=listener)
    channel = noisy.channel_index(options.channel) or 0
    arrays = [_beside(denoised.image, image, channel) for image in (noisy, denoised.image, clean)]
    try:
        tally.add(*arrays, fit_gain_first=options.fit_gain)
    except ImageError as error:
        raise ImageError(f"'{noisy.name}' against '{clean.name}': {error}") from error
    return denoised.report


def _beside(result: Image, image: Image, channel: int) -> NDArray[Any]:
    """Return the pixels of `image` that `result` shows, in its shape."""
    pixels = np.asarray(image.data)
    if image.size("C") > result.size("C"):
        pixels = pixels.take(channel, axis=image.axes.index("C"))
    return pixels.reshape(result.shape)


_Options = TypeVar("_Options", bound=RunOptions)


def _only(kind: type[_Options], options: EvaluationOptions) -> _Options:
    """Return the part of `options` that the task's own door knows."""
    shared = kind.model_fields.keys() & type(options).model_fields.keys()
    return kind(**{name: getattr(options, name) for name in shared} | {"skip_check": True})  # references say more


@dataclass(slots=True)
class _Listener:
    """Turns the events of one run after the other into progress in images, and passes each notice once."""

    monitor: Monitor
    n_images: int
    n_done: int = 0
    notices: list[str] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.monitor(Progress(self.n_done, max(self.n_images, self.n_done + 1), "images"))
        elif not isinstance(event, Notice):
            self.monitor(event)
        elif event.message not in self.notices:
            self.notices.append(event.message)
            self.monitor(event)

    def finish_image(self) -> None:
        self.n_done += 1
        self.monitor(Progress(self.n_done, max(self.n_images, self.n_done), "images"))


def _checked(
    card: ModelCard, options: EvaluationOptions, images: Iterable[Image], references: Iterable[Image]
) -> Iterator[tuple[Image, Image]]:
    """Yield the pairs, each looked at before it is computed."""
    for number, (image, reference) in enumerate(zip_longest(images, references)):
        if image is None or reference is None:
            more, fewer = ("images", "references") if reference is None else ("references", "images")
            raise ImageError(f"There are more {more} than {fewer}, of which there are {number}. Give one for each.")
        _raise(_problems(card, options, image, reference) or _pixel_problems(card, image, reference))
        yield image, counted_by_name(reference, card.classes) if _has_classes(card) else reference


def _problems(card: ModelCard, options: EvaluationOptions, image: Image, reference: Image) -> list[str]:
    """Say why the two cannot be compared, as far as shape and dtype tell; refuse what the model does not take."""
    check_match(image, card, card.task)
    if not isinstance(reference, Image):
        return [f"the reference of '{image.name}' is no unveil.Image but {type(reference).__name__}"]
    channel_sets(image, card, options.channel)
    between, problems = f"'{image.name}' and its reference '{reference.name}'", []
    keeps_channels = options.channel is None and image.size("C") > 1
    axes = without(image.axes, "C")
    if card.task == "denoising" and (keeps_channels or "C" in reference.axes):
        axes = image.axes
    if reference.axes != axes:
        problems.append(f"{between} have axes {image.axes} and {reference.axes}; the reference needs {axes}")
    elif any(image.size(axis) != reference.size(axis) for axis in axes):
        problems.append(f"{between} have unlike shapes {image.shape} ({image.axes}) and {reference.shape} ({axes})")
    if card.task == "segmentation" and np.dtype(reference.data.dtype).kind not in "ui":
        problems.append(f"'{reference.name}' has dtype {reference.data.dtype}; labels are integers")
    if card.task == "denoising" and min(reference.shape[-2:]) < SSIM_WINDOW:
        problems.append(f"'{reference.name}' is smaller than {SSIM_WINDOW}×{SSIM_WINDOW} pixels, which SSIM needs")
    return problems


def _pixel_problems(card: ModelCard, image: Image, reference: Image) -> list[str]:
    """Say why the two cannot be compared, as far as only their pixels tell."""
    if card.task == "denoising":
        return [
            f"'{one.name}' holds NaN, infinity or numbers beyond {LARGEST:g}, of which nothing can be scored"
            for one in (image, reference)
            if np.isnan(usable(np.asarray(one.data))).any()
        ]
    pixels = np.asarray(reference.data)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0:
        return [f"'{reference.name}' holds the negative number {low}; labels begin at 0, the background"]
    if card.objects is not None and high > HIGHEST_NUMBER:
        return [f"'{reference.name}' holds the number {high}; objects are numbers from 1 to 2⁶³−1"]
    numbers = numbers_of_classes(card.classes)
    if _has_classes(card) and (strange := set(np.unique(pixels).tolist()) - set(numbers)):
        classes = ", ".join(f"{number} ({name})" for number, name in zip(numbers, card.classes, strict=True))
        return [f"'{reference.name}' holds the number {max(strange)}; the classes of '{card.name}' are {classes}"]
    return []


def _has_classes(card: ModelCard) -> bool:
    """Say whether the number of a label matters; for two classes all that is not 0 is foreground."""
    return card.objects is None and len(card.classes) > 2


def _raise(problems: list[str]) -> None:
    if problems:
        raise ImageError(
            f"Images and references do not fit: {'; '.join(dict.fromkeys(problems))}. Give one fitting reference each."
        )
