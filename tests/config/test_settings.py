"""What holds for every settings class: valid defaults, described fields, nothing unknown, exact JSON."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from unveil.config.architecture import Architecture, DnCNNConfig, FilterConfig, NonexpansiveConfig, UNetConfig
from unveil.config.base import Config
from unveil.config.normalization import (
    FixedNormalization,
    GlobalNormalization,
    NoiseNormalization,
    Normalization,
    PercentileNormalization,
    StabilizedNormalization,
    StandardNormalization,
    TrainingNormalization,
)
from unveil.config.objects import ObjectRule
from unveil.config.options import (
    DenoiserOptions,
    DenoisingOptions,
    EngineOptions,
    EvaluationOptions,
    SegmentationOptions,
    SegmenterOptions,
    StabilityOptions,
    ViewOptions,
)
from unveil.config.training import (
    AugmentationConfig,
    DenoisingTraining,
    NoiseConfig,
    SegmentationTraining,
)

WITH_DEFAULTS = [
    UNetConfig,
    DnCNNConfig,
    NonexpansiveConfig,
    PercentileNormalization,
    StandardNormalization,
    GlobalNormalization,
    NoiseNormalization,
    StabilizedNormalization,
    ObjectRule,
    SegmenterOptions,
    SegmentationOptions,
    DenoiserOptions,
    DenoisingOptions,
    EvaluationOptions,
    EngineOptions,
    StabilityOptions,
    ViewOptions,
    AugmentationConfig,
    NoiseConfig,
    SegmentationTraining,
    DenoisingTraining,
]
UNUSUAL = [
    UNetConfig(n_dims=3, in_channels=2, out_channels=4, width=5, poolings=(1, 2, 3)),
    DnCNNConfig(depth=3, width=16),
    DnCNNConfig(depth=3, dilations=(1, 2, 1)),
    NonexpansiveConfig(dilations=(1, 2)),
    FilterConfig(kind="clipped_high_pass", n_dims=3, size_px=2, strength=0.5),
    PercentileNormalization(low=0, high=100),
    FixedNormalization(mean=(1.5, 2.0), std=(0.1, 3.0)),
    ObjectRule(threshold=0.25, separation=0.75, min_size=9, reach_px=100),
    SegmentationOptions(channel="DAPI", tile=512, rescale=0.5, threshold=0.4),
    EvaluationOptions(channel=2, precision="exact", fit_gain=True),
    SegmentationTraining(classes=("ground", "a", "b"), objects=False, architecture=UNetConfig(out_channels=3)),
    DenoisingTraining(architecture=UNetConfig(out_channels=1, residual=True), noise=NoiseConfig(gaussian=(0.1, 0.2))),
]


@pytest.mark.parametrize("kind", WITH_DEFAULTS)
def test_defaults_are_valid(kind):
    assert kind.model_validate(kind().model_dump()) == kind()


@pytest.mark.parametrize("kind", [*WITH_DEFAULTS, FilterConfig, FixedNormalization])
def test_every_field_is_described_and_tags_are_not(kind):
    tags = {"kind", "method", "task"}
    undescribed = [name for name, field in kind.model_fields.items() if not field.description and name not in tags]
    assert undescribed == []


@pytest.mark.parametrize("settings", UNUSUAL, ids=lambda settings: type(settings).__name__)
def test_json_restores_the_settings(settings):
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("kind", WITH_DEFAULTS)
def test_unknown_fields_are_refused(kind):
    with pytest.raises(ValidationError, match="no_such_field"):
        kind(no_such_field=1)


@pytest.mark.parametrize("settings", UNUSUAL, ids=lambda settings: type(settings).__name__)
def test_settings_are_frozen(settings):
    name = next(iter(type(settings).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, getattr(settings, name))


@pytest.mark.parametrize("union", [Architecture, Normalization, TrainingNormalization])
def test_alternatives_are_told_apart_by_their_tag(union):
    adapter = TypeAdapter(union)
    matching = [s for s in UNUSUAL if _tag_of(union) & set(type(s).model_fields)]
    assert matching
    for settings in matching:
        assert adapter.validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError, match="tag"):
        adapter.validate_python(dict.fromkeys(_tag_of(union), "no such thing"))


def _tag_of(union):
    return {union.__metadata__[0].discriminator}


def test_every_settings_class_is_looked_at():
    def below(kind):
        return {kind}.union(*(below(k) for k in kind.__subclasses__()))

    concrete = {kind for kind in below(Config) if kind.__module__.startswith("unveil.config")}
    bases = {"Config", "RunOptions", "CheckOptions", "TrainingSchedule"}
    assert {kind.__name__ for kind in concrete} - bases == {
        kind.__name__ for kind in [*WITH_DEFAULTS, FilterConfig, FixedNormalization]
    }
    assert issubclass(Config, BaseModel)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (UNetConfig, {"n_dims": 4}),
        (UNetConfig, {"in_channels": 0}),
        (UNetConfig, {"poolings": 9}),
        (UNetConfig, {"poolings": (1, 2, 3)}),
        (UNetConfig, {"residual": True, "out_channels": 2}),
        (DnCNNConfig, {"depth": 1}),
        (NonexpansiveConfig, {"dilations": ()}),
        (NonexpansiveConfig, {"taps": 4}),
        (DnCNNConfig, {"width": 0}),
        (DnCNNConfig, {"depth": 3, "dilations": (1, 2)}),
        (DnCNNConfig, {"depth": 2, "dilations": (1, 0)}),
        (DnCNNConfig, {"depth": 5, "skips": True}),
        (PercentileNormalization, {"low": 50, "high": 50}),
        (PercentileNormalization, {"high": 101}),
        (FixedNormalization, {"mean": (0,), "std": (0,)}),
        (ObjectRule, {"threshold": 0}),
        (ObjectRule, {"threshold": 1}),
        (ObjectRule, {"separation": 1}),
        (ObjectRule, {"min_size": -1}),
        (ObjectRule, {"reach_px": 0}),
        (SegmentationOptions, {"threshold": 1.5}),
        (SegmentationOptions, {"tile": 0}),
        (SegmentationOptions, {"device": "tpu"}),
        (SegmentationOptions, {"rescale": "on"}),
        (SegmentationTraining, {"epochs": 0}),
        (SegmentationTraining, {"learning_rate": 0}),
        (SegmentationTraining, {"validation_fraction": 1}),
        (SegmentationTraining, {"time_budget_s": 0}),
        (SegmentationTraining, {"patience": -1}),
        (SegmentationTraining, {"stop_after": 0}),
        (SegmentationTraining, {"seed": -1}),
        (SegmentationTraining, {"recipe": "guess"}),
        (SegmentationTraining, {"classes": ("ground",)}),
        (SegmentationTraining, {"classes": ("ground", "cell", "cell")}),
        (DenoisingTraining, {"noisy_only": "magic"}),
        (DenoisingTraining, {"batch_size": 0}),
        (DenoisingTraining, {"replicas": 0}),
        (SegmentationTraining, {"replicas": 2, "batch_size": 3}),
        (AugmentationConfig, {"gain": 1}),
        (FilterConfig, {"kind": "gaussian", "size_px": 0}),
        (FilterConfig, {"kind": "sharpen", "size_px": 1}),
        (DenoisingTraining, {"architecture": {"kind": "median", "size_px": 1}}),
    ],
)
def test_values_out_of_bounds_are_refused(kind, values):
    with pytest.raises(ValidationError):
        kind(**values)


@pytest.mark.parametrize("kind", [SegmentationOptions, DenoisingOptions, EvaluationOptions])
@pytest.mark.parametrize("rescale", [0, -1, 0.02, 50, float("inf"), float("nan")])
def test_an_image_cannot_be_resized_to_nothing_or_to_infinity(kind, rescale):
    with pytest.raises(ValidationError):
        kind(rescale=rescale)


@pytest.mark.parametrize("noise", [{"poisson": (0.2, 0.1)}, {"gaussian": (-0.1, 0.1)}])
def test_ranges_of_noise_go_up_from_zero(noise):
    with pytest.raises(ValidationError):
        NoiseConfig(**noise)


@pytest.mark.parametrize("name", ["offset", "noise", "blur_px"])
@pytest.mark.parametrize("value", [-1, 101, float("inf"), float("nan")])
def test_augmentation_has_bounds(name, value):
    assert getattr(AugmentationConfig(**{name: 100}), name) == 100
    with pytest.raises(ValidationError, match=name):
        AugmentationConfig(**{name: value})


def test_poolings_per_axis():
    assert UNetConfig(poolings=2).poolings_per_axis == (2, 2)
    assert UNetConfig(n_dims=3, poolings=3).poolings_per_axis == (3, 3, 3)
    assert UNetConfig(n_dims=3, poolings=(1, 2, 2)).poolings_per_axis == (1, 2, 2)


def test_what_a_training_does_not_say_is_left_to_its_recipe():
    config = SegmentationTraining()
    open_ = {name for name in type(config).model_fields if getattr(config, name) is None}
    assert open_ == {
        "time_budget_s", "patch_px", "batch_size", "epochs", "steps_per_epoch", "stop_after", "learning_rate",
        "schedule", "patience", "normalization", "augmentation", "architecture", "loss",
    }  # fmt: skip
    assert config.recipe == "auto"


def test_a_card_never_holds_what_is_yet_to_be_fitted():
    config = SegmentationTraining.model_validate({"normalization": {"method": "global"}})
    assert config.normalization == GlobalNormalization()
    with pytest.raises(ValidationError, match="global"):
        TypeAdapter(Normalization).validate_python({"method": "global"})
