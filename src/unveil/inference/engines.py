"""Engines: what computes a network on a device, and which one is taken.

An engine computes one network on batches of one shape at a time: ``(N, C, *spatial)`` float32 in, float32 out.
Everything above is ignorant of which one runs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.config.options import Precision, RunOptions
from unveil.errors import ConfigError, EngineError
from unveil.inference.cuda_engine import CudaEngine
from unveil.inference.memory import bytes_per_pixel, free_bytes
from unveil.inference.openvino_engine import OpenVinoEngine
from unveil.inference.torch_engine import TorchEngine
from unveil.model.card import ModelCard
from unveil.model.model import Model

DeviceName: TypeAlias = Literal["cpu", "cuda", "mps"]
Library: TypeAlias = Literal["torch", "openvino"]

Work = TypeVar("Work")

PROBABILITY_TOLERANCE = 2e-3
"""Largest RMS deviation of probabilities and distances at which half precision counts as good enough."""
NOISE_TOLERANCE = 0.017
"""The same for a denoiser: RMS deviation over the RMS of the noise removed; see `is_negligible`."""
_MOST_IDLE = 2
_SHARE_KEPT = 0.1
"""Part of the free memory that an idle engine may hold: taking it anew costs a quarter of a small image's time."""


class Engine(Protocol):
    """Computes one network."""

    @property
    def device(self) -> str:
        """Where: cpu, cuda or mps."""

    @property
    def library(self) -> str:
        """What computes: torch, openvino, or scipy for classical filters."""

    @property
    def precision(self) -> str:
        """Number format of the convolutions: float32, float16 or bfloat16."""

    @property
    def n_pixels_held(self) -> int:
        """Pixels of the batches whose maps still take memory; 0 where nothing stays."""

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the maps ``(N, K, *spatial)`` of `batch` ``(N, C, *spatial)``.

        Raises
        ------
        MemoryError
            If memory runs out; a smaller batch may still work.
        EngineError
            If anything else fails.
        """

    def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        """Begin with `batch` where something else than the caller can compute it; return what waits for its maps.

        Both this and what it returns raise what `compute` does.
        """

    def release(self) -> None:
        """Give back what was taken for computing; the engine can be used again."""


def open_engine(model: Model, options: RunOptions, notify: Callable[[str], None]) -> Engine:
    """Choose device, library and precision for `model`, and make the engine.

    Parameters
    ----------
    notify
        Called with one sentence where the choice differs from what was asked for.

    Raises
    ------
    ConfigError
        If a device is asked for that is not there.
    """
    device = choose_device(options.device)
    if model.card.is_filter:
        if options.device not in ("auto", "cpu"):
            notify(f"'{model.card.name}' is a classical filter: the processor computes it, not {device}.")
        return TorchEngine(model.inference_module(), "cpu", fast=False, library="scipy")
    library = choose_library(options.engine, device, notify)
    try:
        return _at_precision(model, device, library, options.precision)
    except EngineError as error:
        if library == "torch":
            raise
        notify(f"{error} PyTorch computes instead.")
        return _at_precision(model, device, "torch", options.precision)


@contextmanager
def borrowed_engine(
    model: Model, options: RunOptions, notify: Callable[[str], None], *, keep: bool = False
) -> Iterator[Engine]:
    """Lend an engine for the duration of a ``with`` block and free its memory afterwards.

    Making an engine takes longer than a small image: those on processors are kept, two at most, and lent again for
    the same model and choice; they keep their memory only where that is little beside what is free. A GPU's memory
    goes back at once.

    Parameters
    ----------
    keep
        Keep any engine, with its memory: for a process that does nothing else.
    """
    card = model.card
    choice = (options.device, options.engine, options.precision, torch.get_num_threads())
    key = (card.weights_sha256, card.temperature, *choice)
    engine = _idle_engines.take(key) if card.weights_sha256 else None
    engine = engine or open_engine(model, options, notify)
    try:
        yield engine
    finally:
        held_bytes = engine.n_pixels_held * bytes_per_pixel(card.architecture)
        if not keep and (engine.device != "cpu" or held_bytes > _SHARE_KEPT * free_bytes("cpu")):
            engine.release()
    if (keep or engine.device == "cpu") and card.weights_sha256:
        _idle_engines.keep(key, engine)


def one_ahead(begun: Iterable[Work]) -> Iterator[Work]:
    """Yield what was `begun`, each after the next one has: a reader, or a graphics card, works while it is used."""
    waiting: deque[Work] = deque()
    for work in begun:
        waiting.append(work)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def forget_engines() -> None:
    """Drop the engines that are kept for the next run."""
    _idle_engines.clear()


def choose_device(asked: str) -> DeviceName:
    """Return the device to compute on: the one asked for, or the first of cuda, mps and cpu that is there.

    Raises
    ------
    ConfigError
        If the one asked for is not there.
    """
    there = _devices()
    if asked == "auto":
        return there[0]
    for device in there:
        if device == asked:
            return device
    raise ConfigError(
        f"Device '{asked}' is not available: this computer offers {', '.join(there)}. Choose one of them, or auto."
    )


def choose_library(asked: str, device: DeviceName, notify: Callable[[str], None]) -> Library:
    """Return the library to compute with: OpenVINO on processors where it is installed, PyTorch elsewhere."""
    is_there = find_spec("openvino") is not None
    if asked == "openvino" and not is_there:
        notify("OpenVINO is not installed; PyTorch computes instead, several times slower on a processor.")
    elif asked == "openvino" and device != "cpu":
        notify(f"OpenVINO computes on processors only; PyTorch computes on {device} instead.")
    return "openvino" if asked != "torch" and is_there and device == "cpu" else "torch"


def is_negligible(fast: NDArray[np.float32], exact: NDArray[np.float32], noisy: NDArray[np.float32] | None) -> bool:
    """Say whether half precision changes a result too little to matter.

    Segmentation: the RMS deviation of the maps is below `PROBABILITY_TOLERANCE`; for the shipped `nuclei`, that of
    bfloat16 leaves foreground IoU as it is to the fourth digit (decision 0003). Denoising: PSNR changes by less than
    0.02 dB. A denoiser that removed noise of RMS r and gains up to 12 dB leaves an error of at least r / 4; a
    deviation of RMS d, unrelated to it, then costs at most ``10 · log10(1 + (4 d / r)²)`` dB, and that is below
    0.02 dB for ``d / r < 0.017``.

    Parameters
    ----------
    fast, exact
        Outputs of half and single precision, float32, of one shape.
    noisy
        The denoiser's input; None for segmentation.
    """
    difference = fast.astype(np.float64) - exact
    if noisy is None:
        return bool(np.sqrt((difference**2).mean()) < PROBABILITY_TOLERANCE)
    removed = noisy.astype(np.float64) - exact
    return bool(np.sqrt((difference**2).mean()) < NOISE_TOLERANCE * np.sqrt((removed**2).mean()))


class _IdleEngines:
    """Engines that wait to be lent again; each is lent to one run at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engines: OrderedDict[tuple[object, ...], Engine] = OrderedDict()

    def take(self, key: tuple[object, ...]) -> Engine | None:
        with self._lock:
            return self._engines.pop(key, None)

    def keep(self, key: tuple[object, ...], engine: Engine) -> None:
        with self._lock:
            self._engines[key] = engine
            while len(self._engines) > _MOST_IDLE:
                self._engines.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._engines.clear()


_idle_engines = _IdleEngines()


def _devices() -> list[DeviceName]:
    there: list[DeviceName] = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    return there


def _at_precision(model: Model, device: DeviceName, library: Library, precision: Precision) -> Engine:
    """Make the engine at the precision asked for; auto is fast where that changes too little to matter."""
    if precision == "exact":
        return _make(model, device, library, fast=False)
    engine = _make(model, device, library, fast=True)
    if precision == "auto" and engine.precision != "float32" and not _is_good_enough(engine, model):
        engine.release()
        return _make(model, device, library, fast=False)
    return engine


def _make(model: Model, device: DeviceName, library: Library, *, fast: bool) -> Engine:
    if library == "openvino":
        identity = _identity(model.card)
        return OpenVinoEngine(model.inference_module(), model.check_input.shape, fast=fast, identity=identity)
    if device == "cuda":
        return CudaEngine(model.inference_module(), fast=fast)
    return TorchEngine(model.inference_module(), device, fast=fast)


def _identity(card: ModelCard) -> str | None:
    """Return what tells the computation of a model from that of any other; None where its weights have no digest."""
    fields = {"weights_sha256", "architecture", "task", "classes", "temperature"}
    return card.model_dump_json(include=fields) if card.weights_sha256 else None


def _is_good_enough(engine: Engine, model: Model) -> bool:
    """Compare `engine` with the model's own record of what it computes exactly."""
    noisy = model.check_input if model.card.task == "denoising" else None
    try:
        return is_negligible(engine.compute(model.check_input), model.check_output, noisy)
    except (EngineError, MemoryError):
        return False
