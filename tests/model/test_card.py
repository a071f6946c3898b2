from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from unveil.config.architecture import DnCNNConfig, FilterConfig, UNetConfig
from unveil.config.normalization import FixedNormalization, PercentileNormalization
from unveil.config.objects import ObjectRule
from unveil.model.card import Epoch, MeasuredScores, ModelCard, TrainingRecord

CLASSES = ("background", "cell")


def _card(architecture=None, **fields):
    fields = {
        "name": "test",
        "task": "segmentation",
        "classes": CLASSES,
        "normalization": PercentileNormalization(),
    } | fields
    return ModelCard.describe(architecture or UNetConfig(), **fields)


def test_what_follows_from_the_architecture_is_derived():
    card = _card(UNetConfig(n_dims=3, poolings=(1, 2, 2)))
    assert (card.axes, card.n_dims, card.in_channels) == ("CZYX", 3, 1)
    assert card.size_step == (2, 4, 4)
    assert card.halo == (8, 24, 24) or card.halo[0] % 2 == card.halo[1] % 4 == 0
    assert _card().halo == (48, 48)


@settings(deadline=None)
@given(
    n_dims=st.sampled_from([2, 3]),
    in_channels=st.integers(1, 4),
    n_classes=st.integers(2, 5),
    poolings=st.integers(1, 4),
    with_objects=st.booleans(),
)
def test_json_restores_the_card(n_dims, in_channels, n_classes, poolings, with_objects):
    n_classes = 2 if with_objects else n_classes
    card = _card(
        UNetConfig(n_dims=n_dims, in_channels=in_channels, out_channels=n_classes + with_objects, poolings=poolings),
        classes=tuple(f"class {n}" for n in range(n_classes)),
        objects=ObjectRule(reach_px=17) if with_objects else None,
        channel_names=tuple(f"channel {n}" for n in range(in_channels)),
        pixel_size_um=dict.fromkeys("ZYX"[-n_dims:], 0.3),
        training=TrainingRecord(
            config={"epochs": 3}, data_sha256="ab", n_images=9, n_validation_images=2, metric_name="IoU",
            history=(Epoch(epoch=0, training_loss=0.5, validation_loss=0.25, metric=None),), seed=1,
            versions={"torch": "2"}, timestamp="2026-01-01T00:00:00Z", seconds=1.5, ended_by="user",
        ),
        scores=(MeasuredScores(data="somewhere", values={"iou": 0.9, "ap": {"0.50": 0.8}, "ap_mean": None}),),
    )  # fmt: skip
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    assert card.n_maps == n_classes + with_objects == card.architecture.out_channels


@pytest.mark.parametrize(
    ("architecture", "fields", "problem"),
    [
        (UNetConfig(), {"axes": "CZYX"}, "axes CZYX do not fit 2 spatial dimensions"),
        (UNetConfig(), {"halo": (8, 8)}, "do not follow from the architecture"),
        (UNetConfig(), {"size_step": (4, 4)}, "do not follow from the architecture"),
        (UNetConfig(), {"channel_names": ("DAPI", "GFP")}, "2 channel names for 1 channel"),
        (DnCNNConfig(), {"classes": ("background",)}, "segmentation needs a U-Net"),
        (UNetConfig(out_channels=3), {}, "3 output maps for 2 classes and distances"),
        (UNetConfig(), {"objects": ObjectRule()}, "2 output maps for 3 classes and distances"),
        (UNetConfig(), {"task": "denoising", "classes": ()}, "as many output as input channels"),
        (
            UNetConfig(out_channels=4),
            {"objects": ObjectRule(), "classes": ("background", "a", "b")},
            "objects are separated for one foreground class",
        ),
        (UNetConfig(), {"threshold": 1.0}, "less than 1"),
        (UNetConfig(), {"task": "detection"}, "task"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(architecture, fields, problem):
    values = _plain(architecture) | fields
    with pytest.raises(ValidationError, match=problem):
        ModelCard.model_validate(values)


def _plain(architecture):
    """The values of a card for `architecture`, unchecked."""
    valid = _card(UNetConfig()) if isinstance(architecture, UNetConfig) else _denoiser(architecture)
    values = valid.model_dump() | {"architecture": architecture.model_dump()}
    return values | {"task": "segmentation", "classes": CLASSES}


def _denoiser(architecture):
    return _card(architecture, task="denoising", classes=())


def test_contradictions_are_named_together():
    with pytest.raises(ValidationError, match=r"axes CZYX.*2 channel names.*3 output maps"):
        ModelCard.model_validate(
            _plain(UNetConfig(out_channels=3)) | {"axes": "CZYX", "channel_names": ("DAPI", "GFP")}
        )


@pytest.mark.parametrize("n_channels", [1, 2])
def test_fixed_normalization_needs_one_value_per_channel(n_channels):
    def make(n_values):
        normalization = FixedNormalization(mean=(0.0,) * n_values, std=(1.0,) * n_values)
        return _card(UNetConfig(in_channels=n_channels), normalization=normalization)

    assert make(n_channels).in_channels == n_channels
    with pytest.raises(ValidationError, match="normalization"):
        make(n_channels + 1)


@pytest.mark.parametrize(("mean", "std"), [((0.0, 1.0), (1.0,)), ((), ())])
def test_fixed_normalization_has_as_many_means_as_deviations(mean, std):
    with pytest.raises(ValidationError, match="mean"):
        FixedNormalization(mean=mean, std=std)


def test_a_segmentation_has_a_background_and_a_foreground():
    with pytest.raises(ValidationError, match="classes"):
        _card(UNetConfig(out_channels=1), classes=("cell",))


def test_pixel_sizes_are_positive_and_of_axes_that_exist():
    for wrong in ({"Y": 0.0}, {"X": float("inf")}, {"X": float("nan")}, {"Q": 1.0}):
        with pytest.raises(ValidationError, match="pixel"):
            _card(pixel_size_um=wrong)


def test_each_filter_has_one_task():
    for kind, task, other in (("texture", "segmentation", "denoising"), ("median", "denoising", "segmentation")):
        filter_ = FilterConfig(kind=kind, size_px=2)
        card = _card(filter_, task=task)
        assert (card.is_filter, card.gives_features, card.n_maps) == (True, kind == "texture", filter_.out_channels)
        with pytest.raises(ValidationError, match=f"a {kind} filter is for {task}"):
            _card(filter_, task=other)


def test_the_kept_epoch_is_the_one_named_or_in_older_cards_that_of_the_lowest_score():
    epochs = tuple(Epoch(epoch=n, training_loss=loss) for n, loss in ((1, 0.5), (2, 0.2), (3, 0.3)))
    record = TrainingRecord(
        config={}, data_sha256="", n_images=1, n_validation_images=0, metric_name="IoU", history=epochs, seed=0,
        versions={}, timestamp="", seconds=1, ended_by="schedule",
    )  # fmt: skip
    assert record.kept == epochs[1]
    assert record.model_copy(update={"kept_epoch": 3}).kept == epochs[2]
    assert record.model_copy(update={"history": ()}).kept is None
    judged = tuple(e.model_copy(update={"validation_loss": v}) for e, v in zip(epochs, (0, 2, 1), strict=True))
    assert record.model_copy(update={"history": judged}).kept == judged[0]
