"""Engines: what is chosen, what is reported, and that all compute the same."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unveil.config.architecture import Architecture, DnCNNConfig, NonexpansiveConfig, UNetConfig
from unveil.config.options import RunOptions
from unveil.errors import ConfigError, EngineError
from unveil.inference import engines, openvino_engine
from unveil.inference.cuda_engine import halved
from unveil.inference.engines import (
    Engine,
    borrowed_engine,
    choose_device,
    choose_library,
    forget_engines,
    is_negligible,
    one_ahead,
    open_engine,
)
from unveil.inference.openvino_engine import OpenVinoEngine, import_openvino
from unveil.inference.openvino_graph import build_graph
from unveil.inference.torch_engine import TorchEngine
from unveil.model.model import SegmentationActivation, compute
from unveil.networks.build import build_network
from unveil.operators.receptive_field import size_step

has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
on_processor = pytest.mark.skipif(has_gpu, reason="a GPU is there, and auto takes it")


@pytest.fixture(autouse=True)
def no_engine_is_kept() -> Iterator[None]:
    forget_engines()
    yield
    forget_engines()


def silent(message: str) -> None:
    raise AssertionError(f"unexpected notice: {message}")


@pytest.mark.parametrize(
    "architecture",
    [
        UNetConfig(width=4),
        UNetConfig(width=4, in_channels=3, out_channels=5, poolings=(1, 2)),
        UNetConfig(width=4, residual=True, out_channels=1),
        UNetConfig(width=2, n_dims=3, poolings=(0, 1, 2)),
        DnCNNConfig(),
        DnCNNConfig(depth=6, width=4, dilations=(1, 3, 2, 2, 1, 1), skips=True),
        DnCNNConfig(depth=6, width=8, skips=True, stride=2),
        DnCNNConfig(n_dims=3, in_channels=2, depth=3, width=4),
        DnCNNConfig(n_dims=3, depth=3, width=4, stride=2),
        NonexpansiveConfig(width=4, dilations=(2, 1)),
        NonexpansiveConfig(n_dims=3, width=4, dilations=(1,)),
    ],
    ids=repr,
)
def test_all_engines_compute_the_same(architecture: Architecture, rng: np.random.Generator) -> None:
    network = build_network(architecture).eval().requires_grad_(False)
    module = SegmentationActivation(network, 2).eval() if isinstance(architecture, UNetConfig) else network
    shape = (2, architecture.in_channels, *(3 * step for step in size_step(architecture)))
    batch = rng.normal(0, 1, shape).astype(np.float32)
    expected = compute(module, batch)
    both: list[Engine] = [TorchEngine(module, "cpu", fast=False), OpenVinoEngine(module, shape, fast=False)]
    for engine in both:
        maps = engine.compute(batch)
        assert (maps.dtype, engine.precision) == (np.float32, "float32")
        np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-5)
        engine.release()
        np.testing.assert_array_equal(engine.compute(batch), maps)  # it can be used again


@pytest.mark.parametrize("library", ["torch", "openvino"])
@on_processor
def test_fast_is_close_and_says_what_it_is(make_tiny_model: Any, library: str) -> None:
    model = make_tiny_model()
    engine = open_engine(model, RunOptions(engine=library, precision="fast"), silent)  # type: ignore[arg-type]
    assert (engine.library, engine.device) == (library, "cpu")
    assert engine.precision in {"float32", "float16", "bfloat16"}
    difference = np.abs(engine.compute(model.check_input) - model.check_output).max()
    assert difference < 2e-2
    if engine.precision != "float32":
        assert difference > 1e-7  # half precision leaves its trace


@pytest.mark.parametrize("library", ["torch", "openvino"])
def test_exact_is_single_precision(make_tiny_model: Any, library: str) -> None:
    model = make_tiny_model()
    engine = open_engine(model, RunOptions(device="cpu", engine=library, precision="exact"), silent)  # type: ignore[arg-type]
    assert engine.precision == "float32"
    np.testing.assert_allclose(engine.compute(model.check_input), model.check_output, atol=1e-5)


@pytest.mark.parametrize("is_good", [True, False])
@on_processor
def test_auto_is_fast_only_where_the_check_output_allows(
    make_tiny_model: Any, monkeypatch: pytest.MonkeyPatch, is_good: bool
) -> None:
    seen = []

    def judge(fast: Any, exact: Any, noisy: Any) -> bool:
        seen.append(np.abs(fast - exact).max())
        return is_good

    monkeypatch.setattr(engines, "is_negligible", judge)
    model = make_tiny_model()
    fast = open_engine(model, RunOptions(precision="fast"), silent).precision
    assert open_engine(model, RunOptions(), silent).precision == (fast if is_good else "float32")
    assert len(seen) == (fast != "float32")


@on_processor
def test_openvino_is_taken_on_processors(make_tiny_model: Any) -> None:
    engine = open_engine(make_tiny_model(), RunOptions(), silent)
    assert (engine.library, engine.device) == ("openvino", "cpu")


def test_missing_openvino_falls_back_and_says_so(make_tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    notices: list[str] = []
    engine = open_engine(make_tiny_model(), RunOptions(device="cpu", engine="openvino"), notices.append)
    assert engine.library == "torch"
    assert len(notices) == 1
    assert "not installed" in notices[0]
    assert open_engine(make_tiny_model(), RunOptions(device="cpu"), silent).library == "torch"


def test_failing_openvino_falls_back_and_says_so(make_tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise EngineError("OpenVINO cannot be loaded: broken. Reinstall it.")

    monkeypatch.setattr(engines, "OpenVinoEngine", fail)
    notices: list[str] = []
    engine = open_engine(make_tiny_model(), RunOptions(device="cpu"), notices.append)
    assert engine.library == "torch"
    assert notices == ["OpenVINO cannot be loaded: broken. Reinstall it. PyTorch computes instead."]


def test_openvino_on_a_gpu_falls_back_and_says_so() -> None:
    notices: list[str] = []
    assert choose_library("openvino", "cuda", notices.append) == "torch"
    assert "cuda" in notices[0]


@on_processor
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_missing_device_is_refused_with_what_is_there(device: str) -> None:
    with pytest.raises(ConfigError, match=f"'{device}' is not available: this computer offers cpu"):
        choose_device(device)


def test_probabilities_may_deviate_a_little() -> None:
    exact = np.full((1, 2, 4, 4), 0.5, np.float32)
    assert is_negligible(exact + np.float32(1.9e-3), exact, None)
    assert not is_negligible(exact + np.float32(2.1e-3), exact, None)
    one_pixel = exact.copy()
    one_pixel[0, 0, 0, 0] += 0.01
    assert is_negligible(one_pixel, exact, None)


@pytest.mark.parametrize(
    ("own", "kernel", "slow", "taken"),
    [
        ("f32", "", "", "f32"),
        ("f16", "gemm_acl_f16", "f32", "f16"),
        ("f16", "gemm_acl_f16", "f16", "f32"),
        ("bf16", "brgconv_avx512_amx_f16", "f16", "f16"),
        ("bf16", "brgconv_avx512_f16", "f32", "bf16"),
        ("bf16", "brgconv_avx512_f16", "bf16", "f32"),
    ],
)
def test_fast_takes_the_format_that_the_processor_is_quick_at(
    monkeypatch: pytest.MonkeyPatch, own: str, kernel: str, slow: str, taken: str
) -> None:
    library = import_openvino()

    class Compiled:
        def __init__(self, hint: str) -> None:
            self.hint = hint

        def __call__(self, batch: Any) -> None:
            time.sleep(0.02 if self.hint == slow else 0.001)

        def get_property(self, name: str) -> Any:
            return getattr(library.Type, self.hint)

    class Core:
        def get_property(self, device: str, name: str) -> Any:
            return getattr(library.Type, own)

        def compile_model(self, graph: Any, device: str, settings: dict[str, Any]) -> Any:
            return Compiled(settings["INFERENCE_PRECISION_HINT"])

    stand_in = SimpleNamespace(Core=Core, opset13=library.opset13, Model=library.Model)
    monkeypatch.setattr(openvino_engine, "import_openvino", lambda: stand_in)
    monkeypatch.setattr(openvino_engine, "kernels", lambda compiled: {"jit_uni_f32", kernel})
    engine = OpenVinoEngine(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), fast=True)
    assert engine.precision == {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[taken]


def test_the_quickest_format_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []
    monkeypatch.setattr(OpenVinoEngine, "_quickest", lambda *_: timed.append("") or "f32")
    for identity in ("one", "one", "other"):
        OpenVinoEngine(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), fast=True, identity=identity)
    assert len(timed) in (0, 2)  # none where the processor has no half precision


def test_openvino_is_whole_in_whatever_thread_asks_first() -> None:
    code = """
import threading
from unveil.inference.openvino_engine import import_openvino
together, found = threading.Barrier(2), []
def ask():
    together.wait()
    found.append(import_openvino().Core)
threads = [threading.Thread(target=ask) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["2"], done.stderr


def test_openvino_names_its_kernels() -> None:
    library = import_openvino()
    graph = build_graph(library, nn.Conv2d(1, 1, 3), (1, 1, 8, 8))
    names = openvino_engine.kernels(library.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    assert any("f32" in name for name in names)


def test_maps_beside_each_other_are_not_copied_together() -> None:
    library = import_openvino()
    network = build_network(UNetConfig(width=2)).eval().requires_grad_(False)
    kinds = {node.get_type_name() for node in build_graph(library, network, (1, 1, 16, 16)).get_ops()}
    assert "Convolution" in kinds
    assert "Concat" not in kinds


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(1.01, 4.0), st.floats(0.001, 0.0169))
def test_negligible_deviation_costs_less_than_the_promised_psnr(seed: int, ratio: float, deviation: float) -> None:
    """The formula against what it stands for: PSNR with and without the deviation, for gains up to 12 dB."""
    rng = np.random.default_rng(seed)
    clean, noise, rounding = np.zeros(20_000), rng.normal(size=20_000), rng.normal(size=20_000)
    removed = noise / noise.std() * 0.1
    error = rng.normal(size=20_000) * np.sqrt((removed**2).mean()) / ratio
    exact = clean + error
    fast = exact + deviation * rounding / np.sqrt((rounding**2).mean()) * np.sqrt((removed**2).mean())
    noisy = exact + removed
    assert is_negligible(fast.astype(np.float32), exact.astype(np.float32), noisy.astype(np.float32))
    uncorrelated = ((fast - exact) ** 2).mean() + (exact**2).mean()
    assert 10 * np.log10(uncorrelated / (exact**2).mean()) < 0.02


def test_denoiser_that_removes_nothing_is_computed_exactly() -> None:
    image = np.ones((1, 1, 4, 4), np.float32)
    assert not is_negligible(image + np.float32(1e-6), image, image)


@on_processor
def test_engine_is_lent_again_to_the_same_model_and_choice(make_tiny_model: Any) -> None:
    model = make_tiny_model()
    with (
        borrowed_engine(model, RunOptions(), silent) as at_the_same_time,
        borrowed_engine(model, RunOptions(), silent) as first,
    ):
        assert at_the_same_time is not first
    forget_engines()
    with borrowed_engine(model, RunOptions(), silent) as first:
        pass
    with borrowed_engine(model, RunOptions(), silent) as again:
        assert again is first
    with borrowed_engine(model, RunOptions(precision="exact"), silent) as other:
        assert other is not first
    forget_engines()
    with borrowed_engine(model, RunOptions(), silent) as new:
        assert new is not first


@on_processor
def test_engine_is_not_kept_after_a_failure(make_tiny_model: Any) -> None:
    model = make_tiny_model()

    @contextmanager
    def failing() -> Iterator[Engine]:
        with borrowed_engine(model, RunOptions(), silent) as engine:
            yield engine
            raise EngineError("it failed")

    with pytest.raises(EngineError), failing() as first:
        pass
    with borrowed_engine(model, RunOptions(), silent) as second:
        assert second is not first


@on_processor
@pytest.mark.parametrize(("free", "n_pixels"), [(10**9, 48 * 40), (10**5, 0)])
def test_idle_engine_holds_little_beside_the_free_memory(
    make_tiny_model: Any, monkeypatch: pytest.MonkeyPatch, free: int, n_pixels: int
) -> None:
    monkeypatch.setattr(engines, "free_bytes", lambda device: free)
    with borrowed_engine(make_tiny_model(), RunOptions(precision="exact"), silent) as engine:
        engine.compute(np.zeros((1, 1, 48, 40), np.float32))
        assert engine.n_pixels_held == 48 * 40
    assert engine.n_pixels_held == n_pixels


def test_only_the_latest_shapes_stay_compiled() -> None:
    engine = OpenVinoEngine(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), fast=False)
    for edge in range(10, 20):
        engine.compute(np.zeros((1, 1, edge, 10), np.float32))
    assert engine.n_pixels_held == 10 * (16 + 17 + 18 + 19)


def test_unknown_operation_has_no_translation() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Sigmoid())
    with pytest.raises(EngineError, match=r"no translation for the operation 'sigmoid'\. Choose the engine torch"):
        build_graph(import_openvino(), module, (1, 1, 8, 8))


def test_failing_torch_is_an_engine_error() -> None:
    engine = TorchEngine(nn.Conv2d(3, 1, 3), "cpu", fast=False)
    with pytest.raises(EngineError, match="PyTorch failed on cpu"):
        engine.compute(np.zeros((1, 1, 8, 8), np.float32))


def test_failing_openvino_is_an_engine_error() -> None:
    engine = OpenVinoEngine(nn.Conv2d(3, 1, 3), (1, 3, 8, 8), fast=False)
    with pytest.raises(EngineError, match="OpenVINO failed"):
        engine.compute(np.zeros((1, 1, 8, 8), np.float32))


@pytest.mark.parametrize(
    "words", ["[enforce fail] DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory"]
)
def test_lack_of_memory_in_pytorch_is_a_memory_error(words: str) -> None:
    class Hungry(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(words)

    with pytest.raises(MemoryError):
        TorchEngine(Hungry(), "cpu", fast=False).compute(np.zeros((1, 1, 8, 8), np.float32))


def test_batch_that_no_memory_holds_is_a_memory_error() -> None:
    class Greedy(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.empty(1 << 46)

    with pytest.raises(MemoryError):
        TorchEngine(Greedy(), "cpu", fast=False).compute(np.zeros((1, 1, 8, 8), np.float32))


SILENT = """
import socket, sys
from pathlib import Path
from types import SimpleNamespace

def refuse(*args, **kwargs):
    raise SystemExit(f"tried to reach the network: {args}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from torch import nn
import numpy as np
from unveil.inference.openvino_engine import OpenVinoEngine
engine = OpenVinoEngine(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), fast=True)
engine.compute(np.zeros((1, 1, 8, 8), np.float32))
import openvino
assert "openvino_telemetry" not in sys.modules, "telemetry is loaded"
from openvino.tools.ovc import telemetry_utils
assert "stub" in telemetry_utils.tm.__name__, telemetry_utils.tm
print([str(p) for p in Path.home().rglob("*")])
"""


def test_openvino_sends_nothing_and_writes_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SILENT], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_computes_the_same_and_gives_its_memory_back(make_tiny_model: Any) -> None:
    model = make_tiny_model()
    before = torch.cuda.memory_reserved()
    with borrowed_engine(model, RunOptions(device="cuda", precision="exact"), silent) as engine:
        np.testing.assert_allclose(engine.compute(model.check_input), model.check_output, atol=1e-5)
    with borrowed_engine(model, RunOptions(device="cuda", precision="fast"), silent) as engine:
        assert engine.precision == "float16"
        np.testing.assert_allclose(engine.compute(model.check_input), model.check_output, atol=2e-2)
    assert torch.cuda.memory_reserved() <= before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("side", [64, 1032])
def test_cuda_answers_in_order_whether_its_kernels_are_recorded_or_not(
    make_tiny_model: Any, rng: np.random.Generator, side: int
) -> None:
    model = make_tiny_model()
    batches = [rng.random((1, *model.check_input.shape[1:2], side, side), np.float32) for _ in range(6)]
    with borrowed_engine(model, RunOptions(device="cuda", precision="fast"), silent) as engine:
        answers = [maps() for maps in one_ahead(engine.begin(batch) for batch in batches)]
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, compute(model.inference_module(), batch), atol=2e-2)


def test_a_convolution_and_the_relu_behind_it_become_one_layer() -> None:
    unet, skips = (
        halved(copy.deepcopy(build_network(architecture)).eval())
        for architecture in (UNetConfig(width=4), DnCNNConfig(depth=6, width=4, skips=True))
    )
    assert not any(isinstance(layer, nn.ReLU) for layer in unet.modules())
    assert sum(isinstance(layer, nn.ReLU) for layer in skips.modules()) == 3  # one before each pair, and the last
    assert {weights.dtype for weights in [*unet.parameters(), *skips.parameters()]} == {torch.float16}
