"""What pydantic finds wrong is said in words that a user can act on."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from unveil.config.explanation import explain
from unveil.config.training import SegmentationTraining


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 3}, "epoch: not known"),
        ({"epochs": 0}, "epochs: input should be greater than or equal to 1, not 0"),
        ({"normalization": {"low": 2}}, "normalization: say which kind is meant by its 'method'"),
    ],
)
def test_each_problem_names_its_setting_and_what_is_expected(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SegmentationTraining(**settings)
    assert explain(caught.value) == words
