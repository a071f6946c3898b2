from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_demonstration_writes_screenshots_and_results(save_segmenter, save_denoiser, models_folder, tmp_path):
    """The real program with the real panels; which models they find first is left to the library."""
    save_segmenter()
    save_denoiser()
    done = subprocess.run(
        [sys.executable, "-m", "unveil.widgets.demo", "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "UNVEIL_MODELS": str(models_folder)},
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
    assert all(path.stat().st_size > 1000 for path in written)
