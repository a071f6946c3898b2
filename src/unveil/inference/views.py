"""Several answers for one window: of its flips and turns, and of several models; their mean, and how unsure it is.

::

    flips   F ꟻ          the image as it is, mirrored along X, along Y, along both: what `accurate` averages over
            E Ǝ
    turns   the same four of the image with Y and X exchanged: with the flips all eight symmetries of a square

Only Y and X are flipped and exchanged, of volumes too, whose Z is seldom like them. Windows begin and end on the
network's step, so that poolings see the same groups of pixels in each view, whatever the tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import RunOptions
from unveil.inference.engines import Engine, borrowed_engine, one_ahead
from unveil.model.model import Model
from unveil.operators.uncertainty import disagreement, entropy

View = tuple[bool, tuple[int, ...]]
"""Whether Y and X are exchanged, and along which axes is mirrored afterwards."""
FLIPS: tuple[View, ...] = tuple((False, axes) for axes in ((), (-1,), (-2,), (-2, -1)))
TURNS: tuple[View, ...] = tuple((True, axes) for _, axes in FLIPS)


class ManyViews:
    """Engines that each compute a batch several times, as one engine.

    Its maps are the mean over the engines and the first `n_averaged` views. Where `n_classes` is given, two more
    follow, in bits, over all engines and views: entropy and disagreement (`unveil.operators.uncertainty`) of the class
    probabilities, which are the first maps.
    """

    def __init__(
        self, engines: Sequence[Engine], views: Sequence[View], n_averaged: int, n_classes: int | None = None
    ) -> None:
        self._engines, self._views = engines, views
        self._n_averaged, self._n_classes = n_averaged, n_classes

    @property
    def device(self) -> str:
        """Where: cpu, cuda or mps."""
        return self._engines[0].device

    @property
    def library(self) -> str:
        """What computes."""
        return self._engines[0].library

    @property
    def precision(self) -> str:
        """Number format of the convolutions: float32 only where all engines compute in it."""
        return next((e.precision for e in self._engines if e.precision != "float32"), "float32")

    @property
    def n_pixels_held(self) -> int:
        """Pixels of the batches whose maps still take memory."""
        return sum(engine.n_pixels_held for engine in self._engines)

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean maps ``(N, K, *spatial)`` of `batch` ``(N, C, *spatial)``, and the two of uncertainty."""
        means, mixture, admitted = _Mean(), _Mean(), _Mean()
        seen = (
            (number, _seen(engine, batch, view)) for engine in self._engines for number, view in enumerate(self._views)
        )
        for number, maps_of_view in one_ahead(seen):
            maps = maps_of_view()
            if number < self._n_averaged:
                means.add(maps)
            if self._n_classes is not None:
                probabilities = maps[:, : self._n_classes]
                mixture.add(probabilities)
                admitted.add(entropy(probabilities, axis=1))
        if self._n_classes is None:
            return means.value
        predictive = entropy(mixture.value, axis=1)
        both = np.stack([predictive, disagreement(predictive, admitted.value)], axis=1)
        return np.concatenate([means.value, both], axis=1)

    def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        """Return what computes the maps of `batch`."""
        return partial(self.compute, batch)

    def release(self) -> None:
        """Give back what was taken for computing."""
        for engine in self._engines:
            engine.release()


@contextmanager
def borrowed_views(
    models: Sequence[Model], options: RunOptions, notify: Callable[[str], None], *, keep: bool = False
) -> Iterator[Engine]:
    """Lend what computes the views that `options` ask for, by all `models`; see `borrowed_engine`."""
    card = models[0].card
    is_unsure = card.gives_uncertainty(options)
    with ExitStack() as lent:
        engines = [lent.enter_context(borrowed_engine(model, options, notify, keep=keep)) for model in models]
        views = FLIPS if options.accurate or is_unsure else FLIPS[:1]
        if is_unsure and card.size_step[-1] == card.size_step[-2]:  # else a turned window would be no window
            views += TURNS
        n_averaged = len(FLIPS) if options.accurate else 1
        if len(engines) == len(views) == 1:
            yield engines[0]
        else:
            yield ManyViews(engines, views, n_averaged, len(card.classes) if is_unsure else None)


class _Mean:
    """A mean of arrays that come one after the other."""

    def __init__(self) -> None:
        self._sum: NDArray[np.float32] | None = None
        self._n = 0

    def add(self, values: NDArray[np.float32]) -> None:
        self._n += 1
        if self._sum is None:
            self._sum = values.copy()
        else:
            self._sum += values

    @property
    def value(self) -> NDArray[np.float32]:
        assert self._sum is not None
        return self._sum / np.float32(self._n)


def _seen(engine: Engine, batch: NDArray[np.float32], view: View) -> Callable[[], NDArray[np.float32]]:
    """Begin with a view of `batch`; what is returned waits for its maps and brings them back to where they belong."""
    is_exchanged, axes = view
    shown = batch.swapaxes(-1, -2) if is_exchanged else batch
    begun = engine.begin(np.ascontiguousarray(np.flip(shown, axes)))

    def brought_back() -> NDArray[np.float32]:
        maps = np.flip(begun(), axes)
        return maps.swapaxes(-1, -2) if is_exchanged else maps

    return brought_back
