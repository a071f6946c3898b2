from __future__ import annotations

import pytest

from unveil.config.options import EvaluationOptions, SegmentationOptions
from unveil.config.training import AugmentationConfig, NoiseConfig
from unveil.errors import ConfigError
from unveil.widgets.config_form import ConfigForm

FIELDS = ("device", "engine", "precision", "tile", "rescale", "threshold", "separation", "min_size")


@pytest.mark.parametrize("config", [AugmentationConfig, NoiseConfig, SegmentationOptions, EvaluationOptions])
def test_an_untouched_form_gives_the_defaults(qtbot, config):
    form = ConfigForm(config)
    qtbot.addWidget(form.native)
    assert form.config() == config()


def test_what_is_written_is_read(qtbot):
    form = ConfigForm(SegmentationOptions, FIELDS)
    qtbot.addWidget(form.native)
    options = SegmentationOptions(
        device="cpu",
        engine="torch",
        precision="exact",
        tile=256,
        rescale=0.5,
        threshold=0.25,
        separation=0.0,
        min_size=0,
    )
    form.set_values(options.model_dump())
    assert form.config() == options
    form.set_values(SegmentationOptions().model_dump())
    assert form.config() == SegmentationOptions()
    assert form.config(channel="red").channel == "red"


def test_tooltips_are_the_field_docs(qtbot):
    form = ConfigForm(SegmentationOptions, FIELDS)
    qtbot.addWidget(form.native)
    assert form.widgets["tile"].tooltip.startswith("Inner size of a tile in pixels")
    assert form.widgets["tile"].native.text() == "automatic"
    assert form.widgets["min_size"].label == "Min size"


def test_contradictions_are_named(qtbot):
    form = ConfigForm(SegmentationOptions, FIELDS)
    qtbot.addWidget(form.native)
    with pytest.raises(ConfigError, match="Threshold"):
        form.config(threshold=2.0)
