"""Plans: the lecture's exactly, auto's complete, and what is given never changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from unveil.config.architecture import Architecture, DnCNNConfig, UNetConfig
from unveil.config.normalization import GlobalNormalization, PercentileNormalization, StandardNormalization
from unveil.config.training import AugmentationConfig, DenoisingTraining, SegmentationTraining
from unveil.training.plan import Facts, Pace, Plan, choose_patches, complete, needs_pace, with_recipe

UNET, DNCNN, VOLUMES = UNetConfig(), DnCNNConfig(), UNetConfig(n_dims=3, poolings=(1, 2, 3))
NO_AUGMENTATION = AugmentationConfig(flips=False, scale=0, gain=0, offset=0, gamma=0, noise=0, blur_px=0)
CHOSEN = (
    "patch_px", "batch_size", "epochs", "steps_per_epoch", "learning_rate", "schedule", "patience", "normalization",
    "augmentation",
)  # fmt: skip
PACE = Pace(step_s=0.2, validation_s=1.0)


def facts(**changes: Any) -> Facts:
    given: dict[str, Any] = {
        "device": "cpu", "shapes": [(512, 640)], "n_judged": 512 * 640, "largest_object_px": 30,
        "is_fine_tuning": False,
    }  # fmt: skip
    return Facts(**given | changes)


def planned(config: Any, architecture: Architecture = UNET, pace: Pace = PACE, **known: Any) -> tuple[Plan, Any]:
    """Return the plan for `config`, and the settings with all choices written out."""
    settled, found = with_recipe(config), facts(**known)
    plan = complete(choose_patches(settled, architecture, found), settled, found, pace if needs_pace(settled) else None)
    return plan, plan.settings(settled)


def test_replicas_share_the_batch_evenly() -> None:
    plan, settings = planned(SegmentationTraining(replicas=3))
    assert plan.batch_size == settings.batch_size == 6  # 4 without replicas
    assert plan.share(3).batch_size == 2
    with pytest.raises(ValidationError, match="3 replicas cannot share a batch_size of 4 evenly"):
        SegmentationTraining(replicas=3, batch_size=4)


@pytest.mark.parametrize(("kind", "epochs", "edge"), [(SegmentationTraining, 100, 256), (DenoisingTraining, 80, 384)])
def test_the_lecture_is_repeated_exactly(kind: type, epochs: int, edge: int) -> None:
    config = kind(recipe="lecture")
    plan, settings = planned(config, UNET if kind is SegmentationTraining else DNCNN)
    assert plan.patch == (edge, edge)
    assert (settings.batch_size, settings.epochs, settings.patience) == (16, epochs, 0)
    assert (settings.learning_rate, settings.schedule) == (1e-3, "constant")
    assert settings.augmentation == NO_AUGMENTATION
    assert settings.normalization == GlobalNormalization()
    assert settings.validation_fraction == 0.25
    assert plan.stop_after == epochs
    assert not needs_pace(with_recipe(config))
    assert any("as in the lecture" in reason for reason in plan.reasons)
    once, _ = planned(kind(recipe="lecture", epochs=1, steps_per_epoch=1))
    assert "1 epoch of 1 step, as in the lecture." in once.reasons
    if isinstance(settings, SegmentationTraining):
        assert not settings.objects
        assert settings.classes == ("background", "foreground")
        assert settings.loss == "cross_entropy"
    else:
        assert settings.loss == "mse"


def test_an_epoch_of_the_lecture_sees_each_annotated_pixel_about_once() -> None:
    plan, _ = planned(SegmentationTraining(recipe="lecture"), n_judged=64 * 256 * 256, shapes=[(256, 256)] * 64)
    assert plan.steps_per_epoch == 4
    small, _ = planned(SegmentationTraining(recipe="lecture"), n_judged=9, shapes=[(100, 90)])
    assert (small.patch, small.steps_per_epoch) == ((96, 96), 1)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("config", "architecture", "shape"),
    [
        (SegmentationTraining(), UNET, (512, 640)),
        (SegmentationTraining(), VOLUMES, (20, 512, 640)),
        (DenoisingTraining(), DNCNN, (512, 640)),
    ],
    ids=["segmentation", "volumes", "denoising"],
)
def test_auto_leaves_nothing_open_and_says_why(config: Any, architecture: Any, shape: Any, device: str) -> None:
    plan, settings = planned(config, architecture, device=device, shapes=[shape])
    assert not [name for name in CHOSEN if getattr(settings, name) is None]
    assert settings.time_budget_s is None
    assert settings.augmentation == AugmentationConfig()
    assert settings.schedule == "cosine"
    assert isinstance(settings.normalization, PercentileNormalization)
    assert 0 < settings.patience <= settings.epochs
    assert plan.n_steps == settings.epochs * settings.steps_per_epoch >= 300
    assert len(plan.reasons) == 2
    assert settings.loss == ("mse" if config.task == "denoising" else "cross_entropy_dice")
    assert type(config).model_validate(settings.model_dump()) == settings


GIVEN = {
    "patch_px": 64, "batch_size": 3, "epochs": 7, "steps_per_epoch": 11, "learning_rate": 0.02,
    "schedule": "constant", "patience": 5, "normalization": StandardNormalization(),
    "augmentation": AugmentationConfig(gain=0.5), "stop_after": 4, "validation_fraction": 0.1, "seed": 3,
    "patch_z": 8, "loss": "cross_entropy",
}  # fmt: skip


@given(
    st.sets(st.sampled_from(sorted(GIVEN))),
    st.sampled_from(["auto", "lecture"]),
    st.sampled_from([None, 0.5, 100.0, 1e6]),
    st.sampled_from(["cpu", "cuda"]),
    st.floats(1e-4, 50),
    st.floats(0, 100),
)
def test_what_is_given_is_never_changed(
    names: set[str], recipe: str, time_budget_s: float | None, device: str, step_s: float, validation_s: float
) -> None:
    given = {name: GIVEN[name] for name in names}
    config = SegmentationTraining.model_validate({"recipe": recipe, "time_budget_s": time_budget_s, **given})
    plan, settings = planned(config, pace=Pace(step_s, validation_s), device=device)
    assert {name: getattr(settings, name) for name in names} == given
    assert not [name for name in CHOSEN if getattr(settings, name) is None]
    assert settings.time_budget_s is None
    assert plan.stop_after == min(settings.epochs, settings.stop_after or settings.epochs)


@given(
    st.sampled_from([UNET, VOLUMES, DNCNN, UNetConfig(poolings=(2, 4)), UNetConfig(poolings=(4, 2))]),
    st.integers(8, 300),
    st.integers(1, 40),
    st.sampled_from(["auto", "lecture"]),
    st.booleans(),
)
def test_the_settings_written_out_give_the_same_plan(
    architecture: Architecture, patch_px: int, patch_z: int, recipe: str, is_given: bool
) -> None:
    config = SegmentationTraining.model_validate(
        {"recipe": recipe, "patch_px": patch_px if is_given else None, "patch_z": patch_z}
    )
    shapes = [(30, 200, 170)[-architecture.n_dims :]]
    plan, settings = planned(config, architecture, shapes=shapes)
    again, repeated = planned(settings, architecture, pace=Pace(9, 9), shapes=shapes, is_fine_tuning=True)
    assert again.patch == plan.patch
    assert plan.patch[-1] == plan.patch[-2]
    assert repeated == settings
    assert again.n_steps == plan.n_steps
    assert all(edge >= patch_px for edge in plan.patch[-2:]) or not is_given


def test_no_duration_is_said_to_be_0() -> None:
    quick = Pace(0.001, 0.001)
    for config in (SegmentationTraining(time_budget_s=0.4), SegmentationTraining(epochs=2), SegmentationTraining()):
        plan, _ = planned(config, pace=quick, n_judged=10, shapes=[(64, 64)])
        assert " 0 " not in plan.reasons[-1]
    assert "some 0.3 s" in plan.reasons[-1]


@given(st.floats(20, 20000), st.floats(0.01, 3), st.floats(0, 5))
def test_a_time_budget_is_met(budget_s: float, step_s: float, validation_s: float) -> None:
    plan, settings = planned(SegmentationTraining(time_budget_s=budget_s), pace=Pace(step_s, validation_s))
    takes_s = plan.n_steps * step_s + plan.epochs * validation_s
    one_epoch_s = plan.steps_per_epoch * step_s + validation_s
    assert 0.95 * budget_s - 1.1 * one_epoch_s - step_s <= takes_s <= budget_s + one_epoch_s
    assert f"what {budget_s:g} s allow" in plan.reasons[-1]
    assert settings.epochs == plan.epochs


@pytest.mark.parametrize(("step_s", "validation_s", "budget_s"), [(0.1, 0.5, 180), (0.9, 0.2, 180), (0.05, 0, 60)])
def test_a_budget_is_steps_times_pace(step_s: float, validation_s: float, budget_s: float) -> None:
    plan, _ = planned(SegmentationTraining(time_budget_s=budget_s), pace=Pace(step_s, validation_s))
    assert plan.n_steps * step_s + plan.epochs * validation_s == pytest.approx(budget_s, rel=0.1)
    assert plan.epochs >= 4


@pytest.mark.parametrize("given", [{"epochs": 9}, {"steps_per_epoch": 40}])
def test_a_budget_is_met_with_what_else_is_given(given: dict[str, int]) -> None:
    config = SegmentationTraining.model_validate({"time_budget_s": 180, **given})
    plan, settings = planned(config, pace=Pace(0.1, 0.5))
    assert plan.n_steps * 0.1 + plan.epochs * 0.5 == pytest.approx(180, rel=0.05)
    assert {name: getattr(settings, name) for name in given} == given


def test_a_person_sees_it_learn_and_validation_takes_no_more_than_its_share() -> None:
    quick, _ = planned(SegmentationTraining(time_budget_s=600), pace=Pace(0.1, 0.01))
    assert quick.steps_per_epoch * 0.1 == pytest.approx(8, abs=0.2)
    slow, _ = planned(SegmentationTraining(time_budget_s=6000), pace=Pace(0.1, 20))
    assert slow.epochs * 20 / 6000 == pytest.approx(0.2, abs=0.05)


def test_patches_follow_the_objects_and_the_images() -> None:
    usual, _ = planned(SegmentationTraining())
    large, _ = planned(SegmentationTraining(), largest_object_px=120)
    assert usual.patch == (128, 128)
    assert large.patch == (192, 192)
    assert any("objects are up to 120 px wide" in reason for reason in large.reasons)
    small, _ = planned(SegmentationTraining(), shapes=[(50, 60), (30, 30)])
    assert small.patch == (64, 64)
    given, settings = planned(SegmentationTraining(patch_px=30), architecture=UNET)
    assert given.patch == (32, 32)
    assert settings.patch_px == 32


def test_fine_tuning_is_slower_unless_told_otherwise() -> None:
    plan, _ = planned(SegmentationTraining(), is_fine_tuning=True)
    assert plan.learning_rate == 3e-4
    assert any("lower than from scratch" in reason for reason in plan.reasons)
    told, _ = planned(SegmentationTraining(learning_rate=0.01), is_fine_tuning=True)
    assert told.learning_rate == 0.01
    assert not any("from scratch" in reason for reason in told.reasons)


def test_the_pace_is_measured_only_where_it_matters() -> None:
    assert needs_pace(SegmentationTraining())
    assert needs_pace(SegmentationTraining(epochs=3))
    assert not needs_pace(SegmentationTraining(epochs=3, steps_per_epoch=9))
    assert not needs_pace(SegmentationTraining(recipe="lecture"))
