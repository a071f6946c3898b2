"""Augmentation: image and targets together, exact where nothing is resized, seeded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unveil.config.training import AugmentationConfig
from unveil.operators.augmentation import gaussian_blur, random_intensities, random_views, source_size

NOTHING = AugmentationConfig(flips=False, scale=0, gain=0, offset=0, gamma=0, noise=0, blur_px=0)
FLIPS = NOTHING.model_copy(update={"flips": True})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def windows(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator(9))


def test_nothing_changes_nothing() -> None:
    image = windows(4, 2, 16, 16)
    smooth, discrete = random_views(image, image, (16, 16), NOTHING, generator())
    torch.testing.assert_close(smooth, image, atol=1e-5, rtol=0)
    torch.testing.assert_close(discrete, image)
    torch.testing.assert_close(random_intensities(image, NOTHING, generator()), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(16, 16), (6, 16, 16)])
def test_mirrored_and_turned_views_are_exact_and_all_occur(shape: tuple[int, ...]) -> None:
    image = windows(1, 1, *shape).expand(200, 1, *shape)
    _, views = random_views(image, image, shape, FLIPS, generator())
    plane = image[0, 0].numpy()
    expected = set()
    for turns in range(4):
        for mirrored in (plane, plane[..., ::-1]):
            turned = np.rot90(mirrored, turns, axes=(-2, -1))
            expected |= {turned.tobytes(), turned[::-1].tobytes()} if len(shape) == 3 else {turned.tobytes()}
    assert {view.tobytes() for view in views[:, 0].numpy()} == expected


def test_smooth_and_discrete_parts_stay_together() -> None:
    config = AugmentationConfig()
    size = (32, 32)
    yy, xx = torch.meshgrid(*(torch.arange(float(n)) for n in source_size(size, config)), indexing="ij")
    disc = (((yy - 18) ** 2 + (xx - 25) ** 2) < 64).float()[None, None].repeat(20, 1, 1, 1)
    smooth, discrete = random_views(disc, disc, size, config, generator())
    assert ((smooth > 0.5).float() - discrete).abs().mean() < 0.02
    assert discrete.mean(dim=(1, 2, 3)).std() > 0.005  # the scale did vary


def test_the_source_window_covers_the_smallest_scale() -> None:
    config = AugmentationConfig(scale=0.25)
    assert source_size((64, 256, 256), config) == (64, 342, 342)
    assert source_size((30, 30), NOTHING) == (30, 30)


def test_intensities_vary_per_image_and_repeat_with_the_seed() -> None:
    image = torch.full((6, 1, 24, 24), 0.5)
    first = random_intensities(image, AugmentationConfig(), generator(1))
    assert first.mean(dim=(1, 2, 3)).std() > 0.02
    torch.testing.assert_close(first, random_intensities(image, AugmentationConfig(), generator(1)))


def test_the_blur_keeps_the_mean_and_has_its_width() -> None:
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    blurred = gaussian_blur(point, 2.0)[0, 0]
    at = torch.arange(41.0) - 20
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    assert (blurred.sum(0) * at**2).sum().item() == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("knob", ["gain", "offset", "gamma", "noise"])
def test_each_change_of_intensity_stays_in_its_bounds_and_fills_them(knob: str) -> None:
    most = 0.25
    image = torch.full((400, 1, 40, 40), 0.5)
    image[:, :, :20] = -0.5
    changed = random_intensities(image, NOTHING.model_copy(update={knob: most}), generator())
    low, high = (half.mean(dim=(1, 2, 3)) for half in (changed[:, :, :20], changed[:, :, 20:]))
    drawn = {
        "gain": (high - low) - 1,
        "offset": (high + low) / 2,
        "gamma": (high - low).log() / math.log(0.5),
        "noise": 2 * (changed - image).std(dim=(1, 2, 3)) - most,  # from none to the most
    }[knob]
    assert drawn.abs().max() < 1.12 * most
    assert drawn.min() < -0.9 * most
    assert drawn.max() > 0.9 * most
    assert drawn.mean().abs() < 0.1 * most
    if knob in ("gain", "gamma"):
        torch.testing.assert_close(high, -low)


def test_every_second_image_is_blurred_alike() -> None:
    image = windows(1, 1, 32, 32).expand(400, 1, 32, 32)
    changed = random_intensities(image, NOTHING.model_copy(update={"blur_px": 1.5}), generator())
    spread = changed.std(dim=(1, 2, 3))
    is_blurred = spread < 0.9 * image[0].std()
    assert 0.4 < is_blurred.float().mean() < 0.6
    torch.testing.assert_close(spread[~is_blurred], image[0].std().expand(int((~is_blurred).sum())), atol=1e-5, rtol=0)
    assert spread[is_blurred].std() < 1e-5


@pytest.mark.parametrize("flips", [False, True])
def test_views_are_resized_by_the_scale_alike_along_y_and_x_and_not_along_z(flips: bool) -> None:
    config = NOTHING.model_copy(update={"scale": 0.25, "flips": flips})
    size = (4, 48, 48)
    z, y, x = np.indices(source_size(size, config))
    centre = (y.shape[1] - 1) / 2
    balls = np.stack([(y - centre) ** 2 + (x - centre) ** 2 < 18**2, z]).astype(np.float32)
    batch = torch.from_numpy(balls).expand(200, 2, *balls.shape[1:])
    _, views = random_views(batch, batch, size, config, generator())
    discs, planes = views[:, 0].numpy(), views[:, 1].numpy()
    zoom = discs.sum(axis=(1, 2, 3)) / 4 / (np.pi * 18**2)
    along_y, along_x = (discs.any(axis=axes).sum(axis=1) / 36 for axes in ((1, 3), (1, 2)))
    np.testing.assert_allclose(along_y, along_x, atol=0.06)
    np.testing.assert_allclose(along_y**2, zoom, atol=0.12)
    assert 0.75**2 - 0.05 < zoom.min() < 0.6
    assert 1.5 < zoom.max() < 1.25**2 + 0.05
    order = np.sort(planes[:, :, 0, 0], axis=1)
    np.testing.assert_array_equal(order, np.tile(np.arange(4), (200, 1)))
    assert (planes == planes[:, :, :1, :1]).all()
