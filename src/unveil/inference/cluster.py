"""Many machines: tiles computed by the workers of a dask.distributed cluster, which read and write for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unveil.config.options import RunOptions
from unveil.errors import ConfigError, EngineError, ImageError
from unveil.inference.engines import Engine
from unveil.inference.memory import affordable_window, largest_window
from unveil.inference.prediction import predict_window
from unveil.inference.reading import NormalizedFrame
from unveil.inference.tiling import Tile, Window
from unveil.inference.views import borrowed_views
from unveil.model.model import Model

Result = TypeVar("Result")
Put = Callable[[Window, NDArray[np.float32]], None]

_PATIENCE_S = 15
_AHEAD = 2
"""Tiles that wait at each thread, so that none is idle while a result travels."""
_MOST_SENDINGS = 5
"""How often what a task needs is sent anew after the workers that held it have died."""
_DYING = "The workers of the cluster die again and again. Look at their logs."


class Cluster:
    """Hands of many machines.

    Parameters
    ----------
    address
        Of a scheduler that runs, such as ``tcp://host:8786``; its workers have this package installed.

    Raises
    ------
    ConfigError
        If dask.distributed is not installed, no scheduler answers, or it has no worker.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ConfigError(
                "A cluster needs dask.distributed, which is not installed. Run: pip install 'napari-unveil[cluster]'."
            ) from error
        try:
            asyncio.run(_greet(address))  # a client that finds nobody would wait half a minute for its own end
            self._client = Client(address, timeout=_PATIENCE_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"No dask scheduler answers at '{address}'. Start one, and give the address that it prints "
                f"(tcp://host:8786)."
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError as error:
            self._client.close()
            raise ConfigError(f"The scheduler at '{address}' has no workers. Start some, and try again.") from error
        self._sent: dict[int, tuple[Any, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sent.clear()
        self._client.close()

    def __call__(self, function: Callable[..., Result], tiles: Iterable[Tile], /, *shared: Any) -> Iterator[Result]:
        """Yield ``function(*shared, tile)`` for each of `tiles`, in the order in which they are done.

        Raises
        ------
        EngineError
            If workers died over one tile again and again.
        """
        from distributed import KilledWorker, as_completed
        from distributed.client import FutureCancelledError

        waiting, n_sendings = iter(tiles), 1
        places = self._places(shared)
        running: dict[Any, tuple[Tile, int]] = {}

        def start(tile: Tile) -> Any:
            future = self._client.submit(function, *places, tile, pure=False)
            running[future] = tile, n_sendings
            return future

        n_ahead = max(1, _AHEAD * sum(self._client.nthreads().values()))
        first = [start(tile) for tile in islice(waiting, n_ahead)]
        if not first:
            return
        done = as_completed(first, loop=self._client.loop)
        try:
            for future in done:
                tile, sending = running.pop(future)
                try:
                    result = future.result()
                except KilledWorker as error:
                    raise EngineError(
                        f"The workers that computed one tile died, each time anew: {error}. They may lack memory; "
                        f"look at their logs, and choose a smaller tile."
                    ) from error
                except FutureCancelledError as error:  # what it needs was on workers that have died
                    if n_sendings == _MOST_SENDINGS:
                        raise EngineError(_DYING) from error
                    if sending == n_sendings:  # the first of those that were lost together
                        n_sendings += 1
                        self._sent.clear()
                        places = self._places(shared)
                    done.add(start(tile))
                    continue
                yield result
                for following in islice(waiting, 1):
                    done.add(start(following))
        finally:
            if running:
                self._client.cancel(list(running))
                self._client.run(_wait_for_end, {future.key for future in running}, on_error="ignore")

    def ask(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return what `function` gives on one of the workers."""
        result: Result = self._client.submit(function, *self._places(arguments), pure=False).result()
        return result

    def check(self, arrays: Sequence[Any]) -> None:
        """Refuse `arrays` that the workers cannot write to.

        Raises
        ------
        ImageError
            If one is not a zarr array in a folder, or a worker does not see that folder.
        """
        from zarr import Array
        from zarr.storage import LocalStore

        for array in arrays:
            if not isinstance(array, Array) or not isinstance(array.store, LocalStore):
                raise ImageError(
                    f"The workers of a cluster write their results to zarr arrays in a folder that all of them see; "
                    f"{type(array).__name__} is none. Choose OME-Zarr as the format of the results."
                )
            folder = Path(array.store.root).resolve()
            blind = [worker for worker, sees in self._client.run(folder.exists).items() if not sees]
            if blind:
                raise ImageError(
                    f"The folder {folder} is not seen by {len(blind)} of the cluster's workers ({blind[0]}). "
                    f"Write to a disk that all of them share."
                )

    def _places(self, shared: Sequence[Any]) -> list[Any]:
        """Send what is shared to all workers, unless they have it from the last call."""
        kept = {id(one): self._sent[id(one)] for one in shared if id(one) in self._sent}
        for one in shared:
            if id(one) not in kept:
                kept[id(one)] = one, self._send(one)
        self._sent = kept
        return [kept[id(one)][1] for one in shared]

    def _send(self, shared: Any) -> Any:
        """Send to all workers; where all have died at once, to those that are started in their stead."""
        for _ in range(_MOST_SENDINGS):
            with suppress(TimeoutError):  # it waits for workers as long as the client does for anything
                return self._client.scatter(shared, broadcast=True, hash=False)
        raise EngineError(_DYING)


@dataclass(frozen=True, slots=True)
class Ability:
    """What a worker computes with."""

    device: str
    library: str
    precision: str
    most_pixels: int
    """Of a window, where its halo is small beside it."""
    affordable_pixels: int
    """Of a window, as its memory allows."""


class ClusterEngine:
    """What the workers compute with, seen from here: one of them is asked, and speaks for all."""

    n_pixels_held = 0

    def __init__(self, cluster: Cluster, models: Sequence[Model], options: RunOptions) -> None:
        self.cluster, self.models = cluster, models
        self.ability = cluster.ask(_ability, models, options)
        self.options = options.model_copy(
            update={"precision": "exact" if self.ability.precision == "float32" else "fast"}
        )

    @property
    def device(self) -> str:
        """Where: cpu, cuda or mps."""
        return self.ability.device

    @property
    def library(self) -> str:
        """What computes."""
        return self.ability.library

    @property
    def precision(self) -> str:
        """Number format of the convolutions."""
        return self.ability.precision

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the maps ``(N, K, *spatial)`` of `batch` ``(N, C, *spatial)``, computed by one of the workers."""
        return self.cluster.ask(_compute, self.models, self.options, batch)

    def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        """Return what has the maps of `batch` computed."""
        return partial(self.compute, batch)

    def release(self) -> None:
        """Do nothing: the workers keep their engines, for the next tile."""


def compute_tile(
    models: Sequence[Model], options: RunOptions, frame: NormalizedFrame, put: Put, is_denoising: bool, tile: Tile
) -> Tile:
    """Compute a tile on a worker and write it; return it."""
    with _engine(models, options) as engine:
        maps = predict_window(engine, frame.read(tile.window))[(slice(None), *tile.crop)]
    put(tile.inner, frame.intensities.restore(maps) if is_denoising else maps)
    return tile


async def _wait_for_end(keys: set[str], dask_worker: Any) -> None:
    """On a worker: wait for the tile at work, whose task was cancelled, so that it does not disturb the next run.

    One that the worker is sent only now is missed; a result's store refuses what that one writes.
    """
    for _ in range(100 * _PATIENCE_S):
        if keys.isdisjoint(dask_worker.state.tasks):
            return
        await asyncio.sleep(0.01)


async def _greet(address: str) -> None:
    """Connect once."""
    from distributed.comm.core import connect
    from distributed.security import Security

    comm = await connect(address, timeout=_PATIENCE_S, **Security().get_connection_args("client"))
    await comm.close()


def _ability(models: Sequence[Model], options: RunOptions) -> Ability:
    with _engine(models, options) as engine:
        architecture = models[0].card.architecture
        most = largest_window(architecture, engine.device, frugal=True)
        affordable = affordable_window(architecture, engine.device)
        return Ability(engine.device, engine.library, engine.precision, most, affordable)


def _compute(models: Sequence[Model], options: RunOptions, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    with _engine(models, options) as engine:
        return engine.compute(batch)


@contextmanager
def _engine(models: Sequence[Model], options: RunOptions) -> Iterator[Engine]:
    """Lend the worker's engine, which it keeps: it was started for this."""
    with borrowed_views(models, options, _tell_nobody, keep=True) as engine:
        yield engine


def _tell_nobody(notice: str) -> None:
    """Drop a notice: the engine in use is told by the report."""
