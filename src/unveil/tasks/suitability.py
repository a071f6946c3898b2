"""Is this model for this image? An image is compared with what the card keeps of the training images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

from unveil.config.options import RESCALE_FACTORS, RESCALE_FROM, ViewOptions
from unveil.image import Frame, Image, middle_frame
from unveil.model.appearance import Appearance, ResizedRecord
from unveil.model.model import Model
from unveil.operators.likeness import Floats
from unveil.tasks.looking import looks_of, statistics_of, windows_of
from unveil.tasks.matching import card_of, channel_sets, check_match
from unveil.tasks.rescaling import scale_factors

Verdict: TypeAlias = Literal["like", "unlike", "unknown"]

_DEFAULTS = ViewOptions()
_REMARKABLE = 3.0
"""Standard deviations from which on a statistic is a reason."""
_MOST_REASONS = 2
_MOST_SETS = 4
"""Of channels that are denoised one by one."""
_REDUCTIONS = (0.85, 0.7)
"""An image of another size is looked at again after each of these."""
_RESCALE_AGAIN_FROM = 1.6
"""As `RESCALE_FROM`, for an image that is resized already: no advice after advice."""
_MUCH_NEARER = 0.5
"""An image is taken for inverted where its opposite lies nearer by this factor, or among the training images."""


@dataclass(frozen=True, slots=True)
class Suitability:
    """How an image compares with those that a model has learned from.

    Attributes
    ----------
    verdict
        unknown where the model's card does not say what its training images looked like, or the image shows nothing.
    score
        How far the image lies from the training images, or how much larger or smaller it seems, over what is usual;
        above 1 it is unlike. None where unknown.
    reasons
        In plain words, the weightiest first; why nothing is known where that is so.
    suggested_rescale
        The factor for the option `rescale` at which the image would be more like the training images; None for none.
    """

    verdict: Verdict
    score: float | None = None
    reasons: tuple[str, ...] = ()
    suggested_rescale: float | None = None

    @property
    def remedy(self) -> str:
        """What to do about it, as a question or an advice; empty where there is nothing."""
        return "" if self.suggested_rescale is None else f"Rescale by {self.suggested_rescale:g}?"

    def sentence(self, image: str, model: str) -> str:
        """Warn in plain words that `image` is unlike what `model` learned from."""
        remedy = self.remedy or "Look at the result with care, or choose another model."
        return f"Image '{image}' is unlike the images that '{model}' learned from: {'; '.join(self.reasons)}. {remedy}"


def compare(image: Image, model: Model, *, options: ViewOptions | Mapping[str, Any] = _DEFAULTS) -> Suitability:
    """Compare `image`, as a run with `options` would see it, with the training images of `model`.

    At most four windows of one plane are looked at, so that it takes as long for a large image as for a small one.

    Raises
    ------
    ImageError, MismatchError, ConfigError
        If the image does not fit the model.
    """
    options = ViewOptions.from_values(options)
    card = card_of(model)
    check_match(image, card, card.task)
    channels = channel_sets(image, card, options.channel)
    return judge(image, model, channels, scale_factors(image, card, options.rescale))


def judge(image: Image, model: Model, channels: Sequence[tuple[int, ...]], factors: tuple[float, ...]) -> Suitability:
    """Compare each set of `channels` that a run takes together, resized by `factors`; the least like one counts."""
    appearance = model.card.appearance
    if appearance is None:
        why = "what its training images look like; a training on four planes or more notes it"
        return Suitability("unknown", reasons=(f"the card of '{model.card.name}' does not say {why}",))
    if appearance.statistics != statistics_of(model):
        return Suitability("unknown", reasons=("its card was written by a version that measured otherwise",))
    scale = math.prod(factors[-2:]) ** 0.5 if factors else 1.0
    seen = [middle_frame(image, model.card.n_dims, each) for each in channels[:_MOST_SETS]]
    found = [_judged(frame, model, appearance, scale) for frame in seen]
    return max(found, key=lambda suitability: suitability.score or 0.0)


def _judged(frame: Frame, model: Model, appearance: Appearance, scale: float) -> Suitability:
    windows = windows_of(frame, scale)
    looks = looks_of(windows, model)
    if looks is None:
        return Suitability("unknown", reasons=("the image shows too little to be compared",))
    cloud = appearance.looks.cloud()
    distance = float(cloud.distances(looks)) / appearance.threshold
    resized = appearance.resized
    octaves = None if resized is None else _octaves(looks, resized)
    score = distance
    if resized is not None and octaves is not None and resized.usual_octaves is not None:
        score = max(distance, abs(octaves) / resized.usual_octaves)
    if score <= 1:
        return Suitability("like", score)
    factor = None
    if resized is not None and octaves is not None:
        factor = _suggested_factor(frame, model, resized, scale, octaves)
    if factor is not None and factor < 1:  # reduced, what was magnified is nearer; enlarged, nothing regains its detail
        reduced = looks_of(windows_of(frame, scale * factor), model)
        if reduced is None or cloud.distances(reduced) / appearance.threshold >= distance:
            factor = None
    if factor is not None:
        return Suitability("unlike", score, (_about_size(1 / factor),), _plain(scale * factor))
    if distance <= 1:  # the size alone was remarkable, and at another look it is not
        return Suitability("like", distance)
    inverted = looks_of([-window for window in windows], model)
    if inverted is not None and cloud.distances(inverted) <= appearance.threshold * max(1.0, distance * _MUCH_NEARER):
        return Suitability("unlike", score, ("bright and dark seem swapped: invert the image",))
    names = dict(zip(appearance.statistics, cloud.deviations(looks).tolist(), strict=True))
    return Suitability("unlike", score, tuple(islice(_reasons(names), _MOST_REASONS)))


def _octaves(looks: Floats, resized: ResizedRecord) -> float | None:
    """Tell by how many octaves an image is magnified, if it is like the training images at some size."""
    if resized.looks.cloud().distances(looks) > resized.threshold:
        return None
    return float(resized.magnification.function().octaves(looks))


def _suggested_factor(frame: Frame, model: Model, resized: ResizedRecord, scale: float, octaves: float) -> float | None:
    """Tell by how much to resize an image that seems magnified by `octaves`; None where that is next to nothing.

    It is looked at again a little reduced: what several looks say together is surer than one.
    """
    function = resized.magnification.function()
    seen = [octaves]
    for less in _REDUCTIONS:
        reduced = looks_of(windows_of(frame, scale * less), model)
        if reduced is not None:
            seen.append(float(function.octaves(reduced)) - math.log2(less))
    factor: float = 2.0 ** -(sum(seen) / len(seen))
    smallest, largest = RESCALE_FACTORS
    least = RESCALE_FROM if scale == 1 else _RESCALE_AGAIN_FROM
    if max(factor, 1 / factor) <= least or not smallest <= scale * factor <= largest:
        return None
    return factor


def _about_size(times: float) -> str:
    if times > 1:
        return f"objects seem about {_plain(times):g}× larger than in training"
    return f"objects seem about {_plain(1 / times):g}× smaller than in training"


def _plain(value: float) -> float:
    return float(f"{value:.2g}")


_WORDS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "noise": (("noise",), "less noisy than in training", "noisier than in training"),
    "sharpness": (
        tuple(f"power {number}" for number in range(12, 16)),
        "blurred, or without fine detail, compared with training",
        "with more fine detail or noise than in training",
    ),
    "ground": (
        ("quantile 0.25", "quantile 0.5", "quantile 0.75"),
        "darker ground than in training",
        "brighter ground, or more of the image bright, than in training",
    ),
    "intensities": (
        ("quantile 0.05", "quantile 0.9", "quantile 0.95", "contrast", "skewness"),
        "another histogram of intensities than in training",
        "another histogram of intensities than in training",
    ),
    "polarity": (
        tuple(f"polarity {number}" for number in range(5)),
        "structures darker than what surrounds them, unlike training",
        "structures brighter against what surrounds them than in training",
    ),
    "coarse": (
        (*(f"power {number}" for number in range(12)), *(f"sparsity {number}" for number in range(5))),
        "structures of another size or more crowded than in training",
        "structures of another size or sparser than in training",
    ),
}
"""Which statistics speak of what, and what is said where they are lower or higher than in training."""


def _reasons(deviations: Mapping[str, float]) -> Iterator[str]:
    """Yield what is remarkable, the most remarkable first; the network's own features where nothing else is."""
    found = []
    for names, low, high in _WORDS.values():
        values = [value for name, value in deviations.items() if name.split(" of channel")[0] in names]
        largest = max(values, key=abs, default=0.0)
        if abs(largest) > _REMARKABLE:
            found.append((abs(largest), high if largest > 0 else low))
    yield from (words for _, words in sorted(found, reverse=True))
    if not found:
        yield "the network's first layer sees patterns that it did not see in training"
