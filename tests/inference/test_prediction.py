"""A tiled prediction equals that of the whole frame, whatever the tile is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from unveil.config.architecture import Architecture, DnCNNConfig, NonexpansiveConfig, UNetConfig
from unveil.config.normalization import FixedNormalization, PercentileNormalization
from unveil.image import Image, frames
from unveil.inference import prediction, reading
from unveil.inference.openvino_engine import OpenVinoEngine
from unveil.inference.prediction import NotFiniteError, predict_tiles
from unveil.inference.reading import ArrayFrame, FilledFrame, NormalizedFrame, Readable, blocks, survey
from unveil.inference.tiling import Tiling
from unveil.inference.torch_engine import TorchEngine
from unveil.model.model import SegmentationActivation, compute
from unveil.networks.build import build_network
from unveil.operators.normalization import fit
from unveil.operators.receptive_field import extension, halo, margin, size_step

TOLERANCE = 1e-5
AS_IT_IS = FixedNormalization(mean=(0.0,), std=(1.0,))


def prepared(frame: Readable, beyond: Literal["reflect", "constant"] = "reflect") -> NormalizedFrame:
    return NormalizedFrame(FilledFrame(frame, survey(blocks(frame))), fit(AS_IT_IS, partial(blocks, frame)), beyond)


def lively_module(architecture: Architecture) -> nn.Module:
    """Build a network whose far pixels matter: PyTorch's initial weights, made larger."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network(architecture).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(1.6)
    return SegmentationActivation(network, 2).eval() if architecture.out_channels > 1 else network


def predict_whole(
    module: nn.Module,
    image: NDArray[np.float32],
    step: tuple[int, ...],
    mode: Literal["reflect", "constant"] = "reflect",
) -> NDArray[np.float32]:
    """Compute the whole image at once, extended as DESIGN says, with nothing of the tiled way."""
    beyond = [(0, -size % s) for size, s in zip(image.shape, step, strict=True)]
    maps = compute(module, np.pad(image, beyond, mode=mode)[np.newaxis, np.newaxis])[0]
    return maps[(slice(None), *(slice(0, size) for size in image.shape))]


def predict_tiled(
    engine: TorchEngine | OpenVinoEngine,
    image: NDArray[np.float32],
    tiling: Tiling,
    beyond: Literal["reflect", "constant"] = "reflect",
) -> NDArray[np.float32]:
    frame = ArrayFrame(image[np.newaxis])
    result: NDArray[np.float32] | None = None
    for tile, maps in predict_tiles(prepared(frame, beyond), engine, tiling):
        if result is None:
            result = np.full((len(maps), *image.shape), np.nan, np.float32)
        result[(slice(None), *tile.inner)] = maps
    assert result is not None
    return result


PLANE_NETWORKS: list[Architecture] = [
    UNetConfig(width=2, poolings=1),
    UNetConfig(width=2, poolings=2),
    UNetConfig(width=2, poolings=3),
    UNetConfig(width=2, poolings=(0, 2)),
    UNetConfig(width=2, poolings=2, residual=True, out_channels=1),
    NonexpansiveConfig(width=3, dilations=(2, 1)),
    DnCNNConfig(depth=4, width=3),
    DnCNNConfig(depth=4, width=3, dilations=(1, 4, 2, 1), skips=True),
    DnCNNConfig(depth=4, width=3, dilations=(1, 3, 2, 1), skips=True, stride=2),
    NonexpansiveConfig(width=3, dilations=(1,), taps=5),
]
VOLUME_NETWORKS: list[Architecture] = [
    UNetConfig(n_dims=3, width=2, poolings=1),
    UNetConfig(n_dims=3, width=2, poolings=(1, 2, 2)),
    UNetConfig(n_dims=3, width=2, poolings=(0, 1, 1)),
    DnCNNConfig(n_dims=3, depth=3, width=2),
    DnCNNConfig(n_dims=3, depth=2, width=2, stride=2),
    NonexpansiveConfig(n_dims=3, width=2, dilations=(1,)),
]


def check_equal(architecture: Architecture, shape: tuple[int, ...], tile: int, seed: int) -> None:
    image = np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)
    module = lively_module(architecture)
    tiling = Tiling.of(shape, tile, size_step(architecture), halo(architecture))
    beyond = extension(architecture)
    tiled = predict_tiled(TorchEngine(module, "cpu", fast=False), image, tiling, beyond)
    whole = predict_whole(module, image, size_step(architecture), beyond)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=TOLERANCE)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(PLANE_NETWORKS), st.integers(2, 150), st.integers(2, 150), st.integers(1, 160), st.integers(0, 9)
)
@example(UNetConfig(width=2), 2, 150, 1, 0)  # shorter than the step, and than its own reflection
@example(UNetConfig(width=2), 149, 131, 8, 1)  # the smallest tile
def test_planes_in_tiles_equal_the_whole(
    architecture: Architecture, height: int, width: int, tile: int, seed: int
) -> None:
    check_equal(architecture, (height, width), tile, seed)


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(VOLUME_NETWORKS),
    st.permutations([12, 20, 70]),
    st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(0, 11)),
    st.integers(6, 40),
    st.integers(0, 9),
)
@example(UNetConfig(n_dims=3, width=2, poolings=(1, 2, 2)), [12, 20, 70], (11, 3, 0), 4, 0)  # a single plane
def test_volumes_in_tiles_equal_the_whole(
    architecture: Architecture, longest: list[int], less: tuple[int, ...], tile: int, seed: int
) -> None:
    check_equal(architecture, tuple(a - b for a, b in zip(longest, less, strict=True)), tile, seed)


@pytest.mark.parametrize("architecture", [UNetConfig(), DnCNNConfig()], ids=["U-Net", "DnCNN"])
def test_networks_of_the_lecture_in_tiles_equal_the_whole(architecture: Architecture) -> None:
    check_equal(architecture, (203, 181), 64, 0)


@pytest.mark.parametrize(
    "architecture", [UNetConfig(width=1), UNetConfig(width=1, poolings=2), DnCNNConfig(width=1)], ids=repr
)
def test_smaller_halo_would_show(architecture: Architecture) -> None:
    """The laws above are not vacuous: with a halo one step smaller, a tile misses a pixel that its output depends on.

    ::

        one pixel is lit          ∗
        tiles            ├────────────────┼────────────────┼──────── …
        halo of tile 1            ├╌╌╌╌╌╌╌┤
        one step less               ├╌╌╌╌╌┤
    """
    network = build_network(architecture).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 0.25)
    step, enough = size_step(architecture), halo(architecture)
    border = 2 * enough[0]
    image = np.zeros((4 * border, 16), np.float32)
    image[border - margin(architecture)[0], 8] = 1
    lit = predict_whole(network, image, step) != 0
    too_small = tuple(pixels - s for pixels, s in zip(enough, step, strict=True))
    for width, is_equal in ((enough, True), (too_small, False)):
        tiling = Tiling(image.shape, (border, 16), step, width)
        tiled = predict_tiled(TorchEngine(network, "cpu", fast=False), image, tiling)
        assert np.array_equal(tiled != 0, lit) == is_equal


@pytest.mark.parametrize(
    "architecture", [UNetConfig(width=4), UNetConfig(n_dims=3, width=2, poolings=(0, 2, 2))], ids=repr
)
def test_openvino_in_tiles_equals_pytorch_on_the_whole(architecture: Architecture, rng: np.random.Generator) -> None:
    shape = (5, 61, 83)[-architecture.n_dims :]
    image = rng.normal(0, 1, shape).astype(np.float32)
    module, step = lively_module(architecture), size_step(architecture)
    engine = OpenVinoEngine(module, (1, 1, *step), fast=False)
    tiled = predict_tiled(engine, image, Tiling.of(shape, 16, step, halo(architecture)))
    np.testing.assert_allclose(tiled, predict_whole(module, image, step), rtol=0, atol=TOLERANCE)


@dataclass
class Recorder:
    """An engine that notes the shapes it is given and answers with what `answer` makes of them."""

    answer: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    device = "cpu"
    library = "torch"
    precision = "float32"
    n_pixels_held = 0

    def __post_init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.shapes.append(batch.shape)
        return self.answer(batch)

    def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        return partial(self.compute, batch)

    def release(self) -> None:
        pass


def test_tiles_come_one_by_one_and_in_one_shape(rng: np.random.Generator) -> None:
    engine = Recorder(lambda batch: batch)
    frame = ArrayFrame(rng.random((1, 50, 70)))
    tiles = predict_tiles(prepared(frame), engine, Tiling.of((50, 70), 16, (8, 8), (8, 8)))
    assert engine.shapes == []
    next(tiles)
    assert engine.shapes == [(1, 1, 32, 32)]
    list(tiles)
    assert set(engine.shapes) == {(1, 1, 32, 32)}


def test_a_device_has_the_next_window_before_its_maps_are_waited_for(rng: np.random.Generator) -> None:
    done: list[str] = []

    class Device(Recorder):
        def begin(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
            number = sum(what.startswith("begun") for what in done)
            done.append(f"begun {number}")

            def result() -> NDArray[np.float32]:
                done.append(f"waited for {number}")
                return batch

            return result

    image = rng.random((1, 8, 40))
    tiling = Tiling.of((8, 40), 8, (8, 8), (0, 8))
    for tile, maps in predict_tiles(prepared(ArrayFrame(image)), Device(lambda batch: batch), tiling):
        np.testing.assert_allclose(maps, image[(slice(None), *tile.inner)], rtol=1e-6)
    n = len(tiling)
    order = ["begun 0"]
    for number in range(n - 1):
        order += [f"begun {number + 1}", f"waited for {number}"]
    assert done == [*order, f"waited for {n - 1}"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_unusable_output_is_refused(value: float) -> None:
    engine = Recorder(lambda batch: np.full_like(batch, value))
    frame = ArrayFrame(np.eye(16)[np.newaxis])
    tiles = predict_tiles(prepared(frame), engine, Tiling.of((16, 16), 16, (8, 8), (8, 8)))
    with pytest.raises(NotFiniteError, match="not finite"):
        next(tiles)


class Endless:
    """An image that is computed where it is read, and watched by no one."""

    dtype = np.dtype(np.uint16)

    def __init__(self, edge: int) -> None:
        self.shape = (edge, edge)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint16]:
        rows, columns = (np.arange(part.start, part.stop, dtype=np.uint16) for part in key)
        return np.bitwise_xor.outer(rows, columns)


class AtOnce(Executor):
    """Does what it is given before anything else goes on: no memory is taken at one time by chance."""

    def __init__(self, n_threads: int, name: str) -> None:
        pass

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*arguments))
        return done


def test_memory_does_not_grow_with_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics and tiles together take as much for 4,096² as for 1,024² pixels."""
    monkeypatch.setattr(prediction, "ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr(reading, "_BLOCK_PIXELS", 1 << 16)
    peaks = []
    for edge in (1024, 4096):
        frame = next(frames(Image(Endless(edge)), 2, (0,)))
        tracemalloc.start()
        affine = fit(PercentileNormalization(), partial(blocks, frame))
        ready = NormalizedFrame(FilledFrame(frame, survey(blocks(frame))), affine, "reflect")
        tiling = Tiling.of((edge, edge), 256, (8, 8), (48, 48))
        n_pixels = sum(maps.size for _, maps in predict_tiles(ready, Recorder(lambda batch: batch), tiling))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert n_pixels == edge**2
    assert peaks[1] < 1.1 * peaks[0]
