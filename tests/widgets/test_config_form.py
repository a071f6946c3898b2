from __future__ import annotations

import pytest
from qtpy.QtCore import QLocale, Qt
from qtpy.QtWidgets import QLabel

from unveil.config.architecture import UNetConfig
from unveil.config.options import RESCALE_FACTORS, EvaluationOptions, SegmentationOptions
from unveil.config.training import AugmentationConfig, DenoisingTraining, NoiseConfig, SegmentationTraining
from unveil.errors import ConfigError
from unveil.widgets.config_form import ConfigForm
from unveil.widgets.train_settings import TrainSettings

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
        rescale=0.097,
        threshold=0.25,
        separation=0.0,
        min_size=0,
    )
    form.set_values(options.model_dump())
    assert form.config() == options
    form.set_values(SegmentationOptions().model_dump())
    assert form.config() == SegmentationOptions()
    assert form.config(channel="red").channel == "red"


@pytest.mark.parametrize("factor", RESCALE_FACTORS)
def test_a_factor_of_resizing_that_can_be_chosen_is_taken(qtbot, factor):
    form = ConfigForm(SegmentationOptions, FIELDS)
    qtbot.addWidget(form.native)
    form.set_values({"rescale": factor})
    number = form.widgets["rescale"]["number"]
    number.native.stepBy(-1 if factor < 1 else 1)
    assert form.config().rescale == factor


@pytest.mark.parametrize(
    "settings",
    [
        SegmentationTraining(),
        SegmentationTraining(learning_rate=2.5e-4, validation_fraction=1 / 3, time_budget_s=0.125),
        DenoisingTraining(learning_rate=1e-6, validation_fraction=0.995),
        SegmentationTraining(
            normalization={"method": "fixed", "mean": (3.0,), "std": (2.0,)},
            architecture={"kind": "unet", "poolings": 2},
            augmentation={"blur_px": 0.5},
        ),
        DenoisingTraining(
            architecture={"kind": "unet", "width": 8, "out_channels": 1, "residual": True},
            normalization={"method": "global"},
            noise={"gaussian": (0.1, 0.2)},
            loss="log_mse",
        ),
        DenoisingTraining(architecture={"kind": "dncnn", "depth": 3}, normalization={"method": "standard"}),
    ],
)
def test_configs_within_a_config_are_chosen_by_kind(qtbot, settings):
    form = ConfigForm(type(settings))
    qtbot.addWidget(form.native)
    form.set_values({name: getattr(settings, name) for name in type(settings).model_fields})
    assert form.config() == settings
    form.set_values({name: field.get_default() for name, field in type(settings).model_fields.items()})
    assert form.config() == type(settings)()


def test_only_the_group_of_the_kind_chosen_is_shown(qtbot):
    form = ConfigForm(DenoisingTraining, ("architecture",))
    qtbot.addWidget(form.native)
    form.native.show()

    def shown() -> list[str]:
        return [label.text() for label in form.native.findChildren(QLabel) if label.isVisible()]

    assert "Depth" in shown()
    assert "Poolings" not in shown()
    form.set_values({"architecture": UNetConfig(out_channels=1, residual=True)})
    assert "Poolings" in shown()
    assert "Depth" not in shown()


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


@pytest.mark.parametrize("typed", ["background, nuclei", "('background', ", ""])
def test_what_is_no_literal_is_refused_in_a_sentence(qtbot, typed):
    form = ConfigForm(SegmentationTraining, ("classes",))
    qtbot.addWidget(form.native)
    form.widgets["classes"].native.setText(typed)
    with pytest.raises(ConfigError, match="Classes: input should be a valid tuple, not"):
        form.config()


def test_a_field_with_a_title_is_called_by_it(qtbot):
    form = ConfigForm(SegmentationTraining, ("lip1_layers", "patch_px"))
    qtbot.addWidget(form.native)
    assert [form.widgets[name].label for name in ("lip1_layers", "patch_px")] == ["Lipschitz-1 layers", "Patch (px)"]


@pytest.mark.parametrize("language", [QLocale.Language.C, QLocale.Language.German])
@pytest.mark.parametrize("typed", ["0.25", "0,25"])
def test_point_and_comma_are_understood_in_every_language(qtbot, language, typed):
    form = ConfigForm(SegmentationTraining, ["validation_fraction"])
    qtbot.addWidget(form.native)
    box = form.widgets["validation_fraction"].native
    box.setLocale(QLocale(language))
    box.selectAll()
    qtbot.keyClicks(box, typed)
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert form.values()["validation_fraction"] == 0.25


def test_small_numbers_can_be_typed(qtbot):
    form = ConfigForm(SegmentationTraining, ["learning_rate"])
    qtbot.addWidget(form.native)
    box = form.widgets["learning_rate"].native
    box.selectAll()
    qtbot.keyClicks(box, "0.0003")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert form.values()["learning_rate"] == 0.0003
    qtbot.keyClick(box, Qt.Key.Key_Up)
    assert form.values()["learning_rate"] == 0.00031


@pytest.mark.parametrize(
    ("text", "said"), [("1: 2", "1: keys should be strings, not 1"), ("epoch: 3", "epoch: not known")]
)
def test_a_settings_file_that_does_not_fit_is_refused_in_a_sentence(qtbot, tmp_path, notifications, text, said):
    settings, file = TrainSettings(dict), tmp_path / "training.yaml"
    qtbot.addWidget(settings)
    before = settings.config()
    file.write_text(text)
    settings.load(file)
    assert notifications == [("error", f"The settings do not fit SegmentationTraining: {said}. Change them.")]
    assert settings.config() == before
