from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from unveil.config.architecture import DnCNNConfig, UNetConfig
from unveil.config.normalization import FixedNormalization
from unveil.config.objects import ObjectRule
from unveil.config.options import EvaluationOptions
from unveil.errors import ImageError, MismatchError
from unveil.events import Cancelled, Notice, Progress, ignore
from unveil.image import Image
from unveil.model.card import ModelCard
from unveil.model.model import Model
from unveil.networks.build import build_network
from unveil.operators.metrics import DenoisingTally, fit_gain, psnr, ssim
from unveil.tasks.evaluate import evaluate

GREYS_AS_THEY_ARE = FixedNormalization(mean=(0.0,), std=(1.0,))


def _reading_model(classes=("background", "cell"), *, objects=True):
    """A U-Net whose weights are set by hand so that it reads the answer from the grey value.

    The logit of class k is 40 · (k · grey − k² / 2), so that the class is the grey value rounded; objects have the
    distance 2 · grey − 1, so that greys of 0.5 to 1 code the distance.
    """
    architecture = UNetConfig(width=1, poolings=0, out_channels=len(classes) + objects)
    card = ModelCard.describe(
        architecture,
        name="reader",
        task="segmentation",
        classes=classes,
        objects=ObjectRule(separation=0.5) if objects else None,
        normalization=GREYS_AS_THEY_ARE,
    )
    network = build_network(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for convolution in (network.down[0][0], network.down[0][2]):
            convolution.weight[0, 0, 1, 1] = 1
        for number in range(len(classes)):
            network.head.weight[number], network.head.bias[number] = 40 * number, -20 * number**2
        if objects:
            network.head.weight[-1], network.head.bias[-1] = 2, -1
    return Model.make(card, network, np.zeros((1, 1, 8, 8), np.float32))


def _identity_denoiser(in_channels=1):
    """A DnCNN that predicts no noise."""
    architecture = DnCNNConfig(depth=2, width=2, in_channels=in_channels)
    network = build_network(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    card = ModelCard.describe(
        architecture,
        name="identity",
        task="denoising",
        normalization=FixedNormalization(mean=(0.0,) * in_channels, std=(1.0,) * in_channels),
    )
    return Model.make(card, network, np.zeros((1, in_channels, 8, 8), np.float32))


def _scene(seed, shape=(40, 50), n_cells=6):
    """Labels of separate squares, and the image from which the reading model reads them."""
    rng = np.random.default_rng(seed)
    labels, image = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    corners = [(y, x) for y in range(1, shape[-2] - 9, 10) for x in range(1, shape[-1] - 9, 10)]
    for number, corner in enumerate(rng.permutation(corners)[:n_cells], start=1):
        where = (..., *(slice(start, start + 8) for start in corner))
        labels[where], image[where] = number, 0.6
        image[(..., *(slice(start + 2, start + 6) for start in corner))] = 0.95
    return Image(image, name=f"scene {seed}"), Image(labels, name=f"labels {seed}")


def _quietly(*arguments, **keywords):
    return evaluate(*arguments, monitor=ignore, **keywords)


def test_a_perfect_model_scores_one():
    images, references = zip(*(_scene(seed) for seed in range(3)), strict=True)
    scores = _quietly(_reading_model(), images, references)
    assert scores.as_dict() == {
        "n_images": 3,
        "iou": 1.0,
        "dice": 1.0,
        "ap": {"0.50": 1.0, "0.60": 1.0, "0.70": 1.0, "0.80": 1.0, "0.90": 1.0},
        "ap_mean": 1.0,
    }
    assert scores.model == "reader"
    assert [one.report.n_objects for one in scores.per_image] == [6, 6, 6]
    assert [one.name for one in scores.per_image] == ["scene 0", "scene 1", "scene 2"]
    json.dumps(scores.as_dict(), allow_nan=False)


def test_scores_are_pooled_over_objects_and_pixels_not_averaged_over_images():
    image, labels = _scene(0, n_cells=6)
    fewer = Image(np.where(labels.data > 1, labels.data, 0))  # one cell of six was never annotated
    small_image, small_labels = _scene(1, n_cells=2)
    scores = _quietly(_reading_model(), [image, small_image], [fewer, small_labels])
    assert scores.values["ap"]["0.50"] == pytest.approx(7 / 8)
    assert scores.values["iou"] == pytest.approx(7 / 8)
    assert [one.values["ap"]["0.50"] for one in scores.per_image] == [pytest.approx(5 / 6), 1.0]
    assert [one.values["n_images"] for one in scores.per_image] == [1, 1]


def test_options_reach_the_segmentation():
    image, labels = _scene(0)
    strict = _quietly(_reading_model(), [image], [labels], options=EvaluationOptions(min_size=1000))
    assert strict.values["ap"]["0.50"] == 0


def test_planes_of_a_stack_are_scored_one_by_one_and_count_as_one_image():
    planes = [_scene(seed) for seed in range(3)]
    image = Image(np.stack([image.data for image, _ in planes]), "ZYX")
    labels = Image(np.stack([labels.data for _, labels in planes]), "ZYX")  # every plane counts from 1 again
    scores = _quietly(_reading_model(), [image], [labels])
    assert scores.values["n_images"] == 1
    assert scores.values["ap_mean"] == 1


def test_classes_are_scored_by_class():
    labels = np.random.default_rng(0).integers(0, 3, (20, 24)).astype(np.uint8)
    model = _reading_model(("ground", "cell", "edge"), objects=False)
    scores = _quietly(model, [Image(labels.astype(np.float32))], [Image(labels)]).as_dict()
    assert scores["iou_per_class"] == {"ground": 1.0, "cell": 1.0, "edge": 1.0}
    assert (scores["iou"], scores["ap"], scores["ap_mean"]) == (1.0, None, None)
    other = np.where(labels == 2, 1, labels)
    mixed = _quietly(model, [Image(labels.astype(np.float32))], [Image(other)]).as_dict()
    n_cells = np.sum(labels == 1)
    assert mixed["iou_per_class"] == {"ground": 1.0, "cell": n_cells / np.sum(other == 1), "edge": 0.0}
    assert mixed["iou"] == 1.0


@pytest.mark.parametrize("numbers", [(3, 255), (2, 3), (2, 1)])
def test_references_have_the_numbers_that_were_painted(numbers):
    labels = np.random.default_rng(0).integers(0, 3, (20, 24)).astype(np.uint8)
    model = _reading_model(("background", *(f"class {number}" for number in numbers)), objects=False)
    image, painted = Image(labels.astype(np.float32)), np.array([0, *numbers], np.uint8)[labels]
    scores = _quietly(model, [image], [Image(painted)]).as_dict()
    assert set(scores["iou_per_class"].values()) == {1.0}


def test_references_with_other_numbers_than_were_painted_are_refused():
    labels = np.random.default_rng(0).integers(0, 2, (20, 24)).astype(np.uint8)
    model = _reading_model(("background", "class 2", "class 3"), objects=False)
    words = r"'cells' holds the number 1; the classes .* are 0 \(background\), 2 \(class 2\), 3 \(class 3\)"
    _refuse(model, [Image(labels.astype(np.float32))], [Image(labels, name="cells")], words)


def test_for_two_classes_every_number_is_foreground():
    mask = (np.random.default_rng(0).random((20, 24)) > 0.5).astype(np.uint8)
    model = _reading_model(objects=False)
    scores = _quietly(model, [Image(mask.astype(np.float32))], [Image(mask * 255)])
    assert scores.values["iou"] == 1.0


def _noisy_pair(seed, shape=(30, 34), axes="YX"):
    rng = np.random.default_rng(seed)
    clean = rng.integers(20, 200, shape).astype(np.uint8)
    noisy = (clean + rng.normal(0, 12, shape)).astype(np.float32)
    return Image(noisy, axes, name=f"noisy {seed}"), Image(clean, axes, name=f"clean {seed}")


def test_denoising_scores_are_means_over_images():
    noisy, clean = zip(*(_noisy_pair(seed) for seed in range(3)), strict=True)
    scores = _quietly(_identity_denoiser(), noisy, clean)
    expected = np.mean([psnr(n.data, c.data) for n, c in zip(noisy, clean, strict=True)])
    assert list(scores.values) == ["n_images", "psnr_noisy", "psnr", "ssim_noisy", "ssim"]
    assert scores.values["psnr_noisy"] == pytest.approx(expected)
    assert scores.values["psnr"] == pytest.approx(expected, abs=1e-3)
    assert scores.values["ssim"] == pytest.approx(scores.values["ssim_noisy"], abs=1e-5)
    assert len(scores.per_image) == scores.values["n_images"] == 3


def test_gain_and_offset_are_fitted_when_asked():
    noisy, clean = _noisy_pair(0)
    dimmed = Image(noisy.data * np.float32(0.25) + 7)
    plain = _quietly(_identity_denoiser(), [dimmed], [clean])
    fitted = _quietly(_identity_denoiser(), [dimmed], [clean], options=EvaluationOptions(fit_gain=True))
    assert fitted.values["psnr_noisy"] == pytest.approx(psnr(fit_gain(noisy.data, clean.data), clean.data), abs=1e-3)
    assert fitted.values["psnr"] > plain.values["psnr"] + 5


@pytest.mark.parametrize("clean_has_channels", [True, False])
def test_the_chosen_channel_is_scored(clean_has_channels):
    pairs = [_noisy_pair(seed) for seed in range(2)]
    noisy = Image(np.stack([noisy.data for noisy, _ in pairs]), "CYX", channel_names=("red", "green"))
    clean = Image(np.stack([clean.data for _, clean in pairs]), "CYX") if clean_has_channels else pairs[1][1]
    scores = _quietly(_identity_denoiser(), [noisy], [clean], options=EvaluationOptions(channel="green"))
    expected = DenoisingTally()
    expected.add(pairs[1][0].data, pairs[1][0].data, pairs[1][1].data)
    assert scores.values == pytest.approx(expected.as_dict(), abs=1e-3)


def test_channels_denoised_by_themselves_are_scored_together():
    noisy, clean = _noisy_pair(0, (2, 30, 34), "CYX")
    scores = _quietly(_identity_denoiser(), [noisy], [clean])
    assert scores.values["psnr"] == pytest.approx(psnr(noisy.data, clean.data), abs=1e-3)
    one = Image(clean.data[0], name="one")
    _refuse(_identity_denoiser(), [noisy], [one], "have axes CYX and YX; the reference needs CYX")


def test_a_denoiser_of_several_channels_is_scored_on_all_of_them():
    noisy, clean = _noisy_pair(0, (2, 30, 34), "CYX")
    scores = _quietly(_identity_denoiser(2), [noisy], [clean])
    assert scores.values["psnr"] == pytest.approx(psnr(noisy.data, clean.data), abs=1e-3)
    assert scores.values["ssim_noisy"] == pytest.approx(ssim(noisy.data, clean.data))


def test_images_are_taken_one_by_one():
    log = []

    def lazily(kind, images):
        for image in images:
            log.append(kind)
            yield image

    images, references = zip(*(_scene(seed) for seed in range(3)), strict=True)

    evaluate(_reading_model(), lazily("image", images), lazily("reference", references), monitor=_after_each(log))
    assert log == ["image", "reference", "done"] * 3


def _after_each(log):
    """A monitor that writes "done" into `log` when one more image is done."""
    n_done = [0]

    def monitor(event):
        if isinstance(event, Progress) and event.done > n_done[0]:
            n_done[0] = event.done
            log.append("done")

    return monitor


def test_progress_is_counted_in_images_and_notices_come_once():
    images, references = zip(*(_scene(seed) for seed in range(3)), strict=True)
    events = []
    scores = evaluate(_reading_model(), images, references, monitor=events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    assert {(event.total, event.unit) for event in progress} == {(3, "images")}
    done = [event.done for event in progress]
    assert done == sorted(done)
    assert set(done) == {0, 1, 2, 3}
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(set(notices)) == len(notices)
    assert tuple(notices) == scores.notices


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_monitor_can_cancel_at_any_call(n):
    images, references = zip(*(_scene(seed) for seed in range(3)), strict=True)
    calls = []

    def monitor(event):
        calls.append(event)
        if len(calls) == n:
            raise Cancelled

    with pytest.raises(Cancelled):
        evaluate(_reading_model(), images, references, monitor=monitor)
    assert len(calls) == n


def _refuse(model, images, references, match, *, error=ImageError):
    """Expect `error` before anything is computed."""
    events = []
    with pytest.raises(error, match=match):
        evaluate(model, images, references, monitor=events.append)
    assert events == []


def test_pairs_that_do_not_fit_are_named_together_before_anything_is_computed():
    (image, labels), other = _scene(0), Image(np.zeros((8, 9), np.int32), name="small")
    _refuse(
        _reading_model(),
        [image, image, image],
        [labels, other, Image(np.zeros((40, 50)), name="soft")],
        r"unlike shapes \(40, 50\) \(YX\) and \(8, 9\) .*'soft' has dtype float64; labels are integers",
    )
    _refuse(
        _reading_model(), [image], [Image(np.zeros((2, 40, 50), int), "TYX")], "axes YX and TYX; the reference needs YX"
    )


def test_counts_must_agree():
    image, labels = _scene(0)
    _refuse(_reading_model(), [image, image], [labels], "found 2 images and 1 reference")
    _refuse(_reading_model(), [], [], "no images to judge")
    with pytest.raises(ImageError, match="more images than references, of which there are 1"):
        _quietly(_reading_model(), iter([image, image]), iter([labels]))
    with pytest.raises(ImageError, match="more references than images, of which there are 0"):
        _quietly(_reading_model(), iter([]), iter([labels]))


def test_references_that_cannot_be_scored_are_refused():
    image, labels = _scene(0)
    _refuse(
        _reading_model(), [image], [Image(labels.data - 1, name="shifted")], "'shifted' holds the negative number -1"
    )
    huge = Image(labels.data.astype(np.uint64) << np.uint64(61), name="huge")
    _refuse(_reading_model(), [image], [huge], f"'huge' holds the number {huge.data.max()}; objects are")
    three = _reading_model(("ground", "cell", "edge"), objects=False)
    _refuse(
        three, [image], [Image(labels.data, name="cells")], r"number 6; the classes .* are 0 \(ground\), 1 \(cell\), 2"
    )
    noisy, clean = _noisy_pair(0)
    for missing in (np.nan, 1e30):
        spoilt = Image(np.where(clean.data == clean.data.max(), missing, clean.data), name="spoilt")
        _refuse(_identity_denoiser(), [noisy], [spoilt], "'spoilt' holds NaN, infinity or numbers beyond 1e\\+18")
    tiny = Image(np.zeros((8, 40)), name="tiny")
    _refuse(_identity_denoiser(), [tiny], [tiny], "'tiny' is smaller than 11×11")
    with pytest.raises(ImageError, match="'noisy 0' against 'flat': The clean image is constant"):
        _quietly(_identity_denoiser(), [noisy], [Image(np.zeros((30, 34)), name="flat")])


def test_an_image_that_the_model_does_not_take_is_refused():
    noisy, clean = _noisy_pair(0, (3, 30, 34), "CYX")
    good, its_clean = _noisy_pair(1, (2, 30, 34), "CYX")
    _refuse(_identity_denoiser(2), [good, noisy], [its_clean, clean], "3 channels", error=MismatchError)
    _refuse(_reading_model(), [noisy], [clean], "3 channels", error=MismatchError)
    flat, its_labels = _scene(0)
    _refuse(_identity_denoiser(), [flat], [its_labels.data], "reference .* is no unveil.Image")
