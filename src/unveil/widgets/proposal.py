"""What to train, proposed from what the layers hold, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from unveil.data.label_facts import LabelFacts, label_facts
from unveil.data.sparse_labels import shows_only_some
from unveil.widgets.drawn_areas import has_area
from unveil.widgets.layer_roles import images_among, labels_among, role_of
from unveil.widgets.layer_samples import central_window, painted_windows
from unveil.widgets.layers import known_axes, likely_axes, pixels
from unveil.widgets.pairing import has_same_pixels, pair_up
from unveil.widgets.training_layers import (
    Extent,
    LayerPair,
    Scribbles,
    Sparse,
    TrainingTask,
    Whole,
    rectangles_among,
)
from unveil.words import count

_WHOLE = Whole()
_BUDGET_PX = 1_000_000
"""Pixels looked at in all, about half of them from labels."""
_COARSE_PX = 8
"""Means over squares of this edge show the scene without its noise."""
_SAME_SCENE = 0.8
"""Correlation of coarse images from which they show the same."""
_SMOOTHER = 1.5
"""Factor by which a clean image is less noisy than its noisy one."""
_STILL = 2.0
"""How far the coarse difference of still frames may exceed that of pure noise, which neighbours share a little."""
_MOST_IMAGES = 40
"""That are looked at anew."""
_UNPAINTED = {Sparse: "only what is near the painted ones teaches", Whole: "they teach as background"}


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the panel offers before the user has chosen anything.

    Attributes
    ----------
    reason
        One sentence for the user.
    """

    task: TrainingTask
    pairs: tuple[LayerPair, ...]
    reason: str
    extent: Extent = _WHOLE

    def words(self, extent: Extent | None) -> str:
        """Return the reason, and what becomes of objects that seem to be unpainted where `extent` is annotated."""
        outcome = _UNPAINTED.get(type(extent)) if isinstance(self.extent, Sparse) else None
        return f"{self.reason} More seem to be there, unpainted: {outcome}." if outcome else self.reason


def propose_task(layers: Iterable[Layer], present: Sequence[LayerPair] = ()) -> Proposal:
    """Look at about a million pixels of `layers`, in the viewer's order, and say what could be learnt from them.

    Arrays that are not in memory are read in windows of one size, each once: a new layer costs a window or a few.

    Parameters
    ----------
    present
        What was proposed before: labels that somebody has painted stay with their image whatever is opened beside them.
    """
    layers = list(layers)
    images = [layer for layer in images_among(layers) if role_of(layer) == "" and likely_axes(layer)]
    if not images:
        return Proposal(TrainingTask.OBJECTS, (), "There is no image yet: open one, then paint some of its objects.")
    return _from_labels(images, layers, present) or _from_images(images[:_MOST_IMAGES])


def _from_labels(
    images: Sequence[ImageLayer], layers: Sequence[Layer], present: Sequence[LayerPair]
) -> Proposal | None:
    kept = [
        (pair.image, pair.target)
        for pair in present
        if pair.image in images and isinstance(pair.target, Labels) and _is_painted(pair.target)
    ]
    taken = [layer for pair in kept for layer in pair]
    others = [image for image in images if image not in taken][:_MOST_IMAGES]
    labels = [layer for layer in labels_among(layers) if layer not in taken]
    painted = [layer for layer in labels if role_of(layer) == ""]
    # what a model predicted is no annotation while there is one
    found = pair_up(others, painted) or ([] if kept else pair_up(others, labels))
    matched = sorted(
        kept + found, key=lambda pair: images.index(pair[0]), reverse=True
    )  # what was opened first is first
    pairs = tuple(LayerPair(image, target, likely_axes(image)) for image, target in matched)
    return propose_from_labels(pairs, layers) if pairs else None


def propose_from_labels(pairs: Sequence[LayerPair], layers: Iterable[Layer]) -> Proposal:
    """Look at the labels of `pairs`, and say what they teach; `layers` are all of the viewer's, in its order."""
    labelled = [(pair, pair.target) for pair in pairs if pair.image is not None and isinstance(pair.target, Labels)]
    budget_px = _BUDGET_PX // 2 // max(1, len(labelled))
    looks = [_look(pair, labels, budget_px) for pair, labels in labelled]
    told = next((at for at, look in enumerate(looks) if look.facts.n_numbers), None)
    if told is None:
        empty = next((labels.name for _, labels in labelled), None)
        reason = f"Labels '{empty}' are still empty: paint each object with a number of its own." if empty else ""
        return Proposal(TrainingTask.OBJECTS, tuple(pairs), reason)
    facts, labels = looks[told].facts, labelled[told][1]
    task = TrainingTask.CLASSES if facts.are_classes else TrainingTask.OBJECTS
    extent = _extent(facts, looks, list(layers))
    reason = _reason(labels, facts)
    return Proposal(task, tuple(pairs), reason, extent)


@dataclass(frozen=True, slots=True)
class _Look:
    """What labels look like, and whether some objects seem not to be painted."""

    facts: LabelFacts
    is_sparse: bool


def _look(pair: LayerPair, labels: Labels, budget_px: int) -> _Look:
    assert pair.image is not None
    window, beside = painted_windows(labels, pair.image, pair.axes_meant, budget_px)
    facts = label_facts(window)
    return _Look(facts, facts.background is None and beside is not None and shows_only_some(beside, window))


def _is_painted(labels: Labels) -> bool:
    """Say whether somebody has painted labels; what is read from a file when it is looked at is taken to be full."""
    return role_of(labels) == "" and (not isinstance(labels.data, np.ndarray) or bool(labels.data.any()))


def _reason(labels: Labels, facts: LabelFacts) -> str:
    if facts.background is not None:
        return (
            f"Labels '{labels.name}' are thin strokes on a small part of the image: scribbles, with number "
            f"{facts.background} on the background."
        )
    if facts.are_classes:
        numbers = count(facts.n_numbers, "number")
        return f"Labels '{labels.name}' hold {numbers} in {facts.n_regions} separate regions: each number is a class."
    if facts.n_numbers == 1:
        return f"Labels '{labels.name}' hold one object so far: every object has a number of its own."
    return f"Labels '{labels.name}' hold {facts.n_numbers} numbers, each in one place: every number is an object."


def _extent(facts: LabelFacts, looks: Sequence[_Look], layers: Sequence[Layer]) -> Extent:
    if facts.background is not None:
        return Scribbles(facts.background)
    drawn = next((one for one in rectangles_among(layers).values() if any(map(has_area, one.layers))), None)
    if drawn is not None:
        return drawn
    are_sparse = [look.is_sparse for look in looks if look.facts.n_numbers]
    return Sparse() if 2 * sum(are_sparse) >= len(are_sparse) else _WHOLE


def _from_images(images: Sequence[ImageLayer]) -> Proposal:
    edge_px = int(np.sqrt(_BUDGET_PX / 4 / len(images)))
    large = [image for image in images if min(pixels(image).shape[image.ndim - 2 : image.ndim]) >= 2 * _COARSE_PX]
    pairs = _noisy_and_clean(large, edge_px)
    if pairs:
        noisy, clean = pairs[0].image, pairs[0].target
        assert noisy is not None
        assert clean is not None
        reason = f"Images '{noisy.name}' and '{clean.name}' show the same scene, and '{clean.name}' has less noise."
        return Proposal(TrainingTask.PAIRS, pairs, reason)
    for image in large:
        if (axes := _axes_of_repeats(image, edge_px)) is not None:
            reason = f"There are no labels, and the frames of '{image.name}' show the same scene with other noise."
            return Proposal(TrainingTask.FRAMES, (LayerPair(image, None, axes),), reason)
    alone = f"'{images[0].name}' stands" if len(images) == 1 else "the images stand"
    reason = (
        f"There are no labels that fit an image, and {alone} alone: a denoiser can learn from noisy images only. "
        f"To segment, choose 'Segment objects' above, press 'New labels' and paint."
    )
    return Proposal(TrainingTask.NOISY_ONLY, tuple(LayerPair(i, None, likely_axes(i)) for i in images[::-1]), reason)


def _noisy_and_clean(images: Sequence[ImageLayer], edge_px: int) -> tuple[LayerPair, ...]:
    """Give each image the least noisy one of the same scene, if that is clearly less noisy."""
    if len(images) < 2:
        return ()
    windows = [central_window(image, likely_axes(image), edge_px) for image in images]
    noise = [_relative_noise(window) for window in windows]
    pairs = []
    for noisy, image in enumerate(images):
        better = [
            clean
            for clean, other in enumerate(images)
            if noise[noisy] > _SMOOTHER * noise[clean]
            and has_same_pixels(image, other)
            and _likeness(windows[noisy], windows[clean]) > _SAME_SCENE
        ]
        if better:
            clean = min(better, key=lambda at: noise[at])
            pairs.append(LayerPair(image, images[clean], likely_axes(image)))
    cleans = {pair.target.unique_id for pair in pairs if pair.target is not None}
    return tuple(pair for pair in pairs[::-1] if pair.image is not None and pair.image.unique_id not in cleans)


def _axes_of_repeats(image: ImageLayer, edge_px: int) -> str | None:
    """Return the axes, time among them, of a stack whose frames differ by noise alone; None if they do not."""
    axes = known_axes(image) or {3: "TYX"}.get(image.ndim, likely_axes(image))  # a stack of unnamed axes may be a movie
    if image.rgb or "T" not in axes:
        return None
    n_frames = pixels(image).shape[axes.index("T")]
    if n_frames < 2:
        return None
    first, *others = (central_window(image, axes, edge_px, T=at) for at in (0, 1, n_frames - 1))
    return axes if all(_differ_by_noise(first, other) for other in others) else None


def _differ_by_noise(frame: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    difference = frame - other
    difference -= difference.mean()
    noise = float(difference.std())
    if noise == 0 or _likeness(frame, other) < _SAME_SCENE:
        return False
    return float(_coarse(difference).std()) * _COARSE_PX < _STILL * noise


def _likeness(image: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of two images without their noise, 0 where one of them is flat."""
    a, b = (_coarse(one).ravel() for one in (image, other))
    if a.size < 4 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _coarse(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means over squares."""
    height, width = (n // _COARSE_PX for n in image.shape)
    squares = image[: height * _COARSE_PX, : width * _COARSE_PX].reshape(height, _COARSE_PX, width, _COARSE_PX)
    return np.asarray(squares.mean(axis=(1, 3)), np.float32)


def _relative_noise(image: NDArray[np.float32]) -> float:
    """Return the mean diagonal difference between neighbours, over the contrast of the coarse image."""
    diagonal = image[1:, 1:] - image[1:, :-1] - image[:-1, 1:] + image[:-1, :-1]
    return float(np.abs(diagonal).mean()) / max(float(_coarse(image).std()), 1e-12)
