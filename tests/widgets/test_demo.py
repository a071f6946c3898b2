from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unveil.cli import display


@pytest.mark.slow
def test_the_demonstration_writes_screenshots_and_results(tmp_path):
    """The real command with the real panels and the models that ship, on a virtual screen of its own."""
    if not display.has_virtual_display():
        pytest.skip("Xvfb is not installed")
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "unveil", "demo", "--output", str(tmp_path / "out")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.splitlines() if line.startswith(str(tmp_path))]
    assert [path.name for path in written] == [
        "segment.png",
        "measurements.png",
        "nuclei_labels.tif",
        "nuclei_probability.tif",
        "nuclei_objects.csv",
        "denoise.png",
        "noisy_denoised.tif",
    ]
    assert all(path.stat().st_size > (10_000 if path.suffix == ".png" else 1_000) for path in written)
