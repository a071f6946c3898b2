"""The OpenVINO engine: processors, several times faster than PyTorch there."""

from __future__ import annotations

import importlib
import io
import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import unveil
from unveil.errors import EngineError
from unveil.inference.memory import share_heaps
from unveil.inference.openvino_graph import build_graph
from unveil.io.cache import keep, recall

_MOST_SHAPES = 4
_TELEMETRY = "openvino_telemetry"
_importing = Lock()
"""Another thread would otherwise take the module before it is whole."""
_PRECISION = "INFERENCE_PRECISION_HINT"
_MATRIX_UNITS = "amx"
_TIMINGS = 3
"""How often each of two precisions is timed, in turn."""
_GRAPH = 1
"""Counts up whenever networks or `build_graph` make another graph of the same model: earlier ones are refused then."""


class OpenVinoEngine:
    """Computes `module` on the processor, compiled once per input shape.

    Parameters
    ----------
    module
        In evaluation mode, float32, on the CPU.
    sample_shape
        ``(N, C, *spatial)`` of some input, compiled to learn the precision that `fast` really gives.
    fast
        Compute in half precision where the processor does so itself.
    identity
        Text that no other module has: what is compiled is kept under it and taken by the next process. None keeps
        nothing.
    """

    library = "openvino"
    device = "cpu"

    def __init__(
        self, module: nn.Module, sample_shape: tuple[int, ...], *, fast: bool, identity: str | None = None
    ) -> None:
        self._openvino = import_openvino()
        share_heaps()
        self._core = self._openvino.Core()
        self._module, self._identity = module, identity
        self._compiled: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._held: dict[tuple[int, ...], int] = {}
        self._hint = "f32"
        self.precision = "float32"
        if fast:
            self._choose_half_precision(sample_shape)

    @property
    def n_pixels_held(self) -> int:
        """Pixels of the batches whose maps still take memory."""
        return sum(self._held.values())

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the maps ``(N, K, *spatial)`` of `batch` ``(N, C, *spatial)``."""
        compiled = self._compiled.get(batch.shape) or self._compile(batch.shape)
        self._compiled.move_to_end(batch.shape)
        self._held[batch.shape] = batch[:, 0].size
        try:
            maps: NDArray[np.float32] = compiled(np.ascontiguousarray(batch), share_inputs=True)[0]
            return maps
        except RuntimeError as error:
            raise _named(error) from error

    def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        """Return what computes the maps of `batch`."""
        return partial(self.compute, batch)

    def release(self) -> None:
        """Give back the memory of the maps; what is compiled stays."""
        for compiled in self._compiled.values():
            compiled.release_memory()
        self._held.clear()

    def _choose_half_precision(self, sample_shape: tuple[int, ...]) -> None:
        """Take what the processor is quick at: elsewhere half precision is emulated, or slower than float32.

        The plugin's own default says what may be worth it. Where that is bfloat16, a processor's matrix units may
        compute float16 as fast, and eight times as precisely. Vector units may be slower in half precision than in
        float32: both are timed then, once per model and computer.
        """
        default = str(self._core.get_property("CPU", _PRECISION).to_string())
        if default == "f32":
            return
        key = self._key(sample_shape, {"quickest": True})
        kept = recall(key) if key is not None else None
        self._hint = kept.decode() if kept is not None else self._quickest(default, sample_shape)
        if key is not None and kept is None:
            keep(key, self._hint.encode())
        self.precision = _precision(self._compile(sample_shape).get_property(_PRECISION))

    def _quickest(self, default: str, shape: tuple[int, ...]) -> str:
        """Return the precision that computes a batch of `shape` in the least time."""
        self._hint = "f16"
        if any(_MATRIX_UNITS in name for name in kernels(self._compile(shape))):
            return self._hint
        batch = np.random.default_rng(0).random(shape, np.float32)
        seconds: dict[str, list[float]] = {default: [], "f32": []}
        for self._hint in [*seconds] * _TIMINGS:
            compiled = self._compile(shape)
            compiled(batch)
            start = time.perf_counter()
            compiled(batch)
            seconds[self._hint].append(time.perf_counter() - start)
        return min(seconds, key=lambda hint: min(seconds[hint]))

    def _compile(self, shape: tuple[int, ...]) -> Any:
        settings = {
            _PRECISION: self._hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # pinned threads of two programs would fight for the same cores
        }
        key = self._key(shape, settings)
        self._compiled[shape] = self._recalled(key, settings) or self._compiled_anew(key, shape, settings)
        while len(self._compiled) > _MOST_SHAPES:
            dropped, _ = self._compiled.popitem(last=False)
            self._held.pop(dropped, None)
        return self._compiled[shape]

    def _key(self, shape: tuple[int, ...], settings: dict[str, Any]) -> str | None:
        """Name a compiled network by all that it depends on: module, shape, settings, library and processor."""
        if self._identity is None:
            return None
        processor = [self._core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
        version = self._openvino.get_version()
        return json.dumps([self._identity, shape, settings, _GRAPH, unveil.__version__, version, *processor])

    def _recalled(self, key: str | None, settings: dict[str, Any]) -> Any | None:
        if key is None or (kept := recall(key)) is None:
            return None
        try:
            return self._core.import_model(io.BytesIO(kept), "CPU", settings)
        except RuntimeError:  # it is compiled anew then
            return None

    def _compiled_anew(self, key: str | None, shape: tuple[int, ...], settings: dict[str, Any]) -> Any:
        try:
            graph = build_graph(self._openvino, self._module, shape)
            compiled = self._core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise _named(error) from error
        if key is not None:
            with suppress(RuntimeError):  # it is not kept then
                keep(key, compiled.export_model().getvalue())
        return compiled


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which would send a message at each import.

    Raises
    ------
    EngineError
        If OpenVINO is installed but cannot be loaded.
    """
    with _importing:
        if "openvino" in sys.modules:
            return sys.modules["openvino"]
        loaded = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # an import of it fails, and OpenVINO takes its stub
        try:
            return importlib.import_module("openvino")
        except (ImportError, OSError) as error:
            raise EngineError(
                f"OpenVINO cannot be loaded: {error}. Reinstall it, or choose the engine torch."
            ) from error
        finally:
            del sys.modules[_TELEMETRY]
            if loaded is not None:
                sys.modules[_TELEMETRY] = loaded


def kernels(compiled: Any) -> set[str]:
    """Return the names of the implementations that OpenVINO chose for the nodes of a compiled network."""
    return {str(node.get_rt_info()["primitiveType"].astype(str)) for node in compiled.get_runtime_model().get_ops()}


def _precision(openvino_type: Any) -> str:
    """Return the name that NumPy and PyTorch give to `openvino_type`."""
    name = str(openvino_type.to_string())
    return {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}.get(name, name)


def _named(error: RuntimeError) -> Exception:
    """Tell the lack of memory from other failures: OpenVINO does so only in words."""
    words = str(error)
    if "bad_alloc" in words or "allocate" in words.lower():
        return MemoryError("OpenVINO ran out of memory")
    last_line = words.strip().splitlines()[-1] if words.strip() else type(error).__name__
    return EngineError(
        f"OpenVINO failed: {last_line}. Choose the engine torch; if it fails there too, please report it."
    )
