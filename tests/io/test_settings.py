"""Settings as YAML: what is written is read again, by people as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from unveil.config.architecture import UNetConfig
from unveil.config.base import Config
from unveil.config.normalization import FixedNormalization, StandardNormalization
from unveil.config.training import AugmentationConfig, DenoisingTraining, SegmentationTraining
from unveil.errors import FileError
from unveil.io.settings import read_settings, write_settings

SETTINGS = [
    SegmentationTraining(),
    DenoisingTraining(),
    SegmentationTraining(
        name="Zellen: µm #1 'a'\nb",
        classes=("background", "yes", "null"),
        objects=False,
        architecture=UNetConfig(width=4, poolings=(1, 2, 2), n_dims=3),
        augmentation=AugmentationConfig(flips=False),
        normalization=StandardNormalization(),
        time_budget_s=180,
        learning_rate=1e-5,
        validation_fraction=0,
    ),
    DenoisingTraining(architecture=UNetConfig(residual=True, out_channels=1), noisy_only="frames", recipe="lecture"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name[:6])
def test_what_is_written_is_read_again(tmp_path: Path, settings: Config) -> None:
    file = tmp_path / "new" / "settings.yaml"

    write_settings(file, settings)

    assert type(settings).model_validate(read_settings(file)) == settings
    assert [path.name for path in file.parent.iterdir()] == ["settings.yaml"]


def test_the_file_names_what_was_not_given(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"

    write_settings(file, SegmentationTraining(epochs=7))

    first, *lines = file.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# Not given (the recipe chooses): time_budget_s, patch_px, batch_size, steps_per_epoch")
    assert "epochs: 7" in lines
    assert "null" not in "".join(lines)
    named = set(first.partition(": ")[2].split(", "))
    assert named | set(yaml.safe_load("\n".join(lines))) == set(SegmentationTraining.model_fields)


def test_null_is_the_same_as_leaving_out(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("patch_px: null\nnormalization: ~\narchitecture:\n")

    assert SegmentationTraining.model_validate(read_settings(file)) == SegmentationTraining()


def test_no_comment_where_all_is_given(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"

    write_settings(file, FixedNormalization(mean=(1.5,), std=(2.0,)))

    assert file.read_text() == "method: fixed\nmean:\n- 1.5\nstd:\n- 2.0\n"


def test_a_file_that_cannot_be_written_is_named_and_the_old_one_kept(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is a folder"):
        write_settings(tmp_path, SegmentationTraining())
    file = tmp_path / "settings.yaml"
    write_settings(file, SegmentationTraining(epochs=7))
    (tmp_path / "block").touch()
    with pytest.raises(FileError, match=r"block.*cannot be written"):
        write_settings(tmp_path / "block" / "settings.yaml", SegmentationTraining())
    assert read_settings(file)["epochs"] == 7


@pytest.mark.parametrize("text", ["- a\n- b", "a: [", "just words", "\x00"])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)

    with pytest.raises(FileError, match=r"settings\.yaml.*Mend"):
        read_settings(file)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.touch()

    assert read_settings(file) == {}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.yaml"):
        read_settings(tmp_path / "missing.yaml")
