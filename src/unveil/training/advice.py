"""What a colleague would say about a training: before it begins, and when it does not get anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unveil.data.annotation import Annotation, judged_numbers
from unveil.data.examples import Example
from unveil.events import StepEnd
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.operators.receptive_field import margin
from unveil.training.lesson import Lesson
from unveil.training.pairs import Pair

_FEW_OBJECTS = 10
_SMALL_PX = 20
"""Objects of fewer pixels (5 across) leave a network little to see."""
_CROWDED = 0.8
"""Share of objects that touch another one from which labels look as if they touched everywhere."""
_UNLIKE_SCALE = 1.5
_LEAST_CONTRAST = 0.05
"""Difference of mean between objects and ground, in units of the image's deviation, below which nothing is seen."""


def advise(lesson: Lesson, parent: ModelCard | None, pairs: Sequence[Pair] = ()) -> list[str]:
    """Return what is noticeable about the data, one sentence each, with what to do.

    Parameters
    ----------
    pairs
        The images that teach, with their targets.
    """
    advice = _about_scale(lesson, parent)
    if lesson.card_fields["task"] == "denoising":
        return advice + _about_noise(lesson.teaching, pairs)
    advice += _about_pixel_sizes(lesson, [image for image, _ in pairs])
    advice += _about_objects(lesson)
    advice += _about_classes(lesson)
    advice += _about_contrast(lesson.teaching)
    return advice


class LossWatch:
    """Notices once when the training loss does not fall."""

    def __init__(self) -> None:
        self._losses: list[float] = []

    def note(self, event: StepEnd) -> str | None:
        """Take down a step; return a sentence at a third of the training if nothing was learnt by then."""
        self._losses.append(event.loss)
        third = event.n_steps // 3
        if event.step != third or third < 60 or len(self._losses) < third:  # fewer were seen if it was resumed
            return None
        first, last = (float(np.mean(part)) for part in (self._losses[:20], self._losses[-20:]))
        if last < 0.97 * first or first <= 0:
            return None
        return (
            f"The training loss does not fall ({first:.3g} at first, {last:.3g} now). Try a learning rate three times "
            f"lower, check that image and annotation show the same place, or annotate more."
        )


def _about_objects(lesson: Lesson) -> list[str]:
    objects, advice = lesson.objects, []
    sizes = objects.sizes
    if not sizes:
        return []
    if len(sizes) < _FEW_OBJECTS:
        annotated = "1 object is" if len(sizes) == 1 else f"{len(sizes)} objects are"
        advice.append(f"Only {annotated} annotated; twenty or more, unlike each other, teach much better.")
    if np.median(sizes) < _SMALL_PX:
        advice.append(
            f"Objects have {np.median(sizes):.0f} pixels in the median: that is little to learn from. Enlarge the "
            f"images before training, or take them at a higher magnification."
        )
    seen = 2 * min(margin(lesson.architecture)[-2:])
    if 2 * objects.largest_radius_px > seen:
        advice.append(
            f"The largest object is {2 * objects.largest_radius_px:.0f} px wide and the network sees {seen} px: "
            f"shrink the images, or give the network one pooling more."
        )
    if objects.n_touching > _CROWDED * len(sizes):
        advice.append(
            f"{objects.n_touching / len(sizes):.0%} of the objects touch another one: let thin gaps show between them "
            f"where the image does, so that they can be told apart."
        )
    return advice


def _about_classes(lesson: Lesson) -> list[str]:
    """Say of which class there is nothing to learn from, or nothing to judge by."""
    advice, names = [], lesson.card_fields["classes"]
    taught = [(example.target[0], example.weight[0] > 0) for example in lesson.teaching]
    numbers = range(1, len(names) if len(names) > 2 else 0)  # of two classes both are there
    missing = [f"'{names[n]}'" for n in numbers if not any(((target == n) & judged).any() for target, judged in taught)]
    if missing:
        advice.append(f"Nothing that teaches is annotated as {', '.join(missing)}: the model will not find it.")
    if lesson.judged and not any(_has_objects(annotation) for _, annotation in lesson.judged):
        advice.append("The validation images show no object: their IoU says nothing. Give some with objects.")
    return advice


def _has_objects(annotation: Annotation) -> bool:
    return any(number > 0 for number in judged_numbers(annotation))


def _about_noise(examples: Sequence[Example], pairs: Sequence[Pair]) -> list[str]:
    """Say where there is no noise, or nothing under it, to learn from."""
    if all(np.ptp(example.target) == 0 for example in examples):
        return ["All images are constant: there is nothing to learn from. Look at them, and choose others."]
    both = [(noisy, clean) for noisy, clean in pairs if isinstance(clean, Image) and clean is not noisy]
    if both and all((np.asarray(noisy.data) == np.asarray(clean.data)).all() for noisy, clean in both):
        return [
            "Noisy and clean images are the same, pixel for pixel: the model will learn to change nothing. Give noisy "
            "images beside the clean ones, or one kind alone."
        ]
    return []


def _about_scale(lesson: Lesson, parent: ModelCard | None) -> list[str]:
    own = lesson.card_fields["pixel_size_um"]
    theirs = parent.pixel_size_um if parent is not None else {}
    factors = {axis: own[axis] / theirs[axis] for axis in own if axis in theirs}
    worst = max(factors, key=lambda axis: abs(math.log(factors[axis])), default="")
    if not worst or abs(math.log(factors[worst])) < math.log(_UNLIKE_SCALE):
        return []
    assert parent is not None
    return [
        f"The images have {own[worst]:.3g} µm per pixel along {worst} and model '{parent.name}' was trained at "
        f"{theirs[worst]:.3g}: what it knows of sizes will not fit. Resize the images by {factors[worst]:.2g}."
    ]


def _about_pixel_sizes(lesson: Lesson, images: Sequence[Image]) -> list[str]:
    """Say where the model gets no pixel size though images have one."""
    shared = lesson.card_fields["pixel_size_um"]
    for axis in reversed("ZYX"[-lesson.architecture.n_dims :]):
        sizes = [image.pixel_size_um[axis] for image in images if axis in image.pixel_size_um]
        if axis in shared or not sizes:
            continue
        found = f"{len(images) - len(sizes)} of {len(images)} images do not say how large their pixels are"
        if len(sizes) == len(images):
            found = f"The images have pixels of {min(sizes):.3g} to {max(sizes):.3g} µm along {axis}"
        return [
            f"{found}: the model will not know a pixel size, and no image will be resized to one. Give all images the "
            f"same, resized where they differ, or train on those that are alike."
        ]
    return []


def _about_contrast(examples: Sequence[Example]) -> list[str]:
    """Say where objects look just like the ground: image and labels may not belong together."""
    differences = []
    for example in examples:
        judged, is_object = example.weight[0] > 0, example.target[0] > 0
        inside, outside = (example.image[:, judged & part] for part in (is_object, ~is_object))
        if inside.size and outside.size:
            spread = example.image.std(axis=tuple(range(1, example.image.ndim)))
            differences.append(float((np.abs(inside.mean(axis=1) - outside.mean(axis=1)) / (spread + 1e-6)).max()))
    if not differences or max(differences) >= _LEAST_CONTRAST:
        return []
    return [
        "Annotated objects are as bright as the ground in every image: check that image and labels belong together and "
        "lie on each other."
    ]
