from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from unveil.cli.display import has_display, virtual_display


def test_desktops_without_x_always_show_windows() -> None:
    assert has_display({}, "darwin")
    assert has_display({}, "win32")


@pytest.mark.parametrize("value", ["", ":98765", "localhost:59000", "nonsense", ":x"])
def test_a_display_that_does_not_answer_is_none(value: str) -> None:
    assert not has_display({"DISPLAY": value}, "linux")


def test_a_server_over_the_network_is_a_display() -> None:
    with socket.socket() as server:
        for number in range(50, 150):
            try:
                server.bind(("127.0.0.1", 6000 + number))
                break
            except OSError:
                continue
        server.listen()

        assert has_display({"DISPLAY": f"127.0.0.1:{number}.0"}, "linux")


def test_a_wayland_server_is_a_display(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "wayland-7"))
        server.listen()

        assert has_display({"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(tmp_path)}, "linux")
    assert not has_display({"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(tmp_path)}, "linux")


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_virtual_display_answers_while_it_is_needed() -> None:
    with virtual_display() as name:
        assert has_display({"DISPLAY": name}, "linux")
    assert not has_display({"DISPLAY": name}, "linux")
