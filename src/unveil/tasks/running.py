"""Run one model over the frames of one image: what `segment` and `denoise` share."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from math import lcm
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

import unveil
from unveil.config.architecture import FilterConfig
from unveil.config.options import RunOptions
from unveil.errors import EngineError
from unveil.events import Monitor, Notice, Progress, Unlike
from unveil.image import Image, whole
from unveil.inference.cluster import Cluster, ClusterEngine
from unveil.inference.engines import Engine, choose_device
from unveil.inference.hands import one_by_one
from unveil.inference.memory import affordable_window, largest_window
from unveil.inference.prediction import NotFiniteError
from unveil.inference.reading import (
    FilledFrame,
    NormalizedFrame,
    Readable,
    Survey,
    blocks,
    kept,
    survey,
)
from unveil.inference.tiling import Tile, Tiling, Window, economical_tiling, round_up
from unveil.inference.views import borrowed_views
from unveil.model.model import Model
from unveil.operators.uncertainty import NAMES
from unveil.tasks.probing import Probe, probe, probed_tiles
from unveil.tasks.rescaling import resized, resized_shape
from unveil.tasks.results import Journal, RunReport, WritableArray, common_grain
from unveil.tasks.seen_frame import as_seen, blank_error, resized_frame
from unveil.tasks.suitability import judge
from unveil.tasks.tile_work import Skip, TileWork, Write, skip_silently

Result = TypeVar("Result")

_OFTEN = 10
"""Times that each pixel is computed from which the user is told."""


class Run:
    """One model on one image: the engine and the tile in use, what was noticed, and how far it has come.

    All frames of an image have one shape, and so one tiling; it is halved when memory runs out.
    """

    def __init__(
        self,
        image: Image,
        models: Sequence[Model],
        options: RunOptions,
        *,
        scale: tuple[float, ...],
        n_frames: int,
        grain: tuple[int, ...],
        journal: Journal | None,
        cluster: Cluster | None,
        monitor: Monitor,
        engines: ExitStack,
    ) -> None:
        self._image, self._models, self._options, self._monitor = image, models, options, monitor
        self._card = card = models[0].card
        self._engines, self._n_frames, self._n_done = engines, n_frames, 0
        self._grain, self._journal, self._cluster = grain, journal, cluster
        self._n_constant = self._n_blank = self._n_filled = 0
        self._notices: list[str] = []
        self._started = time.monotonic()
        self._scale = scale
        self._last: NormalizedFrame | None = None
        self._shape = image.spatial_shape(card.n_dims)
        self._unlikeness: float | None = None
        self._suggested_rescale: float | None = None
        if scale:
            self._shape = resized_shape(self._shape, scale)
            factors = " × ".join(f"{factor:.3g}" for factor in scale)
            self.notify(f"Image '{image.name}' is resized by {factors} for model '{card.name}'.")
        self._is_denoising = card.task == "denoising"
        self._tell_unused()
        self._engine = self._open(options)
        self._tiling = self._choose_tiling()

    def notify(self, message: str) -> None:
        """Tell the monitor, and remember it for the report."""
        self._notices.append(message)
        self._monitor(Notice(message))

    def compare(self, channels: Sequence[tuple[int, ...]]) -> None:
        """Warn where the image, in the channels that are taken together, is unlike those that taught the model."""
        if self._card.appearance is None:
            return
        found = judge(self._image, self._models[0], channels, self._scale)
        self._unlikeness, self._suggested_rescale = found.score, found.suggested_rescale
        if found.verdict == "unlike":
            message = found.sentence(self._image.name, self._card.name)
            self._notices.append(message)
            self._monitor(Unlike(message, found.suggested_rescale))

    def hands(self, function: Callable[..., Result], blocks: Iterable[Tile], /, *shared: Any) -> Iterator[Result]:
        """Call `function` for every block, and the monitor after each where there are several."""
        listed = list(blocks)
        results = (self._cluster or one_by_one)(function, listed, *shared)
        for number, result in enumerate(results, start=1):
            if len(listed) > 1:
                self._monitor(Progress(number, len(listed), "blocks"))
            yield result

    def predict(self, frame: Readable, write: Write, skip: Skip = skip_silently) -> Survey:
        """Compute the maps of `frame` and hand them to `write`; return what the frame held.

        A constant frame is not computed, and nothing is written: the caller knows what it means.

        Parameters
        ----------
        skip
            Called for each window that is not computed since it was written before.

        Raises
        ------
        ImageError
            If no pixel of the image could be used.
        """
        self._report_progress(0)
        frame = kept(frame)
        found = survey(self._blocks(frame))
        self._n_constant += found.is_constant
        self._n_blank += found.is_blank
        self._n_filled += found.n_filled
        if self._n_blank == self._n_frames:
            raise blank_error(self._image.name)
        if not found.is_constant:
            self._compute(frame, found, write, skip)
        self._n_done += 1
        if found.is_constant:
            self._report_progress(0)
        return found

    def probes(self, denoised: Callable[[Window], NDArray[np.float32]]) -> Iterator[Probe]:
        """Compute some tiles of the last frame again, with a little noise of known signs, and yield them.

        Nothing is yielded where the frame was resized, and less where memory has become too short.

        Parameters
        ----------
        denoised
            Returns a window of the frame's result, ``(C, *window)`` in grey values.
        """
        if self._last is None:
            return
        for tile in probed_tiles(self._tiling):
            try:
                yield probe(self._last, tile, denoised(tile.inner), self._engine)
            except MemoryError:
                self.notify("Memory ran out after the image was denoised: it is whole, but less is said of its noise.")
                return
            self._report_progress(0)

    def finish(
        self,
        n_objects: int | None = None,
        expected_iou: float | None = None,
        assessed: Mapping[str, Any] | None = None,
    ) -> RunReport:
        """Tell what was found on the way, and return the report."""
        self._tell_findings()
        card, engine = self._card, self._engine
        return RunReport(
            model=card.name,
            model_sha256=card.weights_sha256,
            options=self._options.model_dump(mode="json"),
            device=engine.device,
            engine=engine.library,
            precision=engine.precision,
            tile=tuple(min(sides) for sides in zip(self._tiling.tile, self._tiling.extended, strict=True)),
            seconds=time.monotonic() - self._started,
            n_objects=n_objects,
            notices=tuple(self._notices),
            versions=versions(engine.library),
            scale=self._scale,
            expected_iou=expected_iou,
            ensemble=tuple(model.card.weights_sha256 for model in self._models[1:]),
            unlikeness=self._unlikeness,
            suggested_rescale=self._suggested_rescale,
            **(assessed or {}),
        )

    def _compute(self, frame: Readable, found: Survey, write: Write, skip: Skip) -> None:
        if not self._scale:
            self._last = self._normalized(frame, found)
            name = str(self._n_done)
            self._compute_tiles(TileWork(self._last, write, self._is_denoising, True, skip, self._journal, name))
            return
        small = resized_frame(FilledFrame(frame, found), self._shape)
        n_maps = self._card.architecture.out_channels + len(NAMES) * self._card.gives_uncertainty(self._options)
        maps = np.empty((n_maps, *self._shape), np.float32)

        def keep(window: Window, inner: NDArray[np.float32]) -> None:
            maps[(slice(None), *window)] = inner

        self._compute_tiles(TileWork(self._normalized(small, survey(self._blocks(small))), keep, self._is_denoising))
        write(whole(frame.shape[1:]), resized(maps, frame.shape[1:]))

    def _normalized(self, frame: Readable, found: Survey) -> NormalizedFrame:
        """Fit the model's normalization to the finite pixels of `frame`, once for all its tiles."""
        return as_seen(frame, found, self._card, lambda: self._blocks(frame))

    def _blocks(self, frame: Readable) -> Iterator[NDArray[Any]]:
        """Pass over `frame`; the monitor is called between the blocks, so that a request to cancel is heard."""
        for number, block in enumerate(blocks(frame)):
            if number:
                self._report_progress(0)
            yield block

    def _compute_tiles(self, work: TileWork) -> None:
        """Compute a frame at the present tile; begin it again where a smaller tile or more precision is needed."""
        while True:
            try:
                left = work.left(self._tiling)
                with closing(work.done_by(self._engine, left)) as done:
                    for number, _ in enumerate(done, start=len(self._tiling) - len(left) + 1):
                        self._report_progress(number)
                return
            except MemoryError as error:
                self._halve(error)
            except NotFiniteError:
                if self._engine.precision == "float32":
                    raise
                self.notify(f"{self._engine.precision} overflowed; float32 is computed instead.")
                self._engines.close()
                self._engine = self._open(self._options.model_copy(update={"precision": "exact"}))

    def _halve(self, error: MemoryError) -> None:
        grain = None if self._cluster is None else self._least_tile()  # several write at once there, never one chunk
        smaller, cause = self._tiling.halved(grain), str(error) or "Memory ran out"
        if smaller is None:
            raise EngineError(
                f"{cause}, at the smallest tile of {_size(self._tiling.tile)} pixels. "
                f"Close other programs, choose another device, or use a smaller model."
            ) from error
        self.notify(f"{cause}; the tile is halved from {_size(self._tiling.tile)} to {_size(smaller.tile)} pixels.")
        self._engine.release()
        self._tiling = smaller

    def _open(self, options: RunOptions) -> Engine:
        if self._cluster is not None:
            return ClusterEngine(self._cluster, self._models, options)
        return self._engines.enter_context(borrowed_views(self._models, options, self.notify))

    def _least_tile(self) -> tuple[int, ...]:
        """Return what tiles are multiples of: the network's step, and the chunks of the results."""
        step = self._card.size_step
        return step if self._scale else tuple(lcm(*sides) for sides in zip(step, self._grain, strict=True))

    def _choose_tiling(self) -> Tiling:
        card, asked, grain = self._card, self._options.tile, self._least_tile()
        if asked is not None:
            tile = tuple(round_up(asked, least) for least in grain)
            return Tiling(self._shape, tile, card.size_step, card.halo)
        tiling = economical_tiling(self._shape, card.size_step, card.halo, *self._window_sizes(), grain)
        if tiling.repetition > _OFTEN and len(tiling) > 1:
            self.notify(
                f"The free memory allows tiles of {_size(tiling.tile)} pixels: each pixel is computed "
                f"{tiling.repetition:.0f} times. Close other programs, or train a network with fewer poolings."
            )
        return tiling

    def _window_sizes(self) -> tuple[int, int]:
        """Return how many pixels a window has usually, and at most."""
        if isinstance(self._engine, ClusterEngine):
            return self._engine.ability.most_pixels, self._engine.ability.affordable_pixels
        architecture, device = self._card.architecture, self._engine.device
        most = largest_window(architecture, device, frugal=max(self._grain) > 1)
        return most, affordable_window(architecture, device)

    def _report_progress(self, n_tiles: int) -> None:
        per_frame = len(self._tiling)
        self._monitor(Progress(self._n_done * per_frame + n_tiles, self._n_frames * per_frame, "tiles"))

    def _tell_unused(self) -> None:
        """Say which options mean nothing for the model."""
        card = self._card
        used = card.architecture.choices if isinstance(card.architecture, FilterConfig) else ()
        for name in ("size_px", "strength"):
            if name not in used and getattr(self._options, name) is not None:
                self.notify(f"'{card.name}' has no {name} to choose: that option changes nothing.")

    def _tell_findings(self) -> None:
        name = self._image.name
        if self._n_filled:
            found, were = (f"{self._n_filled:,} pixels", "were") if self._n_filled > 1 else ("1 pixel", "was")
            self.notify(f"{found} of image '{name}' {were} not finite and {were} taken for the mean.")
        if self._n_constant:
            which = "" if self._n_frames == 1 else f" in {self._n_constant} of {self._n_frames} frames"
            self.notify(f"Image '{name}' is constant{which}: there is nothing to find.")


@contextmanager
def running(
    image: Image,
    models: Sequence[Model],
    options: RunOptions,
    *,
    scale: tuple[float, ...],
    n_frames: int,
    monitor: Monitor,
    arrays: Sequence[WritableArray] = (),
    journal: Journal | None = None,
    cluster: str | None = None,
) -> Iterator[Run]:
    """Make a `Run` and give its memory back when the block ends, whatever ends it.

    Parameters
    ----------
    models
        One, or several of one kind, over which is averaged; what the first one's card says holds for all.
    scale
        Factors by which frames are resized before the network, per spatial axis; empty for none.
    n_frames
        How often `Run.predict` will be called.
    arrays
        What results are written to: no two tiles write one chunk of them.
    journal
        Which tiles were written before; those that are written now are added.
    cluster
        Address of the scheduler whose workers compute, and write to `arrays`.
    """
    with ExitStack() as clusters, ExitStack() as engines:
        workers = None if cluster is None else clusters.enter_context(Cluster(cluster))
        if workers is not None:
            workers.check(arrays)
        yield Run(
            image,
            models,
            options,
            scale=scale,
            n_frames=n_frames,
            grain=common_grain(arrays, models[0].card.n_dims),
            journal=journal,
            cluster=workers,
            monitor=monitor,
            engines=engines,
        )


def check_device(options: RunOptions) -> None:
    """Refuse a device that is not there, before any image is read.

    Raises
    ------
    ConfigError
        With the devices that are.
    """
    choose_device(options.device)


def check_cluster(address: str | None) -> None:
    """Refuse a cluster that does not answer, before anything is written.

    Raises
    ------
    ConfigError
        With what is missing.
    """
    if address is not None:
        with Cluster(address):
            pass


def _size(tile: tuple[int, ...]) -> str:
    return " × ".join(str(side) for side in tile)


def versions(library: str) -> dict[str, str]:
    """Return the versions of all that took part where `library` computed."""
    found = {
        "unveil": unveil.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": str(torch.__version__),
    }
    return found | ({} if library == "torch" else {library: version(library)})
