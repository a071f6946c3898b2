"""The rule is chosen by the references, and nothing else of the model changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unveil.config.architecture import UNetConfig
from unveil.config.normalization import FixedNormalization
from unveil.config.objects import ObjectRule
from unveil.data.annotation import Annotation
from unveil.errors import MismatchError
from unveil.events import Event, Progress
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.build import build_network
from unveil.tasks.object_rule import fit_object_rule, judged_windows


def transparent_model(*, objects: bool) -> Model:
    """A network without poolings whose maps follow the grey value: foreground above 0, distance = grey value."""
    architecture = UNetConfig(poolings=0, width=1, out_channels=2 + objects)
    network = build_network(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for convolution in (network.down[0][0], network.down[0][2]):
            convolution.weight[0, 0, 1, 1] = 1
        network.head.weight[1, 0] = 20
        network.head.bias[1] = -4
        if objects:
            network.head.weight[2, 0] = 1
    card = ModelCard.describe(
        architecture, name="transparent", task="segmentation", classes=("ground", "cell"),
        objects=ObjectRule(separation=0.7, min_size=40) if objects else None,
        normalization=FixedNormalization(mean=(0,), std=(1,)),
    )  # fmt: skip
    return Model.make(card, network, np.zeros((1, 1, 8, 8), np.float32))


def two_joined_discs() -> tuple[Image, Image]:
    """Two discs of height 1 joined by a bridge of height 0.45, and a speck."""
    yy, xx = np.mgrid[:40, :60]
    discs = [np.hypot(yy - 20, xx - x) < 10 for x in (16, 40)]
    bridge = (np.abs(yy - 20) < 3) & (xx > 16) & (xx < 40)
    grey = np.where(discs[0] | discs[1], 1.0, np.where(bridge, 0.45, 0)).astype(np.float32)
    grey[2, 2:5] = 1
    labels = discs[0] * 1 + discs[1] * 2
    labels[bridge & (xx <= 28)] = 1
    labels[bridge & (xx > 28)] = 2
    return Image(grey), Image(labels.astype(np.uint16))


def test_the_rule_that_fits_the_references_is_chosen() -> None:
    image, reference = two_joined_discs()
    events: list[Event] = []
    model = transparent_model(objects=True)
    fitted = fit_object_rule(model, [image], [reference], monitor=events.append)
    rule = fitted.card.objects
    assert rule.separation >= 0.5  # above the bridge
    assert 3 < rule.min_size <= 40  # above the speck
    assert rule.reach_px == model.card.objects.reach_px
    assert fitted.card.weights_sha256 == model.card.weights_sha256
    assert events[-1] == Progress(1, 1, "images for the rule of objects")
    assert {event.done for event in events} == {0, 1}


@pytest.mark.parametrize(("n_specks", "is_cautious", "min_size"), [(1, False, 9), (1, True, 0), (9, True, 9)])
def test_what_is_usual_gives_way_to_what_is_better_beyond_chance(
    n_specks: int, is_cautious: bool, min_size: int
) -> None:
    grey, labels = np.zeros((60, 130), np.float32), np.zeros((60, 130), np.uint16)
    for number in range(15):
        y, x = 4 + 20 * (number // 5), 4 + 20 * (number % 5)
        labels[y : y + 9, x : x + 9] = number + 1
    grey[:44][labels[:44] > 0] = 1  # the last row of objects is not seen
    grey[2 : 2 + 4 * n_specks : 4, 120:122] = 1
    fitted = fit_object_rule(
        transparent_model(objects=True), [Image(grey)], [Image(labels)], is_cautious=is_cautious,
        thresholds=[0.5], separations=[0.5], min_sizes=[0, 9],
    )  # fmt: skip
    assert fitted.card.objects.min_size == min_size


def test_the_rule_is_chosen_on_the_pixels_of_the_image() -> None:
    image, reference = two_joined_discs()
    finer = Image(image.data, pixel_size_um={"Y": 0.5, "X": 0.5})
    model = transparent_model(objects=True)
    coarse = replace(model, card=model.card.model_copy(update={"pixel_size_um": {"Y": 1.0, "X": 1.0}}))
    rules = [fit_object_rule(coarse, [each], [reference]).card.objects for each in (image, finer)]
    assert rules[0] == rules[1]


def test_a_model_of_classes_has_no_rule_to_choose() -> None:
    image, reference = two_joined_discs()
    with pytest.raises(MismatchError, match="classes, not objects"):
        fit_object_rule(transparent_model(objects=False), [image], [reference])


def judged(mask: np.ndarray | None, *, shape: tuple[int, int] = (40, 60)) -> tuple[Image, Annotation]:
    labels = np.zeros(shape, np.uint8)
    labels[12:20, 12:30] = 1
    grey = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint8)
    return Image(grey), Annotation(Image(labels), mask)


def test_windows_are_the_boxes_that_were_judged_wholly() -> None:
    rectangle = np.zeros((40, 60), bool)
    rectangle[10:25, 8:35] = True
    two_boxes, with_a_corner_missing, empty = rectangle.copy(), rectangle.copy(), np.zeros((40, 60), bool)
    two_boxes[10:25, 21] = False
    with_a_corner_missing[10, 8] = False
    empty[30:, 40:] = True
    masks = [None, rectangle, two_boxes, with_a_corner_missing, empty, np.zeros((40, 60), bool)]
    pairs = [judged(mask) for mask in masks]
    windows = judged_windows(pairs, 2)
    assert [labels.shape for _, labels in windows] == [(40, 60), (15, 27), (15, 13), (15, 13)]
    grey, labels = windows[1]
    np.testing.assert_array_equal(grey.data, pairs[1][0].data[10:25, 8:35])
    np.testing.assert_array_equal(labels.data, pairs[1][1].labels.data[10:25, 8:35])


def test_a_line_that_was_judged_is_no_window() -> None:
    mask = np.zeros((40, 60), bool)
    mask[12:18, 12:18] = mask[19, 20:30] = mask[25, 5] = True
    assert [labels.shape for _, labels in judged_windows([judged(mask)], 2)] == [(6, 6)]


def test_of_a_large_plane_the_middle_is_taken_and_of_many_some() -> None:
    labels = np.zeros((1300, 30), np.uint8)
    labels[600:700] = 1
    pair = Image(labels * 9), Annotation(Image(labels))
    assert [labels.shape for _, labels in judged_windows([pair], 2)] == [(1024, 30)]
    assert len(judged_windows([pair] * 200, 2)) == 137


def test_scribbles_say_nothing_of_objects() -> None:
    image, annotation = judged(None)
    assert not judged_windows([(image, replace(annotation, has_outlines=False))], 2)


@pytest.mark.parametrize(("n_dims", "axes", "shapes"), [(2, "CYX", [(2, 9, 8)] * 3), (3, "CZYX", [(2, 3, 9, 8)])])
def test_windows_are_what_the_network_sees(n_dims: int, axes: str, shapes: list[tuple[int, ...]]) -> None:
    stack = Image(np.zeros((2, 3, 9, 8), np.uint8), "CZYX")
    windows = judged_windows([(stack, Annotation(Image(np.ones((3, 9, 8), np.uint8), "ZYX")))], n_dims)
    assert [image.shape for image, _ in windows] == shapes
    assert {(image.axes, labels.axes) for image, labels in windows} == {(axes, axes[1:])}
