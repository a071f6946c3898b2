"""The state of a training in one file, replaced as a whole after each validation; no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unveil.errors import FileError
from unveil.io.writing import atomically

_RECORD = "unveil_checkpoint"


class CheckpointFile:
    """Keeps the last checkpoint of a training at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> tuple[Mapping[str, Tensor], dict[str, Any]] | None:
        """Return tensors and record of the last checkpoint, or None where there is none.

        Raises
        ------
        FileError
            If the file is damaged, or no checkpoint.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                record = json.loads((file.metadata() or {}).get(_RECORD, "null"))
                # Copies: the file itself is to be replaced, which Windows forbids while it is mapped.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise FileError(
                f"The checkpoint {self.path} is damaged ({error}). Delete it to begin the training anew."
            ) from error
        if not isinstance(record, dict):
            raise FileError(f"{self.path} is no checkpoint of a training. Move it elsewhere, or delete it.")
        return tensors, record

    def save(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Replace the last checkpoint, all of it or nothing.

        Raises
        ------
        FileError
            If the file cannot be written.
        """
        plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
        data = safetensors.torch.save(plain, metadata={_RECORD: json.dumps(record)})
        with atomically(self.path) as part:
            part.write_bytes(data)

    def remove(self) -> None:
        """Remove the checkpoint: the training is over."""
        self.path.unlink(missing_ok=True)
