"""A screen to show windows on: the user's own, or a virtual one (Xvfb) for as long as it is needed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from unveil.errors import EngineError

_SCREEN = "1600x1000x24"
_START_TIMEOUT_S = 20


def has_display(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Say whether windows can be shown: always on Windows and macOS, elsewhere where an X or Wayland server answers."""
    if platform in ("win32", "darwin"):
        return True
    wayland = environment.get("WAYLAND_DISPLAY")
    if wayland and _answers(Path(environment.get("XDG_RUNTIME_DIR", "/")) / wayland):
        return True
    match = re.fullmatch(r"(?:unix)?([^:/]*):(\d+)(?:\.\d+)?", environment.get("DISPLAY", ""))
    if match is None:
        return False
    host, number = match[1], int(match[2])
    if not host:
        return _answers(Path(f"/tmp/.X11-unix/X{number}"))
    return _answers((host, 6000 + number))


def has_virtual_display() -> bool:
    """Say whether Xvfb is installed."""
    return shutil.which("Xvfb") is not None


@contextmanager
def virtual_display() -> Iterator[str]:
    """Run Xvfb while the block runs, and yield the value for ``DISPLAY``.

    Raises
    ------
    EngineError
        If Xvfb does not start.
    """
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", _SCREEN, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()  # the end of the pipe, and so nothing, where Xvfb gives up
        if not number:
            raise EngineError("The virtual screen Xvfb did not start. Install or repair the package xvfb.")
        yield f":{number}"
    finally:
        server.terminate()
        try:
            server.wait(_START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(address: Path | tuple[str, int]) -> bool:
    """Say whether something listens at a socket file or at (host, port)."""
    try:
        if isinstance(address, tuple):
            with socket.create_connection(address, timeout=2):
                return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(2)
            client.connect(str(address))
            return True
    except OSError:
        return False
