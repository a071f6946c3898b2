"""A training run's folder: what it learnt from, how, and how far it came. One folder says it all.

::

    20261125-204510_nuclei/
    ├── images/  labels/  masks/   or  images/  clean/      as they were used, paired by name
    ├── settings.yaml                                       what was asked for
    ├── parent.safetensors                                  the model it started from, if any
    ├── run.json                                            the rest: task, title, axes and names
    ├── running.json                                        the process at work, while there is one
    ├── log.txt                                             what the process said
    ├── checkpoint.safetensors                              after each validation, until the end
    ├── model.safetensors                                   at the end, until the library has it
    └── resolved.yaml                                       then: the settings, every choice written out
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from unveil.config.explanation import explain
from unveil.config.training import DenoisingTraining, SegmentationTraining, TrainingSettings
from unveil.data.annotation import Annotation
from unveil.errors import ConfigError, FileError
from unveil.events import Monitor, ignore
from unveil.image import Image
from unveil.io.run_data import CLEAN, IMAGES, LABELS, MASKS, read_data, write_data
from unveil.io.settings import read_settings, write_settings
from unveil.io.user_folders import runs_folder
from unveil.io.writing import atomically

_SAME_START_S = 2.0
"""When a process began is computed from the machine's start, which may be corrected meanwhile."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run on disk."""

    path: Path

    @property
    def images(self) -> Path:
        """Folder of the images; absent where clean images alone teach."""
        return self.path / IMAGES

    @property
    def labels(self) -> Path:
        """Folder of the labels, painted ones as they were."""
        return self.path / LABELS

    @property
    def masks(self) -> Path:
        """Folder of the masks; absent where whole images are annotated, or scribbled on."""
        return self.path / MASKS

    @property
    def clean(self) -> Path:
        """Folder of the clean images; absent where there are none."""
        return self.path / CLEAN

    @property
    def settings_file(self) -> Path:
        """The settings as they were asked for."""
        return self.path / "settings.yaml"

    @property
    def resolved_settings_file(self) -> Path:
        """The settings with every choice written out; absent until the training has ended."""
        return self.path / "resolved.yaml"

    @property
    def parent(self) -> Path | None:
        """The model that training starts from."""
        path = self.path / "parent.safetensors"
        return path if path.exists() else None

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.path / "checkpoint.safetensors"

    @property
    def model(self) -> Path:
        """Where the process leaves the model."""
        return self.path / "model.safetensors"

    @property
    def log(self) -> Path:
        """What the process said."""
        return self.path / "log.txt"

    @property
    def facts(self) -> dict[str, Any]:
        """What `create_run` was told: task, title, whether labels are scribbles, and what no TIFF keeps of images."""
        return dict(json.loads((self.path / "run.json").read_text(encoding="utf-8")))

    @property
    def is_alive(self) -> bool:
        """Whether a process works here."""
        try:
            noted = json.loads((self.path / "running.json").read_text(encoding="utf-8"))
            process = psutil.Process(noted["pid"])
            is_same = abs(process.create_time() - noted["since"]) < _SAME_START_S
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return False

    @property
    def is_resumable(self) -> bool:
        """Whether a training stands here that has a checkpoint and neither an end nor a living process."""
        return self.checkpoint.exists() and not self.model.exists() and not self.is_alive

    def settings(self) -> TrainingSettings:
        """Read the settings.

        Raises
        ------
        FileError
            If they cannot be read.
        ConfigError
            If they do not fit this version.
        """
        kind = SegmentationTraining if self.facts["task"] == "segmentation" else DenoisingTraining
        try:
            return kind.model_validate(read_settings(self.settings_file))
        except ValidationError as failure:
            raise ConfigError(
                f"The settings {self.settings_file} do not fit: {explain(failure)}. They may come from another version "
                f"of Unveil; mend them, or begin a new training."
            ) from failure

    def data(self) -> tuple[list[Image] | None, list[Annotation] | list[Image] | None]:
        """Read images and targets as the task `train` takes them.

        Raises
        ------
        FileError
            If a file is missing or damaged.
        """
        return read_data(self.path, self.facts)

    def claim(self, pid: int) -> None:
        """Note that the process `pid` works here."""
        try:
            since = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:  # it is gone already
            return
        with atomically(self.path / "running.json") as part:
            part.write_text(json.dumps({"pid": pid, "since": since}), encoding="utf-8")

    def discard(self) -> None:
        """Remove the checkpoint: this training is not to go on. What it learnt from stays."""
        self.checkpoint.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what is left of a process that has ended: half-written files, and what it was shown."""
        for pattern in ("running.json", ".*.part*", "shown-*.npy"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)


def create_run(
    images: Sequence[Image] | None,
    targets: Sequence[Annotation] | Sequence[Image] | None,
    settings: TrainingSettings,
    *,
    parent: Path | None = None,
    monitor: Monitor = ignore,
) -> Run:
    """Write everything that a training needs into a new folder, complete or not at all.

    Parameters
    ----------
    images, targets
        As the task `train` takes them; annotations either all with outlines or all scribbles.
    parent
        Model file to start from; it is copied.
    monitor
        Told how many images are written; what it raises leaves nothing behind.

    Raises
    ------
    FileError
        If the folder cannot be written, or the parent cannot be read.
    """
    run = Run(_new_folder(settings.name))
    try:
        write_settings(run.settings_file, settings)
        if parent is not None:
            shutil.copyfile(parent, run.path / "parent.safetensors")
        facts = {
            "task": settings.task,
            "title": settings.name,
            **write_data(run.path, images, targets, monitor=monitor),
        }
        with atomically(run.path / "run.json") as part:  # at last: a folder without it is no run
            part.write_text(json.dumps(facts), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(run.path, ignore_errors=True)
        raise FileError(
            f"The run {run.path} cannot be written: {error.strerror or error} ({error.filename or run.path}). "
            f"Make room on the disk, or mend that path."
        ) from error
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def resumable_runs() -> list[Run]:
    """List the runs that were interrupted and can go on, the latest first."""
    folder = runs_folder()
    if not folder.is_dir():
        return []
    found = [Run(path) for path in sorted(folder.iterdir(), reverse=True) if (path / "run.json").is_file()]
    return [run for run in found if run.is_resumable]


def _new_folder(title: str) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = re.sub(r"[^\w.-]+", "-", title)[:40].rstrip(".") or "model"
    for number in range(1000):
        path = runs_folder() / f"{stamp}_{name}{f'_{number}' if number else ''}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if path.is_dir():
                continue
            raise _unwritable(f"a file stands where a folder is needed ({path})") from None
        except OSError as error:
            raise _unwritable(error.strerror or str(error)) from error
        return path
    raise FileError(f"There are too many runs of this second in {runs_folder()}. Try again.")


def _unwritable(reason: str) -> FileError:
    return FileError(
        f"The folder of training runs {runs_folder()} cannot be written to: {reason}. "
        f"Make it writable, or name another one in the variable UNVEIL_RUNS."
    )
