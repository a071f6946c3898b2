"""Which blocks of images are worth annotating next: what there is to learn of each, and for how many it speaks.

::

    worth   ▁▁▇▇▇▁▅▅▁▁▇      of each block, from the model's probabilities alone
    looks   a a b b b a c c a a b
    chosen        1   2          the first b speaks for all b, so that c comes before the next b

What one block would teach is the worth of all blocks (the contrast that the model sees between objects and background;
once something is annotated, its expected error and something for objects that it is sure of), each weighted by how much
it looks like this one and by nothing that is annotated or chosen already. Its sum over the chosen blocks is submodular,
so that choosing greedily comes within 1 − 1/e of the best choice (Nemhauser 1978, Math. Program. 14); beyond that, the
choice is spread over the planes. Uncertainty and representativeness come together as in suggestive annotation (Yang
2017, arXiv 1706.04737), in one weighted sum as in CLUE (Prabhu 2021, arXiv 2010.08666).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ALIKE = 0.5
"""Blocks more similar than this are said to look alike."""
_N_COMPONENTS = 10
_OBJECTS = 1 / 3
"""Share of a block's worth that comes from objects the model is sure of; the rest comes from its errors."""
_SAME_PLANE = 0.5
"""What counts of a gain for each block that was chosen of the same plane before."""
_MOST_ALIKE = 0.8
"""Likeness of two blocks that look the same."""
_BANDWIDTH = 0.2
"""Width of the Gaussian that turns distances into similarities, in distances between blocks (root mean square)."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Choice:
    """One block chosen from many.

    Attributes
    ----------
    number
        Which one.
    gain
        Share of the worth of all blocks that it adds to what is spoken for, 0 to 1.
    n_alike
        Blocks that it speaks for and no earlier one did, itself included.
    """

    number: int
    gain: float
    n_alike: int


def block_starts(length: int, edge: int) -> list[int]:
    """Return where blocks of `edge` pixels begin, evenly from one end of an axis to the other, as many as it is long.

    ::

        ├───────┤       ├───────┤                  length 256, edge 96: 0, 80, 160
               ├───────┤
        ├───────┤ ├───────┤ ├───────┤              length 320, edge 96: 0, 112, 224

    Neighbours overlap by half a block at most.
    """
    if edge >= length:
        return [0]
    n = max(int(length / edge + 0.5), 1)
    starts: list[int] = np.linspace(0, length - edge, n).round().astype(int).tolist()
    return starts


def pixel_error(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability that the likeliest class of a pixel is wrong, as far as the probabilities are right.

    Parameters
    ----------
    probabilities
        Of each class, ``(K, *spatial)``, 0 to 1, summing to 1.
    """
    error: NDArray[np.float32] = 1 - probabilities.max(axis=0)
    return error


def contrast(mean: NDArray[np.float64], mean_square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the foreground's probability varies within each block: its variance, 0 to ¼.

    It is large where a model sees objects and background apart, and small where it sees one of them only, or is unsure
    of all, as it is of textures.

    Parameters
    ----------
    mean, mean_square
        Of the foreground's probability over each block, and of its square, ``(n_blocks,)``.
    """
    variance: NDArray[np.float64] = np.maximum(mean_square - mean**2, 0)
    return variance


def sure_foreground(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much foreground is likelier than background, 0 to 1, and 0 where it is not.

    Parameters
    ----------
    probabilities
        Of each class, background first, ``(K, *spatial)``, 0 to 1, summing to 1.
    """
    foreground: NDArray[np.float32] = np.maximum(1 - 2 * probabilities[0], 0)
    return foreground


def worth(error: NDArray[np.float64], objects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what there is to learn of each block: what is wrong, and some of what is right; on average 1.

    A training that sees nothing but what a model does wrong shows it few outlines, and lets it forget what it knew. Of
    images of which nothing is annotated the model's doubt says little, and `contrast` takes the place of this.

    Parameters
    ----------
    error, objects
        Means of `pixel_error` and `sure_foreground` over each block, ``(n_blocks,)``; each counts in units of its mean.
    """
    wrong, right = (part / max(float(part.mean()), _TINY) for part in (error, objects))
    return (1 - _OBJECTS) * wrong + _OBJECTS * right


def similarities(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much blocks look alike, ``(n, n)``, 0 to 1: a Gaussian of the distances between their features.

    A block is only like itself by 1. However much others look like it, they hold other pixels, so that of blocks that
    look alike the one where most is wrong comes first.

    Distances are those along the first principal components of the features' square roots: a network has many features
    that hardly differ, and together they would drown those that tell kinds of images apart.

    Parameters
    ----------
    features
        Mean activations of a network layer per block, not negative, ``(n, n_features)``.
    """
    roots = np.sqrt(np.maximum(features, 0, dtype=np.float64))
    centred = roots - roots.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # in ascending order
    places = centred @ axes[:, -_N_COMPONENTS:]
    squares = (places**2).sum(axis=1)
    distance = np.maximum(squares[:, None] + squares[None] - 2 * places @ places.T, 0)
    mean_distance = max(2 * float(places.var(axis=0).sum()), _TINY)
    gaussian = np.exp(-distance / (2 * _BANDWIDTH**2 * mean_distance))
    alike: NDArray[np.float32] = (_MOST_ALIKE * gaussian).astype(np.float32)
    np.fill_diagonal(alike, 1)
    return alike


def overlapping(corners: NDArray[np.intp], edges: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which blocks share pixels, ``(n, n)``.

    Parameters
    ----------
    corners
        Number of the plane that each lies in, then its first pixel along every axis, ``(n, 1 + n_axes)``.
    edges
        Size of all blocks along these axes.
    """
    apart = np.abs(corners[:, None] - corners[None])
    shared: NDArray[np.bool_] = (apart < np.array([1, *edges])).all(axis=-1)
    return shared


def choose(
    value: NDArray[np.float64],
    alike: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    shares_pixels: NDArray[np.bool_],
    planes: NDArray[np.intp],
    n: int,
) -> list[Choice]:
    """Choose up to `n` blocks, the one that teaches most first.

    ``gain(b) = Σᵢ valueᵢ · max(0, alikeᵢᵦ − maxⱼ alikeᵢⱼ) / Σᵢ valueᵢ`` with j over what is annotated or chosen; with k
    blocks chosen of its plane, a block of that plane counts 2⁻ᵏ of its gain.

    Parameters
    ----------
    value
        The worth of each block, ``(n_blocks,)``.
    alike
        As `similarities` returns it.
    candidates
        Which may be chosen; the others are annotated, and speak for their like.
    shares_pixels
        As `overlapping` returns it: of blocks that share some, one at most is chosen.
    planes
        Number of the plane that each lies in.
    """
    spoken_for = alike[:, ~candidates].max(axis=1, initial=0)
    left, choices = candidates.copy(), list[Choice]()
    preference = np.ones(len(value))
    total = max(float(value.sum()), _TINY)
    while len(choices) < n and left.any():
        open_to = np.flatnonzero(left)
        added = np.maximum(alike[:, open_to] - spoken_for[:, None], 0)
        gains = value @ added
        best = int((gains * preference[open_to]).argmax())
        number = int(open_to[best])
        speaks_for = added[:, best] > _ALIKE
        speaks_for[number] = True
        choices.append(Choice(number, float(gains[best]) / total, int(speaks_for.sum())))
        spoken_for = np.maximum(spoken_for, alike[:, number])
        left &= ~shares_pixels[number]
        preference[planes == planes[number]] *= _SAME_PLANE
    return choices
