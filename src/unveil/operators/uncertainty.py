"""How unsure a mean of several answers is, and how much of that is that they contradict each other.

For the class probabilities pᵥ of one pixel, as v = 1 … n views of it give them, in bits::

    H(mean pᵥ)   =   mean H(pᵥ)   +   I          H(p) = − Σ p log₂ p

    predictive       what each        mutual information: what
    entropy          view admits      the views disagree about

(Houlsby 2011, arXiv 1112.5745, for models drawn from a posterior; Depeweg 2018, arXiv 1710.07283. Over flips and turns
of an image: Wang 2019, arXiv 1807.07356.) With two classes all three lie between 0 and 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

NAMES = ("entropy", "disagreement")
"""The two maps of an uncertainty, both in bits: the predictive entropy, and the mutual information in it."""


def entropy(probabilities: NDArray[np.float32], axis: int = 0) -> NDArray[np.float32]:
    """Return the entropy, in bits, of the probabilities of all classes along `axis`."""
    bits: NDArray[np.float32] = np.sum(entr(probabilities), axis=axis) / np.float32(np.log(2))
    return bits


def disagreement(predictive: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mutual information: entropy of the mean less mean of the entropies; rounding makes none negative."""
    shared: NDArray[np.float32] = np.maximum(predictive - expected, 0)
    return shared
