"""Checkpoints: bit for bit what was saved, replaced as a whole, and never a riddle when damaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from unveil.errors import FileError
from unveil.io.checkpoint_file import CheckpointFile

RECORD = {"asked": {"name": "µ", "classes": ["a", "b"]}, "numbers": {"best_loss": math.inf, "rate": 0.1 + 0.2}}


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((4, 3, 3, 3), generator=generator)
    return {
        "network.weight": weight,
        "network.last": weight.to(memory_format=torch.channels_last),
        "optimizer.0.step": torch.tensor(7.0),
        "optimizer.0.odd": torch.tensor([math.nan, math.inf, -0.0, 1e-45]),
        "best.half": torch.randn(5, generator=generator).to(torch.bfloat16),
        "best.count": torch.tensor([2**62 + 1]),
    }


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


def test_save_then_load_is_identity(tmp_path: Path) -> None:
    checkpoints = CheckpointFile(tmp_path / "run" / "checkpoint.safetensors")
    assert checkpoints.load() is None

    checkpoints.save(tensors(), RECORD)
    loaded = checkpoints.load()

    assert loaded is not None
    assert loaded[1] == RECORD
    assert set(loaded[0]) == set(tensors())
    for name, tensor in tensors().items():
        found = loaded[0][name]
        assert found.dtype == tensor.dtype
        assert torch.equal(
            found.contiguous().flatten().view(torch.uint8), tensor.contiguous().flatten().view(torch.uint8)
        )
    checkpoints.remove()
    checkpoints.remove()
    assert checkpoints.load() is None


def test_the_last_one_counts_and_what_was_loaded_stays(tmp_path: Path) -> None:
    checkpoints = CheckpointFile(tmp_path / "checkpoint.safetensors")
    checkpoints.save({"a": torch.zeros(9)}, {"epoch": 1})
    first = checkpoints.load()
    checkpoints.save({"a": torch.ones(9)}, {"epoch": 2})
    second = checkpoints.load()

    assert first is not None
    assert second is not None
    assert (first[0]["a"].sum(), first[1]) == (0, {"epoch": 1})
    assert (second[0]["a"].sum(), second[1]) == (9, {"epoch": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_a_write_that_fails_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = CheckpointFile(tmp_path / "checkpoint.safetensors")
    checkpoints.save({"a": torch.zeros(9)}, {"epoch": 1})
    whole = checkpoints.path.read_bytes()
    write = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(FileError, match="No space left"):
            checkpoints.save({"a": torch.ones(9)}, {"epoch": 2})
    with pytest.raises(TypeError):
        checkpoints.save({"a": torch.ones(9)}, {"epoch": object()})

    assert checkpoints.path.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def _no_checkpoint(path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(2)}, path)


def _half_a_record(path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata={"unveil_checkpoint": '{"a": '})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: path.write_bytes(b"\xff" * 100),
        lambda path: (path.unlink(), path.mkdir()),
        _no_checkpoint,
        _half_a_record,
    ],
    ids=["empty", "short", "header", "noise", "folder", "another", "record"],
)
def test_a_damaged_file_is_one_clear_sentence(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    checkpoints = CheckpointFile(tmp_path / "checkpoint.safetensors")
    checkpoints.save(tensors(), RECORD)
    damage(checkpoints.path)

    with pytest.raises(FileError, match=r"checkpoint\.safetensors (is damaged|is no checkpoint).*[Dd]elete") as caught:
        checkpoints.load()
    assert "\n" not in str(caught.value)
