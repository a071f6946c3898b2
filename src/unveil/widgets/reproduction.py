"""What repeats a training elsewhere: a command, and a few lines of Python."""

from __future__ import annotations

import os
import shlex
import subprocess

from unveil.io.runs import Run


def command_of(run: Run, model_name: str) -> str:
    """Return the command that repeats the training of `run` with its resolved settings, quoted for the shell here."""
    facts = run.facts
    words = ["unveil", "train", facts["task"]]
    folders = {"--images": run.images, "--labels": run.labels, "--mask": run.masks, "--clean": run.clean}
    for option, folder in folders.items():
        if folder.is_dir():
            words += [option, str(folder)]
    if facts["is_scribbled"]:
        words.append("--scribbles")
    words += ["--start", "scratch" if run.parent is None else str(run.parent)]
    words += ["--config", str(run.resolved_settings_file), "--output", f"{model_name}.safetensors"]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def python_of(run: Run, model_name: str) -> str:
    """Return Python lines that repeat the training of `run` with its resolved settings."""
    kind = "SegmentationTraining" if run.facts["task"] == "segmentation" else "DenoisingTraining"
    start = f"load_model(Path({str(run.parent)!r}))" if run.parent is not None else "None"
    return f"""from pathlib import Path

from unveil import {kind}, load_model, save_model, train
from unveil.io.runs import Run
from unveil.io.settings import read_settings

images, targets = Run(Path({str(run.path)!r})).data()
settings = {kind}.model_validate(read_settings(Path({str(run.resolved_settings_file)!r})))
model = train(images, targets, settings, start={start})
save_model(model, Path({model_name + ".safetensors"!r}))
"""
