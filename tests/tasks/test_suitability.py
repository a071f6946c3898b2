from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.transform import rescale

from unveil.config.options import DenoisingOptions, RunOptions, SegmentationOptions
from unveil.errors import MismatchError
from unveil.events import Unlike, ignore
from unveil.image import Image
from unveil.io.model_file import load_model, save_model
from unveil.io.samples import sample_for
from unveil.tasks import suitability
from unveil.tasks.denoise import denoise
from unveil.tasks.evaluate import evaluate
from unveil.tasks.recording import with_appearance
from unveil.tasks.segment import segment
from unveil.tasks.suitability import compare


def _nuclei(seed, size=160):
    """Draw blurred discs of one size on dark ground, as crowded on any, with a little noise."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:size, :size]
    grey = np.full((size, size), 20.0)
    for y, x in rng.uniform(0, size, (rng.integers(12, 30) * size**2 // 160**2, 2)):
        grey[(yy - y) ** 2 + (xx - x) ** 2 < rng.uniform(6, 9) ** 2] = rng.uniform(120, 220)
    return (gaussian_filter(grey, 1.2) + rng.normal(0, 3, grey.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def model(make_tiny_model):
    """A model that knows discs, by looking at all sizes of them."""
    images = [Image(_nuclei(seed)) for seed in range(12)]
    return with_appearance(make_tiny_model(), images, object_sizes=[100, 150, 250], thorough=True)


@pytest.fixture(scope="session")
def denoiser(make_tiny_model):
    return with_appearance(make_tiny_model("denoising"), [Image(_nuclei(seed)) for seed in range(20)])


UNSEEN = range(100, 108)


def test_the_images_that_were_looked_at_are_counted(make_tiny_model):
    seen = [Image(_nuclei(seed)) for seed in range(4)]
    flat = [Image(np.full((64, 64), 7, np.uint8)), Image(np.zeros((8, 8), np.uint8))]
    assert with_appearance(make_tiny_model("denoising"), [*seen, *flat]).card.appearance.n_images == 4


def test_images_of_the_same_kind_are_like_those_that_taught(model):
    verdicts = [compare(Image(_nuclei(seed)), model).verdict for seed in UNSEEN]
    assert verdicts.count("like") >= len(UNSEEN) - 2


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0), (40, 1000), (1, -50)])
def test_gain_and_offset_do_not_matter(model, gain, offset):
    plain, changed = (compare(Image(image), model) for image in (_nuclei(100), _nuclei(100) * gain + offset))
    assert changed.score == pytest.approx(plain.score, rel=0.02)


def test_an_inverted_image_is_told(model):
    for seed in UNSEEN:
        found = compare(Image(255 - _nuclei(seed)), model)
        assert found.verdict == "unlike"
        assert "invert" in found.reasons[0]
        assert found.suggested_rescale is None


@pytest.mark.parametrize("factor", [3.0, 1 / 3, 2.0])
def test_a_rescaled_image_suggests_the_factor(model, factor):
    size = 160 if factor > 1 else 320
    found = [
        compare(Image(rescale(_nuclei(seed, size), factor, order=1, anti_aliasing=factor < 1)), model)
        for seed in UNSEEN
    ]
    ratios = [each.suggested_rescale * factor for each in found if each.suggested_rescale is not None]
    assert len(ratios) >= len(UNSEEN) - 1
    assert 0.75 < np.median(ratios) < 1.25
    word = "larger" if factor > 1 else "smaller"
    assert all(word in each.reasons[0] for each in found if each.suggested_rescale is not None)


def _with_appearance(model, resized=None, **changes):
    """Return `model` with a card whose appearance says something else."""
    appearance = model.card.appearance
    if resized is not None:
        changes["resized"] = appearance.resized.model_copy(update=resized)
    card = model.card.model_copy(update={"appearance": appearance.model_copy(update=changes)})
    return replace(model, card=card)


def test_the_size_alone_can_be_unlike(model):
    """Where the distance says nothing, what the image seems to be magnified by does; an older card does not know it."""
    assert 0 < model.card.appearance.resized.usual_octaves < 1
    smaller = Image(rescale(_nuclei(100, 320), 1 / 3, order=1, anti_aliasing=True))
    near = _with_appearance(model, threshold=1e6)
    assert compare(smaller, near).suggested_rescale == pytest.approx(3, rel=0.4)
    assert compare(Image(_nuclei(100)), near).verdict == "like"
    assert compare(smaller, _with_appearance(near, {"usual_octaves": None})).verdict == "like"


def test_a_size_that_further_looks_do_not_confirm_is_no_reason(model):
    strict = _with_appearance(model, {"usual_octaves": 1e-6}, threshold=1e6)
    found = compare(Image(_nuclei(100)), strict)
    assert (found.verdict, found.suggested_rescale) == ("like", None)
    assert found.score < 1


def test_what_lies_farther_off_when_it_is_reduced_is_not_to_be_reduced(model, monkeypatch):
    strict = _with_appearance(model, threshold=1e-3)  # everything is unlike
    for factor, expected in ((0.3, None), (3.0, 3.0)):
        monkeypatch.setattr(suitability, "_suggested_factor", lambda *_, chosen=factor: chosen)
        found = compare(Image(_nuclei(100, 320)), strict)
        assert (found.verdict, found.suggested_rescale) == ("unlike", expected)


def test_following_the_suggestion_ends_the_warning(model):
    larger = Image(rescale(_nuclei(100, 320), 3, order=1))
    factor = compare(larger, model).suggested_rescale
    after = compare(larger, model, options=RunOptions(rescale=factor))
    assert after.score < compare(larger, model).score
    assert after.suggested_rescale is None


def test_noise_is_named(model, rng):
    noisy = _nuclei(100) + rng.normal(0, 60, (160, 160)).astype(np.float32)
    found = compare(Image(noisy), model)
    assert found.verdict == "unlike"
    assert found.reasons


def test_the_notice_and_the_figures_reach_the_report(model):
    events = []
    result = segment(Image(255 - _nuclei(100), name="swapped"), model, monitor=events.append)
    (event,) = [event for event in events if isinstance(event, Unlike)]
    assert "'swapped' is unlike" in event.message
    assert event.message in result.report.notices
    assert result.report.unlikeness > 1
    assert result.report.provenance()["suggested_rescale"] is None


def test_a_run_can_leave_it_out(model):
    events = []
    options = SegmentationOptions(skip_check=True)
    report = segment(Image(255 - _nuclei(100)), model, options=options, monitor=events.append).report
    assert report.unlikeness is None
    assert not [event for event in events if isinstance(event, Unlike)]


def test_like_images_get_no_notice(model):
    report = segment(Image(_nuclei(100)), model, monitor=ignore).report
    assert report.unlikeness < 1
    assert not [notice for notice in report.notices if "unlike" in notice]


def test_an_evaluation_does_not_compare(model):
    image = Image(255 - _nuclei(100))
    labels = Image((_nuclei(100) > 80).astype(np.uint16))
    assert not evaluate(model, [image], [labels], monitor=ignore).notices


def test_a_denoiser_warns_of_another_noise_and_suggests_no_rescaling(denoiser, rng):
    noisy = Image(_nuclei(100) + rng.normal(0, 60, (160, 160)).astype(np.float32))
    found = compare(noisy, denoiser)
    assert (found.verdict, found.suggested_rescale) == ("unlike", None)
    events = []
    denoise(noisy, denoiser, options=DenoisingOptions(skip_assessment=True), monitor=events.append)
    assert [event for event in events if isinstance(event, Unlike)]


def test_a_card_that_does_not_know_compares_nothing(make_tiny_model):
    found = compare(Image(_nuclei(100)), make_tiny_model())
    assert (found.verdict, found.score) == ("unknown", None)
    assert "does not say" in found.reasons[0]


@pytest.mark.parametrize("pixels", [np.zeros((64, 64)), np.full((64, 64), np.nan), _nuclei(1)[:10, :10]])
def test_what_shows_too_little_is_unknown(model, pixels):
    assert compare(Image(pixels.astype(np.float32)), model).verdict == "unknown"


@pytest.mark.parametrize("bad", [np.nan, 1e25, 1e300])
def test_pixels_that_are_not_finite_count_as_the_mean(model, bad):
    grey = _nuclei(100).astype(np.float64)
    grey[5, 5] = bad
    assert compare(Image(grey), model).score == pytest.approx(compare(Image(_nuclei(100)), model).score, rel=0.2)


class _Counted:
    """An array larger than memory, of which only what is read exists."""

    shape, dtype = (100_000, 100_000), np.dtype(np.float32)

    def __init__(self) -> None:
        self.n_read = 0

    def __getitem__(self, key):
        shape = tuple(part.stop - part.start for part in key)
        self.n_read += shape[0] * shape[1]
        return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_the_sample_that_a_first_user_opens_is_like_what_taught_the_shipped_model():
    shipped = load_model("nuclei")
    assert compare(sample_for(shipped.card), shipped).verdict == "like"


def test_of_a_large_image_a_few_windows_are_read(model):
    data = _Counted()
    compare(Image(data), model)
    assert 0 < data.n_read <= 4 * 256**2


def test_a_stack_is_judged_by_its_middle(model):
    stack = np.stack([255 - _nuclei(1), _nuclei(100), 255 - _nuclei(2)])
    assert compare(Image(stack, "ZYX"), model).score == compare(Image(_nuclei(100)), model).score


def test_a_channel_must_be_chosen(model):
    image = Image(np.stack([_nuclei(100), 255 - _nuclei(100)]), "CYX")
    with pytest.raises(MismatchError, match="channel"):
        compare(image, model)
    assert compare(image, model, options=RunOptions(channel=0)).verdict != "unknown"
    assert "invert" in compare(image, model, options=RunOptions(channel=1)).reasons[0]


def test_the_card_survives_the_file(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    loaded = load_model(path)
    assert loaded.card.appearance == model.card.appearance
    assert loaded.card.weights_sha256 == model.card.weights_sha256
    small, usual, large = loaded.card.appearance.object_px
    assert small < usual < large
    assert usual == pytest.approx(np.sqrt(4 / np.pi * 150), rel=1e-3)


def test_statistics_of_another_version_compare_nothing(model):
    changed = _with_appearance(model, statistics=("something else", *model.card.appearance.statistics[1:]))
    assert compare(Image(_nuclei(100)), changed).verdict == "unknown"


def test_volumes_and_several_channels_are_compared_too(make_tiny_model):
    stack = [Image(np.stack([_nuclei(4 * n + z, 48) for z in range(4)]), "ZYX") for n in range(4)]
    volume = with_appearance(make_tiny_model(n_dims=3), stack, object_sizes=[4189])
    assert compare(stack[0], volume).verdict in ("like", "unlike")
    assert volume.card.appearance.object_px == (20, 20, 20)  # a ball of 4189 voxels
    both = [Image(np.stack([_nuclei(n, 64), 255 - _nuclei(n, 64)]), "CYX") for n in range(4)]
    double = with_appearance(make_tiny_model(in_channels=2), both)
    assert compare(both[0], double).verdict in ("like", "unlike")


def test_too_few_images_leave_the_card_as_it_is(make_tiny_model):
    events = []
    images = [Image(_nuclei(seed)) for seed in range(3)]
    assert with_appearance(make_tiny_model(), images, monitor=events.append).card.appearance is None
    assert not events  # nor are they looked at
