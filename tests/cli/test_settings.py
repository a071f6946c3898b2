from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.cli.settings import gather, merged, parse_assignment
from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import StandardNormalization
from unveil.config.training import AugmentationConfig, DenoisingTraining, SegmentationTraining
from unveil.errors import ConfigError
from unveil.io.settings import write_settings


@pytest.mark.parametrize(
    ("assignment", "settings"),
    [
        ("epochs=5", {"epochs": 5}),
        ("augmentation.flips=false", {"augmentation": {"flips": False}}),
        ("noise.gaussian=[0.01, 0.1]", {"noise": {"gaussian": [0.01, 0.1]}}),
        ("name=a=b", {"name": "a=b"}),
        ("architecture=null", {"architecture": None}),
    ],
)
def test_assignments_are_dotted_keys_and_yaml(assignment: str, settings: dict[str, Any]) -> None:
    assert parse_assignment(assignment) == settings


@pytest.mark.parametrize("assignment", ["epochs", "=5", "a..b=1", "a=[1", ""])
def test_a_broken_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_assignment(assignment)


def test_later_settings_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("epochs: 7\nbatch_size: 2\naugmentation: {flips: false}\n")

    result = gather(SegmentationTraining, file, ["epochs=9", "augmentation.gain=0"], name="mine")

    assert (result.epochs, result.batch_size, result.name) == (9, 2, "mine")
    assert result.augmentation == AugmentationConfig(flips=False, gain=0)
    assert result.patch_px is None


def test_part_of_an_architecture_changes_the_default_one() -> None:
    assert gather(DenoisingTraining, None, ["architecture.width=8"]).architecture == DnCNNConfig(width=8)


def test_another_kind_replaces_the_default_one() -> None:
    assignments = ["architecture={kind: unet, residual: true, out_channels: 1}", "normalization.method=standard"]

    result = gather(DenoisingTraining, None, assignments)

    assert result.architecture == UNetConfig(residual=True, out_channels=1)
    assert result.normalization == StandardNormalization()


@pytest.mark.parametrize(
    "written",
    [
        SegmentationTraining(name="theirs", architecture=UNetConfig(width=4), time_budget_s=180),
        DenoisingTraining(noisy_only="frames", architecture=UNetConfig(residual=True, out_channels=1)),
        DenoisingTraining(normalization=StandardNormalization(), augmentation=AugmentationConfig(gamma=0)),
    ],
    ids=["segmentation", "frames", "normalization"],
)
def test_a_file_that_was_written_out_gives_the_same_settings(
    tmp_path: Path, written: SegmentationTraining | DenoisingTraining
) -> None:
    write_settings(tmp_path / "settings.yaml", written)

    assert gather(type(written), tmp_path / "settings.yaml", [], name=written.name) == written


def test_all_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"epochs.*0.*epochz") as caught:
        gather(SegmentationTraining, None, ["epochs=0", "epochz=3"])
    assert "pydantic" not in str(caught.value)
    assert "The settings are recipe, time_budget_s, patch_px, " in str(caught.value)


_mappings = st.recursive(
    st.dictionaries(st.text("abc", max_size=2), st.integers()),
    lambda inner: st.dictionaries(st.text("abc", max_size=2), st.integers() | inner),
)


@settings(deadline=None)
@given(_mappings, _mappings)
def test_merging_keeps_every_key_and_the_later_value(base: dict[str, Any], changes: dict[str, Any]) -> None:
    result = merged(base, changes)

    assert set(result) == set(base) | set(changes)
    assert all(result[key] == value for key, value in changes.items() if not isinstance(value, dict))
    assert merged(result, changes) == result
