"""Windows that memory holds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.inference import memory
from unveil.inference.memory import bytes_per_pixel, largest_window

PEAKS = """
import os, re, sys
from pathlib import Path
import numpy as np
from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.inference.openvino_engine import OpenVinoEngine
from unveil.inference.torch_engine import TorchEngine
from unveil.networks.build import build_network

def status(name):
    return 1024 * int(re.search(rf"{name}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def peak(architecture, kind):
    edge = 512
    module = build_network(architecture).eval().requires_grad_(False)
    small = np.zeros((1, 1, 64, 64), np.float32)
    is_openvino = kind == "openvino"
    engine = OpenVinoEngine(module, small.shape, fast=False) if is_openvino else TorchEngine(module, "cpu", fast=False)
    engine.compute(small)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = status("VmRSS")
    engine.compute(np.zeros((1, 1, edge, edge), np.float32))
    return (status("VmHWM") - before) / edge**2

for line in sys.stdin:  # each in a process of its own, forked from one that has imported
    architecture, kind = eval(line)
    if os.fork() == 0:
        print(peak(architecture, kind), flush=True)
        os._exit(0)
    if os.wait()[1]:
        break
"""


@pytest.fixture(scope="module")
def peak() -> Iterator[Callable[[Architecture, str], float]]:
    """Measure how many bytes per pixel a network takes: ``peak(architecture, "torch")``.

    glibc gives maps of more than 32 MiB, as those of usual windows, back to the system as soon as they are freed. It
    does so here with the smaller ones of a small window, too: else freed ones stay, in pieces that differ by process.
    """
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    with subprocess.Popen([sys.executable, "-c", PEAKS], env=environment, **pipes) as process:

        def measure(architecture: Architecture, kind: str) -> float:
            print((architecture, kind), file=process.stdin, flush=True)
            return float(process.stdout.readline())

        yield measure
        process.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read as Linux counts them")
@pytest.mark.parametrize("kind", ["torch", "openvino"])
@pytest.mark.parametrize(
    "architecture",
    [UNetConfig(), DnCNNConfig(), DnCNNConfig(skips=True), DnCNNConfig(width=64, skips=True, stride=2)],
    ids=["U-Net", "DnCNN", "skips", "stride"],
)
def test_estimate_holds_the_measured_peak(
    architecture: Architecture, kind: str, peak: Callable[[Architecture, str], float]
) -> None:
    # an estimate far too large would waste the memory
    assert 0.4 * bytes_per_pixel(architecture) < peak(architecture, kind) < 0.8 * bytes_per_pixel(architecture)


@pytest.mark.parametrize(("free", "is_limited"), [(10**12, False), (10**8, True)])
def test_window_follows_the_free_memory(monkeypatch: pytest.MonkeyPatch, free: int, is_limited: bool) -> None:
    class Memory:
        available = free

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    pixels = largest_window(UNetConfig(), "cpu")
    assert pixels * bytes_per_pixel(UNetConfig()) <= free / 2
    assert (pixels < 10**6) == is_limited


def test_window_is_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert largest_window(UNetConfig(), "cpu") == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_windows_are_bounded_where_memory_is_not(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**15)
    assert 1024**2 <= largest_window(UNetConfig(), device) < 10**7
    assert 128**3 <= largest_window(UNetConfig(n_dims=3), device) < 10**8


def test_wider_networks_take_more() -> None:
    widths: list[Any] = [UNetConfig(width=width) for width in (8, 16, 32)]
    estimates = [bytes_per_pixel(config) for config in widths]
    assert estimates == sorted(set(estimates))


HEAPS = """
import ctypes, sys, threading
from unveil.inference.memory import share_heaps
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "shared":
    share_heaps()
ready, done = threading.Barrier(9), threading.Event()
def work():
    libc.malloc(5000)
    ready.wait()
    done.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
ready.wait()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
done.set()
"""


@pytest.mark.skipif(sys.platform != "linux" or not platform.libc_ver()[0], reason="the C library is not glibc")
def test_threads_share_two_heaps() -> None:
    counts = {}
    for how in ("own", "shared"):
        told = subprocess.run([sys.executable, "-c", HEAPS, how], check=True, capture_output=True, text=True).stdout
        counts[how] = told.count("<heap nr=")
    assert counts["own"] > 2
    assert counts["shared"] <= 2
